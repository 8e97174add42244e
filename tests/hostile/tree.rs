//! Repositories whose trees, references and files lie: names that climb, git's own folders, links,
//! modes, collisions, bombs. The package in each of them lists what lies beside it.

use std::sync::Arc;

use git2::Oid;
use libtest_mimic::Trial;

use crate::raw_repo::{Entry, RawRepo};
use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::world::{FETCH_BYTES, GO_MOD, World, call};

/// Lists the folder `t` beside it.
const LISTS: &str = "package m

import (
	\"embed\"
	\"io/fs\"
	\"strings\"
)

//go:embed all:t
var files embed.FS

func F() string {
	var names []string
	fs.WalkDir(files, \"t\", func(path string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	return strings.Join(names, \" \")
}
";

/// A repository with a submodule of this name in the folder `t`, and what .gitmodules says of it.
fn submodule(r: &RawRepo, name: &[u8], says: &str) {
    let kept = r.tree(&[
        ("100644", b"kept".to_vec(), r.blob(b"kept")),
        ("160000", name.to_vec(), Oid::from_str(&"1".repeat(40)).expect("an id")),
    ]);
    top(r, kept, &[("100644", b".gitmodules".to_vec(), r.blob(says.as_bytes()))]);
}

/// A repository: what is made of it, the version that is asked for, and what comes of a call.
pub(crate) struct Repo {
    what: &'static str,
    advisory: &'static str,
    make: fn(&RawRepo),
    version: Option<&'static str>,
    expect: Expect,
}

/// One test for each row; `slug` begins the names of their repositories.
pub(crate) fn trials(world: &Arc<World>, slug: &'static str, table: &'static [Repo]) -> Vec<Trial> {
    let trial = |(n, row): (usize, &'static Repo)| {
        world.trial(title("repository", row.what, row.advisory), move |world, server| {
            let name = format!("{slug}{n}");
            let repo = RawRepo::create(&world.repository(&name)).map_err(|e| e.to_string())?;
            (row.make)(&repo);
            row.expect.check(&call(server, &format!("example.test/{name}"), "F()", row.version)?)
        })
    };
    table.iter().enumerate().map(trial).collect()
}

/// Commits the package, whose folder `t` has a file `kept` and these entries.
pub(crate) fn beside(repo: &RawRepo, entries: &[Entry]) {
    let kept = repo.blob(b"kept");
    let mut list = vec![("100644", b"kept".to_vec(), kept)];
    list.extend(entries.iter().cloned());
    list.sort_by(|a, b| a.1.cmp(&b.1));
    top(repo, repo.tree(&list), &[]);
}

/// Commits the package with this folder `t` and these entries beside it.
fn top(repo: &RawRepo, folder: Oid, entries: &[Entry]) {
    let (go_mod, go) = (repo.blob(GO_MOD.as_bytes()), repo.blob(LISTS.as_bytes()));
    let mut list = vec![
        ("100644", b"go.mod".to_vec(), go_mod),
        ("100644", b"m.go".to_vec(), go),
        ("40000", b"t".to_vec(), folder),
    ];
    list.extend(entries.iter().cloned());
    list.sort_by(|a, b| a.1.cmp(&b.1));
    repo.commit("refs/heads/master", repo.tree(&list));
}

/// A file of this name beside the kept one.
pub(crate) fn named(repo: &RawRepo, name: &[u8]) {
    beside(repo, &[("100644", name.to_vec(), repo.blob(b"x"))]);
}

pub(crate) const fn row(
    what: &'static str,
    advisory: &'static str,
    make: fn(&RawRepo),
    expect: Expect,
) -> Repo {
    Repo { what, advisory, make, version: None, expect }
}

pub(crate) const fn at(
    what: &'static str,
    advisory: &'static str,
    version: &'static str,
    make: fn(&RawRepo),
    expect: Expect,
) -> Repo {
    Repo { what, advisory, make, version: Some(version), expect }
}

pub(crate) const KEPT: Expect = Answers("t/kept");
/// The module proxy, which is asked next, knows nothing of these repositories.
const CORRUPT: Expect = Fails(404, "repository", &["a git object is missing or corrupt"]);

pub(crate) const TABLE: &[Repo] = &[
    row("a file named ..", "", |r| named(r, b".."), KEPT),
    row("a file named .", "", |r| named(r, b"."), KEPT),
    row("a name that climbs", "", |r| named(r, b"../../../evil"), KEPT),
    row("an absolute name", "", |r| named(r, b"/etc/evil"), KEPT),
    row("an empty name", "", |r| named(r, b""), CORRUPT),
    row("a name of a thousand bytes", "", |r| named(r, &[b'a'; 1000]), KEPT),
    row("a name that is not UTF-8", "", |r| named(r, b"\xff\xfe"), KEPT),
    row(
        "a folder .git with a hook",
        "CVE-2014-9390",
        |r| {
            let hook = r.tree(&[("100755", b"post-checkout".to_vec(), r.blob(b"#!/bin/sh\n"))]);
            let git = r.tree(&[("40000", b"hooks".to_vec(), hook)]);
            beside(r, &[("40000", b".git".to_vec(), git)]);
        },
        KEPT,
    ),
    row(
        "a folder .GIT with a hook",
        "CVE-2014-9390",
        |r| {
            let hook = r.tree(&[("100755", b"post-checkout".to_vec(), r.blob(b"#!/bin/sh\n"))]);
            let git = r.tree(&[("40000", b"hooks".to_vec(), hook)]);
            beside(r, &[("40000", b".GIT".to_vec(), git)]);
        },
        KEPT,
    ),
    row(
        "a folder .g\u{200c}it",
        "CVE-2014-9390",
        |r| {
            let git = r.tree(&[("100644", b"config".to_vec(), r.blob(b"[core]\n"))]);
            beside(r, &[("40000", ".g\u{200c}it".into(), git)]);
        },
        KEPT,
    ),
    row(
        "a folder git~1, git's short name on NTFS",
        "CVE-2014-9390",
        |r| {
            let git = r.tree(&[("100644", b"config".to_vec(), r.blob(b"[core]\n"))]);
            beside(r, &[("40000", b"git~1".to_vec(), git)]);
        },
        Answers("t/git~1/config t/kept"),
    ),
    row(
        "a file .git::$INDEX_ALLOCATION",
        "CVE-2019-1352",
        |r| {
            named(r, b".git::$INDEX_ALLOCATION");
        },
        KEPT,
    ),
    row(
        "a name with backslashes",
        "CVE-2019-1354",
        |r| {
            named(r, b"..\\..\\evil");
        },
        KEPT,
    ),
    row(
        "a name with a line end and quotes",
        "",
        |r| {
            named(r, b"a\n\"b\"");
        },
        KEPT,
    ),
    row(
        "a submodule whose name climbs",
        "CVE-2018-11235",
        |r| {
            submodule(
                r,
                b"sub",
                "[submodule \"../../modules/evil\"]\n\tpath = t/sub\n\turl = ./sub\n",
            );
        },
        KEPT,
    ),
    row(
        "a submodule whose url is an option",
        "CVE-2018-17456",
        |r| {
            submodule(r, b"sub", "[submodule \"sub\"]\n\tpath = t/sub\n\turl = -u./payload\n");
        },
        KEPT,
    ),
    row(
        "a submodule whose path ends with a carriage return",
        "CVE-2025-48384",
        |r| {
            submodule(r, b"sub\r", "[submodule \"sub\"]\n\tpath = \"t/sub\r\"\n\turl = ./sub\n");
        },
        KEPT,
    ),
    row(
        "attributes with a filter that runs a program",
        "CVE-2021-21300",
        |r| {
            let text = "* filter=lfs ident export-subst working-tree-encoding=UTF-16\n";
            let kept = r.tree(&[("100644", b"kept".to_vec(), r.blob(b"$Format:%h$"))]);
            top(r, kept, &[("100644", b".gitattributes".to_vec(), r.blob(text.as_bytes()))]);
        },
        KEPT,
    ),
    row(
        "attributes with a line of a mebibyte",
        "CVE-2022-23521",
        |r| {
            let text = "a".repeat(1 << 20);
            let kept = r.tree(&[("100644", b"kept".to_vec(), r.blob(b"kept"))]);
            top(r, kept, &[("100644", b".gitattributes".to_vec(), r.blob(text.as_bytes()))]);
        },
        KEPT,
    ),
    row(
        "a link to a folder of the host, and a file below it",
        "CVE-2021-21300",
        |r| {
            let inner = r.tree(&[("100644", b"evil".to_vec(), r.blob(b"x"))]);
            let list = [
                ("120000", b"a".to_vec(), r.blob(b"/tmp")),
                ("40000", b"a".to_vec(), inner),
                ("100644", b"kept".to_vec(), r.blob(b"kept")),
            ];
            top(r, r.tree(&list), &[]);
        },
        Answers("t/a/evil t/kept"),
    ),
    row(
        "links that differ from folders in case alone",
        "CVE-2024-32002",
        |r| {
            let inner = r.tree(&[("100644", b"evil".to_vec(), r.blob(b"x"))]);
            beside(
                r,
                &[("120000", b"A".to_vec(), r.blob(b".git")), ("40000", b"a".to_vec(), inner)],
            );
        },
        Answers("t/a/evil t/kept"),
    ),
    row(
        "links that climb one after the other",
        "",
        |r| {
            let links = [
                ("120000", b"one".to_vec(), r.blob(b"..")),
                ("120000", b"two".to_vec(), r.blob(b"one/../../..")),
                ("120000", b"three".to_vec(), r.blob(b"two/etc")),
            ];
            beside(r, &links);
        },
        KEPT,
    ),
    row(
        "a link to itself",
        "",
        |r| {
            beside(r, &[("120000", b"loop".to_vec(), r.blob(b"loop"))]);
        },
        KEPT,
    ),
    row(
        "one name three times",
        "",
        |r| {
            let list = [
                ("100644", b"kept".to_vec(), r.blob(b"first")),
                ("120000", b"kept".to_vec(), r.blob(b"/etc/passwd")),
                ("40000", b"kept".to_vec(), r.tree(&[])),
            ];
            top(r, r.tree(&list), &[]);
        },
        KEPT,
    ),
    row(
        "a file that is setuid",
        "",
        |r| {
            beside(r, &[("104777", b"tool".to_vec(), r.blob(b"#!/bin/sh\n"))]);
        },
        Answers("t/kept t/tool"),
    ),
    row(
        "a device, a pipe and a socket",
        "",
        |r| {
            let x = r.blob(b"x");
            let list = [
                ("20666", b"dev".to_vec(), x),
                ("10666", b"pipe".to_vec(), x),
                ("140777", b"sock".to_vec(), x),
            ];
            beside(r, &list);
        },
        Answers("t/dev t/kept t/pipe t/sock"),
    ),
    row(
        "a mode that overflows",
        "",
        |r| {
            beside(r, &[("77777777777777777777", b"x".to_vec(), r.blob(b"x"))]);
        },
        CORRUPT,
    ),
    row(
        "a tree that ends in the middle of an entry",
        "",
        |r| {
            let kept = r.tree(&[("100644", b"kept".to_vec(), r.blob(b"kept"))]);
            let _ = kept;
            let cut = r.blob(b"100644 cut");
            top(r, cut, &[]);
        },
        CORRUPT,
    ),
    row(
        "a tree that holds itself ten times over ten levels",
        "",
        |r| {
            let mut tree = r.tree(&[("100644", b"f".to_vec(), r.blob(b"f"))]);
            for _ in 0..10 {
                let list: Vec<Entry> =
                    (b'0'..=b'9').map(|name| ("40000", vec![name], tree)).collect();
                tree = r.tree(&list);
            }
            top(r, tree, &[]);
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
    row(
        "folders of two thousand levels",
        "CVE-2016-2324",
        |r| {
            let mut tree = r.tree(&[("100644", b"f".to_vec(), r.blob(b"f"))]);
            for _ in 0..2000 {
                tree = r.tree(&[("40000", b"d".to_vec(), tree)]);
            }
            top(r, tree, &[]);
        },
        Fails(404, "repository", &["nested more than 100 levels deep"]),
    ),
    row(
        "a file that is larger than a fetch may be",
        "",
        |r| {
            let zeros = vec![0; FETCH_BYTES as usize + 1];
            beside(r, &[("100644", b"bomb".to_vec(), r.blob(&zeros))]);
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
];
