//! Texts of calls that want to be more than one expression, or more than a server can read.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::world::{World, call};

/// A text, and what comes of it.
struct Text {
    what: &'static str,
    advisory: &'static str,
    text: fn() -> String,
    expect: Expect,
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |row: &'static Text| {
        world.trial(title("call", row.what, row.advisory), move |_, server| {
            row.expect.check(&call(server, "example.test/neighbour", &(row.text)(), None)?)
        })
    };
    TABLE.iter().map(trial).collect()
}

const fn row(
    what: &'static str,
    advisory: &'static str,
    text: fn() -> String,
    expect: Expect,
) -> Text {
    Text { what, advisory, text, expect }
}

const REFUSED: Expect = Fails(400, "call", &["call:1:"]);

const TABLE: &[Text] = &[
    row(
        "a function behind the end of the call",
        "",
        || "Who()}; func init() { println(1)".into(),
        REFUSED,
    ),
    row("a declaration behind a line end", "", || "Who()\n}\nfunc init() {".into(), REFUSED),
    row("an import by dot", "", || "Who(); import . \"os\"".into(), REFUSED),
    row("a comment that swallows what follows", "", || "Say(\"a\") /*".into(), REFUSED),
    row("a comment that ends before its end", "", || "Say(\"a\" /* */ ) /* */".into(), REFUSED),
    row(
        "a directive for the compiler",
        "",
        || "Say(\n//go:linkname x runtime.exit\n\"a\")".into(),
        Fails(400, "call", &["call:2:"]),
    ),
    row(
        "a //line directive",
        "",
        || "Say(\n//line /etc/passwd:1\n\"a\")".into(),
        Fails(400, "call", &["call:2:"]),
    ),
    row("a raw string without an end", "", || "Say(`a)".into(), REFUSED),
    row(
        "a raw string with everything in it",
        "",
        || "Say(`\"); }\nfunc init() { /* ${x} {{.}} \\u0000 `)".into(),
        Answers("\"); }\nfunc init() { /* ${x} {{.}} \\u0000 "),
    ),
    row(
        "a line separator of Unicode behind a comment",
        "",
        || "Say(\"a\"\u{2028})".into(),
        REFUSED,
    ),
    row("a next line of Unicode", "", || "Say(\"a\"\u{85})".into(), REFUSED),
    row(
        "a text that turns its direction around",
        "CVE-2021-42574",
        || "Say(\"a\u{202e}b\")".into(),
        Answers("a\u{202e}b"),
    ),
    row(
        "a name of letters that look like others",
        "CVE-2021-42694",
        || "Wh\u{43e}()".into(),
        Fails(404, "function", &["Wh\u{43e}"]),
    ),
    row("a NUL", "", || "Say(\"a\0b\")".into(), REFUSED),
    row("a byte order mark", "", || "Say(\"a\u{feff}b\")".into(), REFUSED),
    row("brackets that do not match", "", || "Say((\"a\"]".into(), REFUSED),
    row("more brackets closed than opened", "", || "Say(\"a\"))".into(), REFUSED),
    row("a statement that starts a goroutine", "", || "go Who()".into(), REFUSED),
    row("a label and a jump", "", || "x: Who(); goto x".into(), REFUSED),
    row(
        "a function literal that is not the call",
        "",
        || "func() string { return Who() }()".into(),
        REFUSED,
    ),
    row(
        "a function literal that never returns",
        "",
        || "Twice(func() string { for { } })".into(),
        Fails(504, "deadline", &["jails.exec_timeout"]),
    ),
    row(
        "a function literal that names what is not imported",
        "",
        || "Twice(func() string { return unsafe.Pointer(nil) })".into(),
        Fails(422, "build", &["call:1:"]),
    ),
    row(
        "a call of the receiver of arguments",
        "",
        || "Twice(main.main)".into(),
        Fails(422, "build", &["call:1:"]),
    ),
    row(
        "an operator that binds another call",
        "",
        || "Who() + Who()".into(),
        Answers("the neighbourthe neighbour"),
    ),
    row("an address of a function of the runtime", "", || "Who(), runtime.GC()".into(), REFUSED),
    row(
        "parentheses twenty thousand deep",
        "CVE-2024-34155",
        || format!("Say({}\"a\"{})", "(".repeat(20_000), ")".repeat(20_000)),
        REFUSED,
    ),
    row(
        "composite literals three thousand deep",
        "CVE-2022-1962",
        || format!("Say({}1{})", "[]any{".repeat(3_000), "}".repeat(3_000)),
        REFUSED,
    ),
    row(
        "operators sixty thousand in a row",
        "",
        || format!("Say({}\"a\")", "!".repeat(60_000)),
        REFUSED,
    ),
    row(
        "an argument of sixty thousand bytes",
        "",
        || format!("len(Say(\"{}\"))", "a".repeat(60_000)),
        REFUSED,
    ),
    row(
        "a number of thirty thousand digits",
        "",
        || format!("Say({})", "9".repeat(30_000)),
        Fails(422, "build", &["call:1:"]),
    ),
    row(
        "an exponent of a thousand million",
        "CVE-2022-23772",
        || "Say(1e1000000000)".into(),
        Fails(422, "build", &["call:1:"]),
    ),
    row(
        "a shift of a thousand million",
        "",
        || "Say(string(rune(1 << 1000000000)))".into(),
        Fails(422, "build", &["call:1:"]),
    ),
];
