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
    let (one, two) = (IslandId::mint(), IslandId::mint());
    bench.storage.artifact(&script).await.unwrap();
    for tool in [&one, &two] {
        bench.storage.tool_root(tool, |_| Ok(())).await.unwrap();
    }
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
    let mut islands = [one, two];
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
    storage.artifact(&script).await.unwrap();
    assert_eq!(bench.artifacts().await.len(), 2);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_artifact_is_found_and_made_anew() {
    let Some(bench) = Bench::new().await else { return };
    let script = program("a program");
    let artifact = bench.storage.artifact(&script).await.unwrap();
    let (dataset, folder) = (artifact.dataset().clone(), artifact.folder().to_owned());
    let half = || async {
        let half = [("readonly", "off"), ("sky-island:whole", "no")];
        bench.zfs.set(&dataset, &half).await.unwrap();
        std::fs::write(folder.join("junk"), "of a crash").unwrap();
        std::fs::write(folder.join("function"), "half").unwrap();
    };

    // Found by the call that needs it.
    half().await;
    let storage = bench.restarted();
    let found = storage.artifact(&script).await.unwrap();
    let inside = found.folder().join(PROGRAM_PATH.trim_start_matches('/'));
    assert_eq!(std::fs::read(&inside).unwrap(), b"a program");
    assert!(!found.folder().join("junk").exists());

    // Found by the start.
    half().await;
    let storage = bench.restarted();
    let found = storage.leftovers().await.unwrap();
    assert_eq!(found.artifacts, [dataset]);
    assert_eq!(storage.sweep(&found).await, []);
    assert_eq!(bench.artifacts().await, [""; 0]);
    bench.end().await;
}

#[test]
fn a_crash_at_any_moment_leaves_what_the_next_start_sweeps() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let Some(bench) = runtime().block_on(Bench::with_build()) else { return };
    for (number, delay) in [0, 100, 250, 500].into_iter().enumerate() {
        let text = format!("program {number}");
        let crashing = runtime();
        let (storage, script) = (bench.restarted(), program(&text));
        for _ in 0..2 {
            let (storage, script) = (storage.clone(), script.clone());
            crashing.spawn(async move {
                storage.artifact(&script).await?;
                storage.tool_root(&IslandId::mint(), |_| Ok(())).await
            });
        }
        std::thread::sleep(Duration::from_millis(delay));
        crashing.shutdown_background();
        std::thread::sleep(SETTLE);

        runtime().block_on(async {
            let storage = bench.restarted();
            let found = storage.leftovers().await.unwrap();
            assert_eq!(storage.sweep(&found).await, [], "after {delay} ms");
            assert_eq!(bench.roots().await, [""; 0], "after {delay} ms");
            let artifact = storage.artifact(&script).await.unwrap();
            let inside = artifact.folder().join(PROGRAM_PATH.trim_start_matches('/'));
            assert_eq!(std::fs::read_to_string(inside).unwrap(), text, "after {delay} ms");
        });
    }
    runtime().block_on(bench.end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_no_longer_waited_for_goes_with_its_name() {
    let Some(bench) = Bench::with_build().await else { return };
    for delay in [0, 30, 100, 200] {
        let island = IslandId::mint();
        let making = bench.storage.tool_root(&island, |_| Ok(()));
        let _ = tokio::time::timeout(Duration::from_millis(delay), making).await;
        bench.storage.destroy(&island).await.unwrap();
        assert_eq!(bench.roots().await, [""; 0], "after {delay} ms");
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_somebody_takes_of_everything_keep_nothing_alive() {
    let Some(bench) = Bench::with_build().await else { return };
    let island = IslandId::mint();
    bench.storage.tool_root(&island, |_| Ok(())).await.unwrap();
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
    let error = storage.artifact(&program("x")).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("does not exist"), "{cause}");
    assert_eq!(storage.leftovers().await.unwrap(), Default::default());
    bench.end().await;
}
