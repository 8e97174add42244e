//! The suite's other processes: a test by itself, and all tests once more as an ordinary user.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::{Mutex, Once};

use super::host::{not_given, say};
use super::kit::{KIT, SUITE, kit};
use super::platform;

/// Set, to a test's name, in a process that runs that test alone.
const ALONE: &str = "SKY_ISLAND_SUITE_ALONE";
/// Set in the processes of the ordinary user.
const USER: &str = "SKY_ISLAND_SUITE_USER";
/// Set in processes whose functions are called on islands that stand by.
const STANDBY: &str = "SKY_ISLAND_SUITE_STANDBY";
/// An id that belongs to nobody.
const THROWAWAY: u32 = 61_357;

pub fn is_alone(name: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|alone| alone == name)
}

pub fn is_second_user() -> bool {
    std::env::var_os(USER).is_some()
}

pub fn is_on_standbys() -> bool {
    std::env::var_os(STANDBY).is_some()
}

/// Runs one test in a process of its own and fails if it fails.
pub fn run_alone(name: &str) {
    let output = output_alone(name, &[]);
    let text = text(&output);
    assert!(output.status.success() && text.contains("1 passed"), "{name}, alone:\n{text}");
    for line in text.lines().filter(|line| line.starts_with("NOT GIVEN")) {
        say(line);
    }
}

/// Runs one test in a process of its own and hands back what it leaves, however it ended.
pub fn output_alone(name: &str, env: &[(&str, &str)]) -> Output {
    let mut command = suite();
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, name);
    command.envs(env.iter().copied()).output().expect("the suite runs again")
}

/// Runs all tests as an ordinary user, on islands that stand by too, and fails if one of them fails.
pub fn run_as_ordinary_user() {
    if let Err(why) = platform::ORDINARY_USERS {
        return not_given("islands of an ordinary user", why);
    }
    for standby in [false, true] {
        let mut command = suite();
        command.uid(THROWAWAY).gid(THROWAWAY).env(USER, "1").current_dir("/");
        // What the environment says of our own home is nothing to that user.
        command.env_remove("HOME").env_remove("TMPDIR");
        if standby {
            command.env(STANDBY, "1");
        }
        let on = if standby { ", on islands that stand by" } else { "" };
        run_all(&mut command, format_args!("as user {THROWAWAY}{on}"));
    }
}

/// Runs all tests on islands that stand by, and fails if one of them fails.
pub fn run_on_standbys() {
    run_all(suite().env(STANDBY, "1"), format_args!("on islands that stand by"));
}

fn run_all(command: &mut Command, how: std::fmt::Arguments<'_>) {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            say(format_args!("skipped: the suite cannot run {how} ({error})"));
            return;
        }
    };
    let text = text(&output);
    for line in text.lines().filter(|line| line.starts_with("NOT GIVEN")) {
        say(line);
    }
    assert!(output.status.success(), "{how}:\n{text}");
    let summary = text.lines().find(|line| line.starts_with("test result")).unwrap_or("");
    say(format_args!("{how}: {summary}"));
}

fn suite() -> Command {
    let kit = kit().expect("whoever comes here has looked");
    let mut command = Command::new(kit.join(SUITE));
    command.env(KIT, kit);
    command
}

pub fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

static AT_EXIT: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Has something done, once, when this process ends: the harness ends without dropping what tests share.
pub fn at_exit(deed: fn()) {
    extern "C" fn run() {
        let deeds = AT_EXIT.lock().map(|mut deeds| std::mem::take(&mut *deeds));
        deeds.unwrap_or_default().into_iter().rev().for_each(|deed| deed());
    }
    static ONCE: Once = Once::new();
    // SAFETY: `run` is a function of the kind that atexit(3) takes; it runs when no test does any more.
    ONCE.call_once(|| assert_eq!(unsafe { libc::atexit(run) }, 0));
    if let Ok(mut deeds) = AT_EXIT.lock() {
        deeds.push(deed);
    }
}
