//! Files and references of a repository itself: hooks, borrowed objects, names that mean several
//! things.

use crate::raw_repo::RawRepo;
use crate::row::Expect::Fails;
use crate::tree::{KEPT, Repo, at, beside, named, row};

/// An id that no commit has.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn path(repo: &RawRepo, name: &str) -> std::path::PathBuf {
    repo.path().join(name)
}

pub(crate) const TABLE: &[Repo] = &[
    row(
        "hooks and a program as the editor in the repository itself",
        "CVE-2024-32465",
        |r| {
            r.write("hooks/post-checkout", "#!/bin/sh\ntouch /tmp/evil\n");
            r.write("config", "[core]\n\tbare = true\n\tfsmonitor = /tmp/evil\n\thooksPath = hooks\n\tsshCommand = /tmp/evil\n[uploadpack]\n\tpackObjectsHook = /tmp/evil\n");
            beside(r, &[]);
        },
        KEPT,
    ),
    row(
        "objects that are borrowed from a folder of the host",
        "",
        |r| {
            r.write("objects/info/alternates", "/etc\n../../../../../../etc\n");
            beside(r, &[]);
        },
        KEPT,
    ),
    // References.
    row(
        "a HEAD that names a file of the host",
        "",
        |r| {
            beside(r, &[]);
            r.reference("HEAD", "ref: refs/heads/../../../../../etc/passwd");
        },
        Fails(404, "version", &[]),
    ),
    row(
        "a HEAD that names itself",
        "",
        |r| {
            beside(r, &[]);
            r.reference("HEAD", "ref: HEAD");
        },
        Fails(404, "version", &[]),
    ),
    at(
        "a branch with the name of an option",
        "CVE-2017-1000117",
        "--upload-pack=x",
        |r| {
            beside(r, &[]);
            r.reference("refs/heads/--upload-pack=x", &"1".repeat(40));
        },
        Fails(400, "version_text", &["--upload-pack=x"]),
    ),
    row(
        "a branch named HEAD beside the real one",
        "",
        |r| {
            beside(r, &[]);
            r.commit(
                "refs/heads/HEAD",
                r.tree(&[("100644", b"m.go".to_vec(), r.blob(b"package evil\n"))]),
            );
        },
        KEPT,
    ),
    at(
        "a tag and a branch of the same name",
        "CVE-2022-23773",
        "v1.0.0",
        |r| {
            named(r, b"branch");
            std::fs::rename(path(r, "refs/heads/master"), path(r, "refs/heads/v1.0.0"))
                .expect("a branch");
            beside(r, &[]);
            let commit = std::fs::read_to_string(path(r, "refs/heads/master")).expect("a commit");
            r.reference("refs/tags/v1.0.0", commit.trim());
        },
        KEPT,
    ),
    at(
        "a branch that is named like a commit",
        "",
        COMMIT,
        |r| {
            beside(r, &[]);
            let commit = std::fs::read_to_string(path(r, "refs/heads/master")).expect("a commit");
            r.reference(&format!("refs/heads/{COMMIT}"), commit.trim());
        },
        Fails(404, "version", &[COMMIT]),
    ),
];
