//! One island from its start to its end: input, bounded output, deadline, and what became of it.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{sleep_until, timeout};

use super::backend::{Backend, Exit, StartError, Started, Stdio};
use super::{IslandId, Limits, Spec};

/// How long the system may take to confirm the end of an island that was killed.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often the folder of a tool is measured.
const DISK_INTERVAL: Duration = Duration::from_millis(250);
/// A pipe is read in pieces of this many bytes.
const PIECE: usize = 64 * 1024;

/// The islands of this host.
#[derive(Clone)]
pub struct Islands {
    backend: Arc<dyn Backend>,
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
    /// The time until an island had been found and the program sent to it.
    pub start: Duration,
    /// The time from then to the end, the making of an island that was not made ahead included.
    pub run: Duration,
}

/// Why an island ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its program ended by itself, with this status.
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
}

impl Islands {
    /// Islands made by `backend`.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// What makes them.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Runs one island to its end. Dropping the future kills it.
    pub async fn run(&self, spec: &Spec) -> Result<Outcome, StartError> {
        let begin = Instant::now();
        let (stdout, stdout_end) = pipe_pair().map_err(StartError::Descriptors)?;
        let (stderr, stderr_end) = pipe_pair().map_err(StartError::Descriptors)?;
        let stdin = input(&spec.stdin).map_err(StartError::Descriptors)?;
        let stdio = Stdio { stdin, stdout: stdout_end, stderr: stderr_end };
        let Started { id, exit } = self.backend.start(spec, stdio).await?;
        let guard = Guard { backend: &*self.backend, id, armed: true };
        let started = Instant::now();
        let watched = guard.watch(spec, exit, stdout, stderr).await?;
        Ok(Outcome {
            ending: watched.ending,
            stdout: watched.stdout,
            stderr: watched.stderr,
            start: started - begin,
            run: started.elapsed(),
        })
    }
}

struct Watched {
    ending: Ending,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Owns a running island: it is killed unless its end was seen.
struct Guard<'a> {
    backend: &'a dyn Backend,
    id: IslandId,
    armed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.backend.kill(&self.id);
        }
    }
}

impl Guard<'_> {
    async fn watch(
        mut self,
        spec: &Spec,
        mut exit: super::backend::BoxFuture<'static, Result<Exit, StartError>>,
        stdout: pipe::Receiver,
        stderr: pipe::Receiver,
    ) -> Result<Watched, StartError> {
        let limits = &spec.limits;
        let (mut out, mut err) = (Collected::default(), Collected::default());
        // Output that is complete is complete because every writer has ended, so the end follows at once.
        let reading = async {
            tokio::try_join!(out.read(stdout, limits.output), err.read(stderr, limits.output))
        };
        // A program that closed its output and goes on meets the same limits as before.
        let ended = async {
            match reading.await {
                Ok(_) => Ok((&mut exit).await),
                Err(TooMuch) => Err(Ending::Output),
            }
        };
        let watched = tokio::select! {
            ended = ended => ended,
            () = sleep_until((Instant::now() + limits.deadline).into()) => Err(Ending::Deadline),
            () = over_disk(limits) => Err(Ending::Disk),
        };
        let (mut cause, exit) = match watched {
            Ok(exit) => (None, exit?),
            Err(cause) => (Some(cause), self.kill(exit).await?),
        };
        self.armed = false;
        // Between two measurings there is room for a quick one.
        if cause.is_none() && is_over_disk(limits).await {
            cause = Some(Ending::Disk);
        }
        let ending = cause.unwrap_or_else(|| ending(exit, &err.bytes));
        Ok(Watched { ending, stdout: out.bytes, stderr: err.bytes })
    }

    async fn kill(
        &self,
        exit: super::backend::BoxFuture<'static, Result<Exit, StartError>>,
    ) -> Result<Exit, StartError> {
        self.backend.kill(&self.id);
        match timeout(KILL_WAIT, exit).await {
            Ok(exit) => exit,
            Err(_) => {
                Err(StartError::Refused(format!("{} did not end when it was killed", self.id)))
            }
        }
    }
}

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
}

/// There was more output than the limit.
struct TooMuch;

impl Collected {
    async fn read(&mut self, pipe: pipe::Receiver, limit: u64) -> Result<(), TooMuch> {
        let mut pipe = pipe.take(limit + 1);
        loop {
            if self.bytes.capacity() - self.bytes.len() < PIECE / 16 {
                self.bytes.reserve(PIECE / 16);
            }
            match pipe.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if self.bytes.len() as u64 > limit {
            self.bytes.truncate(limit as usize);
            return Err(TooMuch);
        }
        Ok(())
    }
}

/// How a process that nobody killed ended. A Go program that meets its memory limit says so and exits with status 2.
fn ending(exit: Exit, stderr: &[u8]) -> Ending {
    // It has a text for each of its own tables that found no room: "fatal error: out of memory allocating allArenas".
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

/// Resolves once the island has left too much in its folder.
async fn over_disk(limits: &Limits) {
    if limits.disk.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(DISK_INTERVAL).await;
        if is_over_disk(limits).await {
            return;
        }
    }
}

/// Whether more lies in the island's folder than may. What cannot be looked at is more.
async fn is_over_disk(limits: &Limits) -> bool {
    let Some(disk) = limits.disk.clone() else { return false };
    let measure = move || {
        let sizes = disk.folders.iter().map(|folder| crate::disk::usage(folder, u64::MAX));
        sizes.fold(0, u64::saturating_add) > disk.bytes
    };
    tokio::task::spawn_blocking(measure).await.unwrap_or(true)
}

fn pipe_pair() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

fn input(bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.is_empty() {
        return Ok(std::fs::File::open("/dev/null")?.into());
    }
    // A file in memory holds any length at once, where a pipe would need somebody to go on writing.
    let file = nix::sys::memfd::memfd_create("stdin", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
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
