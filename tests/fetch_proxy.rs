//! The fetch worker and the module proxy that the go command is configured for. Needs that network.

mod support;

use std::time::Instant;

use fetch_job::{FailureCode, FetchAnswer, Origin};

use support::bench::Bench;

#[test]
fn real_modules_from_the_proxy_build_offline() {
    if support::offline("real modules") {
        return;
    }
    let bench = Bench::new(&[Origin::Proxy]);
    let geohash = "github.com/mmcloughlin/geohash";
    for (path, version, module, expression, want) in [
        (geohash, Some("v0.10.0"), geohash, "p.Encode(0.1, 80.9)", "w0rrq0ynhv5u"),
        (geohash, Some("v0.0.0-20171122090728-e5eae5659af2"), geohash, "p.Encode(100.1, 80.9)", ""),
        (
            "gopkg.in/yaml.v3",
            None,
            "gopkg.in/yaml.v3",
            "p.Unmarshal([]byte(\"a: 1\"), new(any))",
            "<nil>",
        ),
        (
            "golang.org/x/text/cases",
            Some("v0.21.0"),
            "golang.org/x/text",
            "p.Fold().String(\"AbC\")",
            "abc",
        ),
        (
            "github.com/spf13/cobra",
            Some("v1.8.1"),
            "github.com/spf13/cobra",
            "p.Command{Use: \"x\"}.Use",
            "x",
        ),
        (
            "github.com/go-chi/chi/v5/middleware",
            None,
            "github.com/go-chi/chi/v5",
            "p.RequestIDHeader",
            "X-Request-Id",
        ),
        (
            "github.com/go-chi/chi",
            Some("v5.0.10"),
            "github.com/go-chi/chi/v5",
            "p.NewRouter() != nil",
            "true",
        ),
    ] {
        let got = bench.fetch(path, version);
        assert_eq!((got.module_path.as_str(), got.origin), (module, Origin::Proxy));
        if let Some(version) = version {
            assert_eq!(got.revision, version);
        }
        let out = bench.run(&got, expression);
        assert!(out == want || path == geohash, "{path}: {out}");
    }
}

#[test]
fn a_repository_without_go_mod_gets_its_dependencies() {
    if support::offline("third-party imports") {
        return;
    }
    let bench = Bench::new(&[Origin::Git, Origin::Proxy]);
    let text = "package m\n\nimport (\n\t\"github.com/google/uuid\"\n\t\"golang.org/x/net/idna\"\n)\n\n\
                func N() string { s, _ := idna.ToASCII(\"ü\"); return s + uuid.Nil.String()[:2] }\n";
    bench.repo("a/m").commit("master", &[("m.go", text)]);
    let got = bench.fetch("example.com/a/m", None);
    assert_eq!((got.origin, got.module_path.as_str()), (Origin::Git, "example.com/a/m"));
    assert_eq!(bench.run(&got, "p.N()"), "xn--tda00");
}

#[test]
fn a_vendor_folder_that_is_not_consistent_is_not_used() {
    if support::offline("a dependency") {
        return;
    }
    let bench = Bench::new(&[Origin::Git, Origin::Proxy]);
    let go_mod = "module example.com/a/m\n\ngo 1.20\n\nrequire github.com/google/uuid v1.6.0\n";
    let text = "package m\n\nimport \"github.com/google/uuid\"\n\nfunc N() string { return uuid.Nil.String()[:2] }\n";
    for modules in
        ["# github.com/google/uuid v1.5.0\n## explicit\ngithub.com/google/uuid\n", "# nothing\n"]
    {
        let name = format!("a/m{}", modules.len());
        bench.repo(&name).commit(
            "master",
            &[("go.mod", go_mod), ("m.go", text), ("vendor/modules.txt", modules)],
        );
        let got = bench.fetch(&format!("example.com/{name}"), None);
        assert!(!got.vendored);
        assert_eq!(bench.run(&got, "p.N()"), "00");
    }
}

#[test]
fn what_the_proxy_does_not_have_is_told_apart() {
    if support::offline("the proxy's answers") {
        return;
    }
    let bench = Bench::new(&[Origin::Proxy]);
    let geohash = "github.com/mmcloughlin/geohash";
    for (path, version, code, says) in [
        ("github.com/no-such-user-at-all/x", None, FailureCode::Repository, "knows no module"),
        (geohash, Some("v9.9.9"), FailureCode::Version, "has no v9.9.9"),
        (&format!("{geohash}/none"), None, FailureCode::Package, "no folder none"),
        ("github.com/google/uuid", Some("v1.5.0 -x"), FailureCode::Version, "has no"),
    ] {
        let failure = bench.fail(path, version);
        assert_eq!(failure.code, code, "{path}: {}", failure.detail);
        assert!(failure.detail.contains(says), "{path}: {}", failure.detail);
    }
    let mut job = bench.job(geohash, Some("v0.10.0"));
    job.have = vec!["v0.10.0".into()];
    assert_eq!(fetch_worker::run(&job), FetchAnswer::Unchanged { revision: "v0.10.0".into() });
    assert!(!job.dest.join("deps").exists());
    job.have.clear();
    job.max_bytes = 10_000;
    assert_eq!(bench.fail_job(&job).code, FailureCode::TooLarge);
}

#[test]
fn where_git_has_nothing_the_proxy_is_asked() {
    if support::offline("the proxy") {
        return;
    }
    let mut bench = Bench::new(&[Origin::Git, Origin::Proxy]);
    bench.mirrors[0].prefix = "github.com".into();
    let got = bench.fetch("github.com/google/uuid", Some("v1.6.0"));
    assert_eq!((got.origin, got.revision.as_str()), (Origin::Proxy, "v1.6.0"));
    // A port on which nothing listens.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    bench.mirrors[0].target = format!("http://{closed}");
    let started = Instant::now();
    assert_eq!(bench.fetch("github.com/google/uuid", Some("v1.6.0")).origin, Origin::Proxy);
    println!("with a refused connection first: {} ms", started.elapsed().as_millis());
    let detail = bench.fail("github.com/google/uuid", Some("v9.0.0")).detail;
    assert!(detail.contains("from git") && detail.contains("from the module proxy"), "{detail}");
}
