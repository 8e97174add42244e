//! Answers of a module proxy: archives with hostile names, modes, sizes and sums, and answers that
//! are none.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::row::Expect::{self, Answers, Fails};
use crate::row::title;
use crate::site::{Reply, Site, whole};
use crate::world::{FETCH_BYTES, World, call};
use crate::zip::{Entry, archive, file};

const PLAIN: &str = "package m\n\nfunc F() string { return \"built\" }\n";
const INFO: &str = r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}"#;

/// A module of the proxy: what is served for it beside or instead of the usual, and what comes of a
/// call.
struct Module {
    what: &'static str,
    advisory: &'static str,
    serve: fn(&Usual<'_>),
    expect: Expect,
}

/// The usual answers for a module.
struct Usual<'a> {
    site: &'a Site,
    path: String,
}

impl Usual<'_> {
    /// Answers for a file of version 1.0.0, or another one of the module.
    fn put(&self, name: &str, reply: Reply) {
        self.site.put(&format!("/proxy/{}/{name}", self.path), reply);
    }

    /// The name of a file in the archive.
    fn name(&self, name: &str) -> String {
        format!("{}@v1.0.0/{name}", self.path)
    }

    fn go_mod(&self) -> String {
        format!("module {}\n\ngo 1.21\n", self.path)
    }

    /// Serves an archive of an ordinary package and more entries.
    fn zip(&self, more: Vec<Entry>) {
        let mut entries =
            vec![file(self.name("go.mod"), self.go_mod()), file(self.name("m.go"), PLAIN)];
        entries.extend(more);
        self.put("@v/v1.0.0.zip", whole("application/zip", archive(&entries)));
    }

    /// Serves what each row begins with.
    fn serve(&self) {
        self.put("@v/list", whole("text/plain", "v1.0.0\n"));
        self.put("@latest", whole("application/json", INFO));
        self.put("@v/v1.0.0.info", whole("application/json", INFO));
        self.put("@v/v1.0.0.mod", whole("text/plain", self.go_mod()));
        self.zip(Vec::new());
    }
}

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let trial = |(n, row): (usize, &'static Module)| {
        world.trial(title("module proxy", row.what, row.advisory), move |world, server| {
            let path = format!("proxy.test/m{n}");
            let usual = Usual { site: &world.site, path: path.clone() };
            usual.serve();
            (row.serve)(&usual);
            row.expect.check(&call(server, &path, "F()", None)?)
        })
    };
    TABLE.iter().enumerate().map(trial).collect()
}

const fn row(
    what: &'static str,
    advisory: &'static str,
    serve: fn(&Usual<'_>),
    expect: Expect,
) -> Module {
    Module { what, advisory, serve, expect }
}

/// No repository is asked next.
const REFUSED: Expect = Fails(404, "repository", &["the module proxy cannot be reached"]);

const TABLE: &[Module] = &[
    row("an ordinary module", "", |_| {}, Answers("built")),
    row(
        "a name that climbs",
        "CVE-2018-1002200",
        |it| {
            it.zip(vec![file(it.name("../../../../evil.go"), "package m\n")]);
        },
        Fails(422, "module", &["malformed file path"]),
    ),
    row(
        "a name outside of the module",
        "CVE-2018-1002200",
        |it| {
            it.zip(vec![file("proxy.test/other@v1.0.0/evil.go", "package m\n")]);
        },
        Fails(422, "module", &["has unexpected file"]),
    ),
    row(
        "an absolute name",
        "CVE-2018-1002200",
        |it| {
            it.zip(vec![file("/etc/evil", "x")]);
        },
        Fails(422, "module", &["has unexpected file"]),
    ),
    row(
        "a name with backslashes",
        "CVE-2018-1002207",
        |it| {
            it.zip(vec![file(it.name("..\\..\\evil.go"), "package m\n")]);
        },
        Fails(422, "module", &["malformed file path"]),
    ),
    row(
        "a name with a NUL",
        "",
        |it| {
            it.zip(vec![file(it.name("a\0.go"), "package m\n")]);
        },
        Fails(422, "module", &["malformed file path"]),
    ),
    row(
        "one name twice",
        "",
        |it| {
            it.zip(vec![file(
                it.name("m.go"),
                "package m\n\nfunc F() string { return \"evil\" }\n",
            )]);
        },
        Fails(422, "module", &["multiple entries for file"]),
    ),
    row(
        "names that differ in case alone",
        "CVE-2021-21300",
        |it| {
            it.zip(vec![file(it.name("M.go"), "package m\n")]);
        },
        Fails(422, "module", &["case-insensitive file name collision"]),
    ),
    row(
        "a link to a file of the host",
        "CVE-2018-1002200",
        |it| {
            let mut link = file(it.name("passwd"), "/etc/passwd");
            link.mode = 0o120_777;
            it.zip(vec![link]);
        },
        Answers("built"),
    ),
    row(
        "a file that is setuid",
        "",
        |it| {
            let mut tool = file(it.name("tool"), "#!/bin/sh\n");
            tool.mode = 0o104_777;
            it.zip(vec![tool]);
        },
        Answers("built"),
    ),
    row(
        "a sum that is wrong",
        "",
        |it| {
            let mut bad = file(it.name("bad.go"), "package m\n");
            bad.wrong_sum = true;
            it.zip(vec![bad]);
        },
        Fails(404, "repository", &["checksum error"]),
    ),
    row(
        "a file that is larger than the archive says",
        "",
        |it| {
            let mut bomb = file(it.name("bomb"), vec![0; 4 << 20]);
            bomb.said = Some(10);
            it.zip(vec![bomb]);
        },
        Fails(404, "repository", &["not a valid zip file"]),
    ),
    row(
        "a file that is larger than a fetch may be",
        "",
        |it| {
            it.zip(vec![file(it.name("bomb"), vec![0; FETCH_BYTES as usize + 1])]);
        },
        Fails(422, "source_size", &["limits.fetch_size"]),
    ),
    row(
        "a go.mod in the archive other than the proxy's",
        "",
        |it| {
            it.put("@v/v1.0.0.mod", whole("text/plain", "module proxy.test/another\n\ngo 1.21\n"));
        },
        Answers("built"),
    ),
    row(
        "an archive that is cut short",
        "",
        |it| {
            let whole_archive = archive(&[file(it.name("m.go"), PLAIN)]);
            let half = whole_archive[..whole_archive.len() / 2].to_vec();
            it.put("@v/v1.0.0.zip", whole("application/zip", half));
        },
        REFUSED,
    ),
    row(
        "a page instead of an archive",
        "",
        |it| {
            it.put("@v/v1.0.0.zip", whole("text/html", "<html>please sign in</html>"));
        },
        REFUSED,
    ),
    row(
        "a page instead of the list of versions",
        "",
        |it| {
            let page = "<html><body>v9.9.9 please sign in</body></html>";
            it.put("@v/list", whole("text/html", page));
            it.put("@latest", whole("text/html", page));
        },
        REFUSED,
    ),
    row(
        "information that is no JSON",
        "",
        |it| {
            it.put("@v/v1.0.0.info", whole("application/json", "{\"Version\":"));
        },
        REFUSED,
    ),
    row(
        "information of another version",
        "",
        |it| {
            let info = r#"{"Version":"v9.9.9","Time":"2020-01-01T00:00:00Z"}"#;
            it.put("@v/v1.0.0.info", whole("application/json", info));
        },
        REFUSED,
    ),
    row(
        "a version that is a flag",
        "",
        |it| {
            it.put("@v/list", whole("text/plain", "-toolexec=sh\n"));
            it.put("@latest", whole("application/json", r#"{"Version":"-toolexec=sh"}"#));
        },
        REFUSED,
    ),
    row(
        "a version that climbs",
        "",
        |it| {
            it.put("@v/list", whole("text/plain", "v1.0.0/../../x\n"));
            it.put("@latest", whole("application/json", r#"{"Version":"../../../etc"}"#));
        },
        REFUSED,
    ),
    row(
        "a go.mod that replaces a dependency by a folder of the host",
        "",
        |it| {
            let text = format!(
                "{}\nrequire proxy.test/none v1.0.0\n\nreplace proxy.test/none => /etc\n",
                it.go_mod()
            );
            let uses = "package m\n\nimport _ \"proxy.test/none\"\n";
            it.put("@v/v1.0.0.mod", whole("text/plain", text.clone()));
            let entries = [
                file(it.name("go.mod"), text),
                file(it.name("m.go"), PLAIN),
                file(it.name("u.go"), uses),
            ];
            it.put("@v/v1.0.0.zip", whole("application/zip", archive(&entries)));
        },
        Fails(422, "module", &["proxy.test/none"]),
    ),
];
