//! rctl(8): limits on a whole jail, by its name, before there is one.
//!
//! What must always hold: rules are added before the jail is made and removed after it is gone, by us, for nobody else
//! does. They count only where `kern.racct.enable` is 1.

use std::time::Duration;

use host::exec::{Command, ExecError, Executor};

use crate::backend::Usage;
use crate::freebsd::plan::IslandPlan;
use crate::id::IslandId;
use crate::spec::Limits;

/// Descriptors that all processes of an island may have open together, for each that one may have.
const SHARED_FILES: u64 = 4;
/// What rctl says of a kernel that does not count resources.
const OFF: &str = "RACCT/RCTL";

/// The rules of one island. `processors` is how many the host has; a function leaves one of them to the server.
///
/// Processor time is bounded as a sum until the deadline, and not as a rate: a process that `pcpu` slows down sleeps in the
/// kernel where not even a kill wakes it.
pub fn rules(id: &IslandId, plan: &IslandPlan, limits: &Limits, processors: u64) -> Vec<String> {
    let mut rules = vec![
        ("maxproc", "deny", limits.processes),
        ("nthr", "deny", limits.processes),
        ("openfiles", "deny", plan.bounds.files * SHARED_FILES),
        // Seen about a second late: the net below the limit of each process's address space.
        ("memoryuse", "sigkill", plan.memory),
    ];
    if plan.function {
        let seconds = limits.deadline.as_secs() + 1;
        rules.push(("cputime", "sigkill", seconds * processors.saturating_sub(1).max(1)));
        // Memory that no process maps is in nobody's address space, but it is reserved like all other.
        rules.push(("swapuse", "deny", plan.bounds.address_space));
    }
    let rule = |(resource, action, amount)| format!("jail:{id}:{resource}:{action}={amount}");
    rules.into_iter().map(rule).collect()
}

/// Adds rules.
pub async fn add(exec: &dyn Executor, rules: &[String]) -> Result<(), ExecError> {
    let command = Command::program("rctl").arg("-a").args(rules);
    exec.run(&command).await?.success(&command).map(|_| ())
}

/// Removes all rules of an island; that there are none is no error.
pub async fn remove(exec: &dyn Executor, id: &IslandId) -> Result<(), ExecError> {
    let command = Command::program("rctl").args(["-r".to_owned(), format!("jail:{id}")]);
    let output = exec.run(&command).await?;
    let nothing = output.stderr.contains("No such process") || output.stderr.contains(OFF);
    if nothing { Ok(()) } else { output.success(&command).map(|_| ()) }
}

/// What a jail's processes use; none where there is nothing to be read.
pub async fn usage(exec: &dyn Executor, id: &IslandId) -> Option<Usage> {
    let command = Command::program("rctl").args(["-u".to_owned(), format!("jail:{id}")]);
    let text = exec.run(&command).await.and_then(|output| output.success(&command)).ok()?;
    let amount = |resource: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(resource)?.strip_prefix('='))?;
        line.trim().parse::<u64>().ok()
    };
    let processor = Duration::from_secs(amount("cputime")?);
    Some(Usage { memory: amount("memoryuse")?, processor })
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
    use crate::freebsd::plan::Root;
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
            root: Root::Tool(Vec::new()),
            mounts: Vec::new(),
            reach: Reach::Nothing,
            bounds,
            memory: 64 << 20,
            function,
            background: false,
        }
    }

    fn limits() -> Limits {
        Limits {
            deadline: Duration::from_secs(5),
            memory: 64 << 20,
            processes: 20,
            output: 0,
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
    }

    #[tokio::test]
    async fn what_a_jail_uses_is_read_from_rctl() {
        let said = "cputime=3\ndatasize=0\nmemoryuse=2326528\nmemorylocked=0\nmaxproc=1\n";
        let asked = "rctl -u jail:si_0123abcd_1";
        let script = Script::new().expect(asked, 0, said, "");
        let used = usage(&script, &id()).await;
        let expected = Usage { memory: 2_326_528, processor: Duration::from_secs(3) };
        assert_eq!(used, Some(expected));
        let off = "rctl: RACCT/RCTL support not present in kernel; see rctl(8) for details\n";
        for (code, said, complaint) in [(1, "", off), (0, "cputime=3\n", ""), (0, "", "")] {
            let script = Script::new().expect(asked, code, said, complaint);
            assert_eq!(usage(&script, &id()).await, None);
        }
    }

    #[tokio::test]
    async fn rules_that_are_not_there_are_removed() {
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
    async fn a_kernel_says_whether_it_counts() {
        for (answer, expected) in [("1\n", true), ("0\n", false)] {
            let script = Script::new().expect("sysctl -n kern.racct.enable", 0, answer, "");
            assert_eq!(enabled(&script).await, expected);
        }
        let unknown = "sysctl: unknown oid 'kern.racct.enable'\n";
        let script = Script::new().expect("sysctl -n kern.racct.enable", 1, "", unknown);
        assert!(!enabled(&script).await);
    }
}
