//! The go command in a closed environment: no version control, no other toolchain, no settings of
//! the user.
//!
//! Invariants: arguments are a vector; output is read to a bound; while a command runs, the
//! download folder is measured against the job's budget, and the command is killed when the budget
//! is exceeded. No other file of the worker starts a process.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fetch_job::FetchJob;
use serde::Deserialize;

use super::budget::{Budget, OverBudget, tree_size};
use super::forward::{Forwarder, asked_directly};
use super::scratch::Scratch;
use super::text::{hide_paths, scrub};

const MAX_STDOUT: u64 = 64 << 20;
const MAX_STDERR: u64 = 1 << 20;
/// How often the download folder is measured.
const MEASURE: Duration = Duration::from_millis(200);

/// The variables of the worker's environment that the go command keeps: which certificates to
/// trust, which module proxy to ask, and when to collect garbage.
const INHERITED: [&str; 12] = [
    "GOROOT",
    "GOGC",
    "GOMEMLIMIT",
    "XDG_CONFIG_HOME",
    "GONOPROXY",
    "GOPRIVATE",
    "GONOSUMDB",
    "GOSUMDB",
    "GOINSECURE",
    "GOAUTH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// How a go command without a gate reaches the network.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Why a go command gave no result at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum GoError {
    #[error("the go command cannot be run: {0}")]
    Start(#[source] io::Error),
    #[error("the go command cannot reach the island's gate: {0}")]
    Gate(#[source] io::Error),
    #[error("the output of the go command cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("the go command printed more than {MAX_STDOUT} bytes")]
    Output,
    #[error("the settings of the go command cannot be read (go env): {0}")]
    Settings(String),
    #[error(transparent)]
    Budget(#[from] OverBudget),
}

/// What a go command printed, and whether it succeeded.
#[derive(Debug)]
pub(super) struct GoOutput {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    /// Without credentials and without folders of this host.
    pub(super) stderr: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct GoEnvironment {
    goproxy: String,
    gonoproxy: String,
    goprivate: String,
    gonosumdb: String,
    gosumdb: String,
    goinsecure: String,
    goroot: String,
    goversion: String,
}

/// The go command of a job. Its settings are read at the first use, because that takes a process.
pub(super) struct JobTools<'a> {
    job: &'a FetchJob,
    scratch: &'a Scratch,
    budget: &'a Budget,
    go: OnceCell<GoCommand<'a>>,
}

impl<'a> JobTools<'a> {
    pub(super) fn new(job: &'a FetchJob, scratch: &'a Scratch, budget: &'a Budget) -> Self {
        Self { job, scratch, budget, go: OnceCell::new() }
    }

    pub(super) fn go(&self) -> Result<&GoCommand<'a>, GoError> {
        if let Some(go) = self.go.get() {
            return Ok(go);
        }
        let go = GoCommand::new(self.job, self.scratch, self.budget)?;
        Ok(self.go.get_or_init(|| go))
    }

    /// Where the toolchain lies, as far as the go command's place tells.
    pub(super) fn goroot(&self) -> Option<&Path> {
        self.job.go.parent()?.parent()
    }

    /// Takes credentials and folders of this host out of a text.
    pub(super) fn scrub(&self, text: &str) -> String {
        match self.go.get() {
            Some(go) => go.scrub(text),
            None => hide_paths(&scrub(text, &[(&self.job.dest, ""), (self.scratch.path(), "")])),
        }
    }
}

/// A go command with its environment.
pub(super) struct GoCommand<'a> {
    program: &'a Path,
    environment: Vec<(OsString, OsString)>,
    budget: &'a Budget,
    deps: PathBuf,
    folders: Vec<(PathBuf, &'static str)>,
    /// Its version: `1.26.0`.
    pub(super) version: String,
    /// Whether there is a module proxy to ask.
    pub(super) has_proxy: bool,
}

impl<'a> GoCommand<'a> {
    /// Reads the settings of a job's go command and closes its environment. Downloads go to the
    /// job's `deps`.
    pub(super) fn new(
        job: &'a FetchJob,
        scratch: &Scratch,
        budget: &'a Budget,
    ) -> Result<Self, GoError> {
        let FetchJob { go: program, dest, gate, .. } = job;
        let own = if gate.is_none() { &PROXIES[..] } else { &[] };
        let mut environment: Vec<(OsString, OsString)> = INHERITED
            .iter()
            .chain(own)
            .flat_map(|name| [(*name).to_owned(), name.to_ascii_lowercase()])
            .filter_map(|name| Some((OsString::from(&name), std::env::var_os(&name)?)))
            .collect();
        let home = scratch.folder("home").map_err(GoError::Start)?;
        quieten(&home).map_err(GoError::Start)?;
        // The user's settings apply, and nothing else of the user.
        let user = [
            ("GOPROXY", std::env::var_os("GOPROXY")),
            ("GOENV", user_settings().map(OsString::from)),
            ("HOME", Some(home.into())),
        ];
        let user = user.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        let deps = dest.join("deps");
        let mut go = Self {
            program,
            environment: environment.iter().cloned().chain(user).collect(),
            budget,
            folders: vec![(dest.to_path_buf(), ""), (scratch.path().to_path_buf(), "")],
            deps,
            version: String::new(),
            has_proxy: false,
        };
        let settings = go.settings(scratch)?;
        let proxy = proxies(&settings.goproxy);
        go.has_proxy = proxy.is_some();
        go.version = settings.goversion.trim_start_matches("go").to_owned();
        go.folders.push((PathBuf::from(settings.goroot), "GOROOT"));
        let mut set = |name: &str, value: &OsStr| {
            environment.retain(|(n, _)| n != name);
            environment.push((name.into(), value.into()));
        };
        for (name, value) in [
            ("GOPROXY", proxy.as_deref().unwrap_or("off")),
            ("GONOPROXY", &settings.gonoproxy),
            ("GOPRIVATE", &settings.goprivate),
            ("GONOSUMDB", &settings.gonosumdb),
            ("GOSUMDB", &settings.gosumdb),
            ("GOINSECURE", &settings.goinsecure),
            ("GOTOOLCHAIN", "local"),
            ("GOWORK", "off"),
            ("GOENV", "off"),
            ("GO111MODULE", "on"),
            ("GOFLAGS", "-modcacherw"),
            ("GOVCS", "*:off"),
            ("CGO_ENABLED", "0"),
            // The cache starts empty: an index of every package costs more than it saves.
            ("GODEBUG", "goindex=0"),
            // The go command must find no program by name.
            ("PATH", ""),
        ] {
            set(name, OsStr::new(value));
        }
        set("GOMODCACHE", go.deps.as_os_str());
        for (name, folder) in [
            ("GOCACHE", "gocache"),
            ("GOPATH", "gopath"),
            ("HOME", "home"),
            ("GOTMPDIR", "gotmp"),
            ("TMPDIR", "gotmp"),
        ] {
            set(name, scratch.folder(folder).map_err(GoError::Start)?.as_os_str());
        }
        if let Some(gate) = gate {
            let direct = asked_directly(&[&settings.goproxy, &settings.gosumdb]);
            let forwarder = Forwarder::start(gate, &direct).map_err(GoError::Gate)?;
            for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
                set(name, OsStr::new(&forwarder.url));
            }
        }
        go.environment = environment;
        Ok(go)
    }

    fn settings(&self, scratch: &Scratch) -> Result<GoEnvironment, GoError> {
        let names = "GOPROXY GONOPROXY GOPRIVATE GONOSUMDB GOSUMDB GOINSECURE GOROOT GOVERSION";
        let args: Vec<&str> = ["env", "-json"].into_iter().chain(names.split(' ')).collect();
        let output = self.run(scratch.path(), &args)?;
        if !output.success {
            return Err(GoError::Settings(output.stderr));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| GoError::Settings(e.to_string()))
    }

    /// Runs the go command to its end.
    pub(super) fn run<S: AsRef<OsStr>>(&self, dir: &Path, args: &[S]) -> Result<GoOutput, GoError> {
        let mut child = Command::new(self.program)
            .args(args)
            .env_clear()
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            // The go command prints PWD where it names the same folder, so messages have the path
            // that is scrubbed.
            .env("PWD", dir)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(GoError::Start)?;
        let result = self.supervise(&mut child);
        // After a normal end both do nothing; otherwise no process may remain.
        let _ = child.kill();
        let status = child.wait().map_err(GoError::Read)?;
        let (stdout, stderr) = result?;
        let stderr = self.scrub(&String::from_utf8_lossy(&stderr));
        Ok(GoOutput { success: status.success(), stdout, stderr })
    }

    fn supervise(&self, child: &mut Child) -> Result<(Vec<u8>, Vec<u8>), GoError> {
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take())
        else {
            return Err(GoError::Output);
        };
        let (done, wait) = mpsc::channel();
        let done_err = done.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = (&mut stdout).take(MAX_STDOUT + 1).read_to_end(&mut text);
            let _ = done.send((true, read.map(|_| text)));
        });
        thread::spawn(move || {
            let mut text = Vec::new();
            let read = (&mut stderr).take(MAX_STDERR).read_to_end(&mut text);
            // The rest is read and dropped, or the command would block.
            let _ = io::copy(&mut stderr, &mut io::sink());
            let _ = done_err.send((false, read.map(|_| text)));
        });
        let (mut out, mut err) = (None, None);
        loop {
            match wait.recv_timeout(MEASURE) {
                Ok((true, text)) => out = Some(text.map_err(GoError::Read)?),
                Ok((false, text)) => err = Some(text.map_err(GoError::Read)?),
                Err(RecvTimeoutError::Timeout) => self.measure()?,
                Err(RecvTimeoutError::Disconnected) => return Err(GoError::Output),
            }
            if out.as_ref().is_some_and(|text| text.len() as u64 > MAX_STDOUT) {
                return Err(GoError::Output);
            }
            if let (Some(out), Some(err)) = (&mut out, &mut err) {
                // The pipes are closed, so the command ends soon. The last download is measured as
                // well.
                let output = (std::mem::take(out), std::mem::take(err));
                child.wait().map_err(GoError::Read)?;
                self.measure()?;
                return Ok(output);
            }
        }
    }

    fn measure(&self) -> Result<(), OverBudget> {
        self.budget.would_fit(tree_size(&self.deps))
    }

    /// Takes credentials and folders of this host out of a text.
    pub(super) fn scrub(&self, text: &str) -> String {
        let folders: Vec<(&Path, &str)> =
            self.folders.iter().map(|(path, word)| (path.as_path(), *word)).collect();
        hide_paths(&scrub(text, &folders))
    }
}

/// Turns telemetry off, which would be a process that outlives the go command.
fn quieten(home: &Path) -> io::Result<()> {
    let folder = home.join(".config/go/telemetry");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("mode"), "off")
}

/// The file with the user's settings of the go command.
fn user_settings() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("GOENV").or_else(|| {
        let config = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")))?;
        Some(config.join("go/env"))
    })
}

/// The proxies of a `GOPROXY` list without `direct`, which would run version control; `None` where
/// no proxy is left.
fn proxies(list: &str) -> Option<String> {
    let mut out = String::new();
    let mut any = false;
    for part in list.split_inclusive([',', '|']) {
        let name = part.trim_end_matches([',', '|']).trim();
        match name {
            "" | "direct" => {}
            // The go command asks no proxy after this one.
            "off" => break,
            _ => {
                any = true;
                out.push_str(part.trim());
            }
        }
    }
    any.then(|| out.trim_end_matches([',', '|']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_are_left_of_a_list() {
        for (list, want) in [
            ("https://p.example,direct", Some("https://p.example")),
            (
                "https://a.example|https://b.example,direct",
                Some("https://a.example|https://b.example"),
            ),
            ("direct,https://a.example", Some("https://a.example")),
            ("https://a.example,off,https://b.example", Some("https://a.example")),
            ("file:///srv/proxy", Some("file:///srv/proxy")),
            ("direct", None),
            ("off", None),
            ("", None),
        ] {
            assert_eq!(proxies(list).as_deref(), want, "{list}");
        }
    }
}
