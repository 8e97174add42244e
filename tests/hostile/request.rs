//! Fields of a request and bodies that lie: urls, versions, JSON.

use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::json;

use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::world::{World, call};

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let url = |(what, advisory, text): &(&str, &str, &'static str)| {
        let text = *text;
        world.trial(title("url", what, advisory), move |_, server| {
            Fails(400, "url", &[]).check(&call(server, text, "Who()", None)?)
        })
    };
    let version = |(what, advisory, text): &(&str, &str, &'static str)| {
        let text = *text;
        world.trial(title("version", what, advisory), move |_, server| {
            let answer = call(server, "example.test/neighbour", "Who()", Some(text))?;
            Fails(400, "version_text", &[]).check(&answer)
        })
    };
    let body = |row: &'static Body| {
        world.trial(title("JSON", row.what, row.advisory), move |_, server| {
            row.expect.check(&server.client.post(&(row.body)())?)
        })
    };
    let urls = URLS.iter().map(url);
    urls.chain(VERSIONS.iter().map(version)).chain(BODIES.iter().map(body)).collect()
}

/// What is handed in, the advisory, the url.
const URLS: &[(&str, &str, &str)] = &[
    ("an option", "CVE-2017-1000117", "-oProxyCommand=id/x"),
    ("a host that is an option", "CVE-2017-1000117", "ssh://-oProxyCommand=id/x"),
    ("a helper that runs a program", "", "ext::sh -c id"),
    ("a file of the host", "", "file:///etc/passwd"),
    ("an absolute path", "", "/etc/passwd"),
    (
        "a git url with a line end for a credential helper",
        "CVE-2020-5260",
        "https://example.test/%0ahost=github.com/x",
    ),
    ("a line end", "CVE-2020-5260", "example.test/a\nhost=github.com"),
    ("a user", "", "user:password@example.test/hello"),
    ("a port", "", "example.test:22/hello"),
    ("a literal address", "", "169.254.169.254/latest/meta-data"),
    ("a literal address in one number", "", "2130706433/hello"),
    ("a literal address of version 6", "", "[::ffff:127.0.0.1]/hello"),
    ("a literal address in hexadecimal digits", "", "0x7f.1/hello"),
    ("a slash that is encoded", "", "example.test/a%2f..%2fb"),
    ("a dot that is encoded", "", "example.test/%2e%2e/hello"),
    ("dots", "CVE-2018-16874", "example.test/../hello"),
    ("braces and dots", "CVE-2018-16874", "example.test/{../../x}"),
    ("a dot of Unicode", "", "example\u{3002}test/hello"),
    ("a slash of Unicode", "", "example.test\u{2215}hello"),
    ("a letter of Unicode", "CVE-2021-42694", "ex\u{430}mple.test/hello"),
    ("a NUL", "", "example.test/hello\0.git"),
    ("a backslash", "", "example.test\\hello"),
    ("a query", "", "example.test/hello?go-get=1"),
    ("a fragment", "", "example.test/hello#@v1"),
    ("a module at a version", "", "example.test/hello@v1.0.0"),
    ("shell characters", "", "example.test/$(id)"),
    ("git's own folder", "CVE-2018-16873", "example.test/neighbour/.git"),
    ("git's own folder as a parent", "CVE-2018-16873", "example.test/.git/hooks"),
];

/// The same for versions.
const VERSIONS: &[(&str, &str, &str)] = &[
    ("an option", "CVE-2017-1000117", "--upload-pack=id"),
    ("a range", "", "v1.0.0..v2.0.0"),
    ("an ancestor", "", "main~1"),
    ("a date", "", "main@{yesterday}"),
    ("a path in a commit", "", "main:secret"),
    ("a path", "", "../../etc/passwd"),
    ("an absolute path", "", "/etc/passwd"),
    ("a refspec", "", "+refs/heads/a:refs/heads/b"),
    ("a pattern", "", "refs/heads/*"),
    ("a comparison of the go command", "", ">=v1.0.0"),
    ("shell characters", "", "$(id)"),
    ("a line end", "", "main\nx"),
    ("a NUL", "", "main\0"),
    ("a file that git locks", "", "main.lock"),
    ("letters of Unicode", "CVE-2021-42694", "m\u{430}in"),
];

/// A body, and what comes of it.
struct Body {
    what: &'static str,
    advisory: &'static str,
    body: fn() -> Vec<u8>,
    expect: Expect,
}

const fn body(
    what: &'static str,
    advisory: &'static str,
    body: fn() -> Vec<u8>,
    expect: Expect,
) -> Body {
    Body { what, advisory, body, expect }
}

const MALFORMED: Expect = Fails(400, "malformed", &[]);

const BODIES: &[Body] = &[
    body(
        "lists thirty thousand deep",
        "CVE-2020-36518",
        || format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)).into_bytes(),
        MALFORMED,
    ),
    body(
        "objects ten thousand deep in a field",
        "CVE-2020-36518",
        || {
            let (open, close) = ("{\"a\":".repeat(10_000), "}".repeat(10_000));
            format!("{{\"url\": \"example.test/neighbour\", \"call\": {open}1{close}}}")
                .into_bytes()
        },
        MALFORMED,
    ),
    body(
        "a field twice",
        "CVE-2017-12635",
        || {
            br#"{"url": "example.test/neighbour", "url": "example.test/other", "call": "Who()"}"#
                .to_vec()
        },
        MALFORMED,
    ),
    body(
        "a field twice, once with escapes",
        "CVE-2017-12635",
        || {
            br#"{"url": "example.test/neighbour", "c\u0061ll": "Who()", "call": "Say(\"x\")"}"#
                .to_vec()
        },
        MALFORMED,
    ),
    body(
        "a number that no machine has",
        "",
        || br#"{"url": "example.test/neighbour", "call": 1e99999999999999999999}"#.to_vec(),
        MALFORMED,
    ),
    body(
        "half of a surrogate pair",
        "",
        || br#"{"url": "example.test/neighbour", "call": "Say(\"\ud800\")"}"#.to_vec(),
        MALFORMED,
    ),
    body(
        "a text that is not UTF-8",
        "",
        || b"{\"url\": \"example.test/neighbour\", \"call\": \"Say(\\\"\xc0\xaf\\\")\"}".to_vec(),
        MALFORMED,
    ),
    body(
        "UTF-16",
        "",
        || {
            "\u{feff}{\"url\": \"example.test/neighbour\"}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect()
        },
        MALFORMED,
    ),
    body(
        "a byte order mark",
        "",
        || "\u{feff}{\"url\": \"example.test/neighbour\", \"call\": \"Who()\"}".as_bytes().to_vec(),
        MALFORMED,
    ),
    body(
        "a NUL behind the end",
        "",
        || b"{\"url\": \"example.test/neighbour\", \"call\": \"Who()\"}\0".to_vec(),
        MALFORMED,
    ),
    body(
        "a prototype",
        "CVE-2019-10744",
        || {
            br#"{"url": "example.test/neighbour", "call": "Who()", "__proto__": {"version": "x"}}"#
                .to_vec()
        },
        Fails(400, "unknown_field", &["__proto__"]),
    ),
    body(
        "a call that is an object",
        "",
        || br#"{"url": "example.test/neighbour", "call": {"$gt": ""}}"#.to_vec(),
        MALFORMED,
    ),
    body(
        "more than a request may have",
        "",
        || {
            json!({"url": "example.test/neighbour", "call": "a".repeat(70_000)})
                .to_string()
                .into_bytes()
        },
        Fails(413, "too_large", &[]),
    ),
    body(
        "escapes for every letter",
        "",
        || {
            let text: String = "Who()".bytes().map(|b| format!("\\u{b:04x}")).collect();
            format!("{{\"url\": \"example.test/neighbour\", \"call\": \"{text}\"}}").into_bytes()
        },
        Answers("the neighbour"),
    ),
];
