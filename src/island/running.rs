//! An island that has started, until its end is known: its input, its bounded output, its deadline, its answer.
//!
//! A program in the function form has one descriptor more, the *link*, on which it is called and says how far it is:
//!
//! ```text
//! program                           server
//!   r   (its packages have started)
//!                    ◀── length (4 bytes, little-endian), arguments
//!   d   (called, and its results are printed)   or   x   (nothing was called: arguments that it cannot represent)
//! ```
//!
//! What must always hold: a wait that is dropped kills the island; what a program says on the link is believed for its own
//! call alone, for a function can say it too; an answer may be given before the end, but the island is watched until then.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::{sleep_until, timeout};

use super::backend::{Backend, BoxFuture, Exit, StartError, Started, Stdio};
use super::output::{Collected, TooMuch};
use super::run::{Ending, Outcome, ending};
use super::{IslandId, Limits, Spec, wire};

/// How long the system may take to confirm the end of an island that was killed.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How long a program that has answered may take to end by itself.
const END_WAIT: Duration = Duration::from_millis(100);
/// How often the folder of a tool is measured.
const DISK_INTERVAL: Duration = Duration::from_millis(250);

/// An island that has started.
pub(super) struct Running {
    backend: Arc<dyn Backend>,
    id: IslandId,
    /// None once the end was seen.
    exit: Option<BoxFuture<'static, Result<Exit, StartError>>>,
    stdout: Collected,
    stderr: Collected,
    link: Option<UnixStream>,
}

/// What serving a call came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) ending: Ending,
    /// The program took its arguments up; before that it cannot have called anything.
    pub(super) begun: bool,
}

/// What there is to know first about an island that serves.
enum Stop {
    Ended(Result<Exit, StartError>),
    Word(Word),
    Limit(Ending),
}

/// What a program says on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Ready,
    Done,
    Unrepresentable,
}

impl Word {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'r' => Some(Self::Ready),
            b'd' => Some(Self::Done),
            b'x' => Some(Self::Unrepresentable),
            _ => None,
        }
    }
}

impl Running {
    /// Starts an island.
    pub(super) async fn start(backend: Arc<dyn Backend>, spec: &Spec) -> Result<Self, StartError> {
        let (stdout, stdout_end) = pipe_pair().map_err(StartError::Descriptors)?;
        let (stderr, stderr_end) = pipe_pair().map_err(StartError::Descriptors)?;
        let stdin = input(&spec.stdin).map_err(StartError::Descriptors)?;
        let (link, arguments) = match spec.arguments {
            Some(_) => link().map(|(near, far)| (Some(near), Some(far))),
            None => Ok((None, None)),
        }
        .map_err(StartError::Descriptors)?;
        let stdio = Stdio { stdin, stdout: stdout_end, stderr: stderr_end, arguments };
        let Started { id, exit } = backend.start(spec, stdio).await?;
        let limit = spec.limits.output;
        let [stdout, stderr] = [stdout, stderr].map(|pipe| Collected::new(pipe, limit));
        Ok(Self { backend, id, exit: Some(exit), stdout, stderr, link })
    }

    /// Gives the program its arguments and waits for its answer, its end or a limit. After an answer the program may
    /// still run; after anything else it has ended.
    pub(super) async fn serve(&mut self, spec: &Spec) -> Result<Served, StartError> {
        let (mut stop, mut begun) = (self.first(spec).await?, true);
        if let Stop::Ended(_) = &stop {
            // The word and the end can come in one moment.
            let mut last = None;
            begun = self.link.as_ref().is_none_or(|link| rest_of(link, &mut last));
            if last == Some(Word::Unrepresentable) {
                stop = Stop::Word(Word::Unrepresentable);
            }
        }
        let mut told = match stop {
            Stop::Word(Word::Unrepresentable) => Ending::Unrepresentable,
            Stop::Word(_) => Ending::Exited(0),
            Stop::Ended(exit) => {
                let exit = exit?;
                // Whatever was written is in the pipes by now.
                self.drain();
                ending(exit, self.stderr.bytes())
            }
            Stop::Limit(cause) => {
                self.kill().await?;
                cause
            }
        };
        self.drain();
        if self.stdout.is_too_much() || self.stderr.is_too_much() {
            told = Ending::Output;
        }
        // Between two measurings there is room for a quick one.
        if is_over_disk(&spec.limits).await {
            told = Ending::Disk;
        }
        Ok(Served { ending: told, begun })
    }

    async fn first(&mut self, spec: &Spec) -> Result<Stop, StartError> {
        let limits = &spec.limits;
        let deadline = Instant::now() + limits.deadline;
        let arguments = spec.arguments.as_deref().unwrap_or_default();
        let Self { exit, stdout, stderr, link, .. } = self;
        let Some(end) = exit else { return Err(StartError::Refused("it has ended".into())) };
        let reading = async {
            match tokio::try_join!(stdout.read(), stderr.read()) {
                // Programs may close their output and go on.
                Ok(_) => std::future::pending().await,
                Err(TooMuch) => Ending::Output,
            }
        };
        let stop = tokio::select! {
            exit = &mut *end => Stop::Ended(exit),
            word = talk(link.as_ref(), arguments) => Stop::Word(word),
            limit = reading => Stop::Limit(limit),
            () = sleep_until(deadline.into()) => Stop::Limit(Ending::Deadline),
            () = over_disk(limits) => Stop::Limit(Ending::Disk),
        };
        if matches!(stop, Stop::Ended(_)) {
            *exit = None;
        }
        Ok(stop)
    }

    fn drain(&mut self) {
        self.stdout.drain();
        self.stderr.drain();
    }

    /// What became of it, with what it has written.
    pub(super) fn outcome(&mut self, ending: Ending, start: Duration, run: Duration) -> Outcome {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        Outcome { ending, stdout, stderr, start, run }
    }

    /// Waits until nothing inside runs any more, and sees to it.
    pub(super) async fn end(mut self) -> Result<(), StartError> {
        if let Some(exit) = &mut self.exit
            && timeout(END_WAIT, exit).await.is_ok()
        {
            self.exit = None;
        }
        self.kill().await
    }

    async fn kill(&mut self) -> Result<(), StartError> {
        let Some(exit) = &mut self.exit else { return Ok(()) };
        self.backend.kill(&self.id);
        match timeout(KILL_WAIT, exit).await {
            Ok(exit) => {
                self.exit = None;
                exit.map(|_| ())
            }
            Err(_) => {
                Err(StartError::Refused(format!("{} did not end when it was killed", self.id)))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.is_some() {
            self.backend.kill(&self.id);
        }
    }
}

/// Sends the arguments and waits for the word that nothing follows. Whoever closes the link is waited for no more: the
/// program's end tells the rest.
async fn talk(link: Option<&UnixStream>, arguments: &[u8]) -> Word {
    let Some(link) = link else { return std::future::pending().await };
    let message = [&(arguments.len() as u32).to_le_bytes(), arguments].concat();
    if send(link, &message).await.is_err() {
        return std::future::pending().await;
    }
    loop {
        let mut bytes = [0; 16];
        let receive = || Ok(nix::sys::socket::recv(link.as_raw_fd(), &mut bytes, NOW)?);
        match link.async_io(Interest::READABLE, receive).await {
            Ok(0) | Err(_) => return std::future::pending().await,
            Ok(length) => {
                let mut words = bytes[..length].iter().filter_map(|byte| Word::of(*byte));
                if let Some(word) = words.find(|word| *word != Word::Ready) {
                    return word;
                }
            }
        }
    }
}

/// A link is written and read without blocking, and without a signal when its far end is gone.
const NOW: nix::sys::socket::MsgFlags =
    nix::sys::socket::MsgFlags::MSG_DONTWAIT.union(nix::sys::socket::MsgFlags::MSG_NOSIGNAL);

/// Nearly always the socket takes all of it at once, without a look at whether it would.
async fn send(link: &UnixStream, mut message: &[u8]) -> io::Result<()> {
    while !message.is_empty() {
        match nix::sys::socket::send(link.as_raw_fd(), message, NOW) {
            Ok(length) => message = &message[length..],
            Err(nix::Error::EAGAIN) => {
                let send = || Ok(nix::sys::socket::send(link.as_raw_fd(), message, NOW)?);
                let length = link.async_io(Interest::WRITABLE, send).await?;
                message = &message[length..];
            }
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What an ended program has said last, and whether it had taken its arguments up: the system resets a link whose far
/// end goes away with something unread.
fn rest_of(link: &UnixStream, last: &mut Option<Word>) -> bool {
    let mut bytes = [0; 64];
    let mut begun = true;
    loop {
        match nix::sys::socket::recv(link.as_raw_fd(), &mut bytes, NOW) {
            Ok(0) => return begun,
            Ok(length) => {
                *last = bytes[..length].iter().filter_map(|byte| Word::of(*byte)).last().or(*last);
            }
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::ECONNRESET | nix::Error::EPIPE) if begun => begun = false,
            Err(_) => return begun,
        }
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

/// Both ends of a link; the far one blocks.
fn link() -> io::Result<(UnixStream, OwnedFd)> {
    let (near, far) = wire::pair()?;
    let near = std::os::unix::net::UnixStream::from(near);
    near.set_nonblocking(true)?;
    Ok((UnixStream::from_std(near)?, far))
}
