//! A FreeBSD host as far as the rc.d script sees one: the installed script, rc.subr, rc.conf, and
//! tools that write down how they were called instead of doing it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::skip;

/// Each tool appends a line to `calls`: its name, and its words in angle brackets.
const RECORD: &str = r#"record() { printf '%s' "$1"; shift; printf ' <%s>' "$@"; echo "${RUST_LOG:+ RUST_LOG=$RUST_LOG}"; }"#;

/// What a command of the script left.
#[derive(Debug)]
pub(super) struct Left {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The calls of tools, in order.
    pub calls: Vec<String>,
}

/// The host. All of it lies in a folder of its own.
pub(super) struct Host {
    folder: TempDir,
}

impl Host {
    /// A host with an installed, enabled and configured service that has nothing to complain about.
    pub(super) fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["bin", "run", "log"] {
            fs::create_dir(host.path(name)).unwrap();
        }
        // What the server says to `check` is in a file; if there is one, its status is 3.
        host.tool("sky-island", r#"[ ! -f "$HOST/says" ] || { cat "$HOST/says"; exit 3; }"#);
        host.tool("daemon", "");
        host.tool("limits", r#"shift 2; exec "$@""#);
        // `su -m USER -c COMMAND`
        host.tool("su", r#"exec sh -c "$4""#);
        let installed = make()
            .env("PREFIX", host.prefix())
            .env("PROGRAM", host.path("bin/sky-island"))
            .args(["install", "OS=FreeBSD"])
            .output()
            .unwrap();
        assert!(installed.status.success(), "{installed:?}");
        let script = fs::read_to_string(host.path("prefix/etc/rc.d/sky_island")).unwrap();
        let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/rc.subr");
        let script = [
            ("/etc/rc.subr", stub.to_str().unwrap().to_owned()),
            ("/usr/sbin/daemon", host.text("bin/daemon")),
            ("/var/run/", host.text("run/")),
            ("/var/log/", host.text("log/")),
        ]
        .into_iter()
        .fold(script, |script, (from, to)| {
            assert!(script.contains(from), "the script names no {from}");
            script.replace(from, &to)
        });
        fs::write(host.path("sky_island"), script).unwrap();
        fs::write(host.config(), "{}").unwrap();
        host.set(&[]);
        host
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Where the service is installed.
    pub(super) fn prefix(&self) -> String {
        self.text("prefix")
    }

    /// The configuration file that the service uses unless told otherwise.
    pub(super) fn config(&self) -> String {
        self.text("prefix/etc/sky-island/config.json")
    }

    /// Enables the service and sets these variables.
    pub(super) fn set(&self, lines: &[&str]) {
        let lines = [&["sky_island_enable=YES"], lines].concat();
        fs::write(self.path("rc.conf"), lines.join("\n")).unwrap();
    }

    /// What the server answers from now on, failing, to `check`.
    pub(super) fn complain(&self, says: &str) {
        fs::write(self.path("says"), says).unwrap();
    }

    fn tool(&self, name: &str, does: &str) {
        let text = format!("#!/bin/sh\n{RECORD}\nrecord {name} \"$@\" >>\"$HOST/calls\"\n{does}\n");
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What `service sky_island COMMAND` does, by this shell.
    pub(super) fn service(&self, shell: &[&str], command: &str) -> Left {
        let _ = fs::remove_file(self.path("calls"));
        let path = format!("{}:{}", self.text("bin"), std::env::var("PATH").unwrap());
        let Output { status, stdout, stderr } = Command::new(shell[0])
            .args(&shell[1..])
            .arg(self.path("sky_island"))
            .arg(command)
            .env("PATH", path)
            .env("HOST", self.folder.path())
            .env("RC_CONF", self.path("rc.conf"))
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        Left {
            status: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
            calls: calls.lines().map(str::to_owned).collect(),
        }
    }
}

/// `make` in the checkout, with nothing that an outer one has set.
pub(super) fn make() -> Command {
    make_by("make")
}

pub(super) fn make_by(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PREFIX", "DESTDIR", "OS", "PROGRAM"] {
        command.env_remove(name);
    }
    command
}

/// Whether a tool is here; what needs it is skipped where it is not.
pub(super) fn has(tool: &str) -> bool {
    let found = skip::program(tool);
    found.inspect_err(|why| skip::skip(format_args!("what {tool} would do"), why)).is_ok()
}

/// The shells to run the script by: the host's, and the ones that are most like FreeBSD's and least.
pub(super) fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 3] = [&["sh"], &["dash"], &["bash", "--posix"]];
    all.into_iter().filter(|shell| has(shell[0])).collect()
}
