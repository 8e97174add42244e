//! Conversations with the cache program, correct and broken ones.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::compile::cacheprog::disk::Layers;
use crate::compile::cacheprog::{CacheError, serve};

/// Longer than any response takes.
const PATIENCE: Duration = Duration::from_secs(10);

struct Talk {
    folder: tempfile::TempDir,
}

fn hash(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

fn request(id: i64, command: &str, fields: &Value) -> String {
    let mut request = json!({"ID": id, "Command": command});
    for (name, value) in fields.as_object().unwrap() {
        request[name] = value.clone();
    }
    // The go command ends each request with an empty line.
    format!("{request}\n\n")
}

fn get(id: i64, action: &str) -> String {
    request(id, "get", &json!({"ActionID": hash(action.as_bytes())}))
}

/// A request to keep `body`, without the body itself.
fn keep(id: i64, action: &str, body: &[u8]) -> String {
    let (action, output) = (hash(action.as_bytes()), hash(body));
    let mut fields = json!({"ActionID": action, "OutputID": output});
    if !body.is_empty() {
        fields["BodySize"] = body.len().into();
    }
    request(id, "put", &fields)
}

fn put(id: i64, action: &str, body: &[u8]) -> String {
    let text = match body {
        [] => String::new(),
        body => format!("\"{}\"\n", STANDARD.encode(body)),
    };
    keep(id, action, body) + &text
}

fn close(id: i64) -> String {
    request(id, "close", &json!({}))
}

impl Talk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["upper", "lower"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn layers(&self) -> Layers {
        let path = |name| self.folder.path().join(name).to_str().unwrap().to_owned();
        Layers::new(path("upper"), vec![path("lower")]).unwrap()
    }

    /// Sends all requests. Returns the responses without the greeting, and the end of the
    /// conversation.
    fn all(&self, said: &str) -> (Vec<Value>, Result<(), CacheError>) {
        self.in_pieces(said, 64 << 10)
    }

    /// Sends all requests to a program that reads at most this number of bytes at a time.
    fn in_pieces(&self, said: &str, most: usize) -> (Vec<Value>, Result<(), CacheError>) {
        let mut answers = Vec::new();
        let input = BufReader::with_capacity(most, Cursor::new(said.as_bytes()));
        let end = serve(&self.layers(), input, &mut answers);
        let mut lines = answers.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let greeting: Value = lines.next().unwrap();
        assert_eq!(greeting, json!({"ID": 0, "KnownCommands": ["get", "put", "close"]}));
        (lines.collect(), end)
    }
}

/// The bytes of the file that a response names.
fn body(answer: &Value) -> Vec<u8> {
    fs::read(answer["DiskPath"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

#[test]
fn a_kept_output_is_found_and_any_other_is_a_miss() {
    let talk = Talk::new();
    let said = [get(1, "a"), put(2, "a", b"text"), get(3, "a"), get(4, "b"), close(5)].concat();
    let (answers, end) = talk.all(&said);
    assert!(end.is_ok());
    assert_eq!(answers[0], json!({"ID": 1, "Miss": true}));
    assert_eq!(answers[1]["ID"], 2);
    let path = &answers[1]["DiskPath"];
    let hit = json!({"ID": 3, "OutputID": hash(b"text"), "Size": 4, "DiskPath": path});
    assert_eq!(answers[2], hit);
    assert_eq!(body(&answers[2]), b"text");
    assert_eq!(answers[3], json!({"ID": 4, "Miss": true}));
    assert_eq!(answers[4..], [json!({"ID": 5})]);
}

#[test]
fn a_body_arrives_whole_in_pieces_of_any_size() {
    for size in [0, 1, 2, 3, 4, 1023, 1024, 65_535, 65_536, 65_537, 3_000_001] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| (n ^ n >> 8) as u8).collect();
        for most in [7, 4096, 64 << 10] {
            let talk = Talk::new();
            let said = [put(1, "a", &bytes), get(2, "a"), close(3)].concat();
            let (answers, _) = talk.in_pieces(&said, most);
            assert_eq!(answers.len(), 3);
            assert!(body(&answers[0]) == bytes && body(&answers[1]) == bytes, "{size} {most}");
            assert_eq!(answers[1]["Size"].as_u64().unwrap_or(0), u64::from(size));
        }
    }
}

#[test]
fn a_bad_request_is_refused_and_the_next_one_is_answered() {
    let line = |text: &str| format!("\"{text}\"\n");
    let good = STANDARD.encode(b"text");
    let named = |name: &str, value: Value| {
        let mut fields = json!({"ActionID": hash(b"a"), "OutputID": hash(b"text"), "BodySize": 4});
        fields[name] = value;
        request(1, "put", &fields)
    };
    let table = [
        ("a shorter body", keep(1, "a", b"text") + &line(&STANDARD.encode(b"tex")), "announced"),
        ("a longer body", keep(1, "a", b"text") + &line(&STANDARD.encode(b"texts")), "announced"),
        ("another body", keep(1, "a", b"text") + &line(&STANDARD.encode(b"tExt")), "announced"),
        ("an empty body", keep(1, "a", b"text") + &line(""), "announced"),
        ("a body without an end", keep(1, "a", b"text") + "\"" + &good + "\n", "closing quote"),
        ("a body that is no base64", keep(1, "a", b"text") + &line("dGV*dA=="), "Invalid"),
        ("a body out of step", keep(1, "a", b"text") + &line("dGV4dA"), "Invalid"),
        ("no body", keep(1, "a", b"text"), "no body"),
        ("a huge body", named("BodySize", json!(1u64 << 40)) + &line(&good), "at most"),
        ("a negative body", named("BodySize", json!(-1)), "at most"),
        ("a short action", named("ActionID", json!("QUJD")) + &line(&good), "ActionID"),
        ("no output", named("OutputID", json!("")) + &line(&good), "OutputID"),
        ("an output in hex", named("OutputID", json!("00".repeat(32))) + &line(&good), "OutputID"),
        ("an unknown command", request(1, "get2", &json!({"ActionID": hash(b"a")})), "get2"),
        ("one with a body", request(1, "swap", &json!({"BodySize": 4})) + &line(&good), "swap"),
        ("no action", request(1, "get", &json!({})), "ActionID"),
    ];
    for (what, said, why) in table {
        for most in [5, 64 << 10] {
            let talk = Talk::new();
            let (answers, end) = talk.in_pieces(&[said.clone(), get(2, "a")].concat(), most);
            let refusal = answers[0]["Err"].as_str().unwrap_or_default();
            assert!(answers[0]["ID"] == 1 && refusal.contains(why), "{what}: {}", answers[0]);
            assert_eq!(answers[1..], [json!({"ID": 2, "Miss": true})], "{what}");
            assert!(end.is_ok(), "{what}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_of_one_request() {
    let talk = Talk::new();
    fs::remove_dir(talk.folder.path().join("upper")).unwrap();
    let (answers, _) = talk.all(&[put(1, "a", &[7; 100_000]), get(2, "a"), close(3)].concat());
    assert!(answers[0]["Err"].is_string(), "{}", answers[0]);
    assert_eq!(answers[1..], [json!({"ID": 2, "Miss": true}), json!({"ID": 3})]);
}

#[test]
fn a_line_that_is_no_request_ends_the_conversation() {
    let garbage =
        ["text\n", "{\n", "[]\n", "{\"Command\":\"get\"}\n", "{\"ID\":\"x\"}\n", "\u{0}\n"];
    for line in garbage {
        let (answers, end) = Talk::new().all(&[&get(1, "a"), line, &get(2, "a")].concat());
        assert_eq!(answers, [json!({"ID": 1, "Miss": true})], "{line:?}");
        assert!(matches!(end, Err(CacheError::Garbage(_))), "{line:?}");
    }
    let endless = "x".repeat(1 << 20);
    let (answers, end) = Talk::new().all(&(get(1, "a") + &endless));
    assert_eq!(answers.len(), 1);
    assert!(matches!(end, Err(CacheError::Long(_))));
}

#[test]
fn the_input_can_end_anywhere() {
    let said = [put(1, "a", b"text"), get(2, "a")].concat();
    for length in 0..said.len() {
        let (answers, _) = Talk::new().all(&said[..length]);
        assert!(answers.len() <= 2, "{length}");
    }
    let (_, end) = Talk::new().all("");
    assert!(end.is_ok());
}

#[test]
fn nothing_is_read_after_a_close() {
    let (answers, end) = Talk::new().all(&[close(1), get(2, "a"), "garbage\n".into()].concat());
    assert_eq!(answers, [json!({"ID": 1})]);
    assert!(end.is_ok());
}

#[test]
fn an_answer_does_not_wait_for_the_next_request() {
    let talk = Talk::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let layers = talk.layers();
    std::thread::scope(|scope| {
        let answering = theirs.try_clone().unwrap();
        scope.spawn(move || serve(&layers, BufReader::new(theirs), BufWriter::new(answering)));
        let (mut say, mut hear) = (ours.try_clone().unwrap(), BufReader::new(ours));
        let mut answer = || {
            let mut line = String::new();
            hear.read_line(&mut line).unwrap();
            serde_json::from_str::<Value>(&line).unwrap()
        };
        assert!(answer()["KnownCommands"].is_array());
        say.write_all(get(1, "a").as_bytes()).unwrap();
        assert_eq!(answer()["ID"], 1);
        // The second one is announced with the first, and its body is late.
        let late = [get(2, "a"), keep(3, "a", b"text")].concat();
        say.write_all(late.as_bytes()).unwrap();
        assert_eq!(answer()["ID"], 2);
        say.write_all(format!("\"{}\"\n", STANDARD.encode("text")).as_bytes()).unwrap();
        assert_eq!(answer()["ID"], 3);
        say.write_all(close(4).as_bytes()).unwrap();
        assert_eq!(answer()["ID"], 4);
        let mut rest = Vec::new();
        hear.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    });
}
