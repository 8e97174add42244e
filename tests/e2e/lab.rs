//! A network of a test's own: a thread in a new network namespace, whose server and clients are in
//! it too. The host's network stays as it is.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::server::POLL;
use crate::skip::{self, Reason, skip};

/// What the ports of our bridges are called.
const PORT: &str = "si";
/// The letters of a port's name after that.
const HASH: usize = 10;
/// How long a cable may take to be gone, by the slowest way: the end of a launcher.
const GONE_WAIT: Duration = Duration::from_secs(15);

/// Runs a test in a network of its own; it is skipped where this user cannot have one.
pub(crate) fn in_own_network(
    test: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let skipped = |why: &Reason| {
        skip("addresses in a network of the test's own", why);
        Ok(())
    };
    if let Err(why) = skip::root().and_then(|()| skip::program("ip")) {
        return skipped(&why);
    }
    // The namespace is that of one thread, of the threads that it starts, and of their processes.
    let tested = thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return skipped(&Reason::impossible(format_args!("no network namespace: {error}")));
        }
        ip(&["link", "set", "dev", "lo", "up"])?;
        test()
    });
    tested.join().unwrap_or_else(|_| Err("the test panicked".to_owned()))
}

/// Runs ip(8) in the network of this thread.
pub(crate) fn ip(args: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(args).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The names of all interfaces in the network of this thread.
pub(crate) fn interfaces() -> Result<Vec<String>, String> {
    let listed: Value = serde_json::from_str(&ip(&["-j", "link"])?).map_err(|e| e.to_string())?;
    let names = listed.as_array().into_iter().flatten().filter_map(|it| it["ifname"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// The ends of cables to islands.
pub(crate) fn ports() -> Result<Vec<String>, String> {
    let is_port = |name: &String| name.starts_with(PORT) && name.len() == PORT.len() + HASH;
    Ok(interfaces()?.into_iter().filter(is_port).collect())
}

/// Fails unless the last cable goes soon.
pub(crate) fn no_cable_stays() -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let left = ports()?;
        if left.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > GONE_WAIT {
            return Err(format!("after {GONE_WAIT:?} there still are {left:?}"));
        }
        thread::sleep(POLL);
    }
}
