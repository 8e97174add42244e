//! The storage of islands on a real pool. Runs where SKY_ISLAND_TEST_POOL names one, as root: `make
//! test-zfs`.

#[path = "zfs_storage/bench.rs"]
mod bench;
#[path = "zfs_storage/faults.rs"]
mod faults;
#[path = "support/skip.rs"]
mod skip;
#[path = "zfs_storage/speed.rs"]
mod speed;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use host::zfs::Why;
use island::IslandId;
use island::freebsd::janitor::Janitor;
use island::freebsd::storage::{PROGRAM_PATH, Storage};
use island::freebsd::teardown::{StepFailed, TeardownStep};

use bench::{Bench, PAYLOAD, program};

/// Time for what should take a fraction of it.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_the_base_with_the_program_read_only_and_without_a_copied_byte() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("#!/bin/sh\necho it runs\n");
    let artifact = bench.storage.artifact(&script).await.unwrap();
    let other = bench.storage.artifact(&script).await.unwrap();
    assert_eq!(artifact.folder(), other.folder());

    let root = artifact.folder();
    assert_eq!(std::fs::metadata(root.join("payload")).unwrap().len(), PAYLOAD as u64);
    let inside = root.join(PROGRAM_PATH.trim_start_matches('/'));
    let metadata = std::fs::metadata(&inside).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o555, 0));
    let output = std::process::Command::new(&inside).output().unwrap();
    assert_eq!(output.stdout, b"it runs\n");
    let error = File::create(root.join("new")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    for (property, value) in [
        ("readonly", "on"),
        ("setuid", "off"),
        ("atime", "off"),
        ("exec", "on"),
        ("sync", "disabled"),
    ] {
        let found = bench.zfs.get(artifact.dataset(), property).await.unwrap();
        assert_eq!(found.as_deref(), Some(value), "{property}");
    }
    let found = bench.find(artifact.dataset()).await;
    assert!(found.used < 256 << 10, "{} bytes of {PAYLOAD} were copied", found.used);
    assert_eq!(bench.roots().await, [""; 0]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_was_unmounted_or_destroyed_by_hand_is_used_again() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("a program");
    let artifact = bench.storage.artifact(&script).await.unwrap();
    let dataset = artifact.dataset().clone();
    let inside = artifact.folder().join(PROGRAM_PATH.trim_start_matches('/'));
    drop(artifact);
    for storage in [bench.storage.clone(), bench.restarted()] {
        for by_hand in [&["unmount"][..], &["destroy", "-r"]] {
            let words: Vec<&str> = by_hand.iter().copied().chain([dataset.as_str()]).collect();
            bench.command(&words).await;
            assert!(!inside.exists());
            storage.leftovers().await.unwrap();
            storage.artifact(&script).await.unwrap();
            assert_eq!(std::fs::read(&inside).unwrap(), b"a program", "{words:?}");
        }
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_root_is_read_only_as_soon_as_it_is_prepared() {
    let Some(bench) = Bench::with_build().await else { return };
    let island = IslandId::mint();
    let prepare = |folder: &std::path::Path| {
        std::fs::create_dir(folder.join("src"))?;
        std::fs::write(folder.join("worker"), "a worker")
    };
    let root = bench.storage.tool_root(&island, prepare).await.unwrap();
    assert_eq!(std::fs::read(root.folder.join("worker")).unwrap(), b"a worker");
    assert!(root.folder.join("src").is_dir() && root.folder.join("payload").exists());
    for result in [
        std::fs::write(root.folder.join("worker"), "x"),
        std::fs::create_dir(root.folder.join("src/x")),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    // A preparation that fails leaves a dataset, which goes with its name.
    let failed = IslandId::mint();
    let error = bench.storage.tool_root(&failed, |_| Err(ErrorKind::Other.into())).await;
    assert!(error.unwrap_err().to_string().contains(failed.as_str()));
    for island in [&island, &failed] {
        bench.storage.destroy(island).await.unwrap();
    }
    assert_eq!(bench.roots().await, [""; 0]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_two_islands_at_once_get_their_roots_and_lose_them() {
    let Some(bench) = Bench::with_build().await else { return };
    let islands: Vec<_> = (0..22).map(|_| IslandId::mint()).collect();
    // Two new programs, whose artifacts are made meanwhile, each once.
    let programs = [program("one"), program("two")];
    let mut all = tokio::task::JoinSet::new();
    for (number, island) in islands.iter().cloned().enumerate() {
        let (storage, program) = (bench.storage.clone(), programs[number % 2].clone());
        all.spawn(async move {
            let artifact = storage.artifact(&program).await.unwrap();
            let inside = artifact.folder().join(PROGRAM_PATH.trim_start_matches('/'));
            assert_eq!(std::fs::read(inside).unwrap(), ["one", "two"][number % 2].as_bytes());
            storage.tool_root(&island, |_| Ok(())).await.unwrap();
        });
    }
    all.join_all().await;
    assert_eq!(bench.roots().await.len(), islands.len());
    assert_eq!(bench.artifacts().await.len(), programs.len());

    let janitor = Janitor::new();
    for island in islands {
        janitor.give(island.clone(), resources(&bench, &island));
    }
    assert_eq!(janitor.drain(LONG).await, []);
    assert_eq!(bench.roots().await, [""; 0]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_a_process_works_in_or_holds_a_file_of_goes_when_it_lets_go() {
    let Some(bench) = Bench::with_build().await else { return };
    let (worked_in, held) = (IslandId::mint(), IslandId::mint());
    let root = bench.storage.tool_root(&worked_in, |_| Ok(())).await.unwrap();
    let mut process =
        std::process::Command::new("sleep").arg("1000").current_dir(&root.folder).spawn().unwrap();
    let root = bench.storage.tool_root(&held, |_| Ok(())).await.unwrap();
    let file = File::open(root.folder.join("payload")).unwrap();

    let janitor = Janitor::new();
    for island in [&worked_in, &held] {
        assert_eq!(bench.storage.destroy(island).await.unwrap_err().why, Why::Busy);
        janitor.give(island.clone(), resources(&bench, island));
    }
    assert_eq!(janitor.drain(Duration::from_secs(1)).await, [worked_in.clone(), held.clone()]);
    assert_eq!(bench.roots().await.len(), 2);

    drop(file);
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(janitor.drain(LONG).await, []);
    assert_eq!(bench.roots().await, [""; 0]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_that_is_mounted_nowhere_is_not_written_beside() {
    let Some(bench) = Bench::with_build().await else { return };
    let build = bench.layout.build_snapshot().dataset();
    // What an administrator could have done; the folder of the dataset above is then all there is
    // to write to.
    let run = bench.layout.run();
    let folder = bench.layout.folder_of(&run).unwrap();
    bench.zfs.set(&run, &[("mountpoint", "none")]).await.unwrap();
    let island = IslandId::mint();
    let root = bench.storage.root_of(&island).folder;
    std::fs::create_dir_all(&root).unwrap();
    let write = |folder: &std::path::Path| std::fs::write(folder.join("stray"), "x");
    let error = bench.storage.tool_root(&island, write).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not mounted"), "{cause}");
    assert!(!root.join("stray").exists());
    bench.storage.destroy(&island).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert!(bench.zfs.find(&build).await.unwrap().is_some());
    bench.end().await;
}

/// What an island leaves here: its dataset.
struct Dataset {
    storage: Arc<Storage>,
    island: IslandId,
}

impl TeardownStep for Dataset {
    fn attempt(&mut self) -> Pin<Box<dyn Future<Output = Result<(), StepFailed>> + Send + '_>> {
        Box::pin(async {
            let destroyed = self.storage.destroy(&self.island).await;
            destroyed.map_err(StepFailed::new)
        })
    }
}

fn resources(bench: &Bench, island: &IslandId) -> Dataset {
    Dataset { storage: bench.storage.clone(), island: island.clone() }
}
