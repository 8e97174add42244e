//! What a checkout is made of once it is there: modules of every shape, and packages that cannot be
//! imported.

mod support;

use std::path::Path;

use fetch_job::{FailureCode, Origin};

use support::TempDir;
use support::bench::{Bench, answers};

#[test]
fn packages_that_cannot_be_imported_say_why() {
    let bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("a/x");
    let cgo = "package c\n\n// int x;\nimport \"C\"\n\nfunc F() {}\n";
    repo.commit(
        "master",
        &[
            ("go.mod", "module example.com/a/x\n\ngo 1.20\n"),
            ("main.go", "package main\n\nfunc main() {}\n"),
            ("c/c.go", cgo),
            ("uses/u.go", "package uses\n\nimport _ \"example.com/a/x/c\"\n"),
            ("win/w_windows.go", "package win\n"),
            ("tests/x_test.go", "package tests\n"),
            ("empty/readme.md", ""),
            ("broken/b.go", "packag broken\n"),
            ("two/a.go", "package a\n"),
            ("two/b.go", "package b\n"),
            ("std/s.go", "package std\n\nimport _ \"no/such/package\"\n"),
            ("newer/go.mod", "module example.com/a/x/newer\n\ngo 1.999\n"),
            ("newer/n.go", "package newer\n"),
            ("bad/go.mod", "module example.com/a/x/bad\n\nnonsense 1\n"),
            ("bad/b.go", "package bad\n"),
            ("unnamed/go.mod", "go 1.20\n"),
            ("unnamed/u.go", "package unnamed\n"),
            ("climb/go.mod", "module example.com/a/x/climb\n\ngo 1.20\n\nrequire example.org/y v1.0.0\n\nreplace example.org/y => ../../../..\n"),
            ("climb/c.go", "package climb\n\nimport _ \"example.org/y\"\n"),
        ],
    );
    for (path, code, says) in [
        ("", FailureCode::MainPackage, "package main"),
        ("/c", FailureCode::Cgo, "example.com/a/x/c needs cgo"),
        ("/uses", FailureCode::Cgo, "imported package example.com/a/x/c needs cgo"),
        ("/win", FailureCode::Module, "no Go file for this platform"),
        ("/tests", FailureCode::Package, "only test files"),
        ("/empty", FailureCode::Package, "no Go files"),
        ("/none", FailureCode::Package, "no folder none"),
        ("/broken", FailureCode::Module, "expected 'package'"),
        ("/two", FailureCode::Module, "found packages"),
        ("/std", FailureCode::Module, "no/such/package"),
        ("/newer", FailureCode::NewerGo, "1.999"),
        ("/bad", FailureCode::Module, "unknown directive: nonsense"),
        ("/unnamed", FailureCode::Module, "has no valid module line"),
        ("/climb", FailureCode::Module, "example.org/y"),
    ] {
        let failure = bench.fail(&format!("example.com/a/x{path}"), None);
        assert_eq!(failure.code, code, "{path}: {}", failure.detail);
        assert!(failure.detail.contains(says), "{path}: {}", failure.detail);
    }
    let outside = TempDir::new();
    let at = outside.path().to_str().unwrap();
    std::fs::write(outside.path().join("go.mod"), "module example.org/y\n").unwrap();
    std::fs::write(outside.path().join("y.go"), "package y\n").unwrap();
    let leaves = format!(
        "module example.com/a/leaves\n\ngo 1.20\n\nrequire example.org/y v1.0.0\n\nreplace example.org/y => {at}\n"
    );
    let uses = "package m\n\nimport _ \"example.org/y\"\n";
    bench.repo("a/leaves").commit("master", &[("go.mod", &leaves), ("m.go", uses)]);
    let failure = bench.fail("example.com/a/leaves", None);
    assert_eq!(failure.code, FailureCode::Module);
    assert!(failure.detail.contains("outside the repository"), "{}", failure.detail);
    assert!(!failure.detail.contains(at));
    for path in ["example.com/a/x/../../../b", "fmt", "", "-x.y/z", "example.com/a b"] {
        assert_eq!(bench.fail(path, None).code, FailureCode::Repository, "{path}");
    }
    let mut job = bench.job("example.com/a/x/two", None);
    job.imports = vec!["example.org/elsewhere".into()];
    assert_eq!(bench.fail_job(&job).code, FailureCode::Package);
}

#[test]
fn modules_of_every_shape_build_offline() {
    let bench = Bench::new(&[Origin::Git]);
    let go_mod = |path: &str, more: &str| format!("module {path}\n\ngo 1.20\n{more}");
    let uses =
        |path: &str| format!("package m\n\nimport \"{path}\"\n\nfunc N() int {{ return y.N() }}\n");
    let y = "package y\n\nfunc N() int { return 9 }\n";
    let replaced = go_mod(
        "example.com/a/replaced",
        "\nrequire example.org/y v1.0.0\n\nreplace example.org/y => ./y\n",
    );
    let forked = go_mod("example.org/original", "");
    let vendored = go_mod("example.com/a/vendored", "\nrequire example.org/y v1.0.0\n");
    let modules_txt = "# example.org/y v1.0.0\n## explicit; go 1.20\nexample.org/y\n";
    bench.repo("a/replaced").commit(
        "master",
        &[
            ("go.mod", &replaced),
            ("m.go", &uses("example.org/y")),
            ("y/go.mod", &go_mod("example.org/y", "")),
            ("y/y.go", y),
        ],
    );
    bench.repo("a/fork").commit(
        "master",
        &[("go.mod", &forked), ("sub/m.go", &uses("example.org/original/y")), ("y/y.go", y)],
    );
    bench.repo("a/vendored").commit(
        "master",
        &[
            ("go.mod", &vendored),
            ("m.go", &uses("example.org/y")),
            ("vendor/modules.txt", modules_txt),
            ("vendor/example.org/y/y.go", y),
        ],
    );
    bench
        .repo("a/bare")
        .commit("master", &[("m.go", &uses("example.com/a/bare/y")), ("y/y.go", y), ("z@", "y")]);
    bench
        .repo("a/ancient")
        .commit("master", &[("go.mod", "module example.com/a/ancient\n"), ("m.go", &answers(9))]);
    bench.repo("a/work").commit(
        "master",
        &[
            ("go.work", "go 1.999\n\nuse ./elsewhere\n"),
            ("go.mod", &go_mod("example.com/a/work", "")),
            ("m.go", &answers(9)),
        ],
    );
    for (path, import_path, vendored) in [
        ("example.com/a/replaced", "example.com/a/replaced", false),
        ("example.com/a/fork/sub", "example.org/original/sub", false),
        ("example.com/a/vendored", "example.com/a/vendored", true),
        ("example.com/a/bare", "example.com/a/bare", false),
        ("example.com/a/ancient", "example.com/a/ancient", false),
        ("example.com/a/work", "example.com/a/work", false),
    ] {
        let got = bench.fetch(path, None);
        assert_eq!((got.import_path.as_str(), got.vendored), (import_path, vendored));
        assert_eq!(bench.run(&got, "p.N()"), "9", "{path}");
        let deps = std::fs::read_dir(bench.dest().join("deps")).unwrap().count();
        assert!(deps == 0 || !vendored, "{path}");
        for mine in ["go.mod", "go.sum"] {
            let file = bench.dest().join("src").join(mine);
            assert!(!file.exists() || !text(&file).contains("1.20\n\ngo"), "{path}");
        }
    }
    let language = text(&{
        bench.fetch("example.com/a/ancient", None);
        bench.dest().join("overlay/go.mod")
    });
    assert!(language.contains("\ngo 1.20\n"), "{language}");
    assert_eq!(text(&bench.dest().join("src/go.mod")), "module example.com/a/ancient\n");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_requirement_of_the_tests_alone_is_neither_downloaded_nor_needed() {
    let bench = Bench::new(&[Origin::Git]);
    let go_mod = "module example.com/a/t\n\ngo 1.20\n\nrequire example.org/testing v1.2.3\n";
    let test = "package m\n\nimport _ \"example.org/testing\"\n";
    bench
        .repo("a/t")
        .commit("master", &[("go.mod", go_mod), ("m.go", &answers(9)), ("m_test.go", test)]);
    let mut job = bench.job("example.com/a/t", None);
    let fetched = bench.fetch("example.com/a/t", None);
    assert_eq!(bench.run(&fetched, "p.N()"), "9");
    assert_eq!(std::fs::read_dir(bench.dest().join("deps")).unwrap().count(), 0);
    // What is evident is said without the go command.
    job.go = job.go.with_file_name("no-go-command");
    let fetched = fetch_worker::run(&job);
    assert!(matches!(fetched, fetch_job::FetchAnswer::Fetched(_)), "{fetched:?}");
}
