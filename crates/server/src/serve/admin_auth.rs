//! Who may use the admin API, and the configuration as the admin API shows it.

use std::path::{Path, PathBuf};

use super::error::StartupError;
use crate::config::Config;
use crate::config::Settings;
use crate::http::Access;
use crate::http::Setting;
use crate::state::{AdminToken, admin_token};

/// The token and the header that open the admin API, as the configuration says now.
#[derive(Clone)]
pub(super) struct AdminAuth {
    pub(super) access: Access,
    state: PathBuf,
}

impl AdminAuth {
    /// Takes the configured token, or the one in the state directory, which the first start makes.
    pub(super) fn open(config: &Config, state: &Path) -> Result<Self, StartupError> {
        let token = token(config, state)?;
        let access = Access::new(config.admin_token_header.as_deref(), &token)?;
        Ok(Self { access, state: state.to_owned() })
    }

    /// Takes another token and header from the next request on. Where that fails, the old ones
    /// stay.
    pub(super) fn change(&self, config: &Config) -> Result<(), StartupError> {
        let token = token(config, &self.state)?;
        Ok(self.access.change(config.admin_token_header.as_deref(), &token)?)
    }
}

fn token(config: &Config, state: &Path) -> Result<String, StartupError> {
    if let Some(token) = &config.admin_api_token {
        return Ok(token.clone());
    }
    let AdminToken { text, path, is_new } = admin_token(state)?;
    let what = if is_new { "made and written to" } else { "read from" };
    let path = path.display();
    tracing::info!(%path, "admin_api_token is not set: the token of the admin API was {what} {path}");
    Ok(text)
}

/// All keys as the admin API shows them.
pub(super) fn shown(settings: &Settings) -> Vec<Setting> {
    let shown = |entry: crate::config::Entry| Setting {
        key: entry.key.to_owned(),
        value: entry.value,
        source: entry.source,
    };
    settings.entries().into_iter().map(shown).collect()
}
