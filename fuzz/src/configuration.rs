//! The configuration file, the variables and the flags.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use server::config::{ConfigError, Inputs};
use tempfile::TempDir;

/// Reads the bytes as a configuration file. After a line of `==`, each further line is `NAME=VALUE`
/// of the environment, or `path VALUE` of a flag.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, rest) = text.split_once("\n==\n").unwrap_or((&text, ""));
    let path = path();
    fs::write(&path, file).expect("a temporary file");
    let mut inputs = Inputs { file: Some(path), ..Inputs::default() };
    for line in rest.lines() {
        match (line.split_once('='), line.split_once(' ')) {
            (Some((name, value)), _) if name.starts_with("SKY_ISLAND_") => {
                inputs.environment.push((name.to_owned(), value.to_owned()));
            }
            (_, Some((key, value))) => {
                inputs.flags.push((key.to_owned(), vec![value.to_owned()]));
            }
            _ => {}
        }
    }
    match inputs.read() {
        Ok(settings) => {
            let config = settings.config();
            // What is derived from a configuration that was accepted exists too.
            let _ = (config.endpoints(), config.hosts(), config.connections(), config.head_wait());
            let _ = (config.function_limits(), config.call_timeout(), config.build_deadline());
            let _ = (config.answer_wait(), config.shutdown_grace(), config.network.pools());
            let limits = &config.limits;
            for shares in [
                limits.call_shares(),
                limits.run_shares(),
                limits.build_shares(),
                limits.fetch_shares(),
            ] {
                assert!(shares.slots > 0 && shares.per_client > 0, "{file:?}");
            }
            let again = inputs.read().expect("the same file is read the same way");
            assert!(settings.changes(&again).is_empty());
            assert!(!settings.entries().is_empty());
        }
        Err(ConfigError::Invalid(problems)) => {
            assert!(!problems.is_empty(), "a refusal has a reason: {file:?}");
            for problem in problems {
                assert!(!problem.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn path() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
    folder.path().join(format!("{:?}.json", std::thread::current().id()))
}
