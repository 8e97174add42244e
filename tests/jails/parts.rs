//! The parts of functions' jails, which the launcher makes by system calls: whatever goes wrong and
//! when, nothing is left, and islands of one artifact share nothing that they can write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use island::{Backend, Ending, Spec};
use libtest_mimic::Trial;
use tokio::task::JoinSet;

use crate::jail_model::{CallFault, LauncherFault, runs};
use crate::lab::{Bench, Lab, runtime};
use crate::trials;

/// System calls that mount the parts of a function's jail.
const MOUNTS: usize = 3;
/// System calls that undo all parts: the rules in one, the mounts and the folder.
const UNDOING: usize = 1 + MOUNTS + 1;

pub fn trials() -> Vec<Trial> {
    trials![
        a_known_functions_call_runs_no_command,
        any_system_call_of_a_functions_jail_may_fail,
        a_launcher_may_end_at_any_system_call_of_a_functions_jail,
        what_a_launcher_did_not_undo_is_removed_by_commands,
        an_artifact_that_was_destroyed_by_hand_is_made_again,
        an_artifact_that_was_unmounted_by_hand_is_mounted_again,
        an_artifact_is_neither_destroyed_nor_unmounted_while_islands_use_it,
        islands_of_one_artifact_have_each_a_tmp_of_their_own,
    ]
}

fn a_known_functions_call_runs_no_command() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        let spec = lab.function(&["out=x"]);
        bench.run(&spec).await.unwrap();
        lab.at_rest(&bench, "the first call").await;
        let first = lab.host.count();
        for _ in 0..20 {
            bench.run(&spec).await.unwrap();
        }
        let mut all = JoinSet::new();
        for _ in 0..10 {
            let (bench, spec) = (bench.clone(), spec.clone());
            all.spawn(async move { bench.run(&spec).await.unwrap().ending });
        }
        assert_eq!(all.join_all().await, [Ending::Exited(0); 10]);
        lab.at_rest(&bench, "thirty calls").await;
        assert_eq!(lab.log_since(first), [""; 0], "in the way of a call, or behind it");
    });
}

/// Runs a function, one of whose system calls goes wrong. The result is none where the call was not
/// reached.
async fn with_fault(
    lab: &Lab,
    bench: &Bench,
    number: usize,
    fault: CallFault,
) -> Option<Result<Ending, String>> {
    lab.jail_model.set_call_fault(number, fault);
    let result = bench.run(&lab.function(&["out=x"])).await;
    let what = format!("{fault:?} at system call {number}");
    lab.at_rest(bench, &what).await;
    if lab.jail_model.forget_call_fault().is_some() {
        return None;
    }
    lab.next_works(bench, &what).await;
    Some(result.map(|outcome| outcome.ending).map_err(|error| error.to_string()))
}

/// How many system calls make and undo the parts of a jail.
async fn calls(lab: &Lab, bench: &Bench) -> usize {
    const MANY: usize = 1000;
    lab.jail_model.set_call_fault(MANY, CallFault::Fails);
    bench.run(&lab.function(&["out=x"])).await.unwrap();
    lab.at_rest(bench, "a call that counts").await;
    MANY - lab.jail_model.forget_call_fault().unwrap()
}

fn any_system_call_of_a_functions_jail_may_fail() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let all = calls(&lab, &bench).await;
        assert!(all > MOUNTS + UNDOING + 3, "{all} calls, and so hardly any rules");
        for number in 0..all {
            match with_fault(&lab, &bench, number, CallFault::Fails).await {
                None => panic!("{number} of {all} is not reached"),
                Some(Err(error)) => {
                    assert!(number < all - UNDOING, "{number}: {error}");
                    let what = if number < MOUNTS { "mounted at" } else { "limit jail:si_" };
                    assert!(error.contains(what) && error.contains("busy"), "{number}: {error}");
                }
                // What the launcher cannot undo is no failure of the call.
                Some(Ok(ending)) => {
                    assert!(number >= all - UNDOING, "{number}");
                    assert_eq!(ending, Ending::Exited(0), "{number}");
                }
            }
        }
        assert_eq!(with_fault(&lab, &bench, all, CallFault::Fails).await, None);
    });
}

fn a_launcher_may_end_at_any_system_call_of_a_functions_jail() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let all = calls(&lab, &bench).await;
        for fault in [CallFault::EndBefore, CallFault::EndAfter] {
            for number in 0..all {
                let result = with_fault(&lab, &bench, number, fault).await;
                assert!(matches!(result, Some(Err(_))), "{fault:?} {number}: {result:?}");
            }
        }
    });
}

fn what_a_launcher_did_not_undo_is_removed_by_commands() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.next_works(&bench, "the start").await;
        let undoing = calls(&lab, &bench).await - UNDOING;
        let first = lab.host.count();
        let result = with_fault(&lab, &bench, undoing, CallFault::Fails).await;
        assert_eq!(result, Some(Ok(Ending::Exited(0))));
        let log = lab.log_since(first);
        let count = |part: &str| log.iter().filter(|it| it.starts_with(part)).count();
        assert_eq!((count("umount -f"), count("rctl -r"), count("zfs")), (3, 1, 0), "{log:?}");
        // The same holds for an island whose launcher is gone.
        let first = lab.host.count();
        lab.jail_model.set_launcher_fault(LauncherFault::EndWhile);
        assert!(bench.run(&lab.function(&["sleep=30"])).await.is_err());
        lab.at_rest(&bench, "a launcher that ended").await;
        assert!(!runs(lab.jail_model.launcher()));
        let log = lab.log_since(first);
        let count = |part: &str| log.iter().filter(|it| it.starts_with(part)).count();
        assert_eq!((count("umount -f"), count("rctl -r"), count("zfs")), (3, 1, 0), "{log:?}");
    });
}

/// The dataset of the only artifact.
fn artifact(lab: &Lab) -> String {
    lab.host.system(|system| {
        let below = |name: &&String| name.starts_with("zroot/jails/artifacts/");
        let found: Vec<_> = system.pool.datasets.keys().filter(below).cloned().collect();
        let [artifact] = &found[..] else { panic!("{found:?}") };
        artifact.clone()
    })
}

fn by_hand(lab: &Lab, words: &[&str]) -> Option<i32> {
    lab.host.system(|system| system.by_hand(words)).code
}

fn an_artifact_that_was_destroyed_by_hand_is_made_again() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for _ in 0..3 {
            lab.next_works(&bench, "an artifact that is made").await;
            let artifact = artifact(&lab);
            assert_eq!(by_hand(&lab, &["zfs", "destroy", "-r", &artifact]), Some(0));
        }
        lab.next_works(&bench, "an artifact that was destroyed").await;
    });
}

fn an_artifact_that_was_unmounted_by_hand_is_mounted_again() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.next_works(&bench, "the start").await;
        let artifact = artifact(&lab);
        assert_eq!(by_hand(&lab, &["zfs", "unmount", &artifact]), Some(0));
        let first = lab.host.count();
        lab.next_works(&bench, "an artifact that was unmounted").await;
        assert!(lab.log_since(first).contains(&format!("zfs mount {artifact}")));
        bench.backend.close().await;
        // The same at a start, which adopts the artifact.
        assert_eq!(by_hand(&lab, &["zfs", "unmount", &artifact]), Some(0));
        let bench = lab.start().await;
        let first = lab.host.count();
        lab.next_works(&bench, "an artifact that was unmounted before the start").await;
        let log = lab.log_since(first);
        assert!(!log.iter().any(|it| it.starts_with("zfs destroy")), "{log:?}");
    });
}

/// Starts a function that runs until its run is dropped, and waits for its process.
async fn running(lab: &Lab, bench: &Arc<Bench>, spec: Spec) -> tokio::task::JoinHandle<()> {
    let before = lab.jail_model.processes().len();
    let bench = bench.clone();
    let run = tokio::spawn(async move { drop(bench.islands.run(&spec).await) });
    let until = Instant::now() + Duration::from_secs(10);
    while lab.jail_model.processes().len() == before {
        assert!(Instant::now() < until, "the function does not run");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run
}

fn an_artifact_is_neither_destroyed_nor_unmounted_while_islands_use_it() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        let run = running(&lab, &bench, lab.function(&["sleep=30"])).await;
        let artifact = artifact(&lab);
        for words in [&["zfs", "unmount", &artifact][..], &["zfs", "destroy", "-r", &artifact]] {
            assert_eq!(by_hand(&lab, words), Some(1), "{words:?}");
        }
        run.abort();
        lab.at_rest(&bench, "an artifact in use").await;
        assert_eq!(by_hand(&lab, &["zfs", "unmount", &artifact]), Some(0));
    });
}

fn islands_of_one_artifact_have_each_a_tmp_of_their_own() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        let first = running(&lab, &bench, lab.function(&["write=/tmp/left", "sleep=30"])).await;
        let outcome = bench.run(&lab.function(&["read=/tmp/left", "out=end"])).await.unwrap();
        assert_eq!((&*outcome.stdout, outcome.stderr.is_empty()), (&b"end"[..], false));
        first.abort();
        lab.at_rest(&bench, "two islands of one artifact").await;
        let outcome = bench.run(&lab.function(&["read=/tmp/left", "out=end"])).await.unwrap();
        assert_eq!(outcome.stdout, b"end");
    });
}
