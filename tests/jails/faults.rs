//! Every command of an island goes wrong once, in every way: the call fails, nothing is left, and
//! the next call works.

use island::Spec;
use libtest_mimic::Trial;

use crate::host::{FAULTS, Fault};
use crate::lab::{Bench, Lab, bind, runtime};
use crate::launcher::CONNECTS;
use crate::trials;

/// More commands than any island takes.
const MOST: usize = 60;

pub fn trials() -> Vec<Trial> {
    trials![
        any_command_of_a_new_functions_first_call_may_go_wrong,
        any_command_of_a_known_functions_call_may_go_wrong,
        any_command_of_a_tool_may_go_wrong,
        any_two_commands_in_a_row_may_go_wrong,
        a_mount_that_comes_after_its_deadline_is_unmounted,
        a_teardown_that_fails_is_tried_until_it_is_done,
    ]
}

/// The fewest commands that an island takes here: those for the address of a known function.
const FEWEST: usize = 3;

/// Whether a command belongs to the making of an island, and not to its teardown.
fn makes(command: &str) -> bool {
    let parts = ["zfs clone", "zfs snapshot", "zfs set", "mount -t", "rctl -a"];
    parts.iter().any(|part| command.starts_with(part)) || command.ends_with(" alias")
}

/// Has `in_a_row` commands of a call go wrong, beginning with each one.
async fn each_command(
    lab: &Lab,
    bench: &Bench,
    fault: Fault,
    in_a_row: usize,
    make: impl Fn(usize) -> Spec,
) {
    for number in 0..MOST {
        let first = lab.host.count();
        (number..number + in_a_row).for_each(|number| lab.host.fault(number, fault));
        let spec = make(number);
        let result = bench.run(&spec).await;
        drop(spec);
        let what = format!("{fault:?} at {number}");
        lab.at_rest(bench, &what).await;
        let log = lab.log_since(first);
        lab.host.forget_faults();
        if log.len() <= number {
            assert!(result.is_ok() && number >= FEWEST, "{what}: {result:?} after {log:?}");
            return;
        }
        let hits: Vec<_> = log.iter().skip(number).take(in_a_row).collect();
        let what = format!("{what}, {hits:?}");
        let vital = hits.into_iter().find(|command| makes(command));
        match (result, vital) {
            (Ok(_), None) => {}
            // The message names the cause.
            (Err(error), Some(vital)) => {
                assert!(error.to_string().contains(vital), "{what}: {error}")
            }
            (result, _) => panic!("{what}: {result:?} after {log:#?}"),
        }
        lab.next_works(bench, &what).await;
    }
    panic!("a call takes more than {MOST} commands");
}

fn any_command_of_a_new_functions_first_call_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for (index, fault) in FAULTS.into_iter().enumerate() {
            let make = |number: usize| {
                let mut spec = lab.new_function(index * MOST + number, &["out=x"]);
                spec.setup.address = bench.lease();
                spec
            };
            each_command(&lab, &bench, fault, 1, make).await;
        }
    });
}

fn any_command_of_a_known_functions_call_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.next_works(&bench, "the start").await;
        for fault in FAULTS {
            let make = |_| {
                let mut spec = lab.function(&[CONNECTS, "out=x"]);
                spec.setup.address = bench.lease();
                spec
            };
            each_command(&lab, &bench, fault, 1, make).await;
        }
    });
}

fn a_tool(lab: &Lab) -> Spec {
    let binds = vec![
        bind(lab.folder("src"), "/src", false),
        bind(lab.folder("out"), "/out", true),
        bind(lab.folder("tmp"), "/tmp", true),
    ];
    lab.tool(binds, &["out=x"])
}

fn any_command_of_a_tool_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for fault in FAULTS {
            each_command(&lab, &bench, fault, 1, |_| a_tool(&lab)).await;
        }
    });
}

fn any_two_commands_in_a_row_may_go_wrong() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        for fault in FAULTS {
            each_command(&lab, &bench, fault, 2, |_| a_tool(&lab)).await;
            let make = |number: usize| {
                let mut spec = lab.new_function(fault as usize * MOST + number, &["out=x"]);
                spec.setup.address = bench.lease();
                spec
            };
            each_command(&lab, &bench, fault, 2, make).await;
        }
    });
}

fn a_mount_that_comes_after_its_deadline_is_unmounted() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.next_works(&bench, "the start").await;
        let tool = || lab.tool(vec![bind(lab.folder("src"), "/src", false)], &["out=x"]);
        // The first two commands make the root, and the next two mount.
        for (mount, unmounts) in [(2, 1), (3, 2)] {
            let first = lab.host.count();
            lab.host.fault(mount, Fault::ComesLate);
            // The root stays until the mount is there: the teardown looks for mounts after each
            // failure.
            let destroy = mount + unmounts + 1;
            (0..6).for_each(|turn| lab.host.fault(destroy + 2 * turn, Fault::Fails));
            assert!(bench.run(&tool()).await.is_err());
            lab.at_rest(&bench, &format!("a late command {mount}")).await;
            let log = lab.log_since(first);
            assert!(log[mount].starts_with("mount -t"), "{log:?}");
            assert!(log[destroy].starts_with("zfs destroy"), "{log:?}");
            let count = log.iter().filter(|command| command.starts_with("umount")).count();
            assert!(count > unmounts, "it came too early or not at all: {log:?}");
            lab.host.forget_faults();
        }
    });
}

fn a_teardown_that_fails_is_tried_until_it_is_done() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = lab.start().await;
        lab.next_works(&bench, "the start").await;
        let making = {
            let first = lab.host.count();
            bench.run(&a_tool(&lab)).await.unwrap();
            lab.at_rest(&bench, "an undisturbed call").await;
            lab.log_since(first).iter().filter(|command| makes(command)).count()
        };
        // Beginning with the first command of the teardown, eight fail one after the other.
        (making..making + 8).for_each(|number| lab.host.fault(number, Fault::Fails));
        bench.run(&a_tool(&lab)).await.unwrap();
        lab.at_rest(&bench, "eight failures").await;
        lab.next_works(&bench, "eight failures").await;
    });
}
