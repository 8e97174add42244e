//! The server of the suite, its repositories, its git host and its module proxy, started by the
//! first row that asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::client::Answer;
use crate::git_repo::BareRepo;
use crate::server::{Server, Setup};
use crate::site::Site;
use crate::skip::{self, Reason, skip};

/// The go.mod of most packages.
pub(crate) const GO_MOD: &str = "module hostile.test/m\n\ngo 1.21\n";
/// An ordinary package.
const NEIGHBOUR: &str = "package neighbour

func Who() string { return \"the neighbour\" }

func Say(text string) string { return text }

func Twice(f func() string) string { return f() + f() }
";
/// The most bytes of a fetch.
pub(crate) const FETCH_BYTES: u64 = 32 << 20;
/// What a log has where the server knows no other way.
const LOST: &str = "panicked at";

/// A started server, and the layers of the build cache after its first build.
pub(crate) struct Running {
    pub server: Server,
    pub layers: BTreeMap<PathBuf, Vec<u8>>,
}

/// The server with what it asks.
pub(crate) struct World {
    folder: TempDir,
    /// Answers for `proxy.test` as the module proxy, and for `host.test` as the git host.
    pub site: Site,
    started: OnceLock<Result<Running, String>>,
    /// Why this machine has no islands.
    unable: OnceLock<Option<Reason>>,
}

impl World {
    pub(crate) fn new() -> Result<Self, String> {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o755);
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("sky-hostile-").permissions(readable).tempdir();
        let folder = folder.map_err(|e| format!("no temporary folder: {e}"))?;
        let (started, unable) = (OnceLock::new(), OnceLock::new());
        Ok(Self { folder, site: Site::start(), started, unable })
    }

    /// The folder of the repository of `example.test/name`.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("repositories/{name}.git"))
    }

    /// The running server, if a row has started it.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.started.get()?.as_ref().ok()
    }

    fn start(&self) -> Result<Running, String> {
        BareRepo::create(&self.repository("neighbour")).commit(
            "master",
            &[("go.mod", "module example.test/neighbour\n\ngo 1.21\n"), ("n.go", NEIGHBOUR)],
        );
        let none = self.folder.path().join("none");
        std::fs::create_dir_all(&none).map_err(|e| e.to_string())?;
        let repositories = self.folder.path().join("repositories");
        let setup = Setup::new(&["git", "proxy"])
            .mirror("example.test", repositories.to_string_lossy())
            .mirror("proxy.test", none.to_string_lossy())
            .mirror("host.test", format!("{}/git", self.site.url()))
            .limits(json!({
                "queue_wait": "4m",
                "fetch_timeout": "20s",
                "fetch_size": format!("{FETCH_BYTES}B"),
                "fetch_memory": "512MiB",
                "build_memory": "768MiB",
            }))
            .section("jails", json!({"build_timeout": "45s"}))
            .section("go", json!({"proxy": format!("{}/proxy", self.site.url()), "sumdb": "off"}));
        let server = Server::start(self.folder.path(), &setup)?;
        let running = Running { layers: BTreeMap::new(), server };
        running.serves()?;
        let layers = contents(&running.server.state().join("gocache"))?;
        Ok(Running { layers, ..running })
    }

    fn able(&self) -> Result<(), Reason> {
        let unable = self.unable.get_or_init(|| {
            let program = crate::server::binary().ok()?;
            let check = std::process::Command::new(program).arg("check").output().ok()?;
            let text = String::from_utf8_lossy(&check.stdout).into_owned();
            (!check.status.success()).then(|| skip::islands(text))
        });
        unable.clone().map_or(Ok(()), Err)
    }

    /// A row: `test` with the running server, which has to answer an ordinary request afterwards.
    pub(crate) fn trial(
        self: &Arc<Self>,
        name: String,
        test: impl FnOnce(&Self, &Server) -> Result<(), String> + Send + 'static,
    ) -> Trial {
        let (world, title) = (Arc::clone(self), name.clone());
        Trial::test(name, move || {
            if let Err(why) = world.able() {
                skip(title, &why);
                return Ok(());
            }
            let started = world.started.get_or_init(|| world.start());
            let running = started.as_ref().map_err(|problem| Failed::from(problem.clone()))?;
            test(&world, &running.server)?;
            Ok(running.serves()?)
        })
    }
}

impl Running {
    /// Fails unless the server answers an ordinary call and has lost no task.
    pub(crate) fn serves(&self) -> Result<(), String> {
        let answer = call(&self.server, "example.test/neighbour", "Who()", None)?;
        if answer.data()? != json!({"data": "the neighbour"}) {
            return Err(format!("the neighbour answers {answer}"));
        }
        let log = self.server.log();
        match log.lines().find(|line| line.contains(LOST)) {
            Some(line) => Err(format!("the server says: {line}")),
            None => Ok(()),
        }
    }
}

/// Calls a function.
pub(crate) fn call(
    server: &Server,
    url: &str,
    call: &str,
    version: Option<&str>,
) -> Result<Answer, String> {
    let mut fields: Value = json!({"url": url, "call": call});
    if let Some(version) = version {
        fields["version"] = version.into();
    }
    server.client.call(&fields)
}

/// The sums of all files below a folder.
pub(crate) fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.map_err(|e| format!("{}: {e}", folder.display()))? {
            let entry = entry.map_err(|e| e.to_string())?;
            let kind = entry.file_type().map_err(|e| e.to_string())?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).map_err(|e| e.to_string())?;
                found.insert(entry.path(), Sha256::digest(bytes).to_vec());
            }
        }
    }
    Ok(found)
}
