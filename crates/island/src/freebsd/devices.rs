//! devfs(8): a ruleset of our own, by which an island's /dev has four devices.

use host::exec::{Command, Executor};

use crate::backend::StartError;

/// The number of the ruleset. It is ours alone: one that has other rules is not touched.
pub const RULESET: u16 = 3281;
/// The rules, in order.
const RULES: [&str; 5] =
    ["hide", "path null unhide", "path zero unhide", "path random unhide", "path urandom unhide"];

/// Sees to it that the ruleset is what it should be.
pub async fn prepare(exec: &dyn Executor) -> Result<(), StartError> {
    let found = run(exec, &devfs().arg("show")).await?;
    let found: Vec<&str> = found.lines().filter_map(rule).collect();
    if found == RULES {
        return Ok(());
    }
    if let Some(foreign) = found.iter().find(|rule| !RULES.contains(rule)) {
        return Err(StartError::Refused(format!(
            "devfs ruleset {RULESET} has the rule {foreign:?}, which is not ours; \
             take that rule out of devfs.rules or give its ruleset another number"
        )));
    }
    if !found.is_empty() {
        run(exec, &devfs().arg("delset")).await?;
    }
    for rule in RULES {
        run(exec, &devfs().arg("add").args(rule.split(' '))).await?;
    }
    Ok(())
}

fn devfs() -> Command {
    Command::program("devfs").args(["rule", "-s", &RULESET.to_string()])
}

/// `200 path null unhide` without its number.
fn rule(line: &str) -> Option<&str> {
    line.trim().split_once(' ').map(|(_, rule)| rule.trim())
}

async fn run(exec: &dyn Executor, command: &Command) -> Result<String, StartError> {
    let output = exec.run(command).await.and_then(|output| output.success(command));
    output.map_err(|error| StartError::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    const SHOW: &str = "devfs rule -s 3281 show";
    /// As FreeBSD 15 shows it.
    const OURS: &str = "100 hide\n200 path null unhide\n300 path zero unhide\n400 path random unhide\n500 path urandom unhide\n";

    fn adding(script: Script) -> Script {
        RULES
            .iter()
            .fold(script, |script, rule| script.quiet(&format!("devfs rule -s 3281 add {rule}")))
    }

    #[tokio::test]
    async fn rules_are_made_once() {
        let script = adding(Script::new().quiet(SHOW)).expect(SHOW, 0, OURS, "");
        prepare(&script).await.unwrap();
        prepare(&script).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn rules_that_a_crash_left_half_made_are_made_anew() {
        let half = "100 hide\n200 path null unhide\n";
        let script = Script::new().expect(SHOW, 0, half, "").quiet("devfs rule -s 3281 delset");
        let script = adding(script);
        prepare(&script).await.unwrap();
        assert!(script.left().is_empty());
    }

    #[tokio::test]
    async fn rules_of_somebody_else_are_left_alone() {
        let script = Script::new().expect(SHOW, 0, "100 path bpf* unhide\n", "");
        let error = prepare(&script).await.unwrap_err().to_string();
        assert!(error.contains("bpf") && error.contains("3281"), "{error}");
        assert!(script.left().is_empty());
    }
}
