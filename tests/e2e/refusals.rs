//! Requests that are refused at the door: nothing is fetched for them.

use crate::failure::{Failure, body, call, made};

const URL: &str = "example.test/hello";
const LARGEST_BODY: usize = 64 * 1024;

pub(crate) const REFUSALS: &[Failure] = &[
    // Not the JSON that is asked for.
    body("", 400, "malformed"),
    body("{", 400, "malformed"),
    body("call=Which()", 400, "malformed"),
    body("[]", 400, "malformed"),
    body("null", 400, "malformed"),
    body(r#"{"url": "example.test/hello", "call": "Which()"} more"#, 400, "malformed"),
    body(r#"{"url": 5, "call": "Which()"}"#, 400, "malformed"),
    body(r#"{"url": "example.test/hello", "call": ["Which()"]}"#, 400, "malformed"),
    body(r#"{"url": "example.test/hello", "call": "Which()", "version": 1}"#, 400, "malformed"),
    body(r#"{"url": "example.test/hello", "call": "Which()", "ip4": "yes"}"#, 400, "malformed"),
    body(r#"{"url": "example.test/hello", "call": "Which()", "imports": "os"}"#, 400, "malformed"),
    made("a body that is not UTF-8", not_utf8, 400, "malformed"),
    // Fields.
    body(r#"{"call": "Which()"}"#, 400, "malformed").says(&["url"]),
    body(r#"{"url": "example.test/hello"}"#, 400, "malformed").says(&["call"]),
    body(
        r#"{"url": "example.test/hello", "call": "Which()", "verison": "v1.0.0"}"#,
        400,
        "unknown_field",
    )
    .says(&["verison"]),
    made("a body of 64 KiB and one byte", too_large, 413, "too_large"),
    // Import paths.
    url(""),
    url("geohash"),
    url("localhost/hello"),
    url("fmt"),
    url("example.test/../hello"),
    url("example.test/./hello"),
    url("example.test//hello"),
    url("example.test/hel lo"),
    url("example.test/hello?ref=main"),
    url("example.test/hello#main"),
    url("example.test:8080/hello"),
    url("user@example.test/hello"),
    url("HTTPS://example.test/hello"),
    url("ftp://example.test/hello"),
    url("file:///example.test/hello"),
    url("127.0.0.1/hello"),
    url("[::1]/hello"),
    url("example.test/hello\\..\\other"),
    url("example.test/hello\u{0}"),
    url("-example.test/hello"),
    made("an import path of 5,000 bytes", long_url, 400, "url"),
    // Versions.
    version("v1 0"),
    version("--upload-pack=id"),
    version("../main"),
    version("main\n"),
    version("a..b"),
    version("refs/heads/x:refs/heads/y"),
    // Packages beside the called one.
    imports(&["not a path"]),
    imports(&["../hello"]),
    imports(&["C"]),
    // No expression.
    text("").says(&["call"]),
    text(" \t\n ").says(&["call"]),
    text("x := Which()").says(&["call:1:"]),
    text("go Which()").says(&["call:1:1"]),
    text("return").says(&["call:1:1"]),
    text("import \"os\"").says(&["call:1:1"]),
    // More than one expression.
    text("Greet(1)); os.Exit(0").says(&["call:1:9"]),
    text("Which(); os.Exit(0)").says(&["call:1:8"]),
    text("Which(), Which()").says(&["call:1:8"]),
    text("Which()\nos.Exit(0)").says(&["call:"]),
    text("Which\n()").says(&["call:"]),
    text("Which()}\nfunc init() { os.Exit(0)").says(&["call:1:8"]),
    // What hides the end of the expression.
    text("Which() // the rest").says(&["call:1:9"]),
    text("Which() /* the rest */").says(&["call:1:9"]),
    text("Which(/*").says(&["call:1:7"]),
    text("Greet(\"Ada)").says(&["call:1:7"]),
    text("Greet(`Ada)").says(&["call:1:7"]),
    text("Greet(\"Ada\n\")").says(&["call:1:7"]),
    text("Greet('Ada')").says(&["call:1:7"]),
    text("Greet(\"\\q\")").says(&["call:1:"]),
    text("Greet(\u{201c}Ada\u{201d})").says(&["call:1:7"]),
    text("Greet(\u{0})").says(&["call:1:7"]),
    text("Greet(").says(&["call:1:"]),
    text("Greet(1]").says(&["call:1:8"]),
    text("{{.Call}}").says(&["call:1:1"]),
    text("{{").says(&["call:1:1"]),
    // Something else in the first place than an exported name.
    text("which()").says(&["call:1:1"]),
    text("hello.which()").says(&["call:1:"]),
    text("\"a\" + Which()").says(&["call:1:1"]),
    text("1 + len(Which())").says(&["call:1:1"]),
    text("func() string { return Which() }()").says(&["call:1:1"]),
    text("len(Which())").says(&["call:1:1"]),
    text("[]string{Which()}").says(&["call:1:1"]),
];

const fn url(url: &'static str) -> Failure {
    call(url, "Which()", 400, "url").during("request")
}

const fn version(version: &'static str) -> Failure {
    call(URL, "Which()", 400, "version_text").at(version).during("request")
}

const fn imports(imports: &'static [&'static str]) -> Failure {
    call(URL, "Which()", 400, "imports").imports(imports).during("request")
}

const fn text(text: &'static str) -> Failure {
    call(URL, text, 400, "call").during("request")
}

fn not_utf8() -> Vec<u8> {
    b"{\"url\": \"example.test/hello\", \"call\": \"Greet(\\\"\xff\\\")\"}".to_vec()
}

fn too_large() -> Vec<u8> {
    body_of(LARGEST_BODY + 1)
}

fn long_url() -> Vec<u8> {
    let url = format!("example.test/{}", "hello/".repeat(5_000 / 6));
    serde_json::json!({"url": url.trim_end_matches('/'), "call": "Which()"}).to_string().into()
}

/// A good request that is filled with white space up to `length` bytes.
fn body_of(length: usize) -> Vec<u8> {
    let mut body = br#"{"url": "example.test/hello", "call": "Which()"}"#.to_vec();
    body.resize(length, b' ');
    body
}

/// The largest body that is not refused.
pub(crate) fn largest_body() -> Vec<u8> {
    body_of(LARGEST_BODY)
}
