//! The machine that the figures are of.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::World;

/// Describes it.
pub(crate) fn describe(world: &World) -> Result<Value, String> {
    let name = nix::sys::utsname::uname().map_err(|e| e.to_string())?;
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let system = [name.sysname(), name.release(), name.version(), name.machine()].map(text);
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let user = if nix::unistd::geteuid().is_root() { "root" } else { "an ordinary user" };
    let missing = world.missing();
    let isolation = match missing.is_empty() {
        true => "all of it".to_owned(),
        false => format!("without {}", missing.join(", ")),
    };
    Ok(json!({
        "kernel": system.join(" "),
        "processor": processor().unwrap_or_else(|| "unknown".to_owned()),
        "cores": cores,
        "memory": memory().unwrap_or_else(|| "unknown".to_owned()),
        "load before": load().unwrap_or_else(|| "unknown".to_owned()),
        "server": said(&crate::server::program(), &["--version"]).unwrap_or_default(),
        "go": world.hand.version()?,
        "run as": user,
        "isolation": isolation,
    }))
}

fn processor() -> Option<String> {
    if let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") {
        return after(&text, "model name");
    }
    said(Path::new("sysctl"), &["-n", "hw.model"])
}

fn memory() -> Option<String> {
    let bytes = match std::fs::read_to_string("/proc/meminfo") {
        Ok(text) => after(&text, "MemTotal")?.split(' ').next()?.parse::<u64>().ok()? * 1024,
        Err(_) => said(Path::new("sysctl"), &["-n", "hw.physmem"])?.parse().ok()?,
    };
    Some(bytesize::ByteSize::b(bytes).to_string())
}

/// What else runs here takes its share of the cores.
fn load() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn after(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
