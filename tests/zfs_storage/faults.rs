//! What a crash leaves at any moment, and foreign datasets.

use std::time::Duration;

use host::layout::Layout;
use island::IslandId;
use island::freebsd::storage::{PROGRAM_PATH, Storage};

use super::bench::{Bench, host, program};

/// Longer than a command takes that was killed on its way.
const SETTLE: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn a_start_sweeps_what_a_crash_left_and_nothing_of_anybody_else() {
    let Some(bench) = Bench::with_build().await else { return };
    let script = program("a program");
    let (function, tool) = (IslandId::mint(), IslandId::mint());
    bench.storage.function_root(&function, &script).await.unwrap();
    bench.storage.tool_root(&tool, |_| Ok(())).await.unwrap();
    let run = bench.layout.run();
    let foreign = ["a name with spaces", "theirs", "si_ABC_1", "si_0123abcd_1.x"];
    let foreign = foreign.map(|name| format!("{run}/{name}"));
    for name in &foreign {
        bench.zfs(["create", name]).await;
        std::fs::write(bench.folder().join(name.rsplit('/').next().unwrap()).join("kept"), "")
            .unwrap();
    }
    let notes = format!("{}/notes of mine", bench.layout.artifacts());
    bench.zfs(["create", &notes]).await;

    let storage = bench.restarted();
    let mut found = storage.leftovers().await.unwrap();
    found.islands.sort();
    found.foreign.sort();
    let mut islands = [function, tool];
    islands.sort();
    let mut expected: Vec<_> = foreign.iter().cloned().chain([notes.clone()]).collect();
    expected.sort();
    assert_eq!((&found.islands[..], &found.foreign), (&islands[..], &expected));
    assert_eq!(found.artifacts, []);
    assert_eq!(storage.sweep(&found).await, []);

    let mut left = bench.roots().await;
    left.sort();
    let mut foreign = foreign.to_vec();
    foreign.sort();
    assert_eq!(left, foreign);
    for name in &foreign {
        assert!(bench.folder().join(name.rsplit('/').next().unwrap()).join("kept").exists());
    }
    // The artifact is still there and serves on, with the foreign names beside.
    assert_eq!(bench.artifacts().await.len(), 2);
    let island = IslandId::mint();
    storage.function_root(&island, &script).await.unwrap();
    storage.destroy(&island).await.unwrap();
    assert_eq!(bench.artifacts().await.len(), 2);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_artifact_is_found_and_made_anew() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("a program");
    let island = IslandId::mint();
    let root = bench.storage.function_root(&island, &script).await.unwrap();
    let ready = bench.find(&root.dataset).await.origin.unwrap();
    bench.storage.destroy(&island).await.unwrap();
    let folder = bench.layout.folder_of(&ready.dataset()).unwrap();
    let half = || async {
        bench.zfs.destroy_snapshot(&ready).await.unwrap();
        std::fs::write(folder.join("junk"), "of a crash").unwrap();
        std::fs::write(folder.join("function"), "half").unwrap();
    };

    // Found by the call that needs it.
    half().await;
    let storage = bench.restarted();
    let root = storage.function_root(&island, &script).await.unwrap();
    let inside = root.folder.join(PROGRAM_PATH.trim_start_matches('/'));
    assert_eq!(std::fs::read(&inside).unwrap(), b"a program");
    assert!(!root.folder.join("junk").exists());
    storage.destroy(&island).await.unwrap();

    // Found by the start.
    half().await;
    let storage = bench.restarted();
    let found = storage.leftovers().await.unwrap();
    assert_eq!(found.artifacts, [ready.dataset()]);
    assert_eq!(storage.sweep(&found).await, []);
    assert_eq!(bench.artifacts().await, [""; 0]);
    bench.end().await;
}

#[test]
fn a_crash_at_any_moment_leaves_what_the_next_start_sweeps() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let Some(bench) = runtime().block_on(Bench::new()) else { return };
    for (number, delay) in [0, 100, 250, 500].into_iter().enumerate() {
        let text = format!("program {number}");
        let crashing = runtime();
        let (storage, script) = (bench.restarted(), program(&text));
        for _ in 0..2 {
            let (storage, script) = (storage.clone(), script.clone());
            crashing.spawn(async move { storage.function_root(&IslandId::mint(), &script).await });
        }
        std::thread::sleep(Duration::from_millis(delay));
        crashing.shutdown_background();
        std::thread::sleep(SETTLE);

        runtime().block_on(async {
            let storage = bench.restarted();
            let found = storage.leftovers().await.unwrap();
            assert_eq!(storage.sweep(&found).await, [], "after {delay} ms");
            assert_eq!(bench.roots().await, [""; 0], "after {delay} ms");
            let island = IslandId::mint();
            let root = storage.function_root(&island, &script).await.unwrap();
            let inside = root.folder.join(PROGRAM_PATH.trim_start_matches('/'));
            assert_eq!(std::fs::read_to_string(inside).unwrap(), text, "after {delay} ms");
            storage.destroy(&island).await.unwrap();
        });
    }
    runtime().block_on(bench.end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_no_longer_waited_for_goes_with_its_name() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("a program");
    for delay in [0, 30, 100, 200] {
        let island = IslandId::mint();
        let making = bench.storage.function_root(&island, &script);
        let _ = tokio::time::timeout(Duration::from_millis(delay), making).await;
        bench.storage.destroy(&island).await.unwrap();
        assert_eq!(bench.roots().await, [""; 0], "after {delay} ms");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_somebody_takes_of_everything_keep_nothing_alive() {
    let Some(bench) = Bench::new().await else { return };
    let island = IslandId::mint();
    bench.storage.function_root(&island, &program("a program")).await.unwrap();
    bench.zfs(["snapshot", "-r", &format!("{}@hourly", bench.layout.jails())]).await;
    bench.storage.destroy(&island).await.unwrap();
    assert_eq!(bench.roots().await, [""; 0]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_init_every_answer_says_what_is_missing() {
    let Some(bench) = Bench::new().await else { return };
    let elsewhere = bench.layout.jails().child("nowhere").unwrap();
    let layout = Layout::new(elsewhere.as_str(), None, bench.layout.release().clone()).unwrap();
    let storage = Storage::new(host(), layout);
    let error = storage.function_root(&IslandId::mint(), &program("x")).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("does not exist"), "{cause}");
    assert_eq!(storage.leftovers().await.unwrap(), Default::default());
    bench.end().await;
}
