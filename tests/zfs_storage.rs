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
use std::io::{ErrorKind, Write};
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
async fn a_functions_root_is_the_base_with_the_program_read_only_and_without_a_copied_byte() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("#!/bin/sh\necho it runs\n");
    let (one, two) = (IslandId::mint(), IslandId::mint());
    let root = bench.storage.function_root(&one, &script).await.unwrap();
    let other = bench.storage.function_root(&two, &script).await.unwrap();

    assert_eq!(std::fs::metadata(root.folder.join("payload")).unwrap().len(), PAYLOAD as u64);
    let inside = root.folder.join(PROGRAM_PATH.trim_start_matches('/'));
    let metadata = std::fs::metadata(&inside).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o555, 0));
    let output = std::process::Command::new(&inside).output().unwrap();
    assert_eq!(output.stdout, b"it runs\n");
    let error = File::create(root.folder.join("new")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    for (property, value) in [
        ("readonly", "on"),
        ("setuid", "off"),
        ("atime", "off"),
        ("exec", "on"),
        ("sync", "disabled"),
        ("quota", "1048576"),
    ] {
        let found = bench.zfs.get(&root.dataset, property).await.unwrap();
        assert_eq!(found.as_deref(), Some(value), "{property}");
    }

    let [first, second] = [&bench.find(&root.dataset).await, &bench.find(&other.dataset).await];
    assert_eq!(first.origin, second.origin);
    let ready = first.origin.clone().unwrap();
    let artifact = bench.find(&ready.dataset()).await;
    let used = [first.used, second.used, artifact.used];
    assert!(used.iter().all(|used| *used < 256 << 10), "{used:?} bytes of {PAYLOAD} were copied");

    // An artifact with islands says so, and stays.
    assert_eq!(bench.zfs.destroy_snapshot(&ready).await.unwrap_err().why, Why::Depended);
    bench.storage.destroy(&one).await.unwrap();
    bench.storage.destroy(&one).await.unwrap();
    assert!(!root.folder.exists() && other.folder.join("payload").exists());
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
async fn a_root_grows_no_further_than_its_quota() {
    let Some(bench) = Bench::new().await else { return };
    let island = IslandId::mint();
    let root = bench.storage.function_root(&island, &program("a program")).await.unwrap();
    bench.zfs.set(&root.dataset, &[("readonly", "off")]).await.unwrap();
    let mut file = File::create(root.folder.join("grows")).unwrap();
    let mut written = 0;
    let error = loop {
        assert!(written < 16 << 20, "there is no quota");
        match file.write(&bench::noise(64 << 10)) {
            Ok(length) => written += length,
            Err(error) => break error,
        }
    };
    let full = [ErrorKind::QuotaExceeded, ErrorKind::StorageFull];
    assert!(full.contains(&error.kind()), "{error:?}");
    drop(file);
    bench.storage.destroy(&island).await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_two_islands_at_once_get_their_roots_and_lose_them() {
    let Some(bench) = Bench::new().await else { return };
    let islands: Vec<_> = (0..22).map(|_| IslandId::mint()).collect();
    // Two new programs, so that their artifacts are made meanwhile.
    let programs = [program("one"), program("two")];
    let mut all = tokio::task::JoinSet::new();
    for (number, island) in islands.iter().cloned().enumerate() {
        let (storage, program) = (bench.storage.clone(), programs[number % 2].clone());
        all.spawn(async move {
            let root = storage.function_root(&island, &program).await.unwrap();
            let inside = root.folder.join(PROGRAM_PATH.trim_start_matches('/'));
            assert_eq!(std::fs::read(inside).unwrap(), ["one", "two"][number % 2].as_bytes());
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
    let Some(bench) = Bench::new().await else { return };
    let (worked_in, held) = (IslandId::mint(), IslandId::mint());
    let script = program("a program");
    let root = bench.storage.function_root(&worked_in, &script).await.unwrap();
    let mut process =
        std::process::Command::new("sleep").arg("1000").current_dir(&root.folder).spawn().unwrap();
    let root = bench.storage.function_root(&held, &script).await.unwrap();
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
