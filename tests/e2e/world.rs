//! A server that several tests share, and how it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tempfile::TempDir;

use crate::leftovers::{Traces, stop_without_a_trace};
use crate::repositories::Repository;
use crate::server::{Server, Setup};
use crate::skip::{self, Reason, skip};

/// A test's own folder, which islands of another user can read too.
pub(crate) fn folder() -> Result<TempDir, String> {
    let readable = std::fs::Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().prefix("sky-e2e-").permissions(readable).tempdir();
    folder.map_err(|e| format!("no temporary folder: {e}"))
}

/// Makes a fixture's repository where a mirror of `example.test` looks for it.
pub(crate) fn fixture(repositories: &Path, name: &str) -> Result<Repository, String> {
    let path = repositories.join(format!("{name}.git"));
    Repository::of_fixture(&path, name).map_err(|e| format!("{name}: {e}"))
}

/// A server with its repositories, started by the first test that asks it.
pub(crate) struct World {
    folder: TempDir,
    setup: fn(&Path) -> Result<Setup, String>,
    /// Whether its tests ask a module proxy or a git host.
    network: bool,
    started: OnceLock<Result<(Server, Traces), String>>,
}

impl World {
    pub(crate) fn new(setup: fn(&Path) -> Result<Setup, String>) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { folder: folder()?, setup, network: false, started: OnceLock::new() }))
    }

    /// The same, for tests that ask a module proxy or a git host; they are skipped where that is
    /// not allowed.
    pub(crate) fn on_network(
        setup: fn(&Path) -> Result<Setup, String>,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { folder: folder()?, setup, network: true, started: OnceLock::new() }))
    }

    /// Why no test can use this server; none where they can.
    fn unusable(&self) -> Option<Reason> {
        if self.network { skip::network().err() } else { None }
    }

    /// The server, at rest after a first call when this is the first time.
    pub(crate) fn server(&self) -> Result<&Server, String> {
        let started = self.started.get_or_init(|| self.start());
        started.as_ref().map(|(server, _)| server).map_err(Clone::clone)
    }

    /// The repositories that the mirror of `example.test` serves.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.folder.path().join("repositories")
    }

    fn start(&self) -> Result<(Server, Traces), String> {
        for name in ["hello", "faulty", "newer", "badmod", "nomod", "embedder"] {
            fixture(&self.repositories(), name)?;
        }
        let repositories = self.repositories();
        let target = repositories.to_string_lossy();
        let setup = (self.setup)(self.folder.path())?.mirror("example.test", target);
        let server = Server::start(self.folder.path(), &setup)?;
        let first = json!({"url": "example.test/hello", "call": "Which()"});
        server.client.call(&first)?.data()?;
        let rest = Traces::at_rest(&server)?.permanent();
        Ok((server, rest))
    }

    /// A test with this server.
    pub(crate) fn trial(
        self: &Arc<Self>,
        name: impl Into<String>,
        test: impl FnOnce(&Self, &Server) -> Result<(), String> + Send + 'static,
    ) -> Trial {
        let (world, name) = (Arc::clone(self), name.into());
        let title = name.clone();
        let run = move || match world.unusable() {
            Some(why) => {
                skip(title, &why);
                Ok(())
            }
            None => test(&world, world.server()?).map_err(Failed::from),
        };
        Trial::test(name, run)
    }

    /// The tests to make after all others with this server.
    pub(crate) fn ending(self: &Arc<Self>, what: &str) -> Vec<Trial> {
        let rest = Arc::clone(self);
        let end = Arc::clone(self);
        let left = move || match rest.started.get() {
            Some(Ok((server, before))) => Ok(Traces::at_rest(server)?.no_more_than(before)?),
            None if rest.unusable().is_some() => Ok(()),
            _ => Err(Failed::from("no test has started the server")),
        };
        let ends = move || match end.started.get() {
            Some(Ok((server, _))) => Ok(stop_without_a_trace(server)?),
            None if end.unusable().is_some() => Ok(()),
            _ => Err(Failed::from("no test has started the server")),
        };
        vec![
            Trial::test(format!("{what}: nothing is left of all the calls"), left),
            Trial::test(format!("{what}: the server ends with status 0 and leaves nothing"), ends),
        ]
    }
}
