//! Answers compared with the ones that are written down in tests/e2e/snapshots, one file each, what
//! differs from run to run masked. `SKY_ISLAND_WRITE_SNAPSHOTS=1` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::client::Answer;

/// Set to have them written anew.
const WRITE: &str = "SKY_ISLAND_WRITE_SNAPSHOTS";
/// The headers that are part of an answer; the others are the transport's. Those behind the first
/// three differ each time.
const HEADERS: [&str; 6] =
    ["content-type", "allow", "retry-after", "x-call-id", "x-revision", "server-timing"];
const STABLE_HEADERS: usize = 3;
/// Fields whose values differ from run to run or from host to host.
const VOLATILE: &[&str] = &[
    "timestamp",
    "call_id",
    "pid",
    "uptime",
    "time",
    "unixtime",
    "status_code_count",
    "total_status_code_count",
    "count",
    "total_count",
    "total_response_time",
    "average_response_time",
    "ahead",
    "starting",
    "standby",
    "running",
    "ending",
    "most_calls",
    "most_running",
    "calls",
    "jid",
    "name",
    "OSRelease",
    "path",
    "memory",
    "since",
    "bytes",
    "id",
    "hits",
    "misses",
    "revision",
    "artifact",
    "island",
    "value",
];
/// How long an id of a call is.
const UUID: usize = 36;

/// One answer under its name.
pub(crate) struct Snapshot<'a> {
    pub(crate) name: &'a str,
    /// The request, in words that are the same each time.
    pub(crate) request: &'a str,
    pub(crate) answer: &'a Answer,
    /// A folder of the test's own, which may be named in the answer.
    pub(crate) folder: &'a Path,
    /// The detail is the compiler's or the function's own text.
    pub(crate) own_words: bool,
}

impl Snapshot<'_> {
    /// Fails unless the answer is as it is written down.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let path = place(self.name);
        let mut text = serde_json::to_string_pretty(&self.value()).map_err(|e| e.to_string())?;
        text.push('\n');
        if std::env::var_os(WRITE).is_some() {
            return fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()));
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        if known == text {
            return Ok(());
        }
        let name = self.name;
        Err(format!("{name}: the answer is now\n{text}but was\n{known}({WRITE}=1 writes it anew)"))
    }

    fn value(&self) -> Value {
        let mut headers = Map::new();
        for (index, name) in HEADERS.iter().enumerate() {
            if let Some(value) = self.answer.headers.get(*name) {
                let shown = if index < STABLE_HEADERS { value.as_str() } else { "<text>" };
                headers.insert((*name).to_owned(), shown.into());
            }
        }
        let mut body: Value = match serde_json::from_slice(&self.answer.body) {
            Ok(json) => json,
            Err(_) => String::from_utf8_lossy(&self.answer.body).into_owned().into(),
        };
        if self.own_words && body.get("detail").is_some() {
            body["detail"] = "<text>".into();
        }
        self.mask(&mut body);
        json!({
            "request": self.request,
            "status": self.answer.status,
            "headers": headers,
            "body": body,
        })
    }

    fn mask(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let differs = VOLATILE.contains(&key.as_str()) || key.ends_with("_sec");
                    // Numbers of islands, and how many entries; the id of one entry is masked as an
                    // id.
                    if differs || (key == "deleted" && !value.is_string()) {
                        *value = kind(value);
                    } else {
                        self.mask(value);
                    }
                }
            }
            Value::Array(all) => {
                all.iter_mut().for_each(|value| self.mask(value));
                // How many there are of a kind differs.
                all.dedup();
            }
            Value::String(text) => {
                let folder = self.folder.to_string_lossy();
                *text = masked(&text.replace(&*folder, "<folder>"));
            }
            _ => {}
        }
    }
}

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/e2e/snapshots/{name}.json"))
}

/// What a value is, in place of the value.
fn kind(value: &Value) -> Value {
    let kind = match value {
        Value::Null => return Value::Null,
        Value::Bool(_) => "<truth>",
        Value::Number(_) => "<number>",
        Value::String(_) => "<text>",
        Value::Array(_) => "<list>",
        Value::Object(_) => "<object>",
    };
    kind.into()
}

/// A text without the ids of calls, the names and numbers of islands, and ports.
fn masked(text: &str) -> String {
    let mask = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let dashes = bare.matches('-').count();
        let shown = if bare.len() == UUID && dashes == 4 {
            "<call>"
        } else if bare.starts_with("si_") {
            "<island>"
        } else if let Some((_, port)) = bare.split_once("127.0.0.1:") {
            port.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(port)
        } else {
            return word.to_owned();
        };
        match bare.contains("127.0.0.1:") {
            true => word.replace(shown, "<port>"),
            false => word.replace(bare, shown),
        }
    };
    text.split(' ').map(mask).collect::<Vec<_>>().join(" ")
}
