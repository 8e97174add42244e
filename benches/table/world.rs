//! What the figures share: a folder, a git host on loopback with the bench's module, a warm project
//! by hand, and a server that knows the module.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::client::{self, Client};
use crate::hand::Hand;
use crate::server::Server;
use crate::settings::Settings;
use crate::support::git_http::{GitHost, Options};
use crate::support::git_repo::BareRepo;

/// The host of the bench's modules.
pub(crate) const HOST: &str = "bench.test";
/// The module whose functions are called.
pub(crate) const MODULE: &str = "bench.test/track.git";
/// The call that is made again and again.
pub(crate) const CALL: &str = "Encode(48.8, 2.2)";

/// Why a figure is not there.
pub(crate) enum Absent {
    /// It cannot be had here.
    Skipped(String),
    /// Something broke.
    Broke(String),
}

impl From<String> for Absent {
    fn from(text: String) -> Self {
        Self::Broke(text)
    }
}

/// All of it; it goes with this value.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) hand: Hand,
    server: OnceCell<Server>,
    host: GitHost,
    folder: TempDir,
}

impl World {
    /// Makes it.
    pub(crate) fn make(settings: Settings) -> Result<Self, String> {
        // Islands of another user read the program's mirror of sources.
        let readable = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().prefix("sky-bench-").permissions(readable).tempdir();
        let folder = folder.map_err(|e| format!("no temporary folder: {e}"))?;
        crate::interrupt::watch(folder.path().to_owned())?;
        let repositories = folder.path().join("repositories");
        publish(&repositories, "track", &track())?;
        let host = GitHost::start(&repositories, Options::default());
        let host = host.ok_or("git and its http-backend are needed; install git")?;
        let go = crate::support::go();
        let hand = Hand::prepare(&folder.path().join("hand"), go, host.url())?;
        Ok(Self { settings, hand, server: OnceCell::new(), host, folder })
    }

    /// The server that most figures are of; the first time it is started and calls once.
    pub(crate) fn server(&self) -> Result<&Server, String> {
        if self.server.get().is_none() {
            let server = self.start("server")?;
            let _ = self.server.set(server);
        }
        self.server.get().ok_or_else(|| "the server is gone".to_owned())
    }

    /// Another server, with a state of its own or the one of that name, which has called once.
    pub(crate) fn start(&self, name: &str) -> Result<Server, String> {
        let (folder, config) = (self.folder.path().join(name), self.settings.config.as_deref());
        Server::start(&folder, config, &self.host.url(), &call())
    }

    /// A connection to the server.
    pub(crate) fn client(&self) -> Result<Client, String> {
        self.server()?.client()
    }

    /// What the server finds missing for its islands, where it has been started.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.server.get().map(Server::missing).unwrap_or_default()
    }

    /// A folder below the bench's own.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }

    /// Puts the files of a folder on the git host as a module that nobody has seen.
    pub(crate) fn publish(&self, name: &str, folder: &Path) -> Result<(), String> {
        publish(&self.folder.path().join("repositories"), name, folder)
    }

    /// Ends everything.
    pub(crate) fn close(mut self) -> Result<(), String> {
        match self.server.take() {
            Some(server) => server.stop(),
            None => Ok(()),
        }
    }
}

/// The request for [`CALL`].
pub(crate) fn call() -> Vec<u8> {
    client::request(MODULE, CALL)
}

/// The folder of the module's source.
pub(crate) fn track() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/table/track")
}

fn publish(repositories: &Path, name: &str, folder: &Path) -> Result<(), String> {
    let made = || {
        let repository = BareRepo::create(&repositories.join(format!("{name}.git")));
        let commit = repository.commit_folder("master", folder);
        repository.tag("v1.0.0", commit);
    };
    std::panic::catch_unwind(made).map_err(|_| format!("the repository {name} cannot be made"))
}
