//! What became of an island.

use std::time::Duration;

use crate::backend::Exit;

/// What became of an island.
#[derive(Debug)]
pub struct Outcome {
    /// How the island ended.
    pub ending: Ending,
    /// What the program wrote to stdout, at most the limit.
    pub stdout: Vec<u8>,
    /// What the program wrote to stderr, at most the limit.
    pub stderr: Vec<u8>,
    /// The time until there was an island, or one was asked for, and the program was sent.
    pub start: Duration,
    /// The time from then to the answer or the end, with the making of an island that was not made
    /// ahead.
    pub run: Duration,
    /// Whether the island was warm before the call.
    pub warm: bool,
}

/// An island's answer, or why the island ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The program exited with this status. 0 also stands for an answer before the program has
    /// exited.
    Exited(i32),
    /// This signal ended the program.
    Signaled(i32),
    /// The island was killed at its deadline.
    Deadline,
    /// The output exceeded its limit.
    Output,
    /// The program needed more memory than its limit.
    Memory,
    /// The files exceeded their limit.
    Disk,
    /// The program called nothing, because it cannot represent its arguments.
    Unrepresentable,
    /// An operator stopped the island.
    Stopped,
}

/// How a process ended that was not killed. A Go program that meets its memory limit prints that
/// and exits with status 2.
pub(crate) fn ending(exit: Exit, stderr: &[u8]) -> Ending {
    // The runtime has a text for each of its tables that found no room: "fatal error: out of memory
    // allocating allArenas".
    const RUNTIME: [&[u8]; 2] = [b"out of memory", b"cannot allocate memory"];
    let has = |line: &[u8], text: &[u8]| line.windows(text.len()).any(|part| part == text);
    let runtime_says_so = || {
        let mut lines = stderr.split(|byte| *byte == b'\n');
        lines.any(|line| {
            let by_runtime = line.starts_with(b"fatal error: ") || line.starts_with(b"runtime: ");
            by_runtime && RUNTIME.iter().any(|text| has(line, text))
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
    fn an_ending_follows_from_the_status_the_signal_or_what_the_runtime_printed() {
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
