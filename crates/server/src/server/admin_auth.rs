//! The way into the admin API, and what it shows of the configuration.

use std::path::{Path, PathBuf};

use super::StartupError;
use crate::config::Config;
use crate::config::Settings;
use crate::http::Access;
use crate::http::Setting;
use crate::state::{AdminToken, admin_token};

/// The way in, as the configuration says now.
#[derive(Clone)]
pub(super) struct AdminAuth {
    pub(super) access: Access,
    state: PathBuf,
}

impl AdminAuth {
    /// By the configured token, or by one that the first start writes into the state directory and every one uses.
    pub(super) fn open(config: &Config, state: &Path) -> Result<Self, StartupError> {
        let token = token(config, state)?;
        let access = Access::new(config.admin_token_header.as_deref(), &token)?;
        Ok(Self { access, state: state.to_owned() })
    }

    /// Has another token or header count from the next request on. Where that cannot be, the old ones do.
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
    let what = if is_new { "was made and written" } else { "lies" };
    tracing::info!(path = %path.display(), "the admin API's token {what} there, for none is configured");
    Ok(text)
}

/// What operators see of the configuration.
pub(super) fn shown(settings: &Settings) -> Vec<Setting> {
    let shown = |entry: crate::config::Entry| Setting {
        key: entry.key.to_owned(),
        value: entry.value,
        source: entry.source,
    };
    settings.entries().into_iter().map(shown).collect()
}
