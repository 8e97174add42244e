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
