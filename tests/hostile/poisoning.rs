//! Modules and origins that want to change what another one's call means. Each row is a list of
//! calls, one after the other, with what each has to answer.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::git_repo::BareRepo;
use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::site::whole;
use crate::world::{World, call};
use crate::zip::{archive, file};

/// A story: what is made, then who is called.
struct Story {
    what: &'static str,
    advisory: &'static str,
    make: fn(&World),
    calls: &'static [Step],
}

/// What a row does next.
enum Step {
    /// Calls `F()` of a package at a version, empty for none.
    Call(&'static str, &'static str, Expect),
    /// Changes a repository.
    Change(fn(&World)),
}

use Step::{Call, Change};

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |row: &'static Story| {
        world.trial(title("poisoning", row.what, row.advisory), move |world, server| {
            (row.make)(world);
            for (n, step) in row.calls.iter().enumerate() {
                match step {
                    Change(change) => change(world),
                    Call(url, version, expect) => {
                        let version = Some(*version).filter(|version| !version.is_empty());
                        let checked = expect.check(&call(server, url, "F()", version)?);
                        checked.map_err(|e| format!("step {n}, {url} {version:?}: {e}"))?;
                    }
                }
            }
            Ok(())
        })
    };
    TABLE.iter().map(trial).collect()
}

fn answers(text: &str) -> String {
    format!("package m\n\nfunc F() string {{ return \"{text}\" }}\n")
}

/// Commits a module of this path that answers this text.
fn commit(world: &World, name: &str, module: &str, text: &str) -> git2::Oid {
    let go_mod = format!("module {module}\n\ngo 1.21\n");
    let repository = BareRepo::create(&world.repository(name));
    repository.commit("master", &[("go.mod", &go_mod), ("m.go", &answers(text))])
}

const TABLE: &[Story] = &[
    Story {
        what: "two repositories that say they are one module",
        advisory: "",
        make: |world| {
            commit(world, "one", "poison.test/m", "one");
            commit(world, "two", "poison.test/m", "two");
        },
        calls: &[
            Call("example.test/one", "", Answers("one")),
            Call("example.test/two", "", Answers("two")),
            Call("example.test/one", "", Answers("one")),
        ],
    },
    Story {
        what: "a module that says it is another repository's",
        advisory: "",
        make: |world| {
            commit(world, "thief", "example.test/victim", "the thief");
            commit(world, "victim", "example.test/victim", "the victim");
        },
        calls: &[
            Call("example.test/thief", "", Answers("the thief")),
            Call("example.test/victim", "", Answers("the victim")),
            Call("example.test/thief", "", Answers("the thief")),
        ],
    },
    Story {
        what: "a replacement of another repository's module by a folder",
        advisory: "",
        make: |world| {
            commit(world, "used", "example.test/used", "as it is");
            let files = [
                (
                    "go.mod",
                    "module poison.test/r\n\ngo 1.21\n\nrequire example.test/used v1.0.0\n\nreplace example.test/used => ./evil\n",
                ),
                (
                    "m.go",
                    "package m\n\nimport used \"example.test/used\"\n\nfunc F() string { return used.F() }\n",
                ),
                ("evil/go.mod", "module example.test/used\n\ngo 1.21\n"),
                ("evil/m.go", "package m\n\nfunc F() string { return \"replaced\" }\n"),
            ];
            BareRepo::create(&world.repository("replacing")).commit("master", &files);
        },
        calls: &[
            Call("example.test/replacing", "", Answers("replaced")),
            Call("example.test/used", "", Answers("as it is")),
        ],
    },
    Story {
        what: "a vendor folder with another repository's module",
        advisory: "",
        make: |world| {
            commit(world, "vendored", "example.test/vendored", "as it is");
            let files = [
                (
                    "go.mod",
                    "module poison.test/v\n\ngo 1.21\n\nrequire example.test/vendored v1.0.0\n",
                ),
                (
                    "m.go",
                    "package m\n\nimport it \"example.test/vendored\"\n\nfunc F() string { return it.F() }\n",
                ),
                (
                    "vendor/modules.txt",
                    "# example.test/vendored v1.0.0\n## explicit; go 1.21\nexample.test/vendored\n",
                ),
                (
                    "vendor/example.test/vendored/m.go",
                    "package m\n\nfunc F() string { return \"vendored\" }\n",
                ),
            ];
            BareRepo::create(&world.repository("vendoring")).commit("master", &files);
        },
        calls: &[
            Call("example.test/vendoring", "", Answers("vendored")),
            Call("example.test/vendored", "", Answers("as it is")),
            Call("example.test/vendoring", "", Answers("vendored")),
        ],
    },
    Story {
        what: "one module from two origins",
        advisory: "",
        make: |world| {
            commit(world, "origin", "proxy.test/origin", "from git");
            let go_mod = "module proxy.test/origin\n\ngo 1.21\n";
            let info = r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}"#;
            let base = "/proxy/proxy.test/origin";
            let put = |name: &str, body: Vec<u8>| {
                world.site.put(&format!("{base}/{name}"), whole("text/plain", body))
            };
            put("@v/list", b"v1.0.0\n".to_vec());
            put("@latest", info.into());
            put("@v/v1.0.0.info", info.into());
            put("@v/v1.0.0.mod", go_mod.into());
            let name = |file: &str| format!("proxy.test/origin@v1.0.0/{file}");
            let entries =
                [file(name("go.mod"), go_mod), file(name("m.go"), answers("from the proxy"))];
            put("@v/v1.0.0.zip", archive(&entries));
        },
        calls: &[
            Call("proxy.test/origin", "", Answers("from the proxy")),
            Call("example.test/origin", "", Answers("from git")),
            Call("proxy.test/origin", "v1.0.0", Answers("from the proxy")),
        ],
    },
    Story {
        what: "a tag that moves after its first use",
        advisory: "CVE-2022-23773",
        make: |world| {
            let commit = commit(world, "moving", "poison.test/moving", "the first");
            tag(world, "moving", "v1.0.0", commit);
        },
        calls: &[
            Call("example.test/moving", "v1.0.0", Answers("the first")),
            Change(|world| {
                let commit = commit(world, "moving", "poison.test/moving", "the second");
                tag(world, "moving", "v1.0.0", commit);
            }),
            Call("example.test/moving", "v1.0.0", Answers("the first")),
        ],
    },
    Story {
        what: "a package that does not compile beside one that does",
        advisory: "",
        make: |world| {
            let files = [
                ("go.mod", "module poison.test/half\n\ngo 1.21\n"),
                ("m.go", "package m\n\nfunc F() string { return \"whole\" }\n"),
                ("broken/b.go", "package b\n\nfunc F() string { return 1 }\n"),
            ];
            BareRepo::create(&world.repository("half")).commit("master", &files);
        },
        calls: &[
            Call("example.test/half/broken", "", Fails(422, "build", &["b.go"])),
            Call("example.test/half", "", Answers("whole")),
            Call("example.test/half/broken", "", Fails(422, "build", &["b.go"])),
        ],
    },
    Story {
        what: "a repository that is another one's mirror with a changed file",
        advisory: "",
        make: |world| {
            commit(world, "fork/a", "poison.test/fork", "the original");
            commit(world, "fork/b", "poison.test/fork", "the copy");
        },
        calls: &[
            Call("example.test/fork/a", "", Answers("the original")),
            Call("example.test/fork/b", "", Answers("the copy")),
            Call("example.test/fork/a", "", Answers("the original")),
        ],
    },
];

/// Makes a tag of this name, or moves it.
fn tag(world: &World, name: &str, tag: &str, commit: git2::Oid) {
    let repository = git2::Repository::open(world.repository(name)).expect("a repository");
    let reference = format!("refs/tags/{tag}");
    repository.reference(&reference, commit, true, "tagged").expect("a tag");
}
