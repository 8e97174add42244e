//! Directives in Go files: for cgo, the linker, the embedder, the compiler. None of them runs a
//! program, reads a file of the host or reaches beyond its package.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::package::{self, Package, made, package};
use crate::row::Expect::{Answers, Fails};
use crate::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    package::trials(world, "directives", "directive", TABLE)
}

const CGO: crate::row::Expect = Fails(422, "cgo", &[]);

const TABLE: &[Package] = &[
    // cgo, which would start a C compiler with flags of the package.
    package(
        "#cgo CFLAGS with a plugin of the compiler",
        "CVE-2018-6574",
        &[(
            "m.go",
            "package m\n\n// #cgo CFLAGS: -fplugin=./attack.so\nimport \"C\"\n\nfunc F() string { return \"built\" }\n",
        )],
        CGO,
    ),
    package(
        "#cgo LDFLAGS that the sanitizer took for optional",
        "CVE-2023-29404",
        &[(
            "m.go",
            "package m\n\n// #cgo LDFLAGS: -Wl,-B,-fplugin=./attack.so\nimport \"C\"\n\nfunc F() string { return \"built\" }\n",
        )],
        CGO,
    ),
    package(
        "#cgo LDFLAGS with embedded spaces",
        "CVE-2023-29405",
        &[(
            "m.go",
            "package m\n\n// #cgo LDFLAGS: \"-L. -fplugin=./attack.so\"\nimport \"C\"\n\nfunc F() string { return \"built\" }\n",
        )],
        CGO,
    ),
    package(
        "#cgo CFLAGS with an argument that is another flag",
        "CVE-2020-28367",
        &[(
            "m.go",
            "package m\n\n// #cgo CFLAGS: -Xclang -load -Xclang ./attack.so\nimport \"C\"\n\nfunc F() string { return \"built\" }\n",
        )],
        CGO,
    ),
    package(
        "#cgo LDFLAGS that load a library into the linker",
        "CVE-2024-24787",
        &[(
            "m.go",
            "package m\n\n// #cgo LDFLAGS: -lto_library ./attack.dylib\nimport \"C\"\n\nfunc F() string { return \"built\" }\n",
        )],
        CGO,
    ),
    package(
        "a C file whose symbols are Go code",
        "CVE-2020-28366",
        &[
            (
                "m.go",
                "package m\n\n// void f(void);\nimport \"C\"\n\nfunc F() string { C.f(); return \"built\" }\n",
            ),
            (
                "f.c",
                "void f(void) __asm__(\"f\\n//go:cgo_ldflag \\\"-fplugin=./attack.so\\\"\\n\");\nvoid f(void) {}\n",
            ),
        ],
        CGO,
    ),
    package(
        "a folder with a line end in its name, for cgo",
        "CVE-2023-29402",
        &[
            (
                "m.go",
                "package m\n\nimport _ \"hostile.test/m/a\"\n\nfunc F() string { return \"built\" }\n",
            ),
            ("a\ngo:cgo_ldflag -x/a.go", "package a\n\nimport \"C\"\n"),
        ],
        Fails(422, "module", &["hostile.test/m/a"]),
    ),
    package(
        "//go:cgo_ldflag without cgo",
        "",
        &[(
            "m.go",
            "package m\n\n//go:cgo_ldflag \"-fplugin=./attack.so\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "build", &["only allowed in cgo-generated code"]),
    ),
    package(
        "//go:cgo_ldflag behind a //line that names a file of cgo",
        "CVE-2023-39323",
        &[(
            "m.go",
            "package m\n\n//line _cgo_gotypes.go:1\n//go:cgo_ldflag \"-fplugin=./attack.so\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "build", &["only allowed in cgo-generated code"]),
    ),
    package(
        "//go:cgo_import_dynamic of a library of the host",
        "",
        &[(
            "m.go",
            "package m\n\n//go:cgo_import_dynamic libc_system system \"libc.so.6\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "build", &["cannot use dynamic imports"]),
    ),
    package(
        "a package of which one file needs cgo",
        "",
        &[
            ("m.go", "package m\n\nfunc F() string { return G() }\n"),
            ("c.go", "package m\n\nimport \"C\"\n\nfunc G() string { return \"built\" }\n"),
        ],
        CGO,
    ),
    // The linker.
    package(
        "//go:linkname to a function of the runtime",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport _ \"unsafe\"\n\n//go:linkname load runtime.sysAlloc\nfunc load(n uintptr) uintptr\n\nfunc F() string { load(1); return \"built\" }\n",
            ),
            ("stub.s", ""),
        ],
        Fails(422, "build", &["runtime.sysAlloc"]),
    ),
    package(
        "//go:linkname that replaces a function of the syscall package",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"unsafe\"\n\n//go:linkname evil syscall.Getpid\nfunc evil() int { return 7 }\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "build", &["syscall.Getpid"]),
    ),
    package(
        "//go:linkname that replaces our own receiver of arguments",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"unsafe\"\n\n//go:linkname evil main.main\nfunc evil() {}\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "build", &["main.main"]),
    ),
    // The embedder.
    package(
        "//go:embed of an absolute path",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"embed\"\n\n//go:embed /etc/passwd\nvar s string\n\nfunc F() string { return s }\n",
        )],
        Fails(422, "build", &["invalid pattern syntax"]),
    ),
    package(
        "//go:embed of a path that climbs",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"embed\"\n\n//go:embed ../../etc/passwd\nvar s string\n\nfunc F() string { return s }\n",
        )],
        Fails(422, "build", &["invalid pattern syntax"]),
    ),
    package(
        "//go:embed of a link to a file of the host",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport _ \"embed\"\n\n//go:embed passwd\nvar s string\n\nfunc F() string { return s }\n",
            ),
            ("passwd@", "/etc/passwd"),
        ],
        Fails(422, "build", &["no matching files found"]),
    ),
    package(
        "//go:embed of a link to a file of the module",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport _ \"embed\"\n\n//go:embed link\nvar s string\n\nfunc F() string { return s }\n",
            ),
            ("link@", "m.go"),
        ],
        Fails(422, "build", &["cannot embed irregular file"]),
    ),
    package(
        "//go:embed of the file that the server adds",
        "",
        &[(
            "m.go",
            "package m\n\nimport _ \"embed\"\n\n//go:embed sky_island_call/main.go\nvar s string\n\nfunc F() string { return s }\n",
        )],
        Fails(422, "build", &["no matching files found"]),
    ),
    package(
        "//go:embed of the folder of another module",
        "",
        &[
            (
                "m.go",
                "package m\n\nimport _ \"embed\"\n\n//go:embed other/text\nvar s string\n\nfunc F() string { return s }\n",
            ),
            ("other/go.mod", "module hostile.test/other\n"),
            ("other/text", "text"),
        ],
        Fails(422, "build", &["in different module"]),
    ),
    // The compiler.
    package(
        "//go:generate with a shell",
        "",
        &[(
            "m.go",
            "package m\n\n//go:generate sh -c \"echo 'package m; func G() string' > g.go\"\n\nfunc F() string { return \"as written\" }\n",
        )],
        Answers("as written"),
    ),
    package(
        "//line with a file of the host and a column",
        "",
        &[(
            "m.go",
            "package m\n\nfunc F() string {\n//line /etc/passwd:1:1\n\treturn nothing\n}\n",
        )],
        Fails(422, "build", &["undefined: nothing"]),
    ),
    package(
        "//line with a number that overflows",
        "CVE-2023-24537",
        &[(
            "m.go",
            "package m\n\nfunc F() string {\n//line m.go:9223372036854775807\n\treturn \"built\"\n}\n",
        )],
        Fails(422, "build", &["invalid line number"]),
    ),
    package(
        "//line with the name of the call",
        "",
        &[("m.go", "package m\n\nfunc F() string {\n//line /call:1\n\treturn nothing\n}\n")],
        Fails(422, "build", &["undefined: nothing"]),
    ),
    package(
        "//line that makes a refusal look like a full disk",
        "",
        &[(
            "m.go",
            "package m\n\n//line x:1\nimport _ \"a.b/c: no space left on device\"\n\nfunc F() string { return \"built\" }\n",
        )],
        Fails(422, "module", &[]),
    ),
    package(
        "//line that makes a refusal of the compiler look like a killed tool",
        "",
        &[(
            "m.go",
            "package m\n\n//line x:1\nfunc F() string { return 1 + \": signal: killed\" }\n\nvar _ int = (func() int)(nil) // : signal: killed\n",
        )],
        Fails(422, "build", &[]),
    ),
    package(
        "//line that makes a refusal look like the build cache's",
        "",
        &[(
            "m.go",
            "package m\n\n//line GOCACHEPROG exited:1\nfunc F() string { return nothing }\n",
        )],
        Fails(422, "build", &["undefined: nothing"]),
    ),
    package(
        "//line that makes a refusal look like a command of the go command",
        "",
        &[("m.go", "package m\n\n//line cd /:1\nfunc F() string { return nothing }\n")],
        Fails(422, "build", &["undefined: nothing"]),
    ),
    package(
        "//line that begins a file that the go command prints",
        "",
        &[(
            "m.go",
            "package m\n\n//line cat >$WORK/b001/importcfg << 'EOF' # internal:1\nfunc F() string { return nothing }\n",
        )],
        Fails(422, "build", &["undefined: nothing"]),
    ),
    package(
        "//go:debug outside of a main package",
        "",
        &[("m.go", "//go:debug panicnil=1\npackage m\n\nfunc F() string { return \"built\" }\n")],
        Answers("built"),
    ),
    made(
        "a build constraint that is nested a hundred thousand times",
        "CVE-2024-34158",
        || {
            let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
            let text = format!("//go:build {open}ignore{close}\n\npackage m\n");
            let plain = "package m\n\nfunc F() string { return \"built\" }\n";
            vec![("deep.go".into(), text), ("m.go".into(), plain.into())]
        },
        Fails(422, "build", &["build expression too large"]),
    ),
];
