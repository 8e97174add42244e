//! Calls that are let in and fail on their way: each kind of failure by a function that causes it.

use crate::failure::{Failure, call};

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";
const GEOHASH: &str = "github.com/mmcloughlin/geohash";
const ENCODE: &str = "Encode(100.1, 80.9)";
const NO_COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) const FAILURES: &[Failure] = &[
    // Not there, in a repository of the suite.
    call("example.test/nothing", "Which()", 404, "repository").during("fetch"),
    call("example.test/hello/below", "Which()", 404, "package").during("fetch").says(&["below"]),
    not_there("v9.9.9", &["v9.9.9"]),
    not_there("no-such-branch", &["no-such-branch"]),
    not_there("0123456", &["0123456"]),
    not_there(NO_COMMIT, &[NO_COMMIT]),
    call(HELLO, "Nope()", 404, "function").during("build").says(&["Nope"]),
    call(HELLO, "hello.Nope()", 404, "function").during("build").says(&["Nope"]),
    // Not there, in a repository of somebody else's.
    call("github.com/mmcloughlin/no-such-geohash", ENCODE, 404, "repository")
        .during("fetch")
        .over_proxy(),
    call("github.com/mmcloughlin/geohash/nothing", ENCODE, 404, "package")
        .at("v0.10.0")
        .during("fetch")
        .over_proxy(),
    call(GEOHASH, ENCODE, 404, "version").at("v0.99.0").during("fetch").over_proxy(),
    call(GEOHASH, ENCODE, 404, "version").at(NO_COMMIT).during("fetch").over_proxy(),
    call(GEOHASH, "Nope(1)", 404, "function").at("v0.10.0").during("build").over_proxy(),
    // Cannot be imported.
    call("example.test/faulty/program", "Answer()", 422, "main_package").during("fetch"),
    call("example.test/faulty/needscgo", "Answer()", 422, "cgo").during("fetch"),
    call("example.test/faulty/elsewhere", "Answer()", 422, "module").during("fetch"),
    call("example.test/newer", "Answer()", 422, "newer_go").during("fetch").says(&["1.999"]),
    call("example.test/badmod", "Answer()", 422, "module").during("fetch").says(&["go.mod"]),
    // Does not compile: the compiler's words, at places in the call.
    build(r#"Add("one", 2)"#, &["call:1:5", "cannot use \"one\""]),
    build("Add(1)", &["call:1:5", "not enough arguments"]),
    build("Add(\n\t1,\n\t\"two\",\n)", &["call:3:2", "cannot use \"two\""]),
    build("Fine().Nope()", &["call:1:8", "Nope undefined"]),
    build("Add(1, nosuch.Thing)", &["call:1:8", "undefined: nosuch"]),
    build("Add(1, strings.NoSuch())", &["call:1:", "NoSuch"]),
    call("example.test/faulty/broken", "Answer()", 422, "build")
        .during("build")
        .says(&["broken.go:5:", "cannot use \"forty-two\""]),
    // Panics.
    run(r#"Panic("boom")"#, "panicked", &["panic: boom", "goroutine 1"]),
    run("PanicError()", "panicked", &["panic: an error as a panic"]),
    run("PanicElsewhere()", "panicked", &["panic: in a goroutine"]),
    run("Index(5)", "panicked", &["index out of range [5] with length 3"]),
    run("NilMap()", "panicked", &["assignment to entry in nil map"]),
    // Ends otherwise than by returning.
    run("Exit(3)", "exited", &["3", "the reason on stderr"]),
    run("Exit(1)", "exited", &["1", "the reason on stderr"]),
    run("Segfault()", "signaled", &["signal"]),
    // Takes too much.
    run("Allocate()", "out_of_memory", &[]),
    run("Print()", "output", &[]),
    run("Long(2 << 20)", "output", &[]),
    call(FAULTY, "Sleep(time.Hour)", 504, "deadline").during("run"),
    call(FAULTY, "Spin()", 504, "deadline").during("run"),
    // A host that does not answer.
    call("closed.test/hello", "Which()", 502, "source").during("fetch").says(&["closed.test"]),
];

const fn not_there(version: &'static str, says: &'static [&'static str]) -> Failure {
    call(HELLO, "Which()", 404, "version").at(version).during("fetch").says(says)
}

const fn build(text: &'static str, says: &'static [&'static str]) -> Failure {
    call(FAULTY, text, 422, "build").during("build").says(says)
}

const fn run(text: &'static str, code: &'static str, says: &'static [&'static str]) -> Failure {
    call(FAULTY, text, 422, code).during("run").says(says)
}
