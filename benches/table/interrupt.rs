//! What happens when the bench is told to end: its servers end, its folder goes, and then it does.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

/// The servers that run, none of which has been waited for.
static SERVERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// The longest that they may take to end.
const END_WAIT: Duration = Duration::from_secs(40);
const END_POLL: Duration = Duration::from_millis(20);
/// The status of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// Remembers a server.
pub(crate) fn remember(pid: u32) {
    servers().push(pid);
}

/// Forgets one that has ended.
pub(crate) fn forget(pid: u32) {
    servers().retain(|other| *other != pid);
}

/// From now on an interrupted bench leaves nothing of `folder`.
pub(crate) fn watch(folder: PathBuf) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| format!("no signals can be caught: {e}"))?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = caught else { return };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            end_servers();
            // What other programs still write is met again.
            for _ in 0..3 {
                if std::fs::remove_dir_all(&folder).is_ok() {
                    break;
                }
            }
            std::process::exit(INTERRUPTED);
        });
    });
    Ok(())
}

fn end_servers() {
    let began = Instant::now();
    let pids: Vec<Pid> =
        servers().iter().filter_map(|pid| i32::try_from(*pid).ok()).map(Pid::from_raw).collect();
    let running =
        |pid: &Pid| matches!(waitpid(*pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive));
    let left: Vec<Pid> = pids.into_iter().filter(running).collect();
    for pid in &left {
        let _ = kill(*pid, Signal::SIGTERM);
    }
    while began.elapsed() < END_WAIT && left.iter().any(running) {
        std::thread::sleep(END_POLL);
    }
}

fn servers() -> std::sync::MutexGuard<'static, Vec<u32>> {
    SERVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
