//! The sandboxes that others use, around the same program, where they are installed: bubblewrap and
//! crun.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hand::finish;

/// A way to run one program in a new sandbox.
pub(crate) struct Sandbox {
    /// What it is.
    pub(crate) name: &'static str,
    command: PathBuf,
    args: Vec<String>,
    /// The last argument is to be a name that no other run has at the same time.
    named: bool,
}

/// The number of the next run, for names.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl Sandbox {
    /// Those that are here and work, and what is to be said of the others.
    pub(crate) fn find(program: &Path, folder: &Path) -> (Vec<Self>, Vec<String>) {
        let (mut found, mut said) = (Vec::new(), Vec::new());
        for (name, make) in [("bubblewrap", bubblewrap as Make), ("crun", crun)] {
            match make(program, folder).and_then(|sandbox| sandbox.run().map(|_| sandbox)) {
                Ok(sandbox) => found.push(sandbox),
                Err(why) => said.push(format!("{name} is not compared with: {why}")),
            }
        }
        (found, said)
    }

    /// How long one run takes, with its start and end.
    pub(crate) fn run(&self) -> Result<Duration, String> {
        let began = Instant::now();
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .args(self.unique())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        let output = command.output().map_err(|e| e.to_string())?;
        let spent = began.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("it ended with {}: {}", output.status, said.trim()));
        }
        Ok(spent)
    }
}

impl Sandbox {
    /// A name that no other run has, where the command wants one.
    fn unique(&self) -> Option<String> {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        self.named.then(|| format!("sky-bench-{}-{number}", std::process::id()))
    }
}

type Make = fn(&Path, &Path) -> Result<Sandbox, String>;

/// Every namespace, an empty root and a /tmp of its own.
fn bubblewrap(program: &Path, _: &Path) -> Result<Sandbox, String> {
    let program = program.display().to_string();
    let args = ["--unshare-all", "--die-with-parent", "--clearenv", "--tmpfs", "/tmp", "--ro-bind"];
    let args = args.into_iter().chain([program.as_str(), "/main", "/main"]).map(str::to_owned);
    let (name, command) = ("bubblewrap", installed("bwrap")?);
    Ok(Sandbox { name, command, args: args.collect(), named: false })
}

/// A bundle as crun itself proposes it, with our program and a root that cannot be written.
fn crun(program: &Path, folder: &Path) -> Result<Sandbox, String> {
    let command = installed("crun")?;
    let bundle = folder.join("bundle");
    let told = |e: std::io::Error| e.to_string();
    fs::create_dir_all(bundle.join("rootfs")).map_err(told)?;
    fs::copy(program, bundle.join("rootfs/main")).map_err(told)?;
    fs::set_permissions(bundle.join("rootfs/main"), fs::Permissions::from_mode(0o755))
        .map_err(told)?;
    finish(Command::new(&command).arg("spec").current_dir(&bundle))?;
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).map_err(told)?)
        .map_err(|e| format!("its specification cannot be read: {e}"))?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/main"]);
    spec["root"]["readonly"] = json!(true);
    fs::write(&config, spec.to_string()).map_err(told)?;
    let bundle = bundle.display().to_string();
    let args = ["--cgroup-manager=cgroupfs", "run", "--bundle", &bundle].map(str::to_owned);
    Ok(Sandbox { name: "crun", command, args: args.to_vec(), named: true })
}

fn installed(name: &str) -> Result<PathBuf, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|at| at.is_file());
    found.ok_or_else(|| format!("there is no {name} here"))
}
