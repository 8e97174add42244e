//! Which packages are plain, and which are left to the go command.

use super::*;

fn head(text: &str) -> Option<(&str, Vec<&str>, bool)> {
    SourceHead::read(text).map(|head| (head.package, head.imports, head.constrained))
}

#[test]
fn the_beginning_of_a_file_is_read_as_go_reads_it() {
    let table: [(&str, &str, &[&str], bool); 8] = [
        ("package a", "a", &[], false),
        ("// Package a.\npackage a // x\n\nfunc F() {}\n", "a", &[], false),
        ("package a\nimport \"fmt\"\nvar import_ = 1\n", "a", &["fmt"], false),
        ("package a; import `os`; import . \"io\"\n", "a", &["os", "io"], false),
        (
            "package a\nimport (\n\t\"fmt\" // \"os\"\n\t_ \"embed\"\n\tx \"a.b/c\"; \"io\"\n)\nimport \"os\"\n",
            "a",
            &["fmt", "embed", "a.b/c", "io", "os"],
            false,
        ),
        ("//go:build linux\n\npackage a\n", "a", &[], true),
        ("// +build ignore\n\npackage main\n", "main", &[], true),
        (
            "/* //go:build x\n*/\npackage a\n//go:build y\nconst x = `import \"no\"`\n",
            "a",
            &[],
            false,
        ),
    ];
    for (text, package, imports, constrained) in table {
        assert_eq!(head(text), Some((package, imports.to_vec(), constrained)), "{text}");
    }
    let odd = [
        "",
        "packag a\n",
        "package 3\n",
        "package ä\n",
        "\u{feff}package a\n",
        "package a\nimport \"C\"\n",
        "package a\nimport \"f\\x6dt\"\n",
        "package a\nimport (\n\"fmt\"\n",
        "package a\nimport \"fmt\n",
        "package a\nimport \"\"\n",
        "package a\n/* no end",
        "package a\nimport _ \"embed\"\n//go:embed x\nvar X string\n",
    ];
    for text in odd {
        assert_eq!(head(text), None, "{text}");
    }
}

#[test]
fn a_go_mod_is_complete_when_the_go_command_would_not_touch_it() {
    let complete = [
        "module a.b/c\n\ngo 1.20\n",
        "module a.b/c // comment\n\n// more\ngo 1.25.3\n",
        "module a.b/c\n\ngo 1.26\n",
        "module a.b/c\n\ngo 1.17\n\nrequire x.y/z v1.2.3\n",
        "module a.b/c\n\ngo 1.18\n\nrequire (\n\tx.y/z v0.0.0-20171122090728-0123456789ab // indirect\n\tx.y/w/v2 v2.0.1\n)\n",
    ];
    for text in complete {
        assert!(is_complete(text, 26), "{text}");
    }
    let left = [
        "",
        "module a.b/c\n",
        "go 1.20\n",
        "module a.b/c\n\ngo 1.26.1\n",
        "module a.b/c\n\ngo 1.27\n",
        "module a.b/c\n\ngo 1.26rc1\n",
        "module a.b/c\n\ngo 2.0\n",
        "module \"a.b/c\"\n\ngo 1.20\n",
        "module a.b/c\n\ngo 1.16\n\nrequire x.y/z v1.2.3\n",
        "module a.b/c\n\ngo 1.20\n\nrequire x.y/z master\n",
        "module a.b/c\n\ngo 1.20\n\nrequire x.y/z v1.2\n",
        "module a.b/c\n\ngo 1.20\n\nrequire x.y/z v2.0.0\n",
        "module a.b/c\n\ngo 1.20\n\nrequire x.y/z v2.0.0+incompatible\n",
        "module a.b/c\n\ngo 1.20\n\nrequire (\n\tx.y/z v1.2.3\n",
        "module a.b/c\n\ngo 1.20\n\nreplace x.y/z => ../z\n",
        "module a.b/c\n\ngo 1.20\n\ntoolchain go1.30.1\n",
        "module a.b/c\n\ngo 1.20\n\nnonsense 1\n",
        "module a.b/c\n\ngo 1.20\ngo 1.21\n",
    ];
    for text in left {
        assert!(!is_complete(text, 26), "{text}");
    }
}

/// The name found for a package of a module with these files, in a toolchain that has `fmt` and `os`.
fn found(package: &str, files: &[(&str, &str)]) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    let goroot =
        [("VERSION", "go1.26.8\ntime x\n"), ("src/fmt/print.go", ""), ("src/os/os.go", "")];
    let inner =
        [("src/internal/abi/abi.go", ""), ("src/cmd/go/main.go", ""), ("src/odd/odd_test.go", "")];
    let goroot =
        goroot.into_iter().chain(inner).map(|(name, text)| (format!("goroot/{name}"), text));
    let files = files.iter().map(|(name, text)| (format!("src/{name}"), *text));
    for (name, text) in goroot.chain(files) {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let src = root.path().join("src");
    let layout = super::super::module::locate(&src, "a.b/c", package).unwrap();
    package_name(&src, &layout, &BTreeSet::new(), &root.path().join("goroot"))
}

#[test]
fn a_package_is_plain_when_all_that_it_imports_is_of_the_library_or_plain() {
    const MOD: (&str, &str) = ("go.mod", "module a.b/c\n\ngo 1.20\n");
    const TOP: (&str, &str) = ("c.go", "package top\n\nimport (\n\t\"fmt\"\n\n\t\"a.b/c/in\"\n)\n");
    let inner = |text| [MOD, TOP, ("in/in.go", text)];
    assert_eq!(found("a.b/c", &inner("package in\n")).as_deref(), Some("top"));
    assert_eq!(found("a.b/c", &inner("package in\n\nimport \"os\"\n")).as_deref(), Some("top"));
    assert_eq!(found("a.b/c/in", &inner("package other\n")).as_deref(), Some("other"));
    let tests =
        [MOD, ("c.go", "package c\n"), ("c_test.go", "package c_test\n\nimport \"x.y/z\"\n")];
    assert_eq!(found("a.b/c", &tests).as_deref(), Some("c"));
    let system = [MOD, ("c.go", "package c\n"), ("c_windows.go", "package c\n\nimport \"os\"\n")];
    assert_eq!(found("a.b/c", &system).as_deref(), Some("c"));
    let assembled = [MOD, ("c.go", "package c\n"), ("c_amd64.s", ""), ("c.h", "")];
    assert_eq!(found("a.b/c", &assembled).as_deref(), Some("c"));
    let odd = [
        "package in\n\nimport \"x.y/z\"\n",
        "package in\n\nimport \"no/such\"\n",
        "package in\n\nimport \"internal/abi\"\n",
        "package in\n\nimport \"cmd/go\"\n",
        "package in\n\nimport \"odd\"\n",
        "package in\n\nimport \"../c\"\n",
        "package in\n\nimport \"C\"\n",
        "package main\n",
        "package documentation\n",
        "//go:build windows\n\npackage in\n",
        "packag in\n",
    ];
    for text in odd {
        assert_eq!(found("a.b/c", &inner(text)), None, "{text}");
    }
    let beside: [&[(&str, &str)]; 7] = [
        &[("in/two.go", "package two\n")],
        &[("in/in.c", "")],
        &[("in/in.S", "")],
        &[("in/go.mod", "module a.b/c/in\n")],
        &[("vendor/modules.txt", "")],
        &[("go.mod", "module a.b/c\n\ngo 1.20\n\nreplace x.y/z => ./in\n")],
        &[("in/x_linux.go", "package in\n\nimport \"x.y/z\"\n")],
    ];
    for more in beside {
        let files = [&inner("package in\n")[..], more].concat();
        assert_eq!(found("a.b/c", &files), None, "{more:?}");
    }
    let nothing_certain = [MOD, ("c_linux.go", "package c\n")];
    assert_eq!(found("a.b/c", &nothing_certain), None);
}
