//! A server's datasets below one of their own, as init makes them, but small.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host::exec::{Command, Executor, Host};
use host::layout::{Layout, Release};
use host::zfs::{Dataset, DatasetName, Zfs};
use island::freebsd::storage::Storage;

use crate::skip;

/// Bytes of the base system.
pub const PAYLOAD: usize = 2 << 20;

pub struct Bench {
    pub zfs: Zfs,
    pub layout: Layout,
    pub storage: Arc<Storage>,
    top: DatasetName,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// None where there is no pool to work on.
    pub async fn new() -> Option<Self> {
        let pool = skip::pool().inspect_err(|why| skip::skip("storage on ZFS", why)).ok()?;
        let zfs = host();
        let pool = DatasetName::parse(&pool).unwrap();
        let unique = format!("sky-island-test-{:x}", uuid::Uuid::now_v7().simple());
        let top = pool.child(&unique).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let release = Release::parse("15.1-RELEASE").unwrap();
        let mount = folder.path().join("jails");
        let layout = Layout::new(top.as_str(), Some(&mount), release).unwrap();

        let mount = format!("mountpoint={}", mount.display());
        command(["create", "-p", "-o", &mount, layout.jails().as_str()]).await;
        // Few commands, and at once: an emulated guest needs long for each.
        let (base, artifacts, run) = (layout.base(), layout.artifacts(), layout.run());
        tokio::join!(
            command(["create", "-p", base.as_str()]),
            command(["create", artifacts.as_str()]),
            command(["create", run.as_str()]),
        );
        let base = layout.folder_of(&base).unwrap();
        std::fs::write(base.join("payload"), noise(PAYLOAD)).unwrap();
        zfs.snapshot(&layout.base_snapshot()).await.unwrap();
        let storage = Storage::new(host(), layout.clone());
        Some(Self { zfs, layout, storage, top, _folder: folder })
    }

    /// With a build jail.
    pub async fn with_build() -> Option<Self> {
        let bench = Self::new().await?;
        let build = bench.layout.build();
        bench.zfs.clone(&bench.layout.base_snapshot(), &build, &[]).await.unwrap();
        bench.zfs.snapshot(&bench.layout.build_snapshot()).await.unwrap();
        Some(bench)
    }

    /// Another start of the server.
    pub fn restarted(&self) -> Arc<Storage> {
        Storage::new(host(), self.layout.clone())
    }

    /// The names of the islands' roots, foreign ones included.
    pub async fn roots(&self) -> Vec<String> {
        self.below(&self.layout.run()).await
    }

    /// The names of the artifacts.
    pub async fn artifacts(&self) -> Vec<String> {
        self.below(&self.layout.artifacts()).await
    }

    async fn below(&self, root: &DatasetName) -> Vec<String> {
        names(&self.zfs(["list", "-H", "-o", "name", "-r", root.as_str()]).await, root)
    }

    /// A dataset that is there.
    pub async fn find(&self, dataset: &DatasetName) -> Dataset {
        self.zfs.find(dataset).await.unwrap().unwrap()
    }

    /// A command of zfs(8) that our own code never gives.
    pub async fn zfs<const N: usize>(&self, args: [&str; N]) -> String {
        command(args).await
    }

    /// The same, of any number of words.
    pub async fn command(&self, args: &[&str]) -> String {
        command_of(args).await
    }

    /// The folder of the run dataset.
    pub fn folder(&self) -> PathBuf {
        self.layout.folder_of(&self.layout.run()).unwrap()
    }

    /// Destroys everything, which also says that nothing is held any more.
    pub async fn end(self) {
        self.zfs(["destroy", "-R", self.top.as_str()]).await;
    }
}

/// The names below a dataset, its own left out.
fn names(text: &str, root: &DatasetName) -> Vec<String> {
    let below = |name: &&str| name.starts_with(&format!("{root}/"));
    text.lines().filter(below).map(str::to_owned).collect()
}

async fn command<const N: usize>(args: [&str; N]) -> String {
    command_of(&args).await
}

async fn command_of(args: &[&str]) -> String {
    // An emulated guest on a machine with other work needs long for a whole tree.
    let command = Command::program("zfs").args(args).deadline(Duration::from_secs(300));
    Host.run(&command).await.unwrap().success(&command).unwrap()
}

/// This host's ZFS.
pub fn host() -> Zfs {
    Zfs::new(Arc::new(Host))
}

/// A program of these bytes.
pub fn program(text: &str) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Arc::new(file)
}

/// Bytes that do not compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
