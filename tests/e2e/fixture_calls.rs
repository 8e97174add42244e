//! Calls on the suite's own repositories, which need no network: the corners of what a function
//! can be and print.

use crate::case::{Case, bytes, case, text};

const HELLO: &str = "example.test/hello";
const EMBEDDED: &str = "embedder.go go.mod sub/_hidden.txt";

pub(crate) const CALLS: &[Case] = &[
    case(HELLO, r#"Greet("Ada")"#, text("Hello, Ada!")),
    case(HELLO, r#"hello.Greet("\u00c5da ☃")"#, text("Hello, Åda ☃!")),
    case("https://example.test/hello.git", "Which()", text("first edition")),
    case(HELLO, "Which()", text("first edition")).at("v1.0.0"),
    case(HELLO, "Which()", text("first edition")).at("main"),
    // No result, and a result that is empty.
    case(HELLO, "Quiet()", text("")),
    case(HELLO, "Nothing()", text("")),
    // What it printed comes before its results; what it wrote to stderr does not come at all.
    case(HELLO, "Aloud()", text("on stdout\n7 <nil>")),
    // Not UTF-8.
    case(HELLO, "Raw()", bytes(b"\xff\x00\xfe")),
    // Variadic with single arguments and with a slice, generic, methods on both receivers.
    case(HELLO, r#"Join("-", 1, "two", 3.5)"#, text("1-two-3.5")),
    case(HELLO, r#"Join(", ", []any{true, nil}...)"#, text("true, <nil>")),
    case(HELLO, "Twice(3, func(x int) int { return x * x })", text("81")),
    case(HELLO, "Twice[float64](1, func(x float64) float64 { return x + .5 })", text("2")),
    case(HELLO, "At(1, 2).Move(3, 4)", text("(4|6)")),
    // A value and a constant are expressions too.
    case(HELLO, "Point{X: 1}", text("(1|0)")),
    case(HELLO, "Edition", text("first edition")),
    // White space around and line ends within.
    case(HELLO, "\n  Join(\n\t\"+\",\n\t1,\n\t2,\n)\n", text("1+2")),
    // Text that a template or a shell would stumble over.
    case(HELLO, r#"Greet("{{.Call}} $(id) `id` %s")"#, text("Hello, {{.Call}} $(id) `id` %s!")),
    case(HELLO, "Greet(`*/ // \\n`)", text("Hello, */ // \\n!")),
    // A repository without go.mod, whose package has another name than the repository.
    case("example.test/nomod", "plain.Answer()", text("42")),
    // A module that embeds all that lies in it finds nothing of the server, in either form of the call.
    case("example.test/embedder", "Names()", text(EMBEDDED)),
    case("example.test/embedder", "Names() + \"\"", text(EMBEDDED)),
];
