//! The outcome of an island, what its program sees, and what two islands may not share.

use std::fs;
use std::time::Duration;

use host::net::AddressState;
use island::{Backend, Ending, StartError};
use libtest_mimic::Trial;

use crate::lab::{Lab, bind, runtime};
use crate::launcher::{CONNECTS, REFUSES};
use crate::{jail_model, trials};

pub fn trials() -> Vec<Trial> {
    trials![
        a_functions_output_status_and_signal_reach_the_caller,
        a_program_that_cannot_be_executed_is_a_start_error_with_the_cause,
        a_tool_sees_its_folders_and_files,
        an_island_has_devices_a_tmp_and_its_rules_while_it_runs,
        an_address_is_there_for_the_jail_and_is_leased_again_when_the_jail_is_gone,
        an_address_stays_leased_while_its_jail_is_dying,
        no_two_islands_write_one_folder_and_the_next_one_may_at_once,
        a_known_program_is_not_copied_again,
    ]
}

fn a_functions_output_status_and_signal_reach_the_caller() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let table = [
            (&["out=a", "out=b", "err=c"][..], Ending::Exited(0), "ab", "c"),
            (&["out=half", "exit=3"], Ending::Exited(3), "half", ""),
            (
                &["err=fatal error: runtime: out of memory", "exit=2"],
                Ending::Memory,
                "",
                "fatal error: runtime: out of memory",
            ),
            (&["signal=11"], Ending::Signaled(11), "", ""),
            (&["cat"], Ending::Exited(0), "given", ""),
        ];
        for (actions, ending, stdout, stderr) in table {
            let mut spec = lab.function(actions);
            spec.stdin = b"given".to_vec();
            let outcome = bench.run(&spec).await.unwrap();
            assert_eq!(outcome.ending, ending, "{actions:?}");
            assert_eq!(String::from_utf8_lossy(&outcome.stdout), stdout, "{actions:?}");
            assert_eq!(String::from_utf8_lossy(&outcome.stderr), stderr, "{actions:?}");
        }
        lab.at_rest(&bench, "five functions").await;
    });
}

fn a_program_that_cannot_be_executed_is_a_start_error_with_the_cause() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let error = bench.run(&lab.function(&[REFUSES])).await.unwrap_err();
        assert!(
            matches!(&error, StartError::Refused(why) if why.contains("Exec format error")),
            "{error}"
        );
        lab.at_rest(&bench, "a program that cannot be executed").await;
    });
}

fn a_tool_sees_its_folders_and_files() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let (source, out) = (lab.folder("source"), lab.folder("out"));
        fs::write(source.join("main.go"), "package main").unwrap();
        fs::write(lab.path("job"), "a job").unwrap();
        let binds = vec![
            bind(source, "/src", false),
            bind(out.clone(), "/out", true),
            bind(lab.path("job"), "/given/job", false),
        ];
        let actions = ["read=/src/main.go", "out= and ", "read=/given/job", "write=/out/made"];
        let outcome = bench.run(&lab.tool(binds, &actions)).await.unwrap();
        assert_eq!(outcome.ending, Ending::Exited(0), "{outcome:?}");
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "package main and a job");
        assert_eq!(fs::read_to_string(out.join("made")).unwrap(), "written");
        lab.at_rest(&bench, "a tool").await;
        let log = lab.host.log().join("\n");
        for part in ["nullfs -o ro,nosuid", "nullfs -o rw,nosuid", "zfs set readonly=on"] {
            assert!(log.contains(part), "{part} in {log}");
        }
    });
}

fn an_island_has_devices_a_tmp_and_its_rules_while_it_runs() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let spec = lab.function(&["sleep=0.2"]);
        let before = lab.picture();
        let look = async {
            while lab.jail_model.processes().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            lab.picture()
        };
        let (outcome, during) = tokio::join!(bench.run(&spec), look);
        assert_eq!(outcome.unwrap().ending, Ending::Exited(0));
        let new: Vec<_> = during.iter().filter(|line| !before.contains(line)).collect();
        let has = |part: &str| new.iter().any(|line| line.contains(part));
        for part in [
            "devfs",
            "tmpfs",
            "maxproc:deny=20",
            "nthr",
            "openfiles",
            "memoryuse:sigkill",
            "cputime",
            "process",
        ] {
            assert!(has(part), "{part} in {new:#?}");
        }
        lab.at_rest(&bench, "a function that was looked at").await;
    });
}

fn an_address_is_there_for_the_jail_and_is_leased_again_when_the_jail_is_gone() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut spec = lab.function(&["out=x"]);
            spec.setup.address = bench.lease();
            let address = spec.setup.address.as_ref().unwrap().address().to_string();
            bench.run(&spec).await.unwrap();
            drop(spec);
            lab.at_rest(&bench, "a function with an address").await;
            assert_eq!(
                lab.jail_model.noted().pop().unwrap().1.addresses,
                std::slice::from_ref(&address)
            );
            seen.push(address);
        }
        // Each is lent in its turn, and the two that others have are not.
        assert_eq!(seen, ["10.9.0.1", "10.9.0.4", "10.9.0.5"]);
    });
}

fn an_address_stays_leased_while_its_jail_is_dying() {
    /// A busy machine may not look in time.
    const TURNS: usize = 20;
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let mut seen = false;
        for _ in 0..TURNS {
            let mut spec = lab.function(&[CONNECTS]);
            spec.setup.address = bench.lease();
            bench.run(&spec).await.unwrap();
            drop(spec);
            let dying = || lab.jail_model.list().iter().any(|(.., dying)| *dying);
            let lent =
                |it: &host::net::PoolAddress| matches!(it.state, AddressState::Leased { .. });
            // In this order: a jail that was dying a moment ago may be gone now.
            while bench.pools.list().iter().any(lent) {
                seen |= dying();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert!(!dying());
            lab.at_rest(&bench, "a jail with a connection").await;
            if seen {
                return;
            }
        }
        panic!("no jail was dying for {:?}", jail_model::DYING);
    });
}

fn no_two_islands_write_one_folder_and_the_next_one_may_at_once() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        let binds = || vec![bind(lab.folder("cache"), "/cache", true)];
        let (long, short) = (lab.tool(binds(), &["sleep=0.3"]), lab.tool(binds(), &["out=x"]));
        let second = async {
            while lab.jail_model.processes().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bench.run(&short).await
        };
        let (first, second) = tokio::join!(bench.run(&long), second);
        assert_eq!(first.unwrap().ending, Ending::Exited(0));
        let error = second.unwrap_err().to_string();
        assert!(error.contains("another island may write") && error.contains("cache"), "{error}");
        // As two tries of one build follow each other.
        for turn in 0..5 {
            let outcome = bench.run(&short).await;
            assert!(outcome.is_ok(), "turn {turn}: {outcome:?}");
        }
        lab.at_rest(&bench, "islands with one folder").await;
        assert!(bench.backend.list().is_empty());
    });
}

fn a_known_program_is_not_copied_again() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        bench.run(&lab.new_function(1, &["out=x"])).await.unwrap();
        lab.at_rest(&bench, "the first call").await;
        let first = lab.host.count();
        bench.run(&lab.new_function(1, &["out=x"])).await.unwrap();
        lab.at_rest(&bench, "the second call").await;
        assert_eq!(lab.log_since(first), [""; 0]);
    });
}
