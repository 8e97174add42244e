//! Artifacts: made once, made again, destroyed, and adopted at a start.

use super::*;

#[tokio::test]
async fn an_artifact_of_an_earlier_start_is_used_as_it_is() {
    let sample = sample("a program");
    let script =
        Script::new().expect(&sample.clone, 1, "", EXISTS).expect(&sample.get, 0, "yes\n", "");
    let world = world(9, script);
    world.whole(&sample);
    world.storage.artifact(&sample.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_is_not_whole_is_made_again() {
    let sample = sample("a program");
    let script = Script::new()
        .expect(&sample.clone, 1, "", EXISTS)
        .expect(&sample.get, 0, "-\n", "")
        .quiet(&sample.destroy);
    let world = world(9, making(script, &sample));
    world.mounted(&sample.dataset);
    world.storage.artifact(&sample.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_another_program_destroyed_is_made_again() {
    let sample = sample("a program");
    let script = making(making(Script::new(), &sample), &sample);
    let world = world(9, script);
    let folder = world.mounted(&sample.dataset);
    let first = world.storage.artifact(&sample.program).await.unwrap();
    // Of a destroyed clone the folder is gone as well; here the next one is mounted there already.
    std::fs::remove_file(folder.join(folder::PROGRAM)).unwrap();
    let second = world.storage.artifact(&sample.program).await.unwrap();
    assert_eq!(first.folder(), second.folder());
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_another_program_unmounted_is_mounted_or_made_again() {
    let (mounts, refuses) = (sample("it mounts"), sample("it does not mount"));
    let script = Script::new()
        .expect(&mounts.clone, 1, "", EXISTS)
        .expect(&mounts.get, 0, "yes\n", "")
        .quiet(&format!("zfs mount {}", mounts.dataset))
        // The folder has no program after that, so that the artifact is made again.
        .quiet(&mounts.destroy)
        .expect(&mounts.clone, 1, "", FULL)
        .expect(&refuses.clone, 1, "", EXISTS)
        .expect(&refuses.get, 0, "yes\n", "")
        .expect(&format!("zfs mount {}", refuses.dataset), 1, "", "cannot mount 'x'\n")
        .expect(&refuses.destroy, 1, "", CHILDREN)
        .quiet(&format!("zfs destroy -r {}", refuses.dataset));
    let world = world(9, making(script, &refuses));
    world.mounted(&mounts.dataset);
    let error = world.storage.artifact(&mounts.program).await.unwrap_err();
    assert_eq!(why(&error), Why::Full);
    world.mounted(&refuses.dataset);
    world.storage.artifact(&refuses.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_that_goes_again_and_again_is_an_error() {
    let sample = sample("a program");
    let script = making(making(Script::new(), &sample), &sample);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join(sample.dataset.strip_prefix("z/jails/").unwrap());
    create_dir_all(&at).unwrap();
    // A look at the folder finds no program, although each making puts one there.
    fn forgetful(folder: &Path) -> io::Result<File> {
        let _ = std::fs::remove_file(folder.join(folder::PROGRAM));
        folder::open(folder)
    }
    let zfs = Zfs::new(script.shared());
    let storage = Storage::opening(zfs, layout(folder.path()), forgetful, 9);
    let error = storage.artifact(&sample.program).await.unwrap_err();
    assert!(matches!(&error, StorageError::Gone { folder } if *folder == at), "{error:?}");
    assert_eq!(script.left(), [""; 0]);
}

#[tokio::test]
async fn an_artifact_that_cannot_be_finished_is_destroyed_and_not_used() {
    let sample = sample("a program");
    let script = Script::new()
        // The pool is full.
        .expect(&sample.clone, 1, "", FULL)
        // The folder is missing, and the clone cannot be destroyed at first.
        .quiet(&sample.clone)
        .expect(&sample.destroy, 1, "", BUSY)
        // The clone cannot become whole.
        .expect(&sample.clone, 1, "", EXISTS)
        .expect(&sample.get, 0, "-\n", "")
        .quiet(&sample.destroy)
        .quiet(&sample.clone)
        .expect(&sample.set, 1, "", FULL)
        .quiet(&sample.destroy)
        .expect(&sample.clone, 1, "", FULL);
    let world = world(9, script);
    let error = world.storage.artifact(&sample.program).await.unwrap_err();
    assert_eq!(why(&error), Why::Full);
    let error = world.storage.artifact(&sample.program).await.unwrap_err();
    assert!(matches!(error, StorageError::Folder { .. }), "{error:?}");
    world.mounted(&sample.dataset);
    for _ in 0..2 {
        let error = world.storage.artifact(&sample.program).await.unwrap_err();
        assert_eq!(why(&error), Why::Full);
    }
    world.done().await;
}

#[tokio::test]
async fn twenty_calls_at_once_make_one_artifact() {
    let sample = Arc::new(sample("a program"));
    let world = world(9, making(Script::new(), &sample));
    world.mounted(&sample.dataset);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (artifacts, sample) = (world.storage.artifacts.clone(), sample.clone());
        all.spawn(async move {
            artifacts.ready(&sample.program).await.map(|artifact| artifact.dataset.clone())
        });
    }
    let found = all.join_all().await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().as_str() == sample.dataset));
    world.done().await;
}

#[tokio::test]
async fn the_least_recently_used_artifact_without_views_is_destroyed_when_there_are_too_many() {
    let [first, second, third, fourth] = ["first", "second", "third", "fourth"].map(sample);
    let script = [&first, &second, &third].into_iter().fold(Script::new(), making);
    let script = script
        // It has the view of an island that this server does not know.
        .expect(&first.destroy, 1, "", BUSY)
        .quiet(&second.destroy);
    let world = world(2, script.clone());
    for sample in [&first, &second, &third] {
        world.mounted(&sample.dataset);
        world.storage.artifacts.ready(&sample.program).await.unwrap();
    }
    world.done().await;
    // The first one was kept whole, and is the one used last.
    let _ = making(script, &fourth).quiet(&third.destroy);
    world.mounted(&fourth.dataset);
    world.storage.artifacts.ready(&first.program).await.unwrap();
    world.storage.artifacts.ready(&fourth.program).await.unwrap();
    world.done().await;
}

#[tokio::test]
async fn an_artifact_in_use_is_not_destroyed() {
    let [first, second] = ["first", "second"].map(sample);
    let script = [&first, &second].into_iter().fold(Script::new(), making);
    let world = world(1, script.quiet(&second.destroy));
    world.mounted(&first.dataset);
    world.mounted(&second.dataset);
    let held = world.storage.artifact(&first.program).await.unwrap();
    world.storage.artifacts.ready(&second.program).await.unwrap();
    world.storage.artifacts.shrink().await;
    world.done().await;
    assert_eq!(held.dataset().as_str(), first.dataset);
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
        line("z/jails/run/si_0123abcd_1", "z/jails/build@p1"),
        line("z/jails/run/si_0123abcd_1/below", "-"),
        line("z/jails/run/si_0123abcd_1@auto", "-"),
        line("z/jails/run/theirs", "-"),
        line("z/jails/run/my island", "-"),
    ];
    let kept = [
        line("z/jails/artifacts", "-"),
        line(&sample.dataset, base),
        line(&old, "z/jails/releases/14.3-RELEASE@p1"),
        line(&format!("{old}@auto"), "-"),
        line(&half, base),
        line("z/jails/artifacts/notes", "-"),
    ];
    let marks = "zfs get -H -p -r -t filesystem -o name,value sky-island:whole";
    let marked = format!("z/jails/artifacts\t-\n{}\tyes\n{old}\tyes\n{half}\t-\n", sample.dataset);
    let script = Script::new()
        .expect(&format!("{list} z/jails/run"), 0, &run.concat(), "")
        .expect(&format!("{list} z/jails/artifacts"), 0, &kept.concat(), "")
        .expect(&format!("{marks} z/jails/artifacts"), 0, &marked, "")
        .expect("zfs destroy z/jails/run/si_0123abcd_1", 1, "", BUSY)
        .expect(&format!("zfs destroy {old}"), 1, "", CHILDREN)
        .quiet(&format!("zfs destroy -r {old}"))
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
    let adopted = world.storage.artifacts.ready(&sample.program).await.unwrap();
    assert_eq!(adopted.dataset.as_str(), sample.dataset);
}
