//! Artifacts: made once, made again, destroyed, and adopted at a start.

use super::*;

#[tokio::test]
async fn an_artifact_of_an_earlier_start_is_used_as_it_is() {
    let (island, sample) = (IslandId::mint(), sample("a program"));
    let list = format!("zfs list -H -o name -t snapshot {}", sample.ready);
    let script = Script::new()
        .expect(&sample.clone, 1, "", EXISTS)
        .expect(&list, 0, &sample.ready, "")
        .quiet(&function_clone(&sample, &island));
    let world = world(9, script);
    world.storage.function_root(&island, &sample.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_without_its_snapshot_is_made_again() {
    let (island, sample) = (IslandId::mint(), sample("a program"));
    let script = Script::new()
        .expect(&sample.clone, 1, "", EXISTS)
        .expect(&format!("zfs list -H -o name -t snapshot {}", sample.ready), 1, "", MISSING)
        .quiet(&format!("zfs destroy {}", sample.dataset))
        .quiet(&sample.clone)
        .quiet(&sample.snapshot)
        .quiet(&function_clone(&sample, &island));
    let world = world(9, script);
    world.mounted(&sample.dataset);
    world.storage.function_root(&island, &sample.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_another_program_destroyed_is_made_again_once() {
    let (one, two, sample) = (IslandId::mint(), IslandId::mint(), sample("a program"));
    let script = Script::new()
        .quiet(&sample.clone)
        .quiet(&sample.snapshot)
        .quiet(&function_clone(&sample, &one))
        .expect(&function_clone(&sample, &two), 1, "", MISSING)
        .quiet(&sample.clone)
        .quiet(&sample.snapshot)
        .expect(&function_clone(&sample, &two), 1, "", MISSING);
    let world = world(9, script);
    let folder = world.mounted(&sample.dataset);
    world.storage.function_root(&one, &sample.program).await.unwrap();
    std::fs::remove_file(folder.join(folder::PROGRAM)).unwrap();
    let error = world.storage.function_root(&two, &sample.program).await.unwrap_err();
    assert_eq!(why(&error), Why::Missing);
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_cannot_be_finished_is_destroyed_and_not_used() {
    let (one, two, sample) = (IslandId::mint(), IslandId::mint(), sample("a program"));
    let destroy = format!("zfs destroy {}", sample.dataset);
    let script = Script::new()
        // The pool is full.
        .expect(&sample.clone, 1, "", FULL)
        // The folder is missing, and the clone cannot be destroyed at first.
        .quiet(&sample.clone)
        .expect(&destroy, 1, "", BUSY)
        // The snapshot is refused.
        .expect(&sample.clone, 1, "", EXISTS)
        .expect(&format!("zfs list -H -o name -t snapshot {}", sample.ready), 1, "", MISSING)
        .quiet(&destroy)
        .quiet(&sample.clone)
        .expect(&sample.snapshot, 1, "", FULL)
        .quiet(&destroy);
    let world = world(9, script);
    let error = world.storage.function_root(&one, &sample.program).await.unwrap_err();
    assert_eq!(why(&error), Why::Full);
    let error = world.storage.function_root(&one, &sample.program).await.unwrap_err();
    assert!(matches!(error, StorageError::Folder { .. }), "{error:?}");
    world.mounted(&sample.dataset);
    let error = world.storage.function_root(&two, &sample.program).await.unwrap_err();
    assert_eq!(why(&error), Why::Full);
    world.done().await;
}

#[tokio::test]
async fn twenty_calls_at_once_make_one_artifact() {
    let sample = Arc::new(sample("a program"));
    let script = Script::new().quiet(&sample.clone).quiet(&sample.snapshot);
    let world = world(9, script);
    world.mounted(&sample.dataset);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (artifacts, sample) = (world.storage.artifacts.clone(), sample.clone());
        all.spawn(async move {
            artifacts.ready(&sample.program).await.map(|artifact| artifact.ready.clone())
        });
    }
    let found = all.join_all().await;
    assert!(found.iter().all(|ready| ready.as_ref().unwrap().as_str() == sample.ready));
    world.done().await;
}

#[tokio::test]
async fn the_least_recently_used_artifact_without_clones_is_destroyed_when_there_are_too_many() {
    let [first, second, third] = ["first", "second", "third"].map(sample);
    let script = Script::new()
        .quiet(&first.clone)
        .quiet(&first.snapshot)
        .quiet(&second.clone)
        .quiet(&second.snapshot)
        .quiet(&third.clone)
        .quiet(&third.snapshot)
        .expect(&format!("zfs destroy {}", first.ready), 1, "", CLONES)
        .quiet(&format!("zfs destroy {}", second.ready))
        .expect(&format!("zfs destroy {}", second.dataset), 1, "", BUSY);
    let world = world(2, script.clone());
    for sample in [&first, &second, &third] {
        world.mounted(&sample.dataset);
        world.storage.artifacts.ready(&sample.program).await.unwrap();
    }
    world.done().await;
    // The next pass destroys the remains of the second one, which no lookup finds.
    let _ = script
        .quiet(&format!("zfs destroy {}", second.ready))
        .quiet(&format!("zfs destroy {}", second.dataset));
    assert_eq!(world.storage.artifacts.shrink().await, []);
    world.done().await;
}

#[tokio::test]
async fn an_artifact_in_use_is_not_destroyed() {
    let [first, second] = ["first", "second"].map(sample);
    let script = Script::new()
        .quiet(&first.clone)
        .quiet(&first.snapshot)
        .quiet(&second.clone)
        .quiet(&second.snapshot)
        .quiet(&format!("zfs destroy {}", second.ready))
        .quiet(&format!("zfs destroy {}", second.dataset));
    let world = world(1, script);
    world.mounted(&first.dataset);
    world.mounted(&second.dataset);
    let held = world.storage.artifacts.ready(&first.program).await.unwrap();
    world.storage.artifacts.ready(&second.program).await.unwrap();
    world.storage.artifacts.shrink().await;
    world.done().await;
    assert_eq!(held.ready.as_str(), first.ready);
}

#[tokio::test]
async fn only_datasets_with_names_of_islands_and_artifacts_are_swept() {
    let sample = sample("a program");
    let old = format!("z/jails/artifacts/{}", "a".repeat(64));
    let half = format!("z/jails/artifacts/{}", "b".repeat(64));
    let line = |name: &str, origin: &str| {
        let kind = if name.contains('@') { "snapshot" } else { "filesystem" };
        format!("{name}\t{kind}\t1\t2\t/x\t{origin}\n")
    };
    let (list, base) = (
        "zfs list -H -p -o name,type,used,available,mountpoint,origin -t filesystem,snapshot -r",
        "z/jails/releases/15.1-RELEASE@p1",
    );
    let run = [
        line("z/jails/run", "-"),
        line("z/jails/run/si_0123abcd_1", &sample.ready),
        line("z/jails/run/si_0123abcd_1/below", "-"),
        line("z/jails/run/si_0123abcd_1@auto", "-"),
        line("z/jails/run/theirs", "-"),
        line("z/jails/run/my island", "-"),
    ];
    let kept = [
        line("z/jails/artifacts", "-"),
        line(&sample.dataset, base),
        line(&sample.ready, "-"),
        line(&old, "z/jails/releases/14.3-RELEASE@p1"),
        line(&format!("{old}@ready"), "-"),
        line(&half, base),
        line("z/jails/artifacts/notes", "-"),
    ];
    let script = Script::new()
        .expect(&format!("{list} z/jails/run"), 0, &run.concat(), "")
        .expect(&format!("{list} z/jails/artifacts"), 0, &kept.concat(), "")
        .expect("zfs destroy z/jails/run/si_0123abcd_1", 1, "", BUSY)
        .quiet(&format!("zfs destroy {old}@ready"))
        .quiet(&format!("zfs destroy {old}"))
        .expect(&format!("zfs destroy {half}@ready"), 1, "", NO_SNAPSHOT)
        .expect(&format!("zfs destroy {half}"), 1, "", BUSY);
    let world = world(9, script);
    let found = world.storage.leftovers().await.unwrap();
    let name = |text: &str| DatasetName::parse(text).unwrap();
    let expected = Leftovers {
        islands: vec![IslandId::parse("si_0123abcd_1").unwrap()],
        artifacts: vec![name(&old), name(&half)],
        foreign: ["run/my island", "run/theirs", "artifacts/notes"]
            .map(|n| format!("z/jails/{n}"))
            .into(),
    };
    assert_eq!(found, expected);
    let stay = world.storage.sweep(&found).await;
    assert_eq!(stay, [name("z/jails/run/si_0123abcd_1"), name(&half)]);
    world.done().await;
    // The whole artifact was adopted: no command is needed to use it.
    assert_eq!(
        world.storage.artifacts.ready(&sample.program).await.unwrap().ready.as_str(),
        sample.ready
    );
}
