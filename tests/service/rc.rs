//! What each command of the rc.d script would run.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

use super::host::{Host, Left, shells};

const SH: &[&str] = &["sh"];
/// The longest that a process may take to write something down.
const WAIT: Duration = Duration::from_secs(30);

/// How a start calls daemon(8): the supervisor's options, then the server with its own words.
fn supervised(host: &Host, user: &[&str], serve: &[&str]) -> String {
    let place = |name: &str| host.path(name).to_str().unwrap().to_owned();
    let (pid, log) = (place("run/sky_island.pid"), place("log/sky_island.log"));
    let child = place("run/sky_island.server.pid");
    let server = place("prefix/bin/sky-island");
    let options = [
        "-c",
        "-f",
        "-H",
        "-r",
        "-R",
        "5",
        "-P",
        &pid,
        "-p",
        &child,
        "-o",
        &log,
        "-t",
        "sky_island",
    ];
    format!("daemon <{}>", [&options[..], user, &[&server, "serve"], serve].concat().join("> <"))
}

/// The calls but those of limits(1), which every start goes through.
fn calls(left: &Left) -> Vec<&str> {
    left.calls.iter().map(String::as_str).filter(|call| !call.starts_with("limits ")).collect()
}

/// A process that looks like a supervisor to rc.subr and writes down the signals it gets.
struct Supervisor {
    process: Pid,
    /// Reaps it, for a process that is not waited for is still there for kill(2).
    ended: Option<JoinHandle<()>>,
    signals: PathBuf,
}

impl Supervisor {
    fn start(host: &Host) -> Self {
        // What setproctitle(3) makes of daemon's -t.
        Self::like(host, "daemon:", "run/sky_island.pid", "signals", "")
    }

    /// The server that it supervises, which takes a while to end.
    fn server(host: &Host) -> Self {
        let name = format!("{}/bin/sky-island", host.prefix());
        Self::like(host, &name, "run/sky_island.server.pid", "server-signals", "sleep 0.5;")
    }

    fn like(host: &Host, name: &str, pid_file: &str, signals: &str, end: &str) -> Self {
        let signals = host.path(signals);
        let text = format!(
            "trap 'echo HUP >>\"$0\"' HUP; trap 'echo USR2 >>\"$0\"' USR2; \
            trap '{end} echo TERM >>\"$0\"; exit' TERM; \
            echo up >>\"$0\"; while sleep 0.02; do :; done"
        );
        let mut shell = Command::new("sh");
        shell.arg0(name).arg("-c").arg(text).arg(&signals).stdin(Stdio::null());
        // A shell traps nothing that was ignored when it began, as HUP is below nohup(1).
        // SAFETY: what runs between fork and exec is one sigaction(2).
        let mut child = unsafe { shell.pre_exec(heed_hangups) }.spawn().unwrap();
        let process = Pid::from_raw(child.id().cast_signed());
        fs::write(host.path(pid_file), child.id().to_string()).unwrap();
        let ended = Some(thread::spawn(move || drop(child.wait())));
        let supervisor = Self { process, ended, signals };
        supervisor.got("up\n");
        supervisor
    }

    /// Waits until these signals have been written down, and fails if they never are.
    fn got(&self, expected: &str) {
        let begin = Instant::now();
        loop {
            let signals = fs::read_to_string(&self.signals).unwrap_or_default();
            if signals == expected {
                return;
            }
            assert!(begin.elapsed() < WAIT, "{signals:?} instead of {expected:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

fn heed_hangups() -> std::io::Result<()> {
    // SAFETY: restoring a default disposition installs no handler.
    unsafe { signal(Signal::SIGHUP, SigHandler::SigDfl) }?;
    Ok(())
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = kill(self.process, Signal::SIGKILL);
        }
        if let Some(ended) = self.ended.take() {
            let _ = ended.join();
        }
    }
}

#[test]
fn a_start_checks_the_host_and_has_daemon_run_the_server() {
    let host = Host::new();
    let config = host.config();
    let check = format!("sky-island <check> <--quiet> <-c> <{config}>");
    let daemon = supervised(&host, &[], &["-c", &config]);
    for shell in shells() {
        let left = host.service(shell, "start");
        assert_eq!(calls(&left), [&check, &daemon], "{shell:?}: {left:?}");
        assert_eq!((left.status, left.stdout.as_str()), (Some(0), "Starting sky_island.\n"));
        assert_eq!(left.stderr, "");
    }
}

#[test]
fn each_variable_reaches_what_it_is_for() {
    let host = Host::new();
    let config = host.config();
    let other = host.path("etc with a blank/si.json").to_str().unwrap().to_owned();
    fs::create_dir(host.path("etc with a blank")).unwrap();
    fs::write(&other, "{}").unwrap();
    let as_nobody = format!(
        "su <-m> <nobody> <-c> <'{}/bin/sky-island' check --quiet -c '{config}'>",
        host.prefix()
    );
    let check = |config: &str| format!("sky-island <check> <--quiet> <-c> <{config}>");
    let serve = |user: &[&str], words: &[&str]| supervised(&host, user, words);
    let debug = " RUST_LOG=debug";
    let table: [(&[String], &[String]); 6] = [
        (&[format!("sky_island_config='{other}'")], &[check(&other), serve(&[], &["-c", &other])]),
        (
            &["sky_island_flags='--one \"a b\"'".into()],
            &[check(&config), serve(&[], &["-c", &config, "--one", "a b"])],
        ),
        (
            &["sky_island_env='RUST_LOG=debug GOPROXY=direct'".into()],
            &[check(&config) + debug, serve(&[], &["-c", &config]) + debug],
        ),
        (
            &["sky_island_user=nobody".into()],
            &[as_nobody, check(&config), serve(&["-u", "nobody"], &["-c", &config])],
        ),
        (
            // One of rc.subr's own, which has a further shell read the line.
            &["sky_island_nice=0".into(), format!("sky_island_config='{other}'")],
            &[check(&other), serve(&[], &["-c", &other])],
        ),
        (
            &["sky_island_env='RUST_LOG=debug'".into(), "sky_island_user=root".into()],
            &[check(&config) + debug, serve(&[], &["-c", &config]) + debug],
        ),
    ];
    for shell in shells() {
        for (variables, expected) in table {
            host.set(&variables.iter().map(String::as_str).collect::<Vec<_>>());
            let left = host.service(shell, "start");
            let calls: Vec<_> =
                calls(&left).into_iter().filter(|call| !call.starts_with("nice ")).collect();
            assert_eq!(calls, expected, "{shell:?}, {variables:?}: {left:?}");
            assert_eq!(left.status, Some(0), "{left:?}");
        }
    }
}

#[test]
fn a_failing_check_stops_a_start_and_says_why() {
    let host = Host::new();
    host.complain("BAD  toolchain: there is no Go\n");
    let left = host.service(SH, "start");
    assert_eq!(left.status, Some(1));
    assert_eq!(left.stdout, "BAD  toolchain: there is no Go\n");
    assert!(left.stderr.contains("failed precmd routine for sky_island"), "{left:?}");
    assert_eq!(calls(&left).len(), 1, "{left:?}");
    // A forced start is not stopped.
    let left = host.service(SH, "forcestart");
    assert_eq!((left.status, calls(&left).len()), (Some(0), 2), "{left:?}");
}

#[test]
fn a_configuration_that_is_not_there_is_named_and_nothing_is_run() {
    let host = Host::new();
    fs::remove_file(host.config()).unwrap();
    let left = host.service(SH, "start");
    assert_eq!((left.status, left.calls.len()), (Some(1), 0), "{left:?}");
    assert!(left.stderr.contains(&format!("{} is not readable", host.config())), "{left:?}");
}

#[test]
fn what_a_shell_would_read_otherwise_is_refused_but_never_keeps_a_server_from_being_stopped() {
    let host = Host::new();
    let table = [
        ("sky_island_config='/etc/$(reboot).json'", "dollars"),
        ("sky_island_config=\"/etc/it's.json\"", "quotes"),
        ("sky_island_config=config.json", "an absolute path"),
        ("sky_island_user='nobody -c reboot'", "no name of a user"),
    ];
    for (variable, says) in table {
        host.set(&[variable]);
        for command in ["check", "sweep", "forcestart"] {
            let left = host.service(SH, command);
            assert_eq!((left.status, left.calls.len()), (Some(2), 0), "{variable}: {left:?}");
            assert!(left.stderr.contains(says), "{variable}: {left:?}");
        }
        let supervisor = Supervisor::start(&host);
        assert_eq!(host.service(SH, "stop").status, Some(0), "{variable}");
        assert!(supervisor.has_ended());
        fs::remove_file(&supervisor.signals).unwrap();
    }
}

#[test]
fn a_service_that_is_not_enabled_is_not_started() {
    let host = Host::new();
    for line in ["sky_island_enable=NO", "unset sky_island_enable"] {
        host.set(&[line]);
        for command in ["start", "check", "sweep", "reload", "handover"] {
            let left = host.service(SH, command);
            assert_eq!((left.status, left.calls.len()), (Some(0), 0), "{left:?}");
            assert!(left.stdout.contains("Set sky_island_enable to YES"), "{left:?}");
        }
        assert_eq!(calls(&host.service(SH, "onestart")).len(), 2);
    }
}

#[test]
fn a_stop_tells_the_supervisor_to_end_and_waits_for_it() {
    let host = Host::new();
    for shell in shells() {
        let supervisor = Supervisor::start(&host);
        let status = host.service(shell, "status");
        let running = format!("sky_island is running as pid {}.\n", supervisor.process);
        assert_eq!((status.status, status.stdout), (Some(0), running));
        let left = host.service(shell, "stop");
        assert_eq!((left.status, left.calls.len()), (Some(0), 0), "{left:?}");
        assert!(supervisor.has_ended());
        supervisor.got("up\nTERM\n");
        fs::remove_file(&supervisor.signals).unwrap();
        let status = host.service(shell, "status");
        assert_eq!(
            (status.status, status.stdout.as_str()),
            (Some(1), "sky_island is not running.\n")
        );
    }
}

#[test]
fn another_users_server_is_stopped_by_root_as_well() {
    let host = Host::new();
    host.set(&["sky_island_user=nobody"]);
    let supervisor = Supervisor::start(&host);
    let left = host.service(SH, "stop");
    assert_eq!((left.status, left.calls.len()), (Some(0), 0), "{left:?}");
    assert!(supervisor.has_ended());
}

#[test]
fn a_stop_waits_for_the_server_even_where_the_supervisor_does_not() {
    let host = Host::new();
    let _supervisor = Supervisor::start(&host);
    let server = Supervisor::server(&host);
    // As daemon(8) does, just before it ends.
    let process = server.process;
    let told = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        kill(process, Signal::SIGTERM).unwrap();
    });
    let left = host.service(SH, "stop");
    assert_eq!((left.status, left.calls.len()), (Some(0), 0), "{left:?}");
    told.join().unwrap();
    assert_eq!(fs::read_to_string(&server.signals).unwrap(), "up\nTERM\n");
}

#[test]
fn a_reload_tells_the_server_and_has_the_supervisor_open_its_log_anew() {
    let host = Host::new();
    let supervisor = Supervisor::start(&host);
    let alone = host.service(SH, "reload");
    assert_eq!(alone.status, Some(1), "{alone:?}");
    assert!(alone.stderr.contains("not running"), "{alone:?}");
    let server = Supervisor::server(&host);
    for shell in shells() {
        for process in [&supervisor, &server] {
            fs::write(&process.signals, "").unwrap();
        }
        let left = host.service(shell, "reload");
        assert_eq!((left.status, left.calls.len()), (Some(0), 0), "{left:?}");
        supervisor.got("HUP\n");
        server.got("HUP\n");
    }
    assert!(!supervisor.has_ended());
}

#[test]
fn a_handover_is_the_servers_affair_and_needs_a_host_that_is_well() {
    let host = Host::new();
    let supervisor = Supervisor::start(&host);
    let server = Supervisor::server(&host);
    for shell in shells() {
        fs::write(&server.signals, "").unwrap();
        let left = host.service(shell, "handover");
        let check = format!("sky-island <check> <--quiet> <-c> <{}>", host.config());
        assert_eq!((left.status, left.calls), (Some(0), vec![check]));
        server.got("USR2\n");
    }
    host.complain("BAD  toolchain: there is no Go\n");
    let left = host.service(SH, "handover");
    assert_eq!(left.status, Some(1), "{left:?}");
    supervisor.got("up\n");
    server.got("USR2\n");
}

#[test]
fn a_restart_leaves_a_server_running_that_could_not_be_started_again() {
    let host = Host::new();
    let supervisor = Supervisor::start(&host);
    host.complain("BAD  toolchain: there is no Go\n");
    let left = host.service(SH, "restart");
    assert_eq!((left.status, calls(&left).len()), (Some(1), 1), "{left:?}");
    assert!(!supervisor.has_ended());
    fs::remove_file(host.path("says")).unwrap();
    let left = host.service(SH, "restart");
    assert_eq!(left.status, Some(0), "{left:?}");
    assert_eq!(calls(&left).last(), Some(&&*supervised(&host, &[], &["-c", &host.config()])));
    assert!(supervisor.has_ended());
}

#[test]
fn a_second_start_is_refused() {
    let host = Host::new();
    let _supervisor = Supervisor::start(&host);
    let left = host.service(SH, "start");
    assert_eq!((left.status, left.calls.len()), (Some(1), 0), "{left:?}");
    assert!(left.stderr.contains("already running"), "{left:?}");
}

#[test]
fn check_and_sweep_run_as_the_server_would() {
    let host = Host::new();
    let config = host.config();
    for shell in shells() {
        for command in ["check", "sweep"] {
            host.set(&["sky_island_env=RUST_LOG=trace"]);
            let left = host.service(shell, command);
            let expected = format!("sky-island <{command}> <-c> <{config}> RUST_LOG=trace");
            assert_eq!(left.calls, [expected], "{left:?}");
            host.set(&["sky_island_user=nobody"]);
            let left = host.service(shell, command);
            let server = format!("{}/bin/sky-island", host.prefix());
            let by_su = format!("su <-m> <nobody> <-c> <'{server}' {command} -c '{config}'>");
            assert_eq!(left.calls, [by_su, format!("sky-island <{command}> <-c> <{config}>")]);
        }
    }
    host.complain("BAD  namespaces: none\n");
    let left = host.service(SH, "check");
    assert_eq!((left.status, left.stdout.as_str()), (Some(1), "BAD  namespaces: none\n"));
}
