//! The rules of messages, checked with an example of each code.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use host::net::AddressState;
use hyper::body::Frame;
use serde_json::Value;

use crate::calls::{Code, Failure, examples};
use crate::http::admin::{ips, query};
use crate::http::{body, error, guard};

/// Words that no message has, one a line.
const RETIRED: &str = include_str!("../../../../../tests/retired_words.txt");

/// A body that never arrives.
struct Silent;

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// An example of a code, with the limits, keys and values that its detail has to name.
struct Example {
    code: Code,
    detail: String,
    names: &'static [&'static str],
}

impl Example {
    fn of(failure: Failure, names: &'static [&'static str]) -> Self {
        Self { code: failure.code, detail: failure.detail, names }
    }

    async fn answered(response: Response, names: &'static [&'static str]) -> Self {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |key: &str| problem[key].as_str().unwrap().to_owned();
        Self { code: Code::of_name(&text("code")).unwrap(), detail: text("detail"), names }
    }

    /// The broken rules.
    fn faults(&self) -> Vec<String> {
        let words = words(&self.detail);
        let mut faults = Vec::new();
        if self.detail.trim().is_empty() {
            faults.push("the detail is empty".to_owned());
        }
        if words.starts_with(" it ") {
            faults.push("the detail begins with \"it\"".to_owned());
        }
        let retired = RETIRED.lines().filter(|phrase| words.contains(&format!(" {phrase} ")));
        faults.extend(retired.map(|phrase| format!("{phrase:?} is retired")));
        let missing = self.names.iter().filter(|name| !self.detail.contains(**name));
        faults.extend(missing.map(|name| format!("the detail does not name {name:?}")));
        faults
    }
}

/// The words of a text in small letters, with a blank before and after each.
fn words(text: &str) -> String {
    let small = text.to_lowercase();
    let words: Vec<&str> =
        small.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

async fn all() -> Vec<Example> {
    let calls = examples().await;
    let mut all: Vec<_> =
        calls.into_iter().map(|(failure, names)| Example::of(failure, names)).collect();
    let large = body::read(Body::from(vec![b' '; 65 * 1024])).await.unwrap_err();
    let slow = body::read(Body::new(Silent)).await.unwrap_err();
    let number = query::number(Ok(Path("init".to_owned()))).err().unwrap();
    let key = query::key(Ok(Path("../..".to_owned()))).err().unwrap();
    all.extend([
        Example::of(guard::refusal(&[("host", "evil.example")]), &["evil.example", "hosts"]),
        Example::of(
            guard::refusal(&[("host", "localhost"), ("origin", "https://evil.example")]),
            &["https://evil.example", "cors_origins"],
        ),
        Example::of(
            guard::refusal(&[("host", "localhost"), ("content-type", "text/plain")]),
            &["text/plain", "application/json"],
        ),
        Example::of(large, &["64 KiB"]),
        Example::of(slow, &["10 s"]),
        Example::of(number.0, &["init"]),
        Example::of(key.0, &["../.."]),
        Example::answered(error::nothing_at("/nothing"), &["/nothing"]).await,
        Example::answered(error::no_method_at(&Method::PUT, "/x"), &["PUT", "/x"]).await,
    ]);
    let address: IpAddr = "10.83.0.2".parse().unwrap();
    let leased = |island: Option<&str>| AddressState::Leased {
        island: island.map(Into::into),
        withdrawn: false,
    };
    let uses: [(AddressState, Option<&str>, &[&str]); 4] = [
        (leased(Some("si_1")), Some("call_1"), &["10.83.0.2", "si_1", "call_1"]),
        (leased(Some("si_1")), None, &["10.83.0.2", "si_1"]),
        (leased(None), None, &["10.83.0.2"]),
        (AddressState::Foreign, None, &["10.83.0.2", "host"]),
    ];
    all.extend(uses.map(|(state, call, names)| {
        let detail = ips::in_use(address, &state, call);
        Example { code: Code::InUse, detail, names }
    }));
    all
}

#[tokio::test(start_paused = true)]
async fn every_code_has_an_example_and_every_message_follows_the_rules() {
    let all = all().await;
    for code in Code::ALL {
        assert!(all.iter().any(|example| example.code == *code), "{code:?} has no example");
    }
    for example in &all {
        let faults = example.faults();
        assert!(faults.is_empty(), "{:?}: {:?}: {faults:?}", example.code, example.detail);
    }
}

#[test]
fn a_message_that_breaks_a_rule_is_found() {
    let faults = |detail: &str| {
        Example { code: Code::Busy, detail: detail.to_owned(), names: &["limits.calls"] }.faults()
    };
    assert!(faults("too many calls in flight (limits.calls = 4)").is_empty());
    assert!(faults("the unit limits.calls").is_empty());
    assert_eq!(faults("").len(), 2);
    assert_eq!(faults("It exceeds limits.calls"), ["the detail begins with \"it\""]);
    assert_eq!(faults("too many calls"), ["the detail does not name \"limits.calls\""]);
    for phrase in RETIRED.lines() {
        assert_eq!(
            faults(&format!("a {phrase}, limits.calls")),
            [format!("{phrase:?} is retired")]
        );
    }
}
