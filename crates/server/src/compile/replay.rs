//! What runs on a build island to follow a recipe: writes its files, then runs its commands, each after the other has
//! succeeded.
//!
//! It is trusted no more than the compiler that it runs: what it may read and write is what the island may.

use std::path::Path;
use std::process::{Command, Stdio};

use super::build_trace::{BuildTrace, Step};

/// A recipe that could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It does not come.
    #[error("the recipe cannot be received")]
    Input(#[from] std::io::Error),
    /// It is none.
    #[error("the recipe cannot be read")]
    BuildTrace(#[from] serde_json::Error),
    /// A file.
    #[error("{0} cannot be written")]
    File(String, #[source] std::io::Error),
    /// A command.
    #[error("{0:?} cannot be run")]
    Command(Vec<String>, #[source] std::io::Error),
}

/// Follows a recipe, and returns the exit status of the last command that ran; none if a signal ended it.
pub fn follow(recipe: &[u8]) -> Result<Option<i32>, ReplayError> {
    let recipe: BuildTrace = serde_json::from_slice(recipe)?;
    for (name, text) in &recipe.files {
        let folder = Path::new(name).parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(name, text))
            .map_err(|error| ReplayError::File(name.clone(), error))?;
    }
    for Step { env, command } in recipe.steps {
        let run = |words: &[String]| {
            let (program, args) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
            let env = env.iter().map(|(name, value)| (name, value));
            let mut command = Command::new(program);
            // The compiler complains on its standard output, the go command on the other one.
            command.args(args).envs(env).stdin(Stdio::null()).stdout(std::io::stderr()).status()
        };
        let status = run(&command).map_err(|error| ReplayError::Command(command, error))?;
        if !status.success() {
            return Ok(status.code());
        }
    }
    Ok(Some(0))
}
