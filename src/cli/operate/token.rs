//! Finds the token of a server's admin API.
//!
//! Invariants: a token comes from a file or the environment, never from an argument, and is never
//! printed. The token of this host's server is sent to servers on this host alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::server::config::{Settings, variable};
use ::server::state::{TokenError, known_admin_token};
use ureq::http::HeaderValue;

use crate::cli::operate::server::Server;

/// The key of the configuration.
const KEY: &str = "admin_api_token";
/// The longest file that is read, in bytes.
const LONGEST: u64 = 4096;

/// A token, and its origin.
#[derive(Debug)]
pub(super) struct Token {
    /// Marked as a secret.
    pub(super) value: HeaderValue,
    pub(super) origin: String,
}

/// Why there is no token to send.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoToken {
    /// The file of `--token-file` cannot be read.
    #[error("the token cannot be read from {0}; name a readable file by --token-file")]
    File(PathBuf, #[source] io::Error),
    /// The text cannot be sent as a token.
    #[error("{0} has no token; a token is one line of visible ASCII characters")]
    Unsendable(String),
    /// The file in the state directory cannot be read.
    #[error(
        "the token of this host's server cannot be read; run this command as root or as the server's user, or name a file \
         with the token by --token-file"
    )]
    Unreadable(#[source] TokenError),
    /// The state directory has no token.
    #[error(
        "the state directory {0} has no token; name the server's configuration by -c or a file with its token by \
         --token-file, or set {variable}", variable = variable(KEY)
    )]
    Missing(PathBuf),
    /// No token is configured for a server on another host.
    #[error(
        "no token is configured for {0}; name a file with the token by --token-file, or set {variable}",
        variable = variable(KEY)
    )]
    Elsewhere(String),
}

impl NoToken {
    /// Whether the host is at fault, not the command line.
    pub(super) fn is_of_host(&self) -> bool {
        matches!(self, Self::File(..) | Self::Unreadable(_))
    }
}

/// The token for a server: from this file, else from the configuration, else from the state
/// directory.
pub(super) fn find(
    file: Option<&Path>,
    settings: &Settings,
    server: &Server,
) -> Result<Token, NoToken> {
    if let Some(path) = file {
        let text = read(path).map_err(|error| NoToken::File(path.into(), error))?;
        return token(text.trim(), path.display().to_string());
    }
    if let Some(text) = &settings.config().admin_api_token {
        let set_by = settings.entries().into_iter().find(|entry| entry.key == KEY);
        let set_by = set_by.map(|entry| entry.source).unwrap_or_default();
        return token(text, format!("{KEY} ({set_by})"));
    }
    if !server.is_local() {
        return Err(NoToken::Elsewhere(server.to_string()));
    }
    let state = settings.config().state_dir();
    match known_admin_token(&state).map_err(NoToken::Unreadable)? {
        Some(known) => token(&known.text, known.path.display().to_string()),
        None => Err(NoToken::Missing(state)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LONGEST {
        return Err(io::Error::other(format!("the file exceeds the limit of {LONGEST} bytes")));
    }
    Ok(text)
}

fn token(text: &str, origin: String) -> Result<Token, NoToken> {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let value = HeaderValue::from_str(text).ok();
    let good = value.filter(|_| !text.is_empty() && text.bytes().all(visible));
    let Some(mut value) = good else { return Err(NoToken::Unsendable(origin)) };
    value.set_sensitive(true);
    Ok(Token { value, origin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::server::config::Inputs;

    fn settings(state: &Path, token: Option<&str>) -> Settings {
        let variable = |path: &str, text: &str| (variable(path), text.to_owned());
        let mut environment = vec![variable("state_dir", state.to_str().unwrap())];
        environment.extend(token.map(|token| variable(KEY, token)));
        Inputs { environment, ..Inputs::default() }.read().unwrap()
    }

    fn found(token: Result<Token, NoToken>) -> (String, String) {
        let Token { value, origin } = token.unwrap();
        assert!(value.is_sensitive());
        (value.to_str().unwrap().to_owned(), origin)
    }

    #[test]
    fn a_file_wins_over_the_configuration_which_wins_over_the_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let server: Server = "localhost".parse().unwrap();
        let own = ::server::state::admin_token(folder.path()).unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "of a file\n").unwrap();
        let (without, with) =
            (settings(folder.path(), None), settings(folder.path(), Some("configured")));
        let shown = |path: &Path| path.display().to_string();
        let table = [
            (find(Some(&file), &with, &server), "of a file", shown(&file)),
            (
                find(None, &with, &server),
                "configured",
                "admin_api_token (environment SKY_ISLAND_ADMIN_API_TOKEN)".to_owned(),
            ),
            (find(None, &without, &server), own.text.as_str(), shown(&own.path)),
        ];
        for (token, text, origin) in table {
            assert_eq!(found(token), (text.to_owned(), origin));
        }
    }

    #[test]
    fn the_token_of_this_hosts_server_goes_to_no_other_host() {
        let folder = tempfile::tempdir().unwrap();
        ::server::state::admin_token(folder.path()).unwrap();
        let elsewhere: Server = "http://10.0.0.5:3281".parse().unwrap();
        let refused = find(None, &settings(folder.path(), None), &elsewhere).unwrap_err();
        assert!(refused.to_string().contains("--token-file"), "{refused}");
        let configured = settings(folder.path(), Some("configured"));
        assert_eq!(found(find(None, &configured, &elsewhere)).0, "configured");
    }

    #[test]
    fn a_text_that_is_not_a_token_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let server: Server = "localhost".parse().unwrap();
        let none = settings(folder.path(), None);
        let refused = |file: Option<&Path>| find(file, &none, &server).unwrap_err();
        assert!(refused(None).to_string().contains("--token-file"));
        let file = folder.path().join("token");
        assert!(refused(Some(&file)).is_of_host());
        for text in ["", "\n", "two\nlines", "größer"] {
            std::fs::write(&file, text).unwrap();
            assert!(matches!(refused(Some(&file)), NoToken::Unsendable(_)), "{text:?}");
        }
        std::fs::write(&file, "x".repeat(5_000)).unwrap();
        assert!(matches!(refused(Some(&file)), NoToken::File(..)));
    }
}
