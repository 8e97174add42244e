//! A disk that changes bytes: nothing wrong is answered, and what is damaged is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::answers::same;
use crate::leftovers::stop_without_a_trace;
use crate::logs;
use crate::server::{Server, Setup};
use crate::world::{fixture, folder};

const EDITION: &str = "first edition";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        damaged("a program that the disk has changed is built again", programs),
        damaged("a changed program is built again by a running server too", running),
        damaged("a changed standard library is compiled again, once", library),
        damaged("source that the disk has changed is fetched again", sources),
    ]
}

fn damaged(name: &str, test: fn() -> Result<(), String>) -> Trial {
    Trial::test(format!("damage: {name}"), move || test().map_err(Failed::from))
}

/// Changes bytes in all files below a folder whose paths fit, and keeps their lengths. How many
/// there were.
fn change(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<usize, String> {
    let mut changed = 0;
    for path in files(folder) {
        if !fits(&path.to_string_lossy()) {
            continue;
        }
        let mut bytes = fs::read(&path).map_err(|e| e.to_string())?;
        match find(&bytes, EDITION.as_bytes()) {
            Some(at) => bytes[at] = b'F',
            None => bytes.iter_mut().skip(40).step_by(50).for_each(|byte| *byte ^= 0xff),
        }
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        changed += 1;
    }
    Ok(changed)
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

fn call(server: &Server, call: &str) -> Result<Value, String> {
    let answer = server.client.call(&json!({"url": "example.test/hello", "call": call}))?;
    same(answer.status, 200).map_err(|e| format!("{call}: {e}: {answer:?}"))?;
    Ok(answer.data()?["data"].clone())
}

fn which(server: &Server) -> Result<(), String> {
    same(call(server, "Which()")?, Value::from(EDITION))
}

/// A folder, its repositories, and a server without warm islands, whose programs can be written.
struct Own {
    folder: tempfile::TempDir,
    setup: Setup,
}

impl Own {
    fn new() -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        fixture(&repositories, "hello")?;
        let setup = Setup::new(&["git"])
            .mirror("example.test", repositories.to_string_lossy())
            .section("standby", json!({"total": 0}));
        Ok(Self { folder, setup })
    }

    fn start(&self) -> Result<Server, String> {
        Server::start(self.folder.path(), &self.setup)
    }
}

fn programs() -> Result<(), String> {
    let own = Own::new()?;
    let server = own.start()?;
    which(&server)?;
    stop_without_a_trace(&server)?;
    let changed = change(&server.state().join("artifacts"), |path| path.ends_with("/main"))?;
    same(changed, 1)?;
    let server = own.start()?;
    which(&server)?;
    logs::line(|| server.log(), "is damaged on disk and is built anew")?;
    stop_without_a_trace(&server)
}

fn running() -> Result<(), String> {
    let own = Own::new()?;
    let server = own.start()?;
    which(&server)?;
    same(change(&server.state().join("artifacts"), |path| path.ends_with("/main"))?, 1)?;
    which(&server)?;
    stop_without_a_trace(&server)
}

fn library() -> Result<(), String> {
    let own = Own::new()?;
    let layers = |path: &str| path.ends_with("-d");
    let mut server = own.start()?;
    which(&server)?;
    for (restart, name) in [(false, "Ann"), (true, "Bob")] {
        if restart {
            stop_without_a_trace(&server)?;
        }
        if change(&server.state().join("gocache"), layers)? < 10 {
            return Err("there is no compiled standard library".into());
        }
        if restart {
            server = own.start()?;
        }
        let anew = || server.log().matches("is damaged on disk and is compiled anew").count();
        // Calls without a function form, so that each is a build.
        let text = format!("Greet(\"{}\" + \"{}\")", &name[..1], &name[1..]);
        same(call(&server, &text)?, Value::from(format!("Hello, {name}!")))?;
        // The line may come a moment after the answer.
        for _ in 0..100 {
            if anew() > 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let before = anew();
        same(before >= 1, true)?;
        let text = format!("Greet(\"{name}\" + \"ab\")");
        same(call(&server, &text)?, Value::from(format!("Hello, {name}ab!")))?;
        same(anew(), before)?;
    }
    stop_without_a_trace(&server)
}

fn sources() -> Result<(), String> {
    let own = Own::new()?;
    let server = own.start()?;
    call(&server, "Greet(\"x\")")?;
    stop_without_a_trace(&server)?;
    let source = |path: &str| path.ends_with("/tree/src/hello.go");
    same(change(&server.state().join("checkouts"), source)?, 1)?;
    let server = own.start()?;
    which(&server)?;
    logs::line(|| server.log(), "is damaged on disk and is fetched again")?;
    stop_without_a_trace(&server)
}
