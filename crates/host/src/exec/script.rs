//! Commands answered from a list.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::exec::command::{Command, Output};
use crate::exec::{ExecError, Executor};

/// Expects exactly the commands that it was told of, in that order, and gives each the answer that goes with it.
///
/// A command that was not expected panics: whoever sent it has changed what a host would be told.
#[derive(Clone, Default)]
pub struct Script {
    steps: Arc<Mutex<VecDeque<(String, Output)>>>,
}

impl Script {
    /// One that expects nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects a command, as [`Command`]'s text, which then ends with this status and these outputs.
    #[must_use]
    pub fn expect(self, command: &str, code: i32, stdout: &str, stderr: &str) -> Self {
        let output = Output { code: Some(code), stdout: stdout.into(), stderr: stderr.into() };
        self.steps.lock().push_back((command.to_owned(), output));
        self
    }

    /// Expects a command that ends well and says nothing.
    #[must_use]
    pub fn quiet(self, command: &str) -> Self {
        self.expect(command, 0, "", "")
    }

    /// The commands that nobody has sent yet.
    pub fn left(&self) -> Vec<String> {
        self.steps.lock().iter().map(|(command, _)| command.clone()).collect()
    }

    /// One that others can share.
    pub fn shared(&self) -> super::Shared {
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
