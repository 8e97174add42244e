//! The client in Python: `requests.post` with a text, for which requests sets no content type.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::host::Host;
use crate::request::hello;
use crate::wire::Wire;
use crate::{Test, not_given, same};

pub(crate) const TESTS: &[Test] = &[
    ("the Python client gets its data", client),
    ("the bytes of the Python client are answered", bytes),
];

fn client(host: &Host) -> Result<(), String> {
    let given = Command::new("python3").args(["-c", "import requests"]).output();
    if !given.is_ok_and(|output| output.status.success()) {
        return not_given("the Python client", "python3-requests");
    }
    let calls = ["Which()", "Greet(\"5 €\")", "NotThere()"];
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/clients/python/client.py"))
        .args(["127.0.0.1", &host.port.to_string(), "example.test/hello"])
        .args(calls)
        // What lies on this host is not asked for by way of a proxy, and no bytecode is left in the
        // checkout.
        .envs([("NO_PROXY", "*"), ("no_proxy", "*"), ("PYTHONDONTWRITEBYTECODE", "1")])
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("the client failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.map_err(|e| format!("{e}: {text}"))?;
    // A failure is nothing to it; one connection was enough for all of them once more.
    let understood = json!(["first edition", "Hello, 5 €!", null, 1]);
    same(Value::from(lines), understood)
}

fn bytes(host: &Host) -> Result<(), String> {
    let mut wire = Wire::connect(host.port)?;
    for (call, data) in [("Which()", "first edition"), ("Greet(\"5 €\")", "Hello, 5 €!")] {
        // As json.dumps writes it: ASCII alone.
        let body = hello(call).replace('€', r"\u20ac");
        let head = format!(
            "POST /api/v1/function HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: python-requests/2.18.4\r\n\
             Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n",
            host.port,
            body.len()
        );
        // http.client sends head and body one after the other.
        wire.send(head.as_bytes())?;
        wire.send(body.as_bytes())?;
        let answer = wire.answer()?;
        same(answer.data()?.as_str(), data)?;
        // It was offered, and would have to be undone by a client that did not offer it.
        same(answer.header("content-encoding").is_err(), true)?;
    }
    Ok(())
}
