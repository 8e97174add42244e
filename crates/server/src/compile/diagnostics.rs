//! What the compiler's diagnostics mean: which error to return, and a text that shows nothing of
//! this host.

use goexpr::Call;

/// The longest text that is passed on, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Why the compiler refused a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// The call has no result to print; it must be a statement.
    NoValue,
    /// The package has no function of that name.
    NoFunction,
    /// The module asks for a newer Go.
    NewerGo,
    /// The package or a dependency needs cgo.
    Cgo,
    /// Anything else that the compiler refuses.
    Refused,
}

/// Reads what `go build` wrote to stderr.
pub(super) fn read(stderr: &str, call: &Call) -> (Diagnostic, String) {
    let text = readable(stderr);
    let diagnostic = classify(&text, call);
    (diagnostic, text)
}

/// Whether the go command failed because of the cache program of this server, not because of any
/// source.
pub(super) fn is_of_the_cache(stderr: &str) -> bool {
    const BEGINNINGS: [&str; 3] =
        ["GOCACHEPROG ", "error starting GOCACHEPROG ", "error reading JSON from GOCACHEPROG"];
    let lines = stderr.lines().filter(|line| !has_position(line));
    let mut lines = lines.map(|line| line.strip_prefix("go: ").unwrap_or(line));
    lines.any(|line| BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)))
}

/// Whether a tool failed because of this host: there was no room, no memory or no descriptor, the
/// disk failed, or a signal ended a tool. Another build may succeed.
pub(super) fn is_of_the_host(stderr: &str) -> bool {
    const ENDINGS: [&str; 11] = [
        ": no space left on device",
        ": disk quota exceeded",
        ": read-only file system",
        ": input/output error",
        ": too many open files",
        ": too many open files in system",
        ": cannot allocate memory",
        ": resource temporarily unavailable",
        ": signal: killed",
        ": signal: terminated",
        ": signal: bus error",
    ];
    let failed = |line: &str| ENDINGS.iter().any(|ending| line.ends_with(ending));
    stderr.lines().any(|line| !has_position(line) && failed(line.trim_end()))
}

/// Whether a line has a position in source, as all lines have in which a compiler quotes source or
/// names a file. A `//line` directive can give the file any name.
pub(super) fn has_position(line: &str) -> bool {
    let mut parts = line.split(':').skip(1);
    parts.any(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the diagnostics are about the call or the main.go around it, and not about the called
/// package.
pub(super) fn is_of_the_call(stderr: &str) -> bool {
    stderr.contains("/call:") || stderr.contains("main.go:")
}

/// Whether the go command would print the same diagnostics as the replayed compiler: the compiler
/// found everything that main.go imports.
pub(super) fn is_of_the_call_alone(stderr: &str) -> bool {
    is_of_the_call(stderr) && !stderr.contains("could not import ")
}

fn classify(text: &str, call: &Call) -> Diagnostic {
    let in_call: Vec<&str> = text.lines().filter(|line| line.starts_with("call:")).collect();
    let message = |line: &&str| line.splitn(4, ':').nth(3).unwrap_or("").trim().to_owned();
    if in_call.len() == 1
        && in_call.iter().all(|line| message(line).ends_with("(no value) used as value"))
    {
        return Diagnostic::NoValue;
    }
    let name = match call.qualifier() {
        Some(qualifier) => format!("{qualifier}.{}", call.function()),
        None => call.function().to_owned(),
    };
    let undefined = format!("undefined: {name}");
    if in_call.iter().any(|line| message(line) == undefined) {
        return Diagnostic::NoFunction;
    }
    if text.contains("requires go >= ") || text.contains("requires newer Go version") {
        return Diagnostic::NewerGo;
    }
    if text.contains("build constraints exclude all Go files")
        || text.contains("C source files not allowed")
    {
        return Diagnostic::Cgo;
    }
    Diagnostic::Refused
}

/// Drops headers, shortens paths to the part that a caller knows, and limits the length.
fn readable(stderr: &str) -> String {
    let mut text = String::new();
    let about_the_call = stderr.lines().any(|line| shorten(line).starts_with("call:"));
    for line in stderr.lines() {
        // Diagnostics of the lines around the call follow from those of the call.
        let left_out = line.starts_with("# ") || (about_the_call && line.contains("/main.go:"));
        if left_out {
            continue;
        }
        let line = shorten(line);
        if text.len() + line.len() + 1 > MAX_BYTES {
            text.push_str("...");
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text.trim_end().to_owned()
}

fn shorten(line: &str) -> String {
    let line = match line.find("/call:") {
        Some(end) if !line[..end].contains(char::is_whitespace) => &line[end + 1..],
        _ => line,
    };
    line.replace("/checkout/src/", "").replace("/checkout/deps/", "").replace("/checkout/", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_host_are_told_from_refusals_of_the_compiler() {
        for text in [
            "# a.b/c\nopen $WORK/b001/_pkg_.a: no space left on device",
            "go: writing stat cache: open /cache/x: disk quota exceeded",
            "a.b/c: /usr/local/go/pkg/tool/linux_amd64/compile: signal: killed",
            "a.b/c: fork/exec /usr/local/go/pkg/tool/linux_amd64/compile: cannot allocate memory",
            "link: mapping output file failed: input/output error",
            "go: creating work dir: mkdir /tmp/go-build1: read-only file system",
        ] {
            assert!(is_of_the_host(text), "{text}");
        }
        for text in [
            "",
            "./call:1:1: undefined: Encode",
            "a/b.go:3:5: undefined: x: no space left on device",
            "/checkout/src/a.go:3:5: invalid character in: signal: killed",
            "x:1: undefined: y: signal: killed",
            "a.b/c: x:7:1: undefined: y: disk quota exceeded",
            "no space left on device is only quoted here",
        ] {
            assert!(!is_of_the_host(text), "{text}");
        }
    }

    #[test]
    fn diagnostics_are_classified() {
        let call = Call::parse("geohash.Encode(1)").unwrap();
        let table = [
            ("/call:1:1: geohash.Encode(1) (no value) used as value", Diagnostic::NoValue),
            ("/call:1:9: undefined: geohash.Encode", Diagnostic::NoFunction),
            ("/call:1:16: undefined: geohash.Encode2", Diagnostic::Refused),
            ("/call:1:16: not enough arguments in call to geohash.Encode", Diagnostic::Refused),
            (
                "go: go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)",
                Diagnostic::NewerGo,
            ),
            ("package x: build constraints exclude all Go files in /checkout/src", Diagnostic::Cgo),
        ];
        for (stderr, expected) in table {
            assert_eq!(read(stderr, &call).0, expected, "{stderr}");
        }
    }

    #[test]
    fn diagnostics_of_the_call_differ_from_those_of_the_package() {
        for (stderr, expected) in [
            ("# m/sky_island_call\n/call:1:1: undefined: F", true),
            ("sky_island_call/main.go:9:2: package x/y is not in std", true),
            ("# example.com/m\n/checkout/src/a.go:3:4: undefined: b", false),
            ("go: go.mod requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)", false),
        ] {
            assert_eq!(is_of_the_call(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn a_failure_of_the_cache_program_is_recognized() {
        for (stderr, expected) in [
            ("sky-island: x\nGOCACHEPROG exited pre-Close with 3 pending requests", true),
            ("go: error starting GOCACHEPROG program \"/sky-island\": permission denied", true),
            ("go: error reading JSON from GOCACHEPROG: invalid character 'x'", true),
            ("call:1:1: undefined: GOCACHEPROG", false),
            ("GOCACHEPROG exited:1:25: undefined: nothing", false),
            ("go: example.com/GOCACHEPROG@v1.0.0: missing go.sum entry", false),
        ] {
            assert_eq!(is_of_the_cache(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn diagnostics_that_follow_from_those_of_the_call_are_left_out() {
        let call = Call::parse("Encode(1)").unwrap();
        let stderr = "/call:1:1: undefined: Encode\n/job/main.go:7:2: \"x\" imported and not used";
        assert_eq!(read(stderr, &call).1, "call:1:1: undefined: Encode");
    }

    #[test]
    fn diagnostics_show_positions_in_the_call_and_no_paths_of_the_host() {
        let call = Call::parse("Encode(1)").unwrap();
        let stderr =
            "# example.com/m/sky_island_call\n/call:1:8: not enough\n/checkout/src/a.go:3:4: bad\n";
        assert_eq!(read(stderr, &call).1, "call:1:8: not enough\na.go:3:4: bad");
        let long = "x: y\n".repeat(10_000);
        assert!(read(&long, &call).1.len() <= MAX_BYTES + 3);
    }
}
