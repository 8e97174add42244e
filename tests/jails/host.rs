//! A FreeBSD host that is a folder and answers commands, each of which can go wrong.
//!
//! Invariants: a command whose future is dropped before it took effect takes effect a moment later.
//! On a real host the process is killed, and sometimes too late.

#[path = "pool.rs"]
mod pool;
#[path = "system.rs"]
mod system;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host::exec::{Command, ExecError, Executor, Output};
use parking_lot::Mutex;
use tokio::sync::watch;

pub use pool::Pool;
pub use system::{MEMORY, System};

/// After how long a command whose future was dropped takes effect.
const LATE: Duration = Duration::from_millis(4);
/// When a command that comes late takes effect at the latest.
const LATEST: Duration = Duration::from_secs(5);

pub fn good(stdout: &str) -> Output {
    Output { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

pub fn bad(code: i32, stderr: &str) -> Output {
    Output { code: Some(code), stdout: String::new(), stderr: format!("{stderr}\n") }
}

/// What goes wrong with one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing.
    Fails,
    /// It does its work, and fails.
    FailsAfterwards,
    /// It does not end within its deadline, and has done nothing.
    Hangs,
    /// It does its work, and does not end within its deadline.
    HangsAfterwards,
    /// It does not end within its deadline, cannot be killed, and takes effect after the teardown
    /// has tried to destroy a dataset.
    ComesLate,
    /// It stops there for good, and has done nothing.
    Stops,
    /// It does its work, and stops there for good.
    StopsAfterwards,
}

pub const FAULTS: [Fault; 4] =
    [Fault::Fails, Fault::FailsAfterwards, Fault::Hangs, Fault::HangsAfterwards];

/// The model.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    system: Mutex<System>,
    state: Mutex<State>,
    /// How many commands have begun.
    begun: watch::Sender<usize>,
    /// A command has stopped for good.
    stopped: watch::Sender<bool>,
    /// Commands whose wait is dropped do their work nevertheless.
    late: AtomicBool,
}

#[derive(Default)]
struct State {
    log: Vec<String>,
    /// The numbers of commands, counted from the first one ever, and what becomes of them.
    faults: Vec<(usize, Fault)>,
    /// Of so many commands, one fails; with the state of the dice.
    dice: Option<(u64, u64)>,
    /// How long each command takes.
    pace: Duration,
}

impl Host {
    pub fn new(system: System) -> Self {
        let inner = Inner {
            system: Mutex::new(system),
            state: Mutex::default(),
            begun: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
            late: AtomicBool::new(true),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn system<T>(&self, look: impl FnOnce(&mut System) -> T) -> T {
        look(&mut self.inner.system.lock())
    }

    /// The commands so far.
    pub fn log(&self) -> Vec<String> {
        self.inner.state.lock().log.clone()
    }

    /// How many commands there have been.
    pub fn count(&self) -> usize {
        self.inner.state.lock().log.len()
    }

    /// Has the command with this number, counted from now, go wrong.
    pub fn fault(&self, number: usize, fault: Fault) {
        let mut state = self.inner.state.lock();
        let number = state.log.len() + number;
        state.faults.push((number, fault));
    }

    /// Has one of `of` commands fail, by these dice; none any more where `of` is 0.
    pub fn roll(&self, of: u64, seed: u64) {
        self.inner.state.lock().dice = (of > 0).then_some((of, seed | 1));
    }

    /// Has nothing go wrong any more.
    pub fn forget_faults(&self) {
        self.inner.state.lock().faults.clear();
        self.inner.stopped.send_replace(false);
    }

    /// Resolves when a command has stopped for good.
    pub async fn stopped(&self) {
        let _ = self.inner.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Has each command take so long before it works.
    pub fn slow(&self, pace: Duration) {
        self.inner.state.lock().pace = pace;
    }

    /// Resolves when so many commands, counted from the first one ever, have begun.
    pub async fn begun(&self, number: usize) {
        let _ = self.inner.begun.subscribe().wait_for(|begun| *begun >= number).await;
    }

    /// Whether what a dropped wait leaves is done nevertheless.
    pub fn let_late_work_be_done(&self, late: bool) {
        self.inner.late.store(late, Ordering::Relaxed);
    }
}

impl Inner {
    fn begin(&self, command: &Command) -> Option<Fault> {
        let mut state = self.state.lock();
        let number = state.log.len();
        state.log.push(command.to_string());
        self.begun.send_replace(number + 1);
        if let Some(at) = state.faults.iter().position(|(other, _)| *other == number) {
            return Some(state.faults.remove(at).1);
        }
        let (of, dice) = state.dice.as_mut()?;
        // xorshift, so that a seed always rolls the same.
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        (*dice % *of == 0).then(|| FAULTS[(*dice / *of % 4) as usize])
    }

    async fn stop(&self) -> ! {
        self.stopped.send_replace(true);
        std::future::pending().await
    }

    fn work(&self, words: &[String]) -> Output {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.system.lock().run(&words)
    }
}

/// A command that has not worked yet.
struct Unworked {
    inner: Arc<Inner>,
    words: Option<Vec<String>>,
}

impl Unworked {
    fn work(&mut self) -> Option<Output> {
        self.words.take().map(|words| self.inner.work(&words))
    }

    fn work_after_a_destroy(&mut self) {
        let (inner, words) = (self.inner.clone(), self.words.take().unwrap_or_default());
        let first = inner.state.lock().log.len();
        std::thread::spawn(move || {
            let destroys =
                || inner.state.lock().log[first..].iter().any(|it| it.starts_with("zfs destroy"));
            let until = Instant::now() + LATEST;
            while !destroys() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            inner.work(&words);
        });
    }
}

impl Drop for Unworked {
    fn drop(&mut self) {
        let (inner, words) = (self.inner.clone(), self.words.take());
        if let Some(words) = words
            && inner.late.load(Ordering::Relaxed)
        {
            std::thread::spawn(move || {
                std::thread::sleep(LATE);
                inner.work(&words);
            });
        }
    }
}

impl Executor for Host {
    fn run<'a>(
        &'a self,
        command: &'a Command,
    ) -> Pin<Box<dyn Future<Output = Result<Output, ExecError>> + Send + 'a>> {
        Box::pin(async move {
            let words = command.vector();
            let words: Vec<String> =
                words.iter().map(|word| word.to_str().unwrap().to_owned()).collect();
            let refusal = refusal(&words);
            let fault = self.inner.begin(command);
            let mut unworked = Unworked { inner: self.inner.clone(), words: Some(words) };
            let pace = self.inner.state.lock().pace;
            match pace {
                Duration::ZERO => tokio::task::yield_now().await,
                pace => tokio::time::sleep(pace).await,
            }
            let overdue = || ExecError::Deadline {
                command: command.to_string(),
                deadline: Duration::from_secs(60),
            };
            match fault {
                None => {}
                Some(Fault::Fails) => {
                    unworked.words = None;
                    return Ok(refusal);
                }
                Some(Fault::Hangs) => {
                    unworked.words = None;
                    return Err(overdue());
                }
                Some(Fault::ComesLate) => {
                    unworked.work_after_a_destroy();
                    return Err(overdue());
                }
                Some(Fault::Stops) => {
                    unworked.words = None;
                    self.inner.stop().await;
                }
                Some(_) => {}
            }
            let output = unworked.work();
            tokio::task::yield_now().await;
            match fault {
                Some(Fault::FailsAfterwards) => Ok(refusal),
                Some(Fault::HangsAfterwards) => Err(overdue()),
                Some(Fault::StopsAfterwards) => self.inner.stop().await,
                _ => Ok(output.unwrap_or_default()),
            }
        })
    }
}

/// How a command fails when the host is out of something.
fn refusal(words: &[String]) -> Output {
    let last = words.last().map_or("", String::as_str);
    let said = match words[0].as_str() {
        "zfs" if words[1] == "destroy" => format!("cannot destroy '{last}': dataset is busy"),
        "zfs" => format!("cannot {} '{last}': out of space", words[1]),
        "mount" => format!("mount: {last}: Operation not permitted"),
        "umount" => format!("umount: unmount of {last} failed: Device busy"),
        "rctl" => format!("rctl: failed to change rule '{last}': Cannot allocate memory"),
        "ifconfig" => "ifconfig: ioctl (SIOCAIFADDR): Device not configured".to_owned(),
        "jail" => "jail: jail_remove: Operation not permitted".to_owned(),
        program => format!("{program}: Cannot allocate memory"),
    };
    bad(1, &said)
}
