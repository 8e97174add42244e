//! A folder with repositories and a state directory, and the servers that run on it, one after
//! another.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::repositories::{Repository, fixtures};
use crate::server::{Server, Setup};

/// The token of the admin API.
pub(crate) const TOKEN: &str = "a-token-of-the-torture-0123456789";
/// The header that has it.
pub(crate) const TOKEN_HEADER: &str = "X-Sky-Island-Token";
/// The module whose branches are fetched one by one.
pub(crate) const MANY: &str = "example.test/many";
/// A function that is built before anything is done to the server, and its answer.
pub(crate) const KNOWN: (&str, &str, &str) = ("example.test/hello", "Which()", "first edition");

/// The folder.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    /// A folder with the repositories, and `branches` branches of the module [`MANY`].
    pub(crate) fn new(branches: usize) -> Result<Self, String> {
        let readable = std::fs::Permissions::from_mode(0o755);
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("sky-torture-").permissions(readable).tempdir();
        let world = Self { folder: folder.map_err(|e| format!("no temporary folder: {e}"))? };
        world.fill(branches).map_err(|e| format!("no repositories: {e}"))?;
        Ok(world)
    }

    fn fill(&self, branches: usize) -> Result<(), git2::Error> {
        let at = |name: &str| self.path().join("repositories").join(format!("{name}.git"));
        Repository::of_fixture(&at("hello"), "hello")?;
        Repository::of_fixture(&at("faulty"), "faulty")?;
        let mut many = Repository::create(&at("many"))?;
        for number in 0..branches {
            // The module's path is hello's, as a fork's is.
            let edit = format!("edition {number}");
            let commit = many.commit(&fixtures().join("hello"), Some(("first edition", &edit)))?;
            many.branch(&format!("b{number}"), commit)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A server on the folder's state directory, when it is healthy.
    pub(crate) fn start(&self) -> Result<Server, String> {
        // Each server has a log of its own, so that no earlier one's reason is taken for its.
        let _ = std::fs::remove_file(self.path().join("server.log"));
        Server::start(self.path(), &self.setup())
    }

    fn setup(&self) -> Setup {
        let limits = json!({"queue_wait": "60s", "builds": 2});
        Setup::new(&["git"])
            .mirror("example.test", self.path().join("repositories").to_string_lossy())
            .limits(limits)
            .token(TOKEN)
    }
}

/// Calls a function once and returns whatever the answer is.
pub(crate) fn call(client: &Client, fields: &Value) -> Result<Answer, String> {
    client.post(fields.to_string().as_bytes())
}

/// A call that answers this text, or the reason why it does not.
pub(crate) fn answers(client: &Client, fields: &Value, text: &str) -> Result<(), String> {
    let answer = client.call(fields)?;
    match answer.status {
        200 if answer.json()?["data"] == text => Ok(()),
        _ => Err(format!("{fields} should answer {text:?}, but there was {answer}")),
    }
}

/// The function that each server knows.
pub(crate) fn known() -> Value {
    json!({"url": KNOWN.0, "call": KNOWN.1})
}

/// A call that has to be built: its number is in the expression.
pub(crate) fn new_build(number: usize) -> (Value, String) {
    let call = format!("Greet(\"a\") + Greet(\"{number}\")");
    (json!({"url": KNOWN.0, "call": call}), format!("Hello, a!Hello, {number}!"))
}

/// A call whose revision has to be fetched.
pub(crate) fn new_fetch(number: usize) -> (Value, String) {
    let version = format!("b{number}");
    (json!({"url": MANY, "version": version, "call": "Which()"}), format!("edition {number}"))
}
