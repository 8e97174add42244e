//! The suite's other processes: one for each test that has to be alone, or that is an ordinary
//! user's.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::{Mutex, Once};

use super::host::say;
use super::kit::{KIT, SUITE, kit};
use super::platform;
use crate::skip::{self, Reason, SAID, skip};

/// Set, to a test's name, in a process that runs that test alone.
const ALONE: &str = skip::TEST;
/// An id without a user.
const THROWAWAY: u32 = 61_357;

/// Who runs a test, and on which islands: the first part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Root,
    Warm,
    User,
    UserWarm,
}

impl Variant {
    pub fn of(name: &str) -> Self {
        match name.split("::").next() {
            Some("root") => Self::Root,
            Some("warm") => Self::Warm,
            Some("user") => Self::User,
            Some("user_warm") => Self::UserWarm,
            _ => panic!("{name} is in no variant"),
        }
    }

    /// Whether functions are called on warm islands.
    pub fn is_warm(self) -> bool {
        matches!(self, Self::Warm | Self::UserWarm)
    }

    fn is_users(self) -> bool {
        matches!(self, Self::User | Self::UserWarm)
    }
}

/// The process that a test of a variant runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This one.
    Here,
    /// Another one, of an ordinary user.
    Elsewhere,
    /// None: it was skipped.
    Skipped,
}

impl Turn {
    pub fn of(name: &str) -> Self {
        let root = skip::root();
        match (Variant::of(name).is_users(), &root) {
            _ if is_alone(name) => Self::Here,
            (true, Ok(())) => match platform::ORDINARY_USERS {
                Ok(()) => Self::Elsewhere,
                Err(why) => {
                    skip(name, &Reason::impossible(why));
                    Self::Skipped
                }
            },
            (false, Err(why)) => {
                skip(name, why);
                Self::Skipped
            }
            (true, Err(_)) | (false, Ok(())) => Self::Here,
        }
    }
}

/// The name of the test that a path of this program leads to: a module's, a function's, or that of
/// a closure in one.
pub fn name_of(path: &str) -> &str {
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").map_or(path, |(_program, name)| name)
}

pub fn is_alone(name: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|alone| alone == name)
}

/// Runs one test in a process of its own, of its variant's user, and fails if it fails.
pub fn run_alone(name: &str) {
    let output = output_alone(name, &[]);
    let text = text(&output);
    assert!(output.status.success() && text.contains("1 passed"), "{name}, alone:\n{text}");
    text.lines().filter(|line| line.starts_with(SAID)).for_each(say);
}

/// Runs one test in a process of its own and returns what that process leaves, however it ended.
pub fn output_alone(name: &str, env: &[(&str, &str)]) -> Output {
    let kit = kit().expect("the caller has looked");
    let mut command = Command::new(kit.join(SUITE));
    command.env(KIT, kit);
    if Variant::of(name).is_users() && skip::root().is_ok() {
        command.uid(THROWAWAY).gid(THROWAWAY).current_dir("/");
        // What the environment says of our own home is nothing to that user.
        command.env_remove("HOME").env_remove("TMPDIR");
    }
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, name);
    command.envs(env.iter().copied()).output().expect("the suite runs again")
}

pub fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

static AT_EXIT: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Has something done, once, when this process ends: the harness ends without dropping what tests
/// share.
pub fn at_exit(deed: fn()) {
    extern "C" fn run() {
        let deeds = AT_EXIT.lock().map(|mut deeds| std::mem::take(&mut *deeds));
        deeds.unwrap_or_default().into_iter().rev().for_each(|deed| deed());
    }
    static ONCE: Once = Once::new();
    // SAFETY: `run` is a function of the kind that atexit(3) takes; it runs when no test does any
    // more.
    ONCE.call_once(|| assert_eq!(unsafe { libc::atexit(run) }, 0));
    if let Ok(mut deeds) = AT_EXIT.lock() {
        deeds.push(deed);
    }
}
