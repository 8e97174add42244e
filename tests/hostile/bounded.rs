//! Packages that want more of the compiler than a build has: each ends at a limit, or is refused.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::package::{self, Files, Package, made, package};
use crate::row::Expect::{Answers, Fails};
use crate::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    package::trials(world, "limits of a build", "bounded", TABLE)
}

const TABLE: &[Package] = &[
    package(
        "a constant of a billion bits",
        "",
        &[(
            "m.go",
            "package m\n\nconst c = 1 << 1_000_000_000\n\nfunc F() string { return string(rune(c >> 999_999_990)) }\n",
        )],
        Fails(422, "build", &["m.go:3"]),
    ),
    package(
        "a constant string that doubles forty times",
        "",
        &[("m.go", DOUBLING)],
        Fails(422, "out_of_memory", &["limits.build_memory"]),
    ),
    package(
        "an array type of the whole address space",
        "",
        &[(
            "m.go",
            "package m\n\nvar a [1 << 62]byte\n\nfunc F() string { return string(a[:1]) }\n",
        )],
        Fails(422, "build", &["larger than address space"]),
    ),
    package(
        "a variable of a tebibyte",
        "",
        &[(
            "m.go",
            "package m\n\nvar a [1 << 40]byte\n\nfunc F() string { a[7] = 1; return string(a[:1]) }\n",
        )],
        Fails(422, "build", &["too large"]),
    ),
    package(
        "a generic type that instantiates itself for ever",
        "",
        &[(
            "m.go",
            "package m\n\ntype T[P any] struct{ next *T[*P] }\n\nfunc F() string { var t T[int]; _ = t; return \"built\" }\n",
        )],
        Fails(422, "build", &["instantiation cycle"]),
    ),
    package(
        "a generic function that instantiates itself for ever",
        "",
        &[(
            "m.go",
            "package m\n\nfunc f[P any](n int) { if n > 0 { f[[]P](n - 1) } }\n\nfunc F() string { f[int](3); return \"built\" }\n",
        )],
        Fails(422, "build", &["instantiation cycle"]),
    ),
    package(
        "a type that contains itself",
        "",
        &[(
            "m.go",
            "package m\n\ntype T struct{ t [2]T }\n\nfunc F() string { var t T; _ = t; return \"built\" }\n",
        )],
        Fails(422, "build", &["invalid recursive type"]),
    ),
    made(
        "a type that is nested five hundred times",
        "CVE-2022-1962",
        || {
            one(&format!(
                "package m\n\ntype T {}int\n\nfunc F() string {{ return \"built\" }}\n",
                "[]".repeat(500)
            ))
        },
        Answers("built"),
    ),
    made(
        "an expression that is nested a million times",
        "CVE-2024-34155",
        || {
            let (open, close) = ("(".repeat(1_000_000), ")".repeat(1_000_000));
            one(&format!(
                "package m\n\nvar x = {open}1{close}\n\nfunc F() string {{ return \"built\" }}\n"
            ))
        },
        Fails(422, "out_of_memory", &["limits.build_memory"]),
    ),
    made(
        "a switch with two thousand strings",
        "",
        || {
            let cases: String =
                (0..2_000).map(|n| format!("\tcase \"{n}\":\n\t\treturn \"{n}\"\n")).collect();
            one(&format!(
                "package m\n\nfunc f(s string) string {{\n\tswitch s {{\n{cases}\t}}\n\treturn s\n}}\n\nfunc F() string {{ return f(\"1999\") }}\n"
            ))
        },
        Answers("1999"),
    ),
    made(
        "a package in a folder of ninety levels",
        "",
        || {
            let folder = vec!["d"; 90].join("/");
            vec![
                (
                    "m.go".into(),
                    format!(
                        "package m\n\nimport \"hostile.test/m/{folder}\"\n\nfunc F() string {{ return d.F() }}\n"
                    ),
                ),
                (
                    format!("{folder}/d.go"),
                    "package d\n\nfunc F() string { return \"deep\" }\n".into(),
                ),
            ]
        },
        Answers("deep"),
    ),
    made(
        "three hundred packages, each of which imports the next",
        "",
        || {
            let mut files: Files = (0..300)
            .map(|n| {
                let next = n + 1;
                let text = format!("package p\n\nimport p{next} \"hostile.test/m/p{next}\"\n\nfunc F() string {{ return p{next}.F() }}\n");
                (format!("p{n}/p.go"), text)
            })
            .collect();
            files.push((
                "p300/p.go".into(),
                "package p\n\nfunc F() string { return \"the last\" }\n".into(),
            ));
            files.push((
                "m.go".into(),
                "package m\n\nimport p \"hostile.test/m/p0\"\n\nfunc F() string { return p.F() }\n"
                    .into(),
            ));
            files
        },
        Answers("the last"),
    ),
    made(
        "a million diagnostics",
        "",
        || {
            let lines: String = (0..100_000).map(|n| format!("var v{n} int = \"{n}\"\n")).collect();
            one(&format!("package m\n\nfunc F() string {{ return \"built\" }}\n\n{lines}"))
        },
        Fails(422, "build", &["too many errors"]),
    ),
    made(
        "a program that needs more memory to compile than a build has",
        "",
        || {
            let rows: String = (0..600_000)
                .map(|n| format!("\t{{{n}, \"{n}\", &T{{{n}, \"x\", nil}}}},\n"))
                .collect();
            one(&format!(
                "package m\n\ntype T struct {{\n\ta int\n\tb string\n\tc *T\n}}\n\nvar list = []T{{\n{rows}}}\n\nfunc F() string {{ return list[7].b }}\n"
            ))
        },
        Fails(422, "out_of_memory", &["limits.build_memory"]),
    ),
];

fn one(text: &str) -> Files {
    vec![("m.go".into(), text.into())]
}

const DOUBLING: &str = "package m\n\nconst (\n\ta = \"0123456789abcdef\"\n\tb = a + a + a + a + a + a + a + a\n\tc = b + b + b + b + b + b + b + b\n\td = c + c + c + c + c + c + c + c\n\te = d + d + d + d + d + d + d + d\n\tf = e + e + e + e + e + e + e + e\n\tg = f + f + f + f + f + f + f + f\n\th = g + g + g + g + g + g + g + g\n\ti = h + h + h + h + h + h + h + h\n\tj = i + i + i + i + i + i + i + i\n)\n\nfunc F() string { return j }\n";
