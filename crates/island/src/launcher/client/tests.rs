//! The client of launchers that do not behave.

use std::os::unix::fs::PermissionsExt;

use nix::sys::socket::{setsockopt, sockopt::SndBuf};

use super::*;
use crate::launcher::stop::END_LOOK;

/// A program that is not a launcher: it reads nothing and says nothing.
fn deaf(folder: &std::path::Path, setup: &impl Serialize) -> LauncherConfig {
    let path = folder.join("deaf");
    std::fs::write(&path, "#!/bin/sh\nexec /bin/sleep 60\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    LauncherConfig::new(path, setup).unwrap()
}

fn client(config: LauncherConfig) -> LauncherClient {
    LauncherClient { config, launching: Mutex::default(), state: Arc::default() }
}

#[test]
fn a_launcher_that_does_not_read_its_setup_does_not_block_the_server() {
    let (sender, done) = std::sync::mpsc::channel();
    // A thread of its own, because a thread that blocks cannot be cancelled.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let client = client(deaf(folder.path(), &"x".repeat(100_000)));
            let (near, far) = wire::pair().unwrap();
            setsockopt(&near, SndBuf, &4096).unwrap();
            let _ready = client.launch((near, far)).unwrap();
            let process = client.state.lock().process.take().unwrap();
            end(process).await;
        });
        sender.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(8)).expect("the launch does not block");
}

/// A program that closes its socket, so that it is no launcher any more, and goes on.
#[cfg(target_os = "linux")]
fn lingering(folder: &std::path::Path) -> LauncherConfig {
    let path = folder.join("lingering");
    std::fs::write(&path, "#!/bin/sh\nexec /bin/sleep 60 <&-\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    LauncherConfig::new(path, &()).unwrap()
}

/// A process that traces another one and never asks for its end. Until the tracer ends, the end of
/// the traced process cannot be waited for.
#[cfg(target_os = "linux")]
struct Tracer(nix::unistd::Pid);

#[cfg(target_os = "linux")]
impl Tracer {
    /// None where this user may not trace a process.
    fn of(traced: u32) -> Option<Self> {
        let (mut reader, writer) = io::pipe().unwrap();
        // SAFETY: the child makes system calls only, of which none allocates or takes a lock.
        let child = match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Parent { child } => Self(child),
            // SAFETY: as above; the child leaves by `_exit`.
            nix::unistd::ForkResult::Child => unsafe {
                let none = std::ptr::null_mut::<libc::c_void>();
                let seized = libc::ptrace(libc::PTRACE_SEIZE, traced as libc::pid_t, none, none);
                let said = [if seized == 0 { b'y' } else { b'n' }];
                libc::write(writer.as_raw_fd(), said.as_ptr().cast(), 1);
                libc::sleep(60);
                libc::_exit(0)
            },
        };
        let mut said = [0];
        std::io::Read::read_exact(&mut reader, &mut said).unwrap();
        (said == *b"y").then_some(child)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.0, nix::sys::signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.0, None);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_launcher_is_replaced_without_a_wait_for_the_end_of_the_former_one() {
    let (sender, done) = std::sync::mpsc::channel();
    // A thread of its own, because a thread that blocks cannot be cancelled.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let client = client(lingering(folder.path()));
            client.launch(wire::pair().unwrap()).unwrap().await.unwrap_err();
            let former = client.state.lock().process.as_ref().unwrap().id();
            let tracer = Tracer::of(former);
            if tracer.is_none() {
                eprintln!("skipped: this user may not trace a process");
            }
            drop(client.prepare(&IslandId::mint(), "", Vec::new(), None).unwrap());
            let present = client.state.lock().process.take().unwrap();
            assert_ne!(present.id(), former);
            sender.send(()).unwrap();
            drop(tracer);
            end(present).await;
        });
    });
    done.recv_timeout(Duration::from_secs(8)).expect("the new launcher does not wait");
}

#[tokio::test]
async fn an_event_of_a_former_launcher_ends_no_waiter_of_the_present_one() {
    let (near, far) = wire::pair().unwrap();
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&near, flags).unwrap();
    // SAFETY: the AsyncFd owns the descriptor, which an OwnedFd keeps open and the same for as long
    // as it lives.
    let socket = Arc::new(unsafe { AsyncFd::register(near) }.unwrap());
    let (sender, mut exit) = oneshot::channel();
    let (asked, mut list) = oneshot::channel();
    let state = Arc::new(Mutex::new(ClientState { generation: 2, ..ClientState::default() }));
    let waiter = Waiter { sender, since: Instant::now(), killed: false, _uid: None };
    state.lock().waiting.insert("si_1".into(), waiter);
    state.lock().asked.push_back(asked);
    let failed = Event::Failed { id: "si_1".into(), error: "an old story".into() };
    wire::send(far.as_raw_fd(), &Event::Listed { islands: Vec::new() }, &[]).unwrap();
    wire::send(far.as_raw_fd(), &failed, &[]).unwrap();
    drop(far);
    read_events(socket, state.clone(), 1, oneshot::channel().0).await;
    assert!(matches!(exit.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    assert!(matches!(list.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    assert_eq!(state.lock().waiting.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_reads_no_requests_is_killed_and_its_waiters_hear_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let client = client(deaf(folder.path(), &()));
    let (near, far) = wire::pair().unwrap();
    setsockopt(&near, SndBuf, &4096).unwrap();
    let _ready = client.launch((near, far)).unwrap();
    let pid = client.state.lock().process.as_ref().unwrap().id();
    let exit = client.prepare(&IslandId::mint(), "x".repeat(100_000), Vec::new(), None).unwrap();
    let heard = timeout(SEND_WAIT + END_WAIT, exit).await.expect("the wait has a limit").unwrap();
    assert_eq!(heard.unwrap_err(), "the launcher has ended");
    let is_gone = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
    let until = Instant::now() + END_WAIT;
    while !is_gone() && Instant::now() < until {
        sleep(END_LOOK).await;
    }
    assert!(cfg!(not(target_os = "linux")) || is_gone());
}
