//! The command line: a call without a server, a call of a server, and exit statuses.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::alone::configuration;
use crate::answers::same;
use crate::server::{POLL, binary, free_port};
use crate::world::{World, folder};

/// The longest that a call without a server may take: it fetches and builds like a server.
const COMMAND_WAIT: Duration = Duration::from_secs(240);
/// A user and group that do not exist.
pub(crate) const SOMEBODY: u32 = 64_321;
const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";

/// What a command left: its exit status and its outputs.
#[derive(Debug)]
pub(crate) struct Left {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    vec![
        Trial::test("sky-island call works without a server and prints the data alone", || {
            in_process().map_err(Failed::from)
        }),
        Trial::test("an ordinary user can do the same", || {
            as_ordinary_user().map_err(Failed::from)
        }),
        world.trial("sky-island call --server asks a server", |_, server| {
            let left = run(&["call", "--server", &server.url(), HELLO, r#"Greet("Ada")"#])?;
            same(left.status, Some(0))?;
            is_line(&left, "Hello, Ada!")
        }),
        world.trial("sky-island call --server --version asks for a version", |_, server| {
            let url = server.url();
            let left = run(&["call", "--server", &url, "--version", "v1.0.0", HELLO, "Which()"])?;
            same(left.status, Some(0))?;
            is_line(&left, "first edition")
        }),
        world.trial("sky-island call --json prints the answer's JSON", |_, server| {
            let left = run(&["call", "--server", &server.url(), "--json", HELLO, "Which()"])?;
            same(left.status, Some(0))?;
            let answer: Value =
                serde_json::from_str(&left.stdout).map_err(|e| format!("{e}: {left:?}"))?;
            same(answer["data"].as_str(), Some("first edition"))?;
            same(answer["timestamp"].is_u64(), true)
        }),
        world.trial("sky-island call ends with 1 when the function fails", |_, server| {
            let left = run(&["call", "--server", &server.url(), FAULTY, r#"Panic("boom")"#])?;
            same((left.status, left.stdout.as_str()), (Some(1), ""))?;
            says(&left, "panic: boom")
        }),
        Trial::test("sky-island ends with 2 when it is used wrongly", || {
            for wrong in [&["call"][..], &["call", HELLO], &["call", "--no-such", HELLO, "F()"]] {
                let left = run(wrong)?;
                same((wrong, left.status, left.stdout.as_str()), (wrong, Some(2), ""))?;
                says(&left, "Usage")?;
            }
            Ok(())
        }),
        Trial::test("sky-island call ends with 3 when its server is not there", || {
            let closed = format!("http://127.0.0.1:{}", free_port()?);
            let left = run(&["call", "--server", &closed, HELLO, "Which()"])?;
            same((left.status, left.stdout.as_str()), (Some(3), ""))?;
            Ok(())
        }),
        Trial::test(
            "sky-island serve ends with a sentence when its configuration is wrong",
            || {
                let folder = folder()?;
                let config = folder.path().join("config.json");
                std::fs::write(&config, r#"{"lisen": "127.0.0.1:1"}"#)?;
                let left = run(&["serve", "-c", &config.to_string_lossy()])?;
                if left.status == Some(0) || left.status.is_none() {
                    return Err(format!("it ended with {left:?}").into());
                }
                Ok(says(&left, "lisen")?)
            },
        ),
    ]
}

fn in_process() -> Result<(), String> {
    let folder = folder()?;
    let config = configuration(folder.path(), &["hello", "faulty"])?;
    let config = config.to_string_lossy();
    let left = run(&["call", "-c", &config, HELLO, r#"Greet("Ada")"#])?;
    same(left.status, Some(0))?;
    is_line(&left, "Hello, Ada!")?;
    let left = run(&["call", "-c", &config, FAULTY, "Exit(3)"])?;
    same((left.status, left.stdout.as_str()), (Some(1), ""))?;
    says(&left, "the reason on stderr")
}

/// Where the suite is root's, an ordinary user gets a copy of the program and a folder; elsewhere
/// it is one.
fn as_ordinary_user() -> Result<(), String> {
    if !nix::unistd::getuid().is_root() {
        return in_process();
    }
    let folder = folder()?;
    let text = |e: std::io::Error| e.to_string();
    let program = folder.path().join("sky-island");
    std::fs::copy(binary()?, &program).map_err(text)?;
    let config = configuration(folder.path(), &["hello"])?;
    let state = folder.path().join("state");
    std::fs::create_dir(&state).map_err(text)?;
    std::os::unix::fs::chown(&state, Some(SOMEBODY), Some(SOMEBODY)).map_err(text)?;
    let mut command = Command::new(program);
    command.uid(SOMEBODY).gid(SOMEBODY).current_dir("/").env("HOME", &state);
    command.args(["call", "-c"]).arg(&config).args([HELLO, r#"Greet("Ada")"#]);
    let left = finish(command)?;
    same((left.status, left.stderr.as_str()), (Some(0), ""))?;
    is_line(&left, "Hello, Ada!")
}

/// The data alone is on stdout, with a line end behind it or without.
fn is_line(left: &Left, data: &str) -> Result<(), String> {
    same(left.stdout.strip_suffix('\n').unwrap_or(&left.stdout), data)
}

pub(crate) fn says(left: &Left, what: &str) -> Result<(), String> {
    if left.stderr.contains(what) { Ok(()) } else { Err(format!("no {what:?} in {left:?}")) }
}

/// Runs the program with these arguments.
fn run(args: &[&str]) -> Result<Left, String> {
    let mut command = Command::new(binary()?);
    command.args(args);
    finish(command)
}

pub(crate) fn finish(mut command: Command) -> Result<Left, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if begin.elapsed() > COMMAND_WAIT => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("{command:?} still ran after {COMMAND_WAIT:?}"));
            }
            None => sleep(POLL),
        }
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Left { status: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is what there is to show.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
