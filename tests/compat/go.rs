//! The client in Go: a POST of a body put together by hand, without a content type.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::host::Host;
use crate::wire::Wire;
use crate::{Test, same};

pub(crate) const TESTS: &[Test] = &[
    ("the Go client gets data and time", client),
    ("the bytes of the Go client are answered", bytes),
];

/// A call of the package `hello`, as a user of the client wrote it: its text goes into the body as
/// it stands.
const GREET: &str = r#"Greet(\"Ada\")"#;

fn client(host: &Host) -> Result<(), String> {
    let calls = ["Which()", GREET, "NotThere()", r#"Greet("Ada")"#];
    let output = Command::new("go")
        .args(["run", ".", "http://127.0.0.1", &host.port.to_string(), "example.test/hello"])
        .args(calls)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/clients/go"))
        .env("GOCACHE", std::env::temp_dir().join("sky-test-gocache"))
        .envs([("GOPROXY", "off"), ("GOSUMDB", "off"), ("GOFLAGS", ""), ("GOWORK", "off")])
        .envs([("GOENV", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")])
        .output()
        .map_err(|e| format!("go cannot be run: {e}"))?;
    if !output.status.success() {
        return Err(format!("the client failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.map_err(|e| format!("{e}: {text}"))?;
    let [which, greeted, missing, unescaped] = &lines[..] else {
        return Err(format!("{} answers of {}", lines.len(), calls.len()));
    };
    for (line, data) in [(which, "first edition"), (greeted, "Hello, Ada!")] {
        same((line["data"].as_str(), line["error"].as_str()), (Some(data), Some("")))?;
        same(line["timestamp"].as_i64().is_some_and(|stamp| stamp > 1_513_717_061), true)?;
    }
    // A failure is read without an error of the client's own, and leaves nothing in its structure
    // but what is said.
    for (line, error) in [(missing, "No such function"), (unescaped, "Bad Request")] {
        same((line["data"].as_str(), line["timestamp"].as_i64()), (Some(""), Some(0)))?;
        same(line["error"].as_str(), Some(error))?;
    }
    Ok(())
}

fn bytes(host: &Host) -> Result<(), String> {
    let body = format!(r#"{{"url": "example.test/hello", "call": "{GREET}"}}"#);
    let request = format!(
        "POST /api/v1/function HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: ExecRequest-http-client/1.1\r\n\
         Content-Length: {}\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        host.port,
        body.len()
    );
    let mut wire = Wire::connect(host.port)?;
    // Its transport keeps connections.
    for _ in 0..2 {
        wire.send(request.as_bytes())?;
        same(wire.answer()?.data()?.as_str(), "Hello, Ada!")?;
    }
    Ok(())
}
