//! Classifies the messages of the go command.
//!
//! Pure. An unknown message is [`Verdict::Other`], never success.

/// The class of a message of the go command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A go.mod asks for a newer Go.
    NewerGo { needs: String, running: String },
    /// The proxy or the checksum database could not be reached.
    Unreachable,
    /// The proxy answered that it does not have the module or version.
    NotKnown,
    /// Anything else: a go.mod that cannot be read, a checksum that does not match.
    Other,
}

const UNREACHABLE: [&str; 24] = [
    "dial tcp",
    "no such host",
    "server misbehaving",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "TLS handshake",
    "x509:",
    "tls:",
    ": EOF",
    "unexpected EOF",
    "proxyconnect",
    fetch_job::NO_CONNECTION,
    "Client.Timeout",
    "http2:",
    "401 Unauthorized",
    "407 Proxy",
    "429 Too Many",
    "module lookup disabled by GOPROXY=off",
    "408 Request Timeout",
    // The proxy, or the way to it, cut the archive short.
    "zip: not a valid zip file",
    "zip: checksum error",
];

const NOT_KNOWN: [&str; 13] = [
    "404 Not Found",
    "410 Gone",
    "403 Forbidden",
    "400 Bad Request",
    "not found",
    "no matching versions",
    "unknown revision",
    "invalid version",
    "disallowed version",
    "malformed",
    "does not contain package",
    "GOVCS disallows",
    "no such file or directory",
];

/// Classifies a message.
pub(super) fn verdict(text: &str) -> Verdict {
    if let Some((needs, running)) = newer_go(text) {
        return Verdict::NewerGo { needs, running };
    }
    if UNREACHABLE.iter().any(|sign| text.contains(sign)) || server_failed(text) {
        return Verdict::Unreachable;
    }
    if NOT_KNOWN.iter().any(|sign| text.contains(sign)) {
        return Verdict::NotKnown;
    }
    Verdict::Other
}

/// Whether a proxy refused a path (403) instead of reporting it missing (404). The go command then
/// gives up instead of trying a shorter module path.
pub(super) fn refused(text: &str) -> bool {
    text.contains("403 Forbidden") && !text.contains("sumdb")
}

/// `… requires go >= 1.99 (running go 1.26.0; GOTOOLCHAIN=local)`.
fn newer_go(text: &str) -> Option<(String, String)> {
    let number = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect()
    };
    let (_, tail) = text.split_once("requires go >= ")?;
    let (_, running) = tail.split_once("(running go ")?;
    Some((number(tail), number(running)))
}

/// `reading https://…: 502 Bad Gateway`.
fn server_failed(text: &str) -> bool {
    text.lines().filter(|line| line.contains("reading ")).any(|line| {
        line.rsplit(": ").any(|part| {
            let code = part.split(' ').next().unwrap_or_default();
            code.len() == 3
                && code.starts_with('5')
                && code.bytes().all(|b| b.is_ascii_digit())
                && part.len() > 3
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_go_command_is_sorted() {
        let newer = |needs: &str, running: &str| Verdict::NewerGo {
            needs: needs.into(),
            running: running.into(),
        };
        for (text, want) in [
            (
                "go: go.mod requires go >= 1.99 (running go 1.26.0; GOTOOLCHAIN=local)",
                newer("1.99", "1.26.0"),
            ),
            (
                "go: a.b/c@v1.0.0 requires go >= 1.30rc1 (running go 1.26; GOTOOLCHAIN=local)",
                newer("1.30rc1", "1.26"),
            ),
            ("a.b/c@v1.0.0: zip: not a valid zip file", Verdict::Unreachable),
            ("module a.b/c: reading https://p/a.b/c/@v/list: 404 Not Found", Verdict::NotKnown),
            (
                "a.b/c@v9: reading https://p/a.b/c/@v/v9.info: 403 Forbidden\n\tserver response: no",
                Verdict::NotKnown,
            ),
            (
                "a.b/c@e5eae56: invalid version: reading https://p/x.info: 410 Gone",
                Verdict::NotKnown,
            ),
            ("module a.b/c: no matching versions for query \"latest\"", Verdict::NotKnown),
            (
                "a.b/c@x: invalid version: Get \"https://p/x\": dial tcp: lookup p: no such host",
                Verdict::Unreachable,
            ),
            ("Get \"https://p/x\": net/http: TLS handshake timeout", Verdict::Unreachable),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Verdict::Unreachable,
            ),
            ("reading https://p/a.b/c/@v/list: 502 Bad Gateway", Verdict::Unreachable),
            ("reading https://p/a.b/c/@v/list: 503 Service Unavailable", Verdict::Unreachable),
            ("module lookup disabled by GOPROXY=off", Verdict::Unreachable),
            (
                "a.b/c@v1: Get \"https://p/x\": no connection was possible, or none is permitted (sources.allow, sources.deny, sources.private_hosts)",
                Verdict::Unreachable,
            ),
            ("verifying a.b/c@v1.0.0: checksum mismatch", Verdict::Other),
            ("go: errors parsing go.mod:\ngo.mod:3: unknown directive: x", Verdict::Other),
            ("", Verdict::Other),
        ] {
            assert_eq!(verdict(text), want, "{text}");
        }
    }
}
