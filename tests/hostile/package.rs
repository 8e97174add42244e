//! A row that is a package in a repository, and a call of one of its functions.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::git_repo::BareRepo;
use crate::row::{Expect, title};
use crate::world::{GO_MOD, World, call};

/// Files of a repository: path and text.
pub(crate) type Files = Vec<(String, String)>;

/// A package, and what comes of a call.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    pub what: &'static str,
    pub advisory: &'static str,
    pub files: Source,
    pub call: &'static str,
    pub expect: Expect,
}

/// Where a package's files come from. Without a go.mod of its own it gets an ordinary one.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Written(&'static [(&'static str, &'static str)]),
    Made(fn() -> Files),
}

pub(crate) const fn package(
    what: &'static str,
    advisory: &'static str,
    files: &'static [(&'static str, &'static str)],
    expect: Expect,
) -> Package {
    Package { what, advisory, files: Source::Written(files), call: "F()", expect }
}

pub(crate) const fn made(
    what: &'static str,
    advisory: &'static str,
    files: fn() -> Files,
    expect: Expect,
) -> Package {
    Package { what, advisory, files: Source::Made(files), call: "F()", expect }
}

/// One test for each row; `slug` begins the names of their repositories.
pub(crate) fn trials(
    world: &Arc<World>,
    kind: &str,
    slug: &'static str,
    table: &'static [Package],
) -> Vec<Trial> {
    let trial = |(n, row): (usize, &'static Package)| {
        world.trial(title(kind, row.what, row.advisory), move |world, server| {
            let name = format!("{slug}{n}");
            let mut files: Files = match row.files {
                Source::Made(make) => make(),
                Source::Written(files) => {
                    files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect()
                }
            };
            if files.iter().all(|(path, _)| path != "go.mod") {
                files.push(("go.mod".into(), GO_MOD.into()));
            }
            let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
            BareRepo::create(&world.repository(&name)).commit("master", &files);
            row.expect.check(&call(server, &format!("example.test/{name}"), row.call, None)?)
        })
    };
    table.iter().enumerate().map(trial).collect()
}
