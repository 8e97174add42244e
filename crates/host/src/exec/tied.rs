//! Commands that end with this process, however it ends.
//!
//! Invariants: the kernel kills the command, so no code of this process has to run; a command whose
//! parent has ended before the kernel was asked does not start.

use std::io;

use tokio::process::{Child, Command};

/// Starts a command that the kernel kills when this process ends.
pub(super) async fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec, the closure makes system calls alone.
    unsafe { command.pre_exec(move || die_with(parent)) };
    start(command).await
}

/// Asks the kernel to kill this process when its parent ends.
fn die_with(parent: u32) -> io::Result<()> {
    ask()?;
    // SAFETY: takes nothing.
    let found = unsafe { libc::getppid() };
    if u32::try_from(found) == Ok(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

#[cfg(target_os = "linux")]
fn ask() -> io::Result<()> {
    // SAFETY: this option takes a number alone.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(target_os = "freebsd")]
fn ask() -> io::Result<()> {
    let mut signal: libc::c_int = libc::SIGKILL;
    // SAFETY: the argument of this command is a pointer to an int, which lives until the call
    // returns.
    let result = unsafe {
        libc::procctl(libc::P_PID, 0, libc::PROC_PDEATHSIG_CTL, (&raw mut signal).cast())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// FreeBSD sends the signal when the process ends.
#[cfg(not(target_os = "linux"))]
async fn start(mut command: Command) -> io::Result<Child> {
    command.spawn()
}

/// Linux sends the signal when the thread ends that has started the command, and a runtime ends
/// threads as it likes. So one thread, which never ends, starts all such commands.
#[cfg(target_os = "linux")]
async fn start(mut command: Command) -> io::Result<Child> {
    let (runtime, (done, child)) =
        (tokio::runtime::Handle::current(), tokio::sync::oneshot::channel());
    let start = move || {
        let _inside = runtime.enter();
        // Where the caller has gone, the command is killed as it is dropped.
        let _ = done.send(command.spawn());
    };
    // Neither fails as long as the thread is there.
    let gone = || io::Error::other("the thread that starts commands has ended");
    lasting::thread()?.send(Box::new(start)).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
mod lasting {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::mpsc::{Sender, channel};

    /// Work for the thread. At most the commands that callers wait for are queued.
    pub(super) type Work = Box<dyn FnOnce() + Send>;

    /// The thread that lasts as long as this process.
    pub(super) fn thread() -> io::Result<Sender<Work>> {
        static THREAD: OnceLock<Sender<Work>> = OnceLock::new();
        if let Some(thread) = THREAD.get() {
            return Ok(thread.clone());
        }
        let (sender, receiver) = channel::<Work>();
        let run = move || receiver.into_iter().for_each(|work| work());
        std::thread::Builder::new().name("commands".into()).spawn(run)?;
        // A second thread, made at the same time, ends when its sender is dropped here.
        Ok(THREAD.get_or_init(|| sender).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command as Process, Stdio};
    use std::time::{Duration, Instant};

    use crate::exec::{Command, Executor, Host};

    const FILE: &str = "SKY_ISLAND_TIED_COMMAND";
    const PATIENCE: Duration = Duration::from_secs(20);

    fn sh(text: String) -> Command {
        Command::program("sh").args(["-c".to_owned(), text])
    }

    fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a process runs; one that has ended and was not waited for does not.
    fn runs(pid: i32) -> bool {
        if nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err() {
            return false;
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('Z'))
    }

    fn pid_in(file: &Path) -> Option<i32> {
        let text = std::fs::read_to_string(file).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    }

    /// Runs a command that stays, in the process that the test kills. The runtime has gone through
    /// several threads by then.
    fn run_one_that_stays(file: &str) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let command = sh(format!("echo $$ > {file}; exec sleep 300")).tied();
        let run = runtime.spawn(async move { Host.run(&command).await });
        runtime.block_on(run).unwrap().unwrap();
    }

    #[test]
    fn a_tied_command_ends_with_the_process_that_was_killed() {
        if let Ok(file) = std::env::var(FILE) {
            return run_one_that_stays(&file);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let name = "exec::tied::tests::a_tied_command_ends_with_the_process_that_was_killed";
        let mut parent = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let command = eventually("the command runs", || pid_in(&file));
        assert!(runs(command));
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually("the command has ended", || (!runs(command)).then_some(()));
    }

    #[test]
    fn a_tied_command_outlives_the_thread_that_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, go) = (folder.path().join("pid"), folder.path().join("go"));
        let text = format!(
            "echo $$ > {}; until [ -e {} ]; do sleep 0.01; done; echo done",
            file.display(),
            go.display()
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let command = sh(text).tied();
        let mut run = Box::pin(Host.run(&command));
        let first = std::thread::scope(|scope| {
            let begin = || {
                runtime.block_on(async {
                    tokio::select! {
                        output = &mut run => panic!("{output:?}"),
                        () = async { while pid_in(&file).is_none() {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        } } => {}
                    }
                });
            };
            scope.spawn(begin).join()
        });
        first.unwrap();
        // The thread that polled the future first has ended.
        std::fs::write(&go, "").unwrap();
        assert_eq!(runtime.block_on(run).unwrap().stdout, "done\n");
    }
}
