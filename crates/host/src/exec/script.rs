//! The executor of tests: answers commands from a list.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::exec::command::Command;
use crate::exec::error::ExecError;
use crate::exec::executor::Executor;
use crate::exec::output::Output;

/// Expects exactly the given commands, in their order, and returns the output that belongs to each.
///
/// An unexpected command panics: the code under test would send something else to the host.
#[derive(Clone, Default)]
pub struct Script {
    steps: Arc<Mutex<VecDeque<(String, Output)>>>,
}

impl Script {
    /// A script that expects no command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects a command, as [`Command`]'s text, which then ends with this status and these
    /// outputs.
    #[must_use]
    pub fn expect(self, command: &str, code: i32, stdout: &str, stderr: &str) -> Self {
        let output = Output { code: Some(code), stdout: stdout.into(), stderr: stderr.into() };
        self.steps.lock().push_back((command.to_owned(), output));
        self
    }

    /// Expects a command that succeeds and prints nothing.
    #[must_use]
    pub fn quiet(self, command: &str) -> Self {
        self.expect(command, 0, "", "")
    }

    /// The commands that were not sent yet.
    pub fn left(&self) -> Vec<String> {
        self.steps.lock().iter().map(|(command, _)| command.clone()).collect()
    }

    /// A shared handle to the same script.
    pub fn shared(&self) -> crate::exec::executor::Shared {
        Arc::new(self.clone())
    }
}

impl Executor for Script {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        Box::pin(async move {
            let next = self.steps.lock().pop_front();
            match next {
                Some((expected, output)) if expected == command.to_string() => Ok(output),
                Some((expected, _)) => panic!("expected `{expected}`, was sent `{command}`"),
                None => panic!("expected nothing more, was sent `{command}`"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_gives_the_answers_that_belong_to_its_commands() {
        let script = Script::new().quiet("zfs create a").expect("zfs list", 1, "", "no");
        let shared = script.shared();
        assert_eq!(
            shared.run(&Command::program("zfs").args(["create", "a"])).await.unwrap().code,
            Some(0)
        );
        assert_eq!(script.left(), ["zfs list"]);
        assert_eq!(shared.run(&Command::program("zfs").arg("list")).await.unwrap().stderr, "no");
    }

    #[tokio::test]
    #[should_panic(expected = "was sent `rm`")]
    async fn a_command_that_was_not_expected_is_a_failure() {
        let _ = Script::new().quiet("ls").run(&Command::program("rm")).await;
    }
}
