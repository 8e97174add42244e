//! The body of a call: the fields of 2017 with their types, as its README and its request structure
//! have them.

use crate::host::Host;
use crate::wire::Wire;
use crate::{Test, same};

pub(crate) const TESTS: &[Test] = &[
    ("a success is the two keys of 2017 and no byte more", success),
    ("text beyond ASCII is said to be UTF-8", beyond_ascii),
    ("the five fields of 2017 are taken in their types", fields),
    ("a field that is null is as if it were not there", nulls),
    ("keys are read in capital letters too", capitals),
    ("a body without a length is read in chunks", chunks),
    ("a client that speaks HTTP/1.0 is answered and hung up on", old_http),
    ("a body that is no request answers 400 with an error", malformed),
    ("a call that fails answers with an error and no data", failing),
    ("data that is no text comes as base64 and says so", bytes),
    ("a version is heeded", version),
    ("a body of more than 64 KiB answers 413 with an error", too_large),
];

/// A body that asks for the package of these tests.
pub(crate) fn hello(call: &str) -> String {
    serde_json::json!({"url": "example.test/hello", "call": call}).to_string()
}

fn success(host: &Host) -> Result<(), String> {
    let answer = host.function(&hello("Which()"))?;
    same(answer.data()?.as_str(), "first edition")?;
    // As fmt.Print prints it, and nothing behind it.
    same(host.function(&hello("Join(\", \", 1, true, \"x\")"))?.data()?.as_str(), "1, true, x")
}

fn beyond_ascii(host: &Host) -> Result<(), String> {
    // requests of 2017 guesses the encoding of a text whose type names none, and guesses this one
    // wrong.
    same(host.function(&hello("Greet(\"5 €\")"))?.data()?.as_str(), "Hello, 5 €!")
}

fn fields(host: &Host) -> Result<(), String> {
    for more in [
        r#""ip4": false"#,
        r#""cache_bust": false"#,
        r#""cache_bust": true"#,
        r#""version": """#,
        r#""ip4": false, "cache_bust": false, "version": """#,
    ] {
        let body = format!(r#"{{"url": "example.test/hello", "call": "Which()", {more}}}"#);
        same(host.function(&body)?.data()?.as_str(), "first edition")
            .map_err(|e| format!("{more}: {e}"))?;
    }
    for wrong in [r#""ip4": 0"#, r#""cache_bust": "true""#, r#""version": 1"#] {
        let body = format!(r#"{{"url": "example.test/hello", "call": "Which()", {wrong}}}"#);
        same(host.function(&body)?.error(400)?.as_str(), "Bad Request")
            .map_err(|e| format!("{wrong}: {e}"))?;
    }
    Ok(())
}

fn nulls(host: &Host) -> Result<(), String> {
    let body = r#"{"url": "example.test/hello", "call": "Which()", "ip4": null, "cache_bust": null, "version": null}"#;
    same(host.function(body)?.data()?.as_str(), "first edition")
}

fn capitals(host: &Host) -> Result<(), String> {
    // As Go writes a structure whose fields have no tags.
    for body in [
        r#"{"URL":"example.test/hello","Call":"Which()","IP4":false,"Version":""}"#,
        r#"{"Url":"example.test/hello","call":"Which()","Cache_Bust":false}"#,
    ] {
        same(host.function(body)?.data()?.as_str(), "first edition")?;
    }
    let body = r#"{"ip":"192.168.0.77","State":0}"#;
    same(host.admin("PUT", "/network/ip", body)?.json(200)?["state"].as_str(), Some("available"))
}

fn chunks(host: &Host) -> Result<(), String> {
    let body = hello("Which()");
    let (first, rest) = body.split_at(7);
    let mut wire = Wire::connect(host.port)?;
    wire.send(
        b"POST /api/v1/function HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for part in [first, rest, ""] {
        wire.send(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes())?;
    }
    same(wire.answer()?.data()?.as_str(), "first edition")
}

fn old_http(host: &Host) -> Result<(), String> {
    let body = hello("Which()");
    let mut wire = Wire::connect(host.port)?;
    let head = format!("POST /api/v1/function HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    wire.send((head + &body).as_bytes())?;
    same(wire.answer()?.data()?.as_str(), "first edition")?;
    wire.ends()
}

fn malformed(host: &Host) -> Result<(), String> {
    for body in
        ["{", "url=example.test/hello&call=Which()", r#"["x"]"#, r#"{"url": 3, "call": "F()"}"#]
    {
        same(host.function(body)?.error(400)?.as_str(), "Bad Request")
            .map_err(|e| format!("{body}: {e}"))?;
    }
    // These had other answers in 2017, or ran something else than what was meant.
    for body in [
        r#"{"url": "example.test/hello", "call": "Which()", "colour": "blue"}"#,
        r#"{"url": "example.test/hello"}"#,
        r#"{"url": "../hello", "call": "Which()"}"#,
        r#"{"url": "example.test/hello", "call": "Which("}"#,
        r#"{"url": "example.test/hello", "call": "Which()); panic(\"x\""}"#,
        r#"{"url": "example.test/hello", "URL": "example.test/faulty", "call": "Which()"}"#,
    ] {
        host.function(body)?.error(400).map_err(|e| format!("{body}: {e}"))?;
    }
    Ok(())
}

fn failing(host: &Host) -> Result<(), String> {
    let faulty = |call: &str| hello(call).replace("hello", "faulty");
    for (body, status) in [
        (hello("NotThere()"), 404),
        (hello("Which()").replace("hello", "nowhere"), 404),
        (faulty("Exit(3)"), 422),
        (faulty("Panic(\"x\")"), 422),
        (faulty("Sleep(20*time.Second)"), 504),
    ] {
        let answer = host.function(&body)?;
        answer.error(status).map_err(|e| format!("{body}: {e}"))?;
        same(answer.header("content-type")?, "application/problem+json")?;
        if answer.body.contains(r#""data":"#) || answer.body.contains(r#""timestamp":"#) {
            return Err(format!("it looks like a success: {}", answer.body));
        }
    }
    Ok(())
}

fn bytes(host: &Host) -> Result<(), String> {
    let body = host.function(&hello("Raw()"))?.json(200)?;
    same((body["data"].as_str(), body["encoding"].as_str()), (Some("/wD+"), Some("base64")))
}

fn version(host: &Host) -> Result<(), String> {
    let body = |version: &str| {
        format!(r#"{{"url": "example.test/hello", "call": "Which()", "version": "{version}"}}"#)
    };
    same(host.function(&body("v1.0.0"))?.data()?.as_str(), "first edition")?;
    host.function(&body("v9.9.9"))?.error(404).map(drop)
}

fn too_large(host: &Host) -> Result<(), String> {
    host.function(&hello(&format!("Greet(\"{}\")", "x".repeat(64 * 1024))))?.error(413).map(drop)
}
