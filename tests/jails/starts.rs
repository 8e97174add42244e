//! What the backend needs from a host, and starts that fail.

use island::freebsd::FreeBsd;
use island::{Backend, Ending, StartError};
use libtest_mimic::Trial;

use crate::host::FAULTS;
use crate::lab::{Lab, runtime};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        a_host_that_does_not_count_is_refused_where_limits_are_required,
        a_host_that_does_not_count_makes_islands_without_rules,
        an_ordinary_user_makes_no_jails,
        a_host_that_was_not_prepared_is_refused_with_what_to_do,
        functions_have_network_stacks_of_their_own_where_that_is_asked_for,
        foreign_rules_of_devices_are_refused,
        a_launcher_that_does_not_start_is_an_error,
        any_command_of_a_start_may_go_wrong,
    ]
}

/// Why a start is refused.
fn refused(lab: &Lab, change: impl FnOnce(&mut island::Options)) -> String {
    let mut options = lab.options();
    change(&mut options);
    let error = runtime().block_on(lab.try_start(options)).err().expect("a refusal");
    lab.is_at_rest("a start that was refused");
    error.to_string()
}

fn a_host_that_does_not_count_is_refused_where_limits_are_required() {
    let lab = Lab::new();
    lab.host.system(|system| system.racct = false);
    let why = refused(&lab, |options| options.jails.as_mut().unwrap().require_limits = true);
    assert!(why.contains("kern.racct.enable=1"), "{why}");
}

fn a_host_that_does_not_count_makes_islands_without_rules() {
    let lab = Lab::new();
    lab.host.system(|system| system.racct = false);
    runtime().block_on(async {
        let bench = lab.start().await;
        let findings = bench.backend.findings();
        assert!(findings.iter().any(|it| it.name == "memory limit" && it.remedy.is_some()));
        lab.next_works(&bench, "a host that does not count").await;
        assert!(!lab.host.log().iter().any(|command| command.starts_with("rctl")));
    });
}

fn an_ordinary_user_makes_no_jails() {
    let lab = Lab::new();
    runtime().block_on(async {
        let mut environment = lab.environment();
        environment.root = false;
        let error = FreeBsd::start_on(lab.options(), environment).await.err().expect("a refusal");
        assert!(matches!(error, StartError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("run sky-island as root"), "{error}");
    });
}

fn a_host_that_was_not_prepared_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let gone = lab.host.system(|system| system.pool.snapshots.remove("zroot/jails/build@p1"));
    let why = refused(&lab, |_| {});
    assert!(why.contains("zroot/jails/build@p1") && why.contains("sky-island init"), "{why}");
    let put = |system: &mut crate::host::System| {
        system.pool.snapshots.insert("zroot/jails/build@p1".into(), gone.unwrap())
    };
    lab.host.system(put);
    let gone = lab.host.system(|system| {
        system.pool.imported = false;
        std::mem::take(&mut system.pool.snapshots)
    });
    let why = refused(&lab, |_| {});
    assert!(why.contains("zpool import zroot") && !why.contains("sky-island init"), "{why}");
    lab.host.system(|system| (system.pool.imported, system.pool.snapshots) = (true, gone));
    let why = refused(&lab, |options| options.jails = None);
    assert!(why.contains("filesystem.zfs_dataset"), "{why}");
}

fn functions_have_network_stacks_of_their_own_where_that_is_asked_for() {
    for asked in [false, true] {
        let lab = Lab::new();
        runtime().block_on(async {
            let mut options = lab.options();
            options.jails.as_mut().unwrap().vnet = asked;
            let bench = lab.try_start(options).await.unwrap();
            let open = bench.backend.findings().into_iter().find(|it| it.name == "network view");
            assert_eq!(open.unwrap().remedy.is_some(), !asked);
            let mut leased = lab.function(&["out=x"]);
            leased.setup.address = bench.lease();
            let specs = [
                (lab.function(&["out=x"]), asked),
                (leased, false),
                (lab.tool(Vec::new(), &["out=x"]), false),
            ];
            for (spec, expected) in specs {
                assert_eq!(bench.run(&spec).await.unwrap().ending, Ending::Exited(0));
                let (_, jail) = lab.jail_model.noted().pop().unwrap();
                assert_eq!(jail.vnet, expected, "{asked} {jail:?}");
            }
            lab.at_rest(&bench, "network stacks").await;
        });
    }
}

fn foreign_rules_of_devices_are_refused() {
    let lab = Lab::new();
    lab.host.system(|system| {
        let rule = ["devfs", "rule", "-s", "3281", "add", "path", "bpf*", "unhide"];
        system.run(&rule);
    });
    let why = refused(&lab, |_| {});
    assert!(why.contains("bpf"), "{why}");
}

fn a_launcher_that_does_not_start_is_an_error() {
    let lab = Lab::new();
    let why = refused(&lab, |options| options.launcher = "/bin/false".into());
    assert!(why.contains("launcher"), "{why}");
    let why = refused(&lab, |options| options.launcher = "/no/such".into());
    assert!(why.contains("launcher"), "{why}");
}

fn any_command_of_a_start_may_go_wrong() {
    let lab = Lab::new();
    for fault in FAULTS {
        for number in 0.. {
            let first = lab.host.count();
            lab.host.fault(number, fault);
            let taken = runtime().block_on(async {
                let started = lab.try_start(lab.options()).await;
                let taken = lab.host.count() - first;
                lab.host.forget_faults();
                if let Ok(bench) = started {
                    lab.next_works(&bench, &format!("{fault:?} at {number} of a start")).await;
                    bench.backend.close().await;
                }
                taken
            });
            lab.is_at_rest(&format!("{fault:?} at {number}"));
            // As after a reboot of the host, so that each command is needed again.
            lab.host.system(|system| system.forget_devices());
            if taken <= number {
                assert!(number > 15, "a start takes only {taken} commands");
                break;
            }
            runtime().block_on(async {
                let bench = lab.start().await;
                lab.next_works(&bench, "the start after it").await;
                bench.backend.close().await;
                lab.host.system(|system| system.forget_devices());
            });
        }
    }
}
