//! The fetch worker and git: local mirrors, and smart HTTP from `git http-backend`. Nothing here
//! needs a network.

mod support;

use std::collections::HashMap;

use fetch_job::{FailureCode, FetchAnswer, Origin};

use support::bench::{Bench, answers};
use support::git_http::{Asked, Options};
use support::git_repo::BareRepo;

/// Master with three commits, releases of two major versions, a nested module and a branch.
fn history(repo: &BareRepo) -> HashMap<&'static str, String> {
    let module = |path: &str| format!("module example.com/a/{path}\n\ngo 1.20\n");
    let (m, m3, sub) = (module("m"), module("m/v3"), module("m/sub"));
    let one = repo.commit("master", &[("go.mod", &m), ("m.go", &answers(1))]);
    repo.tag("v1.0.0", one);
    let two = repo.commit("master", &[("go.mod", &m), ("m.go", &answers(2))]);
    repo.annotated_tag("v1.1.0", two);
    let three = repo.commit(
        "master",
        &[
            ("go.mod", &m),
            ("m.go", &answers(3)),
            ("sub/go.mod", &sub),
            ("sub/m.go", &answers(30)),
            ("pkg/deep/m.go", &answers(31)),
        ],
    );
    let next =
        repo.commit("v3", &[("go.mod", &m3), ("m.go", &answers(5)), ("p/m.go", &answers(6))]);
    repo.tag("v3.9.0", next);
    let newest =
        repo.commit("v3", &[("go.mod", &m3), ("m.go", &answers(7)), ("p/m.go", &answers(8))]);
    repo.annotated_tag("v3.10.0", newest);
    let nested = repo.commit(
        "release",
        &[("go.mod", &m), ("sub/go.mod", &sub), ("sub/m.go", &answers(40)), ("m.go", &answers(4))],
    );
    repo.tag("sub/v1.0.0", nested);
    [("one", one), ("two", two), ("three", three), ("newest", newest), ("nested", nested)]
        .map(|(name, id)| (name, id.to_string()))
        .into()
}

/// Every kind of version, with the commit it must be.
fn every_version(bench: &Bench, ids: &HashMap<&'static str, String>) {
    let pseudo = format!("v0.0.0-20171122090728-{}", &ids["one"][..12]);
    for (path, version, commit, module, dir, n) in [
        ("example.com/a/m", None, "three", "example.com/a/m", "", "3"),
        ("example.com/a/m", Some("v1.0.0"), "one", "example.com/a/m", "", "1"),
        ("example.com/a/m", Some("v1.1.0"), "two", "example.com/a/m", "", "2"),
        ("example.com/a/m", Some("master"), "three", "example.com/a/m", "", "3"),
        ("example.com/a/m", Some(&ids["two"]), "two", "example.com/a/m", "", "2"),
        ("example.com/a/m", Some(&ids["one"][..9]), "one", "example.com/a/m", "", "1"),
        ("example.com/a/m", Some(&pseudo), "one", "example.com/a/m", "", "1"),
        ("example.com/a/m/pkg/deep", None, "three", "example.com/a/m", "", "31"),
        ("example.com/a/m/sub", None, "three", "example.com/a/m/sub", "sub", "30"),
        ("example.com/a/m/sub", Some("v1.0.0"), "nested", "example.com/a/m/sub", "sub", "40"),
        ("example.com/a/m/sub", Some("sub/v1.0.0"), "nested", "example.com/a/m/sub", "sub", "40"),
        ("example.com/a/m/v3", None, "newest", "example.com/a/m/v3", "", "7"),
        ("example.com/a/m/v3/p", None, "newest", "example.com/a/m/v3", "", "8"),
        ("example.com/a/m", Some("v3.10.0"), "newest", "example.com/a/m/v3", "", "7"),
    ] {
        let started = std::time::Instant::now();
        let got = bench.fetch(path, version);
        println!("{path} {version:?}: {} ms", started.elapsed().as_millis());
        assert_eq!(got.revision, ids[commit], "{path} {version:?}");
        assert_eq!((got.module_path.as_str(), got.module_dir.as_str()), (module, dir), "{path}");
        assert_eq!(
            (got.package_name.as_str(), got.vendored, got.origin),
            ("m", false, Origin::Git)
        );
        assert_eq!(bench.run(&got, "p.N()"), n, "{path} {version:?}");
    }
    for version in
        ["v9.9.9", "nope", "abcdef012", &"1".repeat(40), "v0.0.0-20171122090728-aaaaaaaaaaaa"]
    {
        let failure = bench.fail("example.com/a/m", Some(version));
        assert_eq!(failure.code, FailureCode::Version, "{}", failure.detail);
    }
}

#[test]
fn a_local_mirror_gives_every_kind_of_version() {
    let bench = Bench::new(&[Origin::Git]);
    let ids = history(&bench.repo("a/m"));
    every_version(&bench, &ids);
}

#[test]
fn a_git_host_gives_every_kind_of_version() {
    let mut bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("a/m");
    let ids = history(&repo);
    let Some(_host) = bench.host(Options::default()) else { return };
    every_version(&bench, &ids);
    repo.set("uploadpack.allowFilter", "true");
    every_version(&bench, &ids);
}

#[test]
fn a_git_host_that_knows_only_the_first_protocol_gives_every_kind_of_version() {
    let mut bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("a/m");
    let ids = history(&repo);
    let Some(_host) = bench.host(Options { old: true, ..Options::default() }) else { return };
    every_version(&bench, &ids);
    repo.set("uploadpack.allowReachableSHA1InWant", "true");
    every_version(&bench, &ids);
}

#[test]
fn a_revision_that_the_server_has_costs_no_pack() {
    let mut bench = Bench::new(&[Origin::Git]);
    let ids = history(&bench.repo("a/m"));
    let Some(host) = bench.host(Options::default()) else { return };
    for (version, commit) in
        [(None, "three"), (Some("v1.1.0"), "two"), (Some(ids["two"].as_str()), "two")]
    {
        let mut job = bench.job("example.com/a/m", version);
        job.have = vec!["v1.0.0".into(), ids[commit].clone()];
        let want = FetchAnswer::Unchanged { revision: ids[commit].clone() };
        assert_eq!(fetch_worker::run(&job), want, "{version:?}");
    }
    assert!(!host.asked().iter().any(Asked::is_fetch));
    assert!(!bench.dest().join("src").exists());
}

#[test]
fn only_one_commit_is_asked_for() {
    let mut bench = Bench::new(&[Origin::Git]);
    history(&bench.repo("a/m"));
    let Some(host) = bench.host(Options::default()) else { return };
    bench.fetch("example.com/a/m", Some("v1.1.0"));
    let asked = host.asked();
    let fetches: Vec<_> = asked.iter().filter(|a| a.is_fetch()).collect();
    assert_eq!(fetches.len(), 1);
    assert!(fetches[0].body.contains("deepen 1"), "{}", fetches[0].body);
    assert_eq!(fetches[0].body.matches("want ").count(), 1);
}

#[test]
fn where_there_is_one_place_to_look_it_is_asked_for_references_at_once() {
    let mut bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("m");
    let go_mod = ("go.mod", "module example.com/m\n\ngo 1.20\n");
    repo.tag("v1.0.0", repo.commit("master", &[go_mod, ("m.go", &answers(1))]));
    let newest = repo.commit("master", &[go_mod, ("m.go", &answers(2))]).to_string();
    for (old, version, requests, n) in [
        (false, None, 2, "2"),
        (false, Some("v1.0.0"), 2, "1"),
        // A whole commit needs no references; an abbreviated one has to be searched for.
        (false, Some(&*newest), 2, "2"),
        (false, Some(&newest[..8]), 3, "2"),
        // What such a host says to the first question is no answer, so it is asked what it can.
        (true, None, 3, "2"),
    ] {
        let Some(host) = bench.host(Options { old, ..Options::default() }) else { return };
        let fetched = bench.fetch("example.com/m", version);
        assert_eq!(bench.run(&fetched, "p.N()"), n, "{version:?}");
        let asked = host.asked();
        assert_eq!(asked.len(), requests, "{version:?}: {asked:?}");
    }
}

#[test]
fn what_is_not_there_is_a_repository_failure() {
    let mut bench = Bench::new(&[Origin::Git]);
    history(&bench.repo("a/m"));
    let failure = bench.fail("example.com/b/none", None);
    assert_eq!(failure.code, FailureCode::Repository, "{}", failure.detail);
    let locked =
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    let answers = HashMap::from([("/locked/x.git/info/refs".to_owned(), locked.to_owned())]);
    let Some(_host) = bench.host(Options { answers, ..Options::default() }) else { return };
    for path in ["example.com/b/none", "example.com/locked/x"] {
        let failure = bench.fail(path, None);
        assert_eq!(failure.code, FailureCode::Repository, "{}", failure.detail);
    }
}

#[test]
fn a_host_that_fails_is_unreachable() {
    let mut bench = Bench::new(&[Origin::Git]);
    let broken = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
               Content-Length: 99\r\n\r\n001e# service=git-upload-pack\n";
    let answers = HashMap::from([
        ("/a/broken.git/info/refs".to_owned(), broken.to_owned()),
        ("/a.git/info/refs".to_owned(), "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("/a/cut.git/info/refs".to_owned(), cut.to_owned()),
    ]);
    let Some(host) = bench.host(Options { answers, ..Options::default() }) else { return };
    for path in ["example.com/a/broken", "example.com/a/cut"] {
        let failure = bench.fail(path, None);
        assert_eq!(failure.code, FailureCode::Unreachable, "{}", failure.detail);
    }
    drop(host);
    let failure = bench.fail("example.com/a/m", None);
    assert_eq!(failure.code, FailureCode::Unreachable, "{}", failure.detail);
}

#[test]
fn a_redirect_is_followed_on_the_same_side_and_credentials_stay_secret() {
    let mut bench = Bench::new(&[Origin::Git]);
    history(&bench.repo("a/m"));
    let to = |target: &str| {
        format!("HTTP/1.1 301 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
    };
    let query = "?service=git-upload-pack";
    let answers = HashMap::from([
        ("/old/m.git/info/refs".to_owned(), to(&format!("/a/m.git/info/refs{query}"))),
        (
            "/user/m.git/info/refs".to_owned(),
            to(&format!("http://evil:word@{{host}}/a/m.git/info/refs{query}")),
        ),
        ("/out/m.git/info/refs".to_owned(), to("https://u:secret@example.org/m.git/info/refs")),
        ("/loop/m.git/info/refs".to_owned(), to("/loop/m.git/info/refs")),
    ]);
    let Some(host) = bench.host(Options { answers, ..Options::default() }) else { return };
    // What a page puts before a host is no password.
    assert_eq!(bench.fetch("example.com/user/m", None).module_path, "example.com/a/m");
    assert!(host.asked().iter().all(|a| !a.headers.contains_key("authorization")));
    let first = host.asked().len();
    bench.mirrors[0].target = host.url().replace("http://", "http://me:pass%40word@");
    assert_eq!(bench.fetch("example.com/user/m", None).module_path, "example.com/a/m");
    assert_eq!(bench.fetch("example.com/old/m", None).module_path, "example.com/a/m");
    let asked = host.asked();
    let asked = &asked[first..];
    assert!(asked.iter().all(|a| a.headers["authorization"] == "Basic bWU6cGFzc0B3b3Jk"));
    for path in ["example.com/out/m", "example.com/loop/m", "example.com/none/m"] {
        let detail = bench.fail(path, None).detail;
        assert!(!detail.contains("secret") && !detail.contains("pass"), "{detail}");
    }
}

#[test]
fn a_repository_beyond_the_budget_is_too_large() {
    let mut bench = Bench::new(&[Origin::Git]);
    let repo = bench.repo("a/big");
    let noise: String = (0..200_000u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16))
        .collect();
    repo.commit("master", &[("m.go", &answers(1)), ("noise", &noise)]);
    let too_large = |bench: &Bench| {
        let mut job = bench.job("example.com/a/big", None);
        job.max_bytes = 300_000;
        let failure = bench.fail_job(&job);
        assert_eq!(failure.code, FailureCode::TooLarge, "{}", failure.detail);
        assert!(!job.dest.join("src").exists());
    };
    too_large(&bench);
    let Some(_host) = bench.host(Options::default()) else { return };
    too_large(&bench);
}
