//! An island that has started, until its end is known: input, bounded output, deadline and answer.
//!
//! Invariants: a wait that is dropped kills the island; an answer may come before the end, and the
//! island is watched until then.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tokio::time::{sleep_until, timeout};

use crate::backend::{Backend, BoxFuture, Exit, StartError, Started, Stdio};
use crate::id::IslandId;
use crate::observer::{KillReason, Observer};
use crate::registry::table::{Registry, RegistryEntry};
use crate::run::channel::{CallChannel, Reply};
use crate::run::metrics::IslandMetrics;
use crate::run::outcome::{Ending, Outcome, ending};
use crate::run::output::{OutputReader, TooMuch};
use crate::spec::{Resources, Spec};

/// How long the system may take to confirm the end of an island that was killed.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How long the output of a program with a call channel is not read; meanwhile a pipe holds 64 KiB.
const READ_WAIT: Duration = Duration::from_millis(2);
/// How long a program may take to exit after its answer.
const END_WAIT: Duration = Duration::from_millis(100);
/// How often the folder of a tool is measured.
const DISK_INTERVAL: Duration = Duration::from_millis(250);

/// An island that has started.
pub(crate) struct Running {
    backend: Arc<dyn Backend>,
    entry: Arc<RegistryEntry>,
    /// None once the island has ended.
    exit: Option<BoxFuture<'static, Result<Exit, StartError>>>,
    stdout: OutputReader,
    stderr: OutputReader,
    channel: Option<Arc<CallChannel>>,
    metrics: IslandMetrics,
}

/// The result of serving a call.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ending: Result<Ending, StartError>,
    /// The program has read its arguments. Before that it cannot have called anything.
    pub(crate) begun: bool,
}

/// Why the wait for an island that serves is over.
enum StopCause {
    Ended(Result<Exit, StartError>),
    Reply(Reply),
    Limit(Ending),
}

impl Running {
    /// Starts an island.
    pub(crate) async fn start(
        backend: &Arc<dyn Backend>,
        registry: &Arc<Registry>,
        observer: &Arc<dyn Observer>,
        spec: &Spec,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let pipe = || OutputReader::pipe(spec.bounds.output).map_err(StartError::Descriptors);
        let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe()?, pipe()?);
        let stdin = input(&spec.stdin).map_err(StartError::Descriptors)?;
        let channel = spec.arguments.as_ref().map(|_| CallChannel::new()).transpose();
        let (channel, arguments) = channel.map_err(StartError::Descriptors)?.unzip();
        let stdio = Stdio { stdin, stdout: stdout_end, stderr: stderr_end, arguments };
        let Started { id, exit } = backend.start(spec, stdio).await?;
        let entry = Arc::new(registry.enter(id, spec));
        let (exit, channel) = (Some(exit), channel.map(Arc::new));
        let metrics = IslandMetrics::begin(observer.clone(), spec, began.elapsed());
        let backend = backend.clone();
        Ok(Self { backend, entry, exit, stdout, stderr, channel, metrics })
    }

    /// Gives the program its arguments and waits for an answer, the end or a limit. After an answer
    /// the program may still run; after anything else it has ended.
    pub(crate) async fn serve(&mut self, spec: &Spec) -> Served {
        self.entry.serves(&spec.label);
        // A warm island was started before its call was known.
        self.stdout.set_limit(spec.bounds.output);
        self.stderr.set_limit(spec.bounds.output);
        let stop = self.first(spec).await;
        let stopped = matches!(stop, StopCause::Ended(_)) && self.entry.is_stopped();
        // The reply and the end can come at the same moment.
        let (last, begun) = match (&stop, &self.channel) {
            (StopCause::Ended(_), Some(channel)) => channel.last(),
            _ => (None, true),
        };
        let told = match stop {
            _ if last == Some(Reply::Unrepresentable) => Ok(Ending::Unrepresentable),
            StopCause::Reply(Reply::Unrepresentable) => Ok(Ending::Unrepresentable),
            StopCause::Reply(_) => Ok(Ending::Exited(0)),
            StopCause::Limit(cause) => self.kill(why(cause), Instant::now()).await.map(|()| cause),
            StopCause::Ended(exit) => exit.map(|exit| {
                // Everything that was written is in the pipes by now.
                self.drain();
                ending(exit, self.stderr.bytes())
            }),
        };
        self.drain();
        let mut ending = told;
        if self.stdout.is_too_much() || self.stderr.is_too_much() {
            ending = ending.map(|_| Ending::Output);
        }
        // The files may have exceeded their limit between two measurements.
        if is_over_disk(&spec.setup.resources).await {
            ending = ending.map(|_| Ending::Disk);
        }
        // An answer counts, whether the island was stopped after it or not.
        if stopped && !matches!(ending, Ok(Ending::Exited(0))) {
            ending = Ok(Ending::Stopped);
        }
        Served { ending, begun }
    }

    async fn first(&mut self, spec: &Spec) -> StopCause {
        let deadline = Instant::now() + spec.bounds.deadline;
        let Self { exit, stdout, stderr, channel, .. } = self;
        let Some(end) = exit else {
            return StopCause::Ended(Err(StartError::Refused(
                "the island has ended already".into(),
            )));
        };
        let answered = async {
            match (&*channel, &spec.arguments) {
                (Some(channel), Some(arguments)) => channel.call(arguments).await,
                _ => std::future::pending().await,
            }
        };
        let written = async {
            if channel.is_some() {
                // Most programs answer sooner, and their output is read then.
                tokio::time::sleep(READ_WAIT).await;
            }
            match tokio::try_join!(stdout.read(), stderr.read()) {
                // A program may close its output and go on.
                Ok(_) => std::future::pending().await,
                Err(TooMuch) => Ending::Output,
            }
        };
        let stop = tokio::select! {
            reply = answered => StopCause::Reply(reply),
            exit = &mut *end => StopCause::Ended(exit),
            limit = written => StopCause::Limit(limit),
            () = sleep_until(deadline.into()) => StopCause::Limit(Ending::Deadline),
            () = over_disk(&spec.setup.resources) => StopCause::Limit(Ending::Disk),
        };
        if matches!(stop, StopCause::Ended(_)) {
            self.ended(None);
        }
        stop
    }

    /// Whether the island has not ended, without waiting.
    pub(crate) fn is_alive(&mut self) -> bool {
        let Some(exit) = &mut self.exit else { return false };
        let mut context = Context::from_waker(Waker::noop());
        let ended = exit.as_mut().poll(&mut context).is_ready();
        if ended {
            self.ended(None);
        }
        !ended
    }

    /// The call channel.
    pub(crate) fn channel(&self) -> Option<Arc<CallChannel>> {
        self.channel.clone()
    }

    /// The entry in the registry.
    pub(crate) fn entry(&self) -> Weak<RegistryEntry> {
        Arc::downgrade(&self.entry)
    }

    /// Whether the program is ready and was not called.
    pub(crate) fn is_warm(&self) -> bool {
        self.entry.is_warm()
    }

    /// Whether an operator has stopped the island.
    pub(crate) fn is_stopped(&self) -> bool {
        self.entry.is_stopped()
    }

    /// The island's name.
    pub(crate) fn id(&self) -> &IslandId {
        self.entry.id()
    }

    fn drain(&mut self) {
        self.stdout.drain();
        self.stderr.drain();
    }

    /// The outcome, with the output.
    pub(crate) fn outcome(&mut self, ending: Ending, start: Duration, run: Duration) -> Outcome {
        self.entry.ends();
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        Outcome { ending, stdout, stderr, start, run, warm: false }
    }

    /// Waits until nothing inside runs any more, and kills what does not end soon.
    pub(crate) async fn end(mut self) -> Result<(), StartError> {
        let answered = Instant::now();
        if let Some(exit) = &mut self.exit
            && timeout(END_WAIT, exit).await.is_ok()
        {
            self.ended(Some(answered.elapsed()));
        }
        self.kill(KillReason::Late, answered).await
    }

    /// The island has ended, this long after its answer or the kill.
    fn ended(&mut self, teardown: Option<Duration>) {
        self.exit = None;
        if self.entry.is_stopped() {
            self.metrics.killed(KillReason::Operator);
        }
        self.metrics.gone(teardown);
    }

    async fn kill(&mut self, why: KillReason, since: Instant) -> Result<(), StartError> {
        let Some(exit) = &mut self.exit else { return Ok(()) };
        self.metrics.killed(why);
        self.backend.kill(self.entry.id());
        match timeout(KILL_WAIT, exit).await {
            Ok(exit) => {
                self.ended(Some(since.elapsed()));
                exit.map(|_| ())
            }
            Err(_) => Err(StartError::Refused(format!(
                "{} still runs {} s after a kill",
                self.entry.id(),
                KILL_WAIT.as_secs()
            ))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.is_some() {
            self.backend.kill(self.entry.id());
        }
    }
}

/// The reason to kill an island that has met a limit.
fn why(limit: Ending) -> KillReason {
    match limit {
        Ending::Deadline => KillReason::Deadline,
        Ending::Output => KillReason::Output,
        _ => KillReason::Disk,
    }
}

/// Waits until the files of the island exceed their limit.
async fn over_disk(resources: &Resources) {
    if resources.disk.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(DISK_INTERVAL).await;
        if is_over_disk(resources).await {
            return;
        }
    }
}

/// Whether the files of the island exceed their limit. Files that cannot be measured do.
async fn is_over_disk(resources: &Resources) -> bool {
    let Some(disk) = resources.disk.clone() else { return false };
    let measure = move || {
        let sizes = disk.folders.iter().map(|folder| common::disk::usage(folder, u64::MAX));
        sizes.fold(0, u64::saturating_add) > disk.bytes
    };
    tokio::task::spawn_blocking(measure).await.unwrap_or(true)
}

fn input(bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.is_empty() {
        return Ok(std::fs::File::open("/dev/null")?.into());
    }
    // A file in memory holds any length at once, where a pipe would need a writer.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = std::fs::File::from(memfd_create("stdin", flags)?);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    // The program could use it for memory that it is not to have.
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
    Ok(file.into())
}
