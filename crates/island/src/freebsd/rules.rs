//! rctl(8): the limits of a whole jail, by its name. The launcher sets the same rules for
//! functions.
//!
//! Invariants: the rules are added before the jail is made, and removed after it is gone, because
//! the kernel keeps the rules of a jail that is gone. They work only where `kern.racct.enable` is
//! 1.

use host::exec::{Command, ExecError, Executor};

use crate::freebsd::plan::IslandPlan;
use crate::id::IslandId;
use crate::spec::Resources;

/// How many times the descriptors of one process all processes of an island may have open together.
const SHARED_FILES: u64 = 4;
/// A part of rctl(8)'s message where the kernel does not count resources.
const OFF: &str = "RACCT/RCTL";

/// The rules of one island. `processors` is how many the host has; a function leaves one of them to
/// the server.
///
/// Processor time is bounded as a sum until the deadline, and not as a rate: a process that `pcpu`
/// slows down sleeps in the kernel where not even a kill wakes it.
pub fn rules(id: &IslandId, plan: &IslandPlan, limits: &Resources, processors: u64) -> Vec<String> {
    let mut rules = vec![
        ("maxproc", "deny", limits.processes),
        ("nthr", "deny", limits.processes),
        ("openfiles", "deny", plan.bounds.files * SHARED_FILES),
        // The kernel acts about a second late: a second bound, below each process's address space.
        ("memoryuse", "sigkill", plan.memory),
        // All users of the host share them, and RLIMIT_NPTS cannot say none. System V queues,
        // semaphores and memory need no rules: the jail has none of these calls.
        ("pseudoterminals", "deny", 0),
    ];
    if plan.function {
        if let Some(time) = limits.processor_time {
            let seconds = time.as_secs() + 1;
            rules.push(("cputime", "sigkill", seconds * processors.saturating_sub(1).max(1)));
        }
        // Memory that no process maps is in no address space, but it is reserved like all other.
        rules.push(("swapuse", "deny", plan.bounds.address_space));
    }
    let subject = subject(id);
    let rule = |(resource, action, amount)| format!("{subject}:{resource}:{action}={amount}");
    rules.into_iter().map(rule).collect()
}

/// What the rules of an island limit: its jail.
pub fn subject(id: &IslandId) -> String {
    format!("jail:{id}")
}

/// Adds rules.
pub async fn add(exec: &dyn Executor, rules: &[String]) -> Result<(), ExecError> {
    let command = Command::program("rctl").arg("-a").args(rules);
    exec.run(&command).await?.success(&command).map(|_| ())
}

/// Removes all rules of an island. An island without rules is no error.
pub async fn remove(exec: &dyn Executor, id: &IslandId) -> Result<(), ExecError> {
    let command = Command::program("rctl").args(["-r".to_owned(), subject(id)]);
    let output = exec.run(&command).await?;
    let nothing = output.stderr.contains("No such process") || output.stderr.contains(OFF);
    if nothing { Ok(()) } else { output.success(&command).map(|_| ()) }
}

/// Whether this kernel counts resources.
pub async fn enabled(exec: &dyn Executor) -> bool {
    let command = Command::program("sysctl").args(["-n", "kern.racct.enable"]);
    let output = exec.run(&command).await.and_then(|output| output.success(&command));
    output.is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freebsd::params::Reach;
    use crate::freebsd::plan::RootPlan;
    use crate::freebsd::protocol::ProcessBounds;
    use host::exec::Script;
    use std::time::Duration;

    fn id() -> IslandId {
        IslandId::parse("si_0123abcd_1").unwrap()
    }

    fn plan(function: bool) -> IslandPlan {
        let bounds =
            ProcessBounds { address_space: 1 << 30, processes: None, files: 64, file_size: 1 };
        IslandPlan {
            root: RootPlan::Tool(Vec::new()),
            mounts: Vec::new(),
            reach: Reach::Nothing,
            bounds,
            memory: 64 << 20,
            function,
            background: false,
        }
    }

    fn limits() -> Resources {
        Resources {
            memory: 64 << 20,
            processes: 20,
            processor_time: Some(Duration::from_secs(5)),
            tmp: 0,
            disk: None,
        }
    }

    #[tokio::test]
    async fn a_functions_rules_go_on_in_one_command_and_off_in_one() {
        let script = Script::new()
            .quiet(
                "rctl -a jail:si_0123abcd_1:maxproc:deny=20 jail:si_0123abcd_1:nthr:deny=20 \
                 jail:si_0123abcd_1:openfiles:deny=256 jail:si_0123abcd_1:memoryuse:sigkill=67108864 \
                 jail:si_0123abcd_1:pseudoterminals:deny=0 \
                 jail:si_0123abcd_1:cputime:sigkill=6 jail:si_0123abcd_1:swapuse:deny=1073741824",
            )
            .quiet("rctl -r jail:si_0123abcd_1");
        add(&script, &rules(&id(), &plan(true), &limits(), 2)).await.unwrap();
        remove(&script, &id()).await.unwrap();
        let of_one_processor = rules(&id(), &plan(true), &limits(), 1);
        assert!(of_one_processor.contains(&"jail:si_0123abcd_1:cputime:sigkill=6".into()));
    }

    #[test]
    fn a_tool_may_use_all_processors_and_reserve_what_its_processes_want() {
        let rules = rules(&id(), &plan(false), &limits(), 8);
        assert!(!rules.iter().any(|rule| rule.contains("cputime") || rule.contains("swapuse")));
        assert!(rules.iter().any(|rule| rule.ends_with(":pseudoterminals:deny=0")), "{rules:?}");
    }

    #[tokio::test]
    async fn removing_missing_rules_succeeds() {
        let missing = "rctl: failed to remove rule 'jail:si_0123abcd_1': No such process\n";
        let off =
            "rctl: RACCT/RCTL present, but disabled; enable using kern.racct.enable=1 tunable\n";
        let refused = "rctl: failed to remove rule 'jail:si_0123abcd_1': Operation not permitted\n";
        for (said, good) in [(missing, true), (off, true), (refused, false)] {
            let script = Script::new().expect("rctl -r jail:si_0123abcd_1", 1, "", said);
            assert_eq!(remove(&script, &id()).await.is_ok(), good, "{said}");
        }
    }

    #[tokio::test]
    async fn a_kernel_tells_whether_it_counts() {
        for (answer, expected) in [("1\n", true), ("0\n", false)] {
            let script = Script::new().expect("sysctl -n kern.racct.enable", 0, answer, "");
            assert_eq!(enabled(&script).await, expected);
        }
        let unknown = "sysctl: unknown oid 'kern.racct.enable'\n";
        let script = Script::new().expect("sysctl -n kern.racct.enable", 1, "", unknown);
        assert!(!enabled(&script).await);
    }
}
