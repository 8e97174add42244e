//! What else a package brings to a build: objects, assembler, names of files, go.mod, vendor.
//! Nothing of it is executed, and nothing of the host is read.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::package::{self, Package, package};
use crate::row::Expect::{Answers, Fails};
use crate::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    package::trials(world, "building", "building", TABLE)
}

/// A function without a body and its package.
const BODILESS: &str = "package m\n\nfunc f()\n\nfunc F() string { f(); return \"built\" }\n";
const PLAIN: &str = "package m\n\nfunc F() string { return \"built\" }\n";

const TABLE: &[Package] = &[
    // Objects and assembler.
    package(
        "a .syso file that is no object",
        "",
        &[("m.go", PLAIN), ("evil.syso", "!<arch>\nnot an archive")],
        Fails(422, "build", &["unrecognized file format"]),
    ),
    package(
        "an assembler file that includes a file of the host",
        "",
        &[("m.go", BODILESS), ("f.s", "#include \"/etc/passwd\"\n")],
        Fails(422, "build", &["f.s"]),
    ),
    package(
        "an assembler file that includes our own main.go",
        "",
        &[("m.go", BODILESS), ("f.s", "#include \"/job/main.go\"\n")],
        Fails(422, "build", &["f.s"]),
    ),
    package(
        "an assembler file that includes itself",
        "",
        &[("m.go", BODILESS), ("f.s", "#include \"f.s\"\n")],
        Fails(422, "build", &["f.s"]),
    ),
    package(
        "an assembler file with a macro that calls itself",
        "",
        &[("m.go", BODILESS), ("f.s", "#define A A A\nA\n")],
        Fails(422, "build", &["f.s"]),
    ),
    package(
        "a C file beside Go files without cgo",
        "",
        &[("m.go", PLAIN), ("f.c", "#include \"/etc/passwd\"\n")],
        Answers("built"),
    ),
    // Programs.
    package(
        "a package main",
        "",
        &[("m.go", "package main\n\nfunc F() string { return \"built\" }\n\nfunc main() {}\n")],
        Fails(422, "main_package", &[]),
    ),
    package(
        "only files of tests",
        "",
        &[("m_test.go", "package m\n\nfunc F() string { return \"built\" }\n")],
        Fails(404, "package", &["only test files"]),
    ),
    package(
        "a test with a main of its own beside the package",
        "",
        &[
            ("m.go", PLAIN),
            (
                "m_test.go",
                "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc init() { os.Exit(3) }\n\nfunc TestMain(*testing.M) { os.Exit(4) }\n",
            ),
        ],
        Answers("built"),
    ),
    package(
        "two packages in one folder",
        "",
        &[("m.go", PLAIN), ("n.go", "package n\n")],
        Fails(422, "module", &["found packages m"]),
    ),
    package(
        "a package that imports itself over another one",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport \"hostile.test/m/n\"\n\nfunc F() string { return n.F() }\n",
            ),
            (
                "n/n.go",
                "package n\n\nimport \"hostile.test/m\"\n\nfunc F() string { return m.F() }\n",
            ),
        ],
        Fails(422, "build", &["import cycle not allowed"]),
    ),
    package(
        "an internal package of the standard library",
        "",
        &[(
            "m.go",
            "package m\n\nimport \"internal/poll\"\n\nfunc F() string { return poll.ErrNoDeadline.Error() }\n",
        )],
        Fails(422, "module", &["use of internal package internal/poll not allowed"]),
    ),
    package(
        "a package of the go command",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"cmd/go/internal/run\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "module", &["cmd/go/internal/run"]),
    ),
    package(
        "an import of an absolute path",
        "",
        &[("m.go", "package m\n\nimport _ \"/etc\"\n\nfunc F() string { return \"built\" }\n")],
        Fails(422, "module", &["/etc"]),
    ),
    package(
        "an import of a path that climbs",
        "CVE-2018-16874",
        &[(
            "m.go",
            "package m\n\nimport _ \"../../etc\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "module", &["../../etc"]),
    ),
    package(
        "an import with braces and dots",
        "CVE-2018-16874",
        &[(
            "m.go",
            "package m\n\nimport _ \"{../../etc}\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "module", &["invalid"]),
    ),
    package(
        "a folder with the name of the one that main.go appears in",
        "",
        &[
            ("m.go", PLAIN),
            (
                "sky_island_call/main.go",
                "package main\n\nfunc main() { panic(\"another main\") }\n",
            ),
            (
                "sky_island_call_/main.go",
                "package main\n\nfunc main() { panic(\"another main\") }\n",
            ),
        ],
        Answers("built"),
    ),
    package(
        "a link with the name of the folder that main.go appears in",
        "",
        &[
            ("m.go", PLAIN),
            ("sky_island_call@", "other"),
            ("other/o.go", "package main\n\nfunc main() { panic(\"another main\") }\n"),
        ],
        Answers("built"),
    ),
    package(
        "a plugin that is opened at its start",
        "",
        &[(
            "m.go",
            "package m\n\nimport \"plugin\"\n\nfunc F() string { _, err := plugin.Open(\"/etc/passwd\"); return err.Error() }\n",
        )],
        Answers("plugin: not implemented"),
    ),
    // Names of files.
    package(
        "files named like flags of the compiler",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return G() }\n"),
            ("-toolexec=sh.go", "package m\n\nfunc G() string { return \"G\" }\n"),
            ("-o.go", "package m\n"),
        ],
        Fails(422, "build", &["invalid input file name"]),
    ),
    package(
        "a file with quotes, blanks and shell characters in its name",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return G() }\n"),
            ("a';$(id) \"b\".go", "package m\n\nfunc G() string { return \"G\" }\n"),
        ],
        Answers("G"),
    ),
    package(
        "a file with a line end in its name",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return G() }\n"),
            ("a\npackagefile fmt=x\nb.go", "package m\n\nfunc G() string { return \"G\" }\n"),
        ],
        Fails(422, "build", &["undefined: G"]),
    ),
    package(
        "a file whose name is a line that says the host has failed",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return \"built\" }\n"),
            ("a\nx: signal: killed\n.go", "package m\n\nvar x = nothing\n"),
        ],
        Answers("built"),
    ),
    package(
        "a .syso file that is a script for the linker of the host",
        "",
        &[("m.go", PLAIN), ("evil.syso", "INPUT(/etc/passwd)\n")],
        Fails(422, "build", &["unrecognized file format"]),
    ),
    package(
        "a file named like a response file",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return G() }\n"),
            ("@args.go", "package m\n\nfunc G() string { return \"G\" }\n"),
        ],
        Fails(422, "build", &["invalid input file name"]),
    ),
    // go.mod, and settings beside it.
    package(
        "go.mod with a toolchain of a path",
        "CVE-2023-39320",
        &[
            ("m.go", PLAIN),
            ("go.mod", "module hostile.test/m\n\ngo 1.21\n\ntoolchain ./go1.99-evil\n"),
            ("go1.99-evil", "#!/bin/sh\n"),
        ],
        Fails(422, "module", &["toolchain"]),
    ),
    package(
        "go.mod with a toolchain to download",
        "",
        &[("m.go", PLAIN), ("go.mod", "module hostile.test/m\n\ngo 1.21\n\ntoolchain go1.99.0\n")],
        Answers("built"),
    ),
    package(
        "go.mod with a newer Go",
        "",
        &[("m.go", PLAIN), ("go.mod", "module hostile.test/m\n\ngo 1.999\n")],
        Fails(422, "newer_go", &["1.999"]),
    ),
    package(
        "go.mod with a tool",
        "",
        &[
            ("m.go", PLAIN),
            ("go.mod", "module hostile.test/m\n\ngo 1.24\n\ntool hostile.test/m/evil\n"),
            ("evil/e.go", "package main\n\nfunc main() {}\n"),
        ],
        Answers("built"),
    ),
    package(
        "go.mod with a setting of the runtime that does not exist",
        "",
        &[("m.go", PLAIN), ("go.mod", "module hostile.test/m\n\ngo 1.23\n\ngodebug nosuch=1\n")],
        Fails(422, "module", &["nosuch"]),
    ),
    package(
        "go.mod with a replacement by a folder of the host",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport \"hostile.test/other\"\n\nfunc F() string { return other.F() }\n",
            ),
            (
                "go.mod",
                "module hostile.test/m\n\ngo 1.21\n\nrequire hostile.test/other v1.0.0\n\nreplace hostile.test/other => /etc\n",
            ),
        ],
        Fails(422, "module", &["hostile.test/other"]),
    ),
    package(
        "go.mod with a replacement by a folder above the repository",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport \"hostile.test/other\"\n\nfunc F() string { return other.F() }\n",
            ),
            (
                "go.mod",
                "module hostile.test/m\n\ngo 1.21\n\nrequire hostile.test/other v1.0.0\n\nreplace hostile.test/other => ../../../../../etc\n",
            ),
        ],
        Fails(422, "module", &["hostile.test/other"]),
    ),
    package(
        "go.mod whose module path climbs",
        "CVE-2018-16874",
        &[("m.go", PLAIN), ("go.mod", "module hostile.test/../../m\n\ngo 1.21\n")],
        Fails(422, "module", &["go.mod"]),
    ),
    package(
        "go.mod whose module is the standard library's",
        "",
        &[
            ("m.go", "package fmt\n\nfunc F() string { return \"built\" }\n"),
            ("go.mod", "module fmt\n\ngo 1.21\n"),
        ],
        Fails(422, "build", &["ambiguous import"]),
    ),
    package(
        "settings of the go command in the module",
        "",
        &[
            ("m.go", PLAIN),
            ("go.env", "GOFLAGS=-toolexec=/tmp/evil\n"),
            (".config/go/env", "GOFLAGS=-toolexec=/tmp/evil\n"),
            ("go.work", "go 1.21\n\nuse ./nothing\n"),
            (".netrc", "machine host.test login a password b\n"),
        ],
        Answers("built"),
    ),
    package(
        "a vendor folder whose list names what it does not have",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport \"hostile.test/other\"\n\nfunc F() string { return other.F() }\n",
            ),
            ("go.mod", "module hostile.test/m\n\ngo 1.21\n\nrequire hostile.test/other v1.0.0\n"),
            (
                "vendor/modules.txt",
                "# hostile.test/other v1.0.0\n## explicit; go 1.21\nhostile.test/other\n",
            ),
        ],
        Fails(422, "module", &["hostile.test/other"]),
    ),
    package(
        "a vendor folder that replaces a package of the standard library",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport \"strings\"\n\nfunc F() string { return strings.ToUpper(\"std\") }\n",
            ),
            ("vendor/modules.txt", ""),
            (
                "vendor/strings/s.go",
                "package strings\n\nfunc ToUpper(string) string { return \"evil\" }\n",
            ),
        ],
        Answers("STD"),
    ),
    package(
        "a vendor folder that is a link to the host",
        "",
        &[("m.go", PLAIN), ("vendor@", "/etc")],
        Answers("built"),
    ),
    // Text that people read otherwise than compilers.
    package(
        "a comment that turns the direction of the text around",
        "CVE-2021-42574",
        &[(
            "m.go",
            "package m\n\nfunc F() string {\n\t/*\u{202e} } \u{2066}if false\u{2069} \u{2066} */\n\treturn \"as compiled\"\n}\n",
        )],
        Answers("as compiled"),
    ),
    package(
        "a Go file with a NUL",
        "",
        &[("m.go", "package m\n\nfunc F() string { return \"a\0b\" }\n")],
        Fails(422, "build", &["m.go:3:28: invalid NUL character"]),
    ),
    package(
        "a Go file with a byte order mark in the middle",
        "",
        &[("m.go", "package m\n\nfunc F() string { return \"built\" } \u{feff}\n")],
        Fails(422, "build", &["invalid BOM in the middle"]),
    ),
];
