//! The client in C: libcurl with both headers of JSON, a body as json-c writes it, and five
//! seconds' patience. The curl command is the same library; what it sends by itself is what the
//! README of 2017 shows.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::Host;
use crate::request::hello;
use crate::wire::Wire;
use crate::{Test, not_given, same};

pub(crate) const TESTS: &[Test] = &[
    ("the bytes of the C client are answered", bytes),
    ("a client that waits for 100 Continue is told to go on", waiting),
    ("the C client gets its answer", client),
    ("curl gets its answer as the README of 2017 asks for it", readme),
    ("curl with the headers of the C client gets its answer", headers),
];

/// As json-c writes a request: blanks around, slashes escaped.
fn json_c(call: &str) -> String {
    let call = call.replace('"', r#"\""#);
    format!(r#"{{ "url": "example.test\/hello", "call": "{call}" }}"#)
}

fn head(host: &Host, body: &str, more: &str) -> String {
    format!(
        "POST /api/v1/function HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: sky-island/1.0\r\n\
         Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n",
        host.port,
        body.len()
    )
}

fn bytes(host: &Host) -> Result<(), String> {
    let body = json_c(r#"Greet("Ada")"#);
    let mut wire = Wire::connect(host.port)?;
    wire.send((head(host, &body, "") + &body).as_bytes())?;
    same(wire.answer()?.data()?.as_str(), "Hello, Ada!")
}

fn waiting(host: &Host) -> Result<(), String> {
    // libcurl of 2017 waits with a body of more than 1024 bytes.
    let name = "x".repeat(1025);
    let body = json_c(&format!("Greet(\"{name}\")"));
    let mut wire = Wire::connect(host.port)?;
    wire.send(head(host, &body, "Expect: 100-continue\r\n").as_bytes())?;
    same(wire.answer()?.status, 100)?;
    wire.send(body.as_bytes())?;
    same(wire.answer()?.data()?, format!("Hello, {name}!"))
}

fn client(host: &Host) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let program = folder.path().join("client");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/clients/c/client.c");
    let mut probe = Command::new("cc");
    probe.args(["-E", "-include", "curl/curl.h", "-x", "c", "/dev/null"]);
    let given = probe.output().is_ok_and(|output| output.status.success());
    if !given {
        return not_given("the C client", "curl/curl.h");
    }
    let compiled = Command::new("cc")
        .args(["-Wall", "-Werror", "-o"])
        .args([&program, &source])
        .arg("-lcurl")
        .output()
        .map_err(|e| e.to_string())?;
    if !compiled.status.success() {
        return Err(format!("cc: {}", String::from_utf8_lossy(&compiled.stderr)));
    }
    let endpoint = format!("http://127.0.0.1:{}/api/v1/function", host.port);
    for (call, key, value) in [
        (r#"Greet("Ada")"#, "data", "Hello, Ada!".to_owned()),
        ("NotThere()", "error", "No such function".to_owned()),
        (
            &format!("Greet(\"{}\")", "x".repeat(1025)),
            "data",
            format!("Hello, {}!", "x".repeat(1025)),
        ),
    ] {
        let output = Command::new(&program).args([&endpoint, &json_c(call)]).output();
        same(answer(output.map_err(|e| e.to_string())?)?[key].as_str(), Some(&*value))?;
    }
    Ok(())
}

fn readme(host: &Host) -> Result<(), String> {
    let call = hello(r#"Greet("Ada")"#);
    let Some(output) = curl(host, &["--silent", "-XPOST", "-d", &call]) else {
        return not_given("the requests of curl", "curl");
    };
    same(answer(output)?["data"].as_str(), Some("Hello, Ada!"))?;
    let bust = r#"{"url": "example.test/hello", "call": "Which()", "cache_bust": true}"#;
    let output = curl(host, &["--silent", "-XPOST", "-d", bust]).ok_or("curl is gone")?;
    same(answer(output)?["data"].as_str(), Some("first edition"))
}

fn headers(host: &Host) -> Result<(), String> {
    let sent = ["-H", "Accept: application/json", "-H", "Content-Type: application/json"];
    let more = ["--silent", "-X", "POST", "-A", "sky-island/1.0", "--max-time", "5"];
    for (expect, name) in
        [("Expect:", "Ada".to_owned()), ("Expect: 100-continue", "x".repeat(1025))]
    {
        let body = json_c(&format!("Greet(\"{name}\")"));
        let arguments = [&sent[..], &more[..], &["-H", expect, "-d", &body]].concat();
        let Some(output) = curl(host, &arguments) else {
            return not_given("the requests of curl", "curl");
        };
        same(answer(output)?["data"].as_str(), Some(&*format!("Hello, {name}!")))?;
    }
    Ok(())
}

/// What curl says; nothing where there is no curl.
fn curl(host: &Host, arguments: &[&str]) -> Option<Output> {
    let endpoint = format!("http://127.0.0.1:{}/api/v1/function", host.port);
    // Neither a file of the user's own nor a proxy.
    Command::new("curl").args(["-q", "--noproxy", "*"]).args(arguments).arg(endpoint).output().ok()
}

fn answer(output: Output) -> Result<Value, String> {
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the client ended with {}: {told}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{e}: {output:?}"))
}
