//! Each live key in the assembled parts: its new value is in force after a reload, and the outcome
//! names it.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;

use host::net::{Pools, Withdrawals};
use island::{
    Backend, Capabilities, Finding, FolderOwner, IslandId, LiveIsland, Purpose, Spec, StartError,
    Started, Stdio, Usage,
};
use serde_json::{Value, json};

use super::*;
use crate::compile::Toolchain;
use crate::config::keys;
use crate::config::live::LIVE;
use crate::metrics::Metrics;
use crate::serve::parts::Foundation;
use crate::state::State;
use crate::store::Trash;

/// A backend on which no island can start, for a reload starts none.
struct NoIslands;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Backend for NoIslands {
    fn start<'a>(&'a self, _: &'a Spec, _: Stdio) -> BoxFuture<'a, Result<Started, StartError>> {
        unreachable!("a reload starts no island")
    }

    fn kill(&self, _: &IslandId) {}

    fn list(&self) -> Vec<IslandId> {
        Vec::new()
    }

    fn seen(&self) -> BoxFuture<'_, Result<Vec<LiveIsland>, StartError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn aside(&self) -> Vec<(IslandId, island::IslandState)> {
        Vec::new()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            overlays: true,
            addresses: Ok(()),
            usage: false,
            ahead: Ok(()),
            gates: false,
        }
    }

    fn owner(&self, _: Purpose) -> Option<FolderOwner> {
        None
    }

    fn usage<'a>(&'a self, _: &'a [IslandId]) -> BoxFuture<'a, HashMap<IslandId, Usage>> {
        Box::pin(async { HashMap::new() })
    }

    fn free_memory(&self) -> Option<f64> {
        None
    }

    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// The parts of a server whose configuration is a file in a folder.
struct Assembled {
    folder: tempfile::TempDir,
    reload: Reload,
    _parts: Parts,
}

impl Assembled {
    fn new(config: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        write(&file, folder.path(), config);
        let inputs = Inputs { file: Some(file), ..Inputs::default() };
        let settings = inputs.read().unwrap_or_else(|error| panic!("{error}"));
        let state = State::open(settings.config().state_dir()).unwrap();
        let foundation = Foundation {
            program: "/program".into(),
            toolchain: toolchain(folder.path()),
            trash: Arc::new(Trash::open(state.path()).unwrap()),
            state,
            addresses: Withdrawals::open(folder.path().join("withdrawn"), Pools::new(Vec::new()))
                .unwrap(),
            metrics: Metrics::default(),
            backend: Arc::new(NoIslands),
        };
        let parts = Parts::on(foundation, settings.config()).unwrap();
        let auth = AdminAuth::open(settings.config(), parts.state.path()).unwrap();
        let reload = Reload::new(inputs, settings, &parts, auth);
        Self { folder, reload, _parts: parts }
    }

    /// Has the file say this, and the server read it.
    fn reload(&self, config: Value) -> ReloadOutcome {
        write(&self.folder.path().join("config.json"), self.folder.path(), config);
        let next = self.reload.inputs.read();
        self.reload.change_to(&next.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Everything that the next call, fetch, build, purge, request and end of the server would use.
    fn in_use(&self) -> String {
        let policy = self.reload.calls.policy();
        let pool = self.reload.calls.warm_pool().limits();
        let (fetcher, bounds) = self.reload.sources.in_force();
        let (compiler, kept, turn) = self.reload.builder.in_force();
        let sources = format!(
            "{:?} {:?} {:?} {:?} {:?} {} {bounds:?}",
            fetcher.env,
            fetcher.origins,
            fetcher.mirrors,
            fetcher.gate.reach(),
            fetcher.limits,
            fetcher.size
        );
        let builder = format!("{:?} {} {kept:?} {turn:?}", compiler.limits, compiler.size);
        let access = &self.reload.admin_auth.access;
        let admin = format!(
            "old token {} new token {} new header {}",
            access.admits("x-sky-island-token", "old-token"),
            access.admits("x-sky-island-token", "new-token"),
            access.admits("x-new-header", "old-token"),
        );
        let grace = self.reload.shutdown_grace();
        format!("{policy:?}\n{pool:?}\n{sources}\n{builder}\n{admin}\n{grace:?}")
    }
}

/// Writes a configuration that has its state beside it.
fn write(file: &Path, folder: &Path, mut config: Value) {
    config["state_dir"] = folder.join("state").display().to_string().into();
    fs::write(file, config.to_string()).unwrap();
}

/// As much of a Go toolchain as is looked for.
fn toolchain(folder: &Path) -> Toolchain {
    let root = folder.join("go");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("VERSION"), "go1.26.7\n").unwrap();
    let command = root.join("bin/go");
    fs::write(&command, "").unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    Toolchain::find(Some(&command)).unwrap()
}

/// The configuration with a value at the path of a key.
fn with(path: &str, value: Value) -> Value {
    let mut config = json!({"admin_api_token": "old-token"});
    let mut at = &mut config;
    for name in path.split('.') {
        at = &mut at[name];
    }
    *at = value;
    config
}

/// Each live key, a value that differs from its default, and how that value looks in what is used.
fn changes() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("admin_api_token", json!("new-token"), "new token true"),
        ("admin_token_header", json!("X-New-Header"), "new header true"),
        ("go.private", json!("private.example/*"), "GOPRIVATE=private.example/*"),
        ("go.proxy", json!("https://proxy.example"), "GOPROXY=https://proxy.example"),
        ("go.sumdb", json!("sums.example"), "GOSUMDB=sums.example"),
        ("jails.build_timeout", json!("3601s"), "3601s"),
        ("jails.cache_default_expiration", json!("3602s"), "expiration: 3602s"),
        ("jails.cache_purge_after", json!("3603s"), "3603s"),
        ("jails.exec_timeout", json!("3604s"), "deadline: 3604s"),
        ("limits.artifact_cache", json!("1000001B"), "1000001"),
        ("limits.build_memory", json!("100000002B"), "memory: 100000002"),
        ("limits.build_size", json!("1000003B"), "1000003"),
        ("limits.call_timeout", json!("3609s"), "timeout: 3609s"),
        ("limits.checkout_cache", json!("1000004B"), "size: 1000004"),
        ("limits.fetch_memory", json!("100000005B"), "memory: 100000005"),
        ("limits.fetch_size", json!("1000006B"), "1000006"),
        ("limits.fetch_timeout", json!("3605s"), "deadline: 3605s"),
        ("limits.memory", json!("100000007B"), "memory: 100000007"),
        ("limits.output", json!("1000008B"), "output: 1000008"),
        ("limits.processes", json!(1009), "processes: 1009"),
        ("limits.queue_wait", json!("3606s"), "wait: 3606s"),
        ("limits.tmp", json!("1000010B"), "tmp: 1000010"),
        ("shutdown_grace", json!("3607s"), "\n3607s"),
        ("sources.allow", json!(["allowed.example"]), "allowed.example"),
        ("sources.deny", json!(["*.denied.example"]), "denied.example"),
        (
            "sources.mirrors",
            json!([{"prefix": "mirrored.example", "target": "https://mirror.example"}]),
            "mirrored.example",
        ),
        ("sources.order", json!(["proxy"]), "[Proxy]"),
        ("sources.private_hosts", json!(["git.intranet.example"]), "git.intranet.example"),
        ("standby.idle", json!("3608s"), "idle: 3608s"),
        ("standby.memory", json!("1000011B"), "memory: 1000011"),
        ("standby.per_function", json!(1012), "per_function: 1012"),
        ("standby.total", json!(1013), "total: 1013"),
    ]
}

#[tokio::test]
async fn each_live_key_takes_effect_by_itself_and_is_named_as_changed() {
    let before = json!({"admin_api_token": "old-token"});
    let assembled = Assembled::new(before.clone());
    let first = assembled.in_use();
    let changes = changes();
    assert!(changes.iter().map(|(key, ..)| key).eq(LIVE.iter().map(|(key, _)| key)));
    for (key, value, shown) in changes {
        let outcome = assembled.reload(with(key, value.clone()));
        let named: Vec<_> = outcome.applied.iter().map(|change| change.key).collect();
        assert_eq!(named, [key]);
        assert!(outcome.refused.is_empty() && outcome.waiting.is_empty(), "{outcome:?}");
        let now = assembled.in_use();
        assert!(now.contains(shown) && !first.contains(shown), "{key}: {shown:?} in\n{now}");
        let undone = assembled.reload(before.clone());
        assert_eq!(undone.applied.len(), 1, "{key}");
        assert_eq!(assembled.in_use(), first, "{key} has its old value again");
    }
}

#[tokio::test]
async fn a_wait_and_an_age_that_several_parts_use_change_in_all_of_them() {
    let assembled = Assembled::new(json!({"admin_api_token": "old-token"}));
    assembled.reload(with("limits.queue_wait", json!("3606s")));
    assert_eq!(assembled.in_use().matches("3606s").count(), 3, "{}", assembled.in_use());
    assembled.reload(with("jails.cache_purge_after", json!("3603s")));
    assert_eq!(assembled.in_use().matches("3603s").count(), 2, "{}", assembled.in_use());
}

#[tokio::test]
async fn a_key_that_needs_a_restart_is_named_and_changes_nothing() {
    let before = json!({"admin_api_token": "old-token"});
    let assembled = Assembled::new(before);
    let first = assembled.in_use();
    let values: [(&str, Value); 4] = [
        ("limits.calls", json!(7)),
        ("jails.monitoring_addr", json!("127.0.0.1:1")),
        ("go.warm", json!(false)),
        ("listen", json!("127.0.0.1:1")),
    ];
    for (key, value) in values {
        assert!(!keys::leaf(key).unwrap().key.live, "{key}");
        // Twice, for the difference stays until the restart.
        for _ in 0..2 {
            let outcome = assembled.reload(with(key, value.clone()));
            assert!(outcome.applied.is_empty() && outcome.refused.is_empty(), "{outcome:?}");
            assert_eq!(outcome.waiting.iter().map(|it| it.key).collect::<Vec<_>>(), [key]);
        }
        assert_eq!(assembled.in_use(), first, "{key}");
    }
}

#[tokio::test]
async fn a_refused_key_keeps_its_value_and_the_others_change() {
    let assembled = Assembled::new(json!({"admin_api_token": "old-token"}));
    // Without the key the token is the one of this file, and a folder in its place cannot be read.
    let file = assembled.folder.path().join("state/admin-token");
    fs::create_dir(&file).unwrap();
    let outcome = assembled.reload(json!({"limits": {"memory": "100000007B"}}));
    assert_eq!(outcome.applied.iter().map(|it| it.key).collect::<Vec<_>>(), ["limits.memory"]);
    let (change, why) = &outcome.refused[0];
    assert!(change.key == "admin_api_token" && why.contains("admin-token"), "{outcome:?}");
    let now = assembled.in_use();
    assert!(now.contains("old token true") && now.contains("100000007"), "{now}");
    // The change is still due.
    fs::remove_dir(&file).unwrap();
    let outcome = assembled.reload(json!({"limits": {"memory": "100000007B"}}));
    assert_eq!(outcome.applied.iter().map(|it| it.key).collect::<Vec<_>>(), ["admin_api_token"]);
    assert!(assembled.in_use().contains("old token false"));
}
