//! What operators see of jails, and how they end one: by the jail's number.

use std::time::Duration;

use island::{Ending, IslandInfo, IslandState, Label};
use libtest_mimic::Trial;

use crate::host::MEMORY;
use crate::jail_model::jid;
use crate::lab::{Bench, Lab, runtime};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        a_jail_is_listed_by_its_number_with_what_it_is_for_and_what_it_uses,
        jails_of_others_are_neither_listed_nor_ended,
        the_caller_of_a_jail_that_an_operator_ends_learns_that,
        a_host_that_does_not_count_resources_lists_jails_without_them,
    ]
}

/// Waits until so many jails run.
async fn running(bench: &Bench, count: usize) -> Vec<IslandInfo> {
    loop {
        let all = bench.islands.list().await.unwrap();
        if all.iter().filter(|it| it.state == IslandState::Running).count() == count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn a_jail_is_listed_by_its_number_with_what_it_is_for_and_what_it_uses() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let mut spec = lab.function(&["sleep=0.5"]);
        let call = uuid::Uuid::now_v7();
        spec.label = Label { module: Some("a.b/c".into()), call: Some(call) };
        spec.setup.address = bench.lease();
        let (outcome, seen) = tokio::join!(bench.run(&spec), running(&bench, 1));
        assert_eq!(outcome.unwrap().ending, Ending::Exited(0));
        let [one] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(one.number, jid(one.id.as_str()));
        assert_eq!((one.module.as_deref(), one.call), (Some("a.b/c"), Some(call)));
        assert_eq!((one.purpose, one.ip4, one.ip6), ("function", "new", "disable"));
        assert_eq!(one.address, spec.setup.address.as_ref().map(|lease| lease.address()));
        assert_eq!(one.usage.map(|usage| usage.memory), Some(MEMORY));
        assert!(one.path.ends_with(one.id.as_str()), "{one:?}");
        drop(spec);
        lab.at_rest(&bench, "a jail that was looked at").await;
        assert!(bench.islands.list().await.unwrap().is_empty());
        assert!(bench.islands.states().values().all(|count| *count == 0));
    });
}

fn jails_of_others_are_neither_listed_nor_ended() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let before = lab.jail_model.list().len();
        assert!(before >= 2);
        let all = bench.islands.list().await.unwrap();
        assert!(all.is_empty(), "{all:?}");
        let foreign = island::IslandId::parse("si_0123abcd_9").unwrap();
        bench.islands.stop(&[foreign]).await;
        assert_eq!(lab.jail_model.list().len(), before);
        lab.at_rest(&bench, "an operator who ends a foreign jail").await;
    });
}

fn the_caller_of_a_jail_that_an_operator_ends_learns_that() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let (long, other) = (lab.function(&["sleep=20"]), lab.function(&["sleep=20"]));
        let stop = async {
            let all: Vec<_> = running(&bench, 2).await.into_iter().map(|it| it.id).collect();
            bench.islands.stop(&all).await;
            let left = bench.islands.list().await.unwrap();
            assert!(left.is_empty(), "{left:?}");
        };
        let (first, second, ()) = tokio::join!(bench.run(&long), bench.run(&other), stop);
        assert_eq!(first.unwrap().ending, Ending::Stopped);
        assert_eq!(second.unwrap().ending, Ending::Stopped);
        lab.at_rest(&bench, "jails that were ended").await;
        lab.next_works(&bench, "jails that were ended").await;
    });
}

fn a_host_that_does_not_count_resources_lists_jails_without_them() {
    runtime().block_on(async {
        let lab = Lab::new();
        lab.host.system(|system| system.racct = false);
        let bench = lab.start().await;
        let spec = lab.function(&["sleep=0.3"]);
        let (outcome, seen) = tokio::join!(bench.run(&spec), running(&bench, 1));
        assert_eq!(outcome.unwrap().ending, Ending::Exited(0));
        assert!(seen[0].usage.is_none(), "{seen:?}");
        lab.at_rest(&bench, "a jail on a host that does not count").await;
    });
}
