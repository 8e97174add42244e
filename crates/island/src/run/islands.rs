//! The islands of this host, and what becomes of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Exit, StartError};
use crate::observer::Observer;
use crate::registry::table::Registry;
use crate::run::instance::Running;
use crate::spec::Spec;

/// The islands of this host.
#[derive(Clone)]
pub struct Islands {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) registry: Arc<Registry>,
    observer: Arc<dyn Observer>,
}

/// What became of an island.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What the program wrote to stdout, at most the limit.
    pub stdout: Vec<u8>,
    /// What the program wrote to stderr, at most the limit.
    pub stderr: Vec<u8>,
    /// The time until an island had been found or asked for, and its program sent.
    pub start: Duration,
    /// The time from then to its answer or its end, the making of an island that was not made ahead included.
    pub run: Duration,
    /// Whether the island had stood by for the call.
    pub warm: bool,
}

/// What came of an island: its answer, or why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its program ended by itself, with this status; 0 as well where it has answered and its end is still to come.
    Exited(i32),
    /// Its program ended by this signal.
    Signaled(i32),
    /// It was killed at its deadline.
    Deadline,
    /// It wrote more than it may.
    Output,
    /// It needed more memory than it may use.
    Memory,
    /// It left more in its folder than it may.
    Disk,
    /// It called nothing, for its arguments are none that it can represent.
    Unrepresentable,
    /// An operator has stopped it.
    Stopped,
}

impl Islands {
    /// Islands made by `backend`.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, registry: Arc::default(), observer: Arc::new(()) }
    }

    /// Has them counted.
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// What counts them.
    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// What makes them.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Starts an island.
    pub(crate) async fn start(&self, spec: &Spec) -> Result<Running, StartError> {
        Running::start(self, spec).await
    }

    /// Runs one island to its end. Dropping the future kills it.
    pub async fn run(&self, spec: &Spec) -> Result<Outcome, StartError> {
        let began = Instant::now();
        let mut running = self.start(spec).await?;
        let started = Instant::now();
        let ending = running.serve(spec).await.ending?;
        let outcome = running.outcome(ending, started - began, started.elapsed());
        running.end().await?;
        Ok(outcome)
    }
}

/// How a process that nobody killed ended. A Go program that meets its memory limit says so and exits with status 2.
pub(crate) fn ending(exit: Exit, stderr: &[u8]) -> Ending {
    // It has a text for each of its own tables that found no room: "fatal error: out of memory allocating allArenas".
    const RUNTIME: [&[u8]; 2] = [b"out of memory", b"cannot allocate memory"];
    let has = |channel: &[u8], text: &[u8]| channel.windows(text.len()).any(|part| part == text);
    let runtime_says_so = || {
        let mut lines = stderr.split(|byte| *byte == b'\n');
        lines.any(|channel| {
            let by_runtime =
                channel.starts_with(b"fatal error: ") || channel.starts_with(b"runtime: ");
            by_runtime && RUNTIME.iter().any(|text| has(channel, text))
        })
    };
    match exit {
        Exit { oom: true, .. } => Ending::Memory,
        Exit { code: Some(2), .. } if runtime_says_so() => Ending::Memory,
        Exit { code: Some(code), .. } => Ending::Exited(code),
        Exit { signal, .. } => Ending::Signaled(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_status_its_signal_or_what_the_runtime_said() {
        let exit = |code, signal, oom| Exit { code, signal, oom };
        let oom = b"fatal error: runtime: out of memory\n";
        let table: [(Exit, &[u8], Ending); 9] = [
            (exit(Some(0), None, false), b"", Ending::Exited(0)),
            (exit(Some(3), None, false), b"bye", Ending::Exited(3)),
            (exit(Some(2), None, false), b"panic: boom", Ending::Exited(2)),
            (exit(Some(2), None, false), oom, Ending::Memory),
            (
                exit(Some(2), None, false),
                b"x\nfatal error: out of memory allocating heap arena metadata\n",
                Ending::Memory,
            ),
            (exit(Some(2), None, false), b"panic: out of memory", Ending::Exited(2)),
            (exit(Some(1), None, false), oom, Ending::Exited(1)),
            (exit(None, Some(9), true), b"", Ending::Memory),
            (exit(None, Some(11), false), b"", Ending::Signaled(11)),
        ];
        for (exit, stderr, expected) in table {
            assert_eq!(ending(exit, stderr), expected);
        }
    }
}
