//! That nothing is left: of an island after its end, of many islands, of a launcher that died, of a
//! backend that was closed. Each test looks at its own process from outside, so each has one of its
//! own.

use std::collections::BTreeSet;
use std::time::Duration;

use island::{Ending, StartError};

use super::host::{Host, alone, eventually, here, not_given};
use super::platform;
use super::system::{self, Held};

fn holds_as_before(host: &Host, before: &Held) {
    eventually("all that was made for islands is removed", || {
        host.backend.list().is_empty() && Held::now() == *before
    });
}

macro_rules! alone {
    ($ahead:expr, $(#[$meta:meta])* fn $name:ident($host:ident: &Host) $body:block) => {
        #[test]
        $(#[$meta])*
        fn $name() {
            alone(concat!(module_path!(), "::", stringify!($name)), $ahead, |$host: &Host| $body);
        }
    };
}

alone!(
    0,
    fn many_islands_in_sequence_and_at_once_leave_nothing(host: &Host) {
        let spec = host.function(&["exit", "0"]);
        // The first one opens what stays open.
        host.run(&spec);
        eventually("the first island is gone", system::is_rid_of_islands);
        let before = Held::now();
        for _ in 0..200 {
            assert_eq!(host.run(&spec).ending, Ending::Exited(0));
        }
        host.runtime.block_on(async {
            let sleeping = host.function(&["sleep", "100"]);
            let runs: Vec<_> = (0..32)
                .map(|_| {
                    let (islands, spec) = (host.islands.clone(), sleeping.clone());
                    tokio::spawn(async move { islands.run(&spec).await })
                })
                .collect();
            for run in runs {
                assert_eq!(run.await.unwrap().unwrap().ending, Ending::Exited(0));
            }
        });
        holds_as_before(host, &before);
    }
);

alone!(
    0,
    fn each_kind_of_end_leaves_nothing(host: &Host) {
        host.run(&host.function(&["exit", "0"]));
        eventually("the first island is gone", system::is_rid_of_islands);
        let before = Held::now();
        for deed in [
            &["leave-a-daemon"][..],
            &["fork-bomb"],
            &["flood", "stdout"],
            &["allocate"],
            &["spin"],
            &["panic"],
            &["close-and-go-on", "0", "60000"],
            &["fork-until-refused"],
        ] {
            let mut spec = host.function(deed);
            (spec.bounds.deadline, spec.setup.resources.memory) =
                (Duration::from_millis(700), 96 << 20);
            let outcome = host.run(&spec);
            let is_listed = || !host.backend.list().is_empty();
            match platform::LISTED_WHILE_ENDING {
                true => eventually("the ended island is listed no more", || !is_listed()),
                false => assert!(!is_listed(), "{deed:?}: {outcome:?}"),
            }
            let left = system::islands();
            assert!(left.is_empty(), "{deed:?}: {left:?}");
        }
        holds_as_before(host, &before);
    }
);

alone!(
    0,
    fn what_a_function_leaves_running_ends_with_it(host: &Host) {
        let outcome = host.run(&host.function(&["leave-a-daemon"]));
        assert_eq!(outcome.ending, Ending::Exited(0));
        assert_eq!(outcome.stdout, b"gone ahead");
        assert!(outcome.run < here(platform::DEADLINE) / 4, "{:?}", outcome.run);
        assert_eq!(system::islands(), [0; 0]);
    }
);

alone!(
    0,
    fn an_island_that_is_no_longer_waited_for_is_ended(host: &Host) {
        let spec = host.function(&["sleep", "60000"]);
        host.run(&host.function(&["exit", "0"]));
        eventually("the first island is gone", system::is_rid_of_islands);
        let before = Held::now();
        host.runtime.block_on(async {
            let waited = tokio::time::timeout(Duration::from_millis(200), host.islands.run(&spec));
            assert!(waited.await.is_err());
        });
        holds_as_before(host, &before);
    }
);

alone!(
    0,
    fn an_islands_user_is_its_own_until_it_has_ended(host: &Host) {
        if !nix::unistd::geteuid().is_root() {
            return not_given("a user id of each function's own", "only root has ids to give away");
        }
        host.close();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let Some(host) = Host::start_on(&mut builder, 0) else { return };
        let spec = host.function(&["sleep", "60000"]);
        // With one thread, nothing hears of the first island's end between its being given up and
        // the second's start.
        let (first, second) = host.runtime.block_on(async {
            let first = {
                let run = std::pin::pin!(host.islands.run(&spec));
                let look = async {
                    loop {
                        if let [island] = system::functions()[..] {
                            return system::user(island);
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! { _ = run => panic!("it ended"), user = look => user }
            };
            let run = std::pin::pin!(host.islands.run(&spec));
            let look = async {
                loop {
                    let users: Vec<_> =
                        system::functions().into_iter().filter_map(system::user).collect();
                    if let Some(user) = users.into_iter().find(|user| Some(*user) != first) {
                        return Some(user);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let second = tokio::time::timeout(here(Duration::from_secs(5)), look);
            let second = tokio::select! { _ = run => panic!("it ended"), user = second => user };
            (first, second.ok().flatten())
        });
        host.close();
        assert!(first.is_some_and(|user| user > 0));
        assert!(second.is_some_and(|user| Some(user) != first), "{first:?} {second:?}");
    }
);

alone!(
    0,
    fn two_islands_have_two_users_on_the_host(host: &Host) {
        let runs: Vec<_> = (0..2)
            .map(|_| {
                let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "60000"]));
                host.runtime.spawn(async move { islands.run(&spec).await })
            })
            .collect();
        eventually("two functions run", || system::functions().len() == 2);
        let users: BTreeSet<u32> =
            system::functions().into_iter().filter_map(system::user).collect();
        for run in runs {
            run.abort();
        }
        if nix::unistd::geteuid().is_root() {
            assert!(users.len() == 2 && !users.contains(&0), "{users:?}");
        } else {
            assert_eq!(users, BTreeSet::from([nix::unistd::geteuid().as_raw()]));
            not_given("two users behind two islands", host.lacks("user ids").unwrap_or_default());
        }
    }
);

alone!(
    2,
    fn an_island_made_ahead_serves_one_call(host: &Host) {
        if let Err(why) = host.backend.capabilities().ahead {
            return not_given("islands made ahead of their calls", why);
        }
        for _ in 0..6 {
            let left: std::collections::BTreeMap<String, Vec<String>> = host.ask(&["list", "/tmp"]);
            assert!(left["/tmp"].is_empty());
            let made: std::collections::BTreeMap<String, String> =
                host.ask(&["write", "/tmp/left"]);
            assert_eq!(made["/tmp/left"], "done");
        }
        eventually("two islands are made ahead again", || host.backend.list().len() == 2);
    }
);

fn a_launchers_death(host: &Host, deed: &[&str]) {
    let (islands, spec) = (host.islands.clone(), host.function(deed));
    let run = host.runtime.spawn(async move { islands.run(&spec).await });
    eventually("the function runs", || system::functions().len() == 1);
    if system::launchers().is_empty() {
        run.abort();
        return not_given("a launcher's death that harms nothing", "this backend has no launcher");
    }
    let island = system::functions()[0];
    for launcher in system::launchers() {
        system::kill(launcher);
    }
    let outcome = host.runtime.block_on(run).unwrap();
    assert!(
        matches!(outcome, Err(StartError::Launcher(_) | StartError::Refused(_))),
        "{outcome:?}"
    );
    if platform::ENDS_WITH_ITS_LAUNCHER {
        eventually("the function has ended with its launcher", || !system::is_alive(island));
    }
    let mut spec = host.function(&["exit", "0"]);
    spec.bounds.deadline = here(Duration::from_secs(5));
    assert_eq!(host.run(&spec).ending, Ending::Exited(0), "the next call");
    assert_eq!(host.run(&spec).ending, Ending::Exited(0), "and the one after it");
    eventually("the groups of the dead launchers are removed", || {
        system::has_groups_of(host.backend.list().len())
    });
    host.close();
    eventually("nothing is left", || system::is_rid_of_backend() && !system::is_alive(island));
}

alone!(
    0,
    fn a_launchers_death_fails_its_islands_and_the_next_call_works(host: &Host) {
        a_launchers_death(host, &["sleep", "60000"]);
    }
);

alone!(
    2,
    fn a_launchers_death_takes_the_islands_made_ahead_with_it(host: &Host) {
        if let Err(why) = host.backend.capabilities().ahead {
            return not_given("islands made ahead of their calls", why);
        }
        eventually("two islands are made ahead", || host.backend.list().len() == 2);
        a_launchers_death(host, &["sleep", "60000"]);
    }
);

alone!(
    0,
    fn a_function_does_not_outlive_its_launcher_by_asking_to(host: &Host) {
        a_launchers_death(host, &["outlive-the-launcher"]);
    }
);

alone!(
    2,
    fn a_closed_backend_leaves_nothing(host: &Host) {
        let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "60000"]));
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || system::functions().len() == 1);
        let running: Vec<_> = system::islands();
        host.close();
        let outcome = host.runtime.block_on(run).unwrap();
        assert!(
            match &outcome {
                Ok(outcome) => outcome.ending == Ending::Signaled(libc::SIGKILL),
                Err(error) => matches!(error, StartError::Launcher(_) | StartError::Refused(_)),
            },
            "{outcome:?}"
        );
        eventually("nothing is left", || {
            system::is_rid_of_backend()
                && running.iter().all(|island| !system::is_alive(*island))
                && host.backend.list().is_empty()
        });
        let outcome = host.runtime.block_on(host.islands.run(&host.function(&["exit", "0"])));
        assert!(matches!(outcome, Err(StartError::Launcher(_))), "{outcome:?}");
    }
);
