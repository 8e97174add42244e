//! The real modules again, as git repositories: from a local folder and over smart HTTP.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::answers::same;
use crate::calls::GEOHASH;
use crate::case::{Case, case, text};
use crate::failure::{Failure, call};
use crate::git_http::GitHttp;
use crate::modules::{HOSTS, Library, TOPIC, pseudo_version};
use crate::problem::expect;
use crate::repositories::MAIN;
use crate::server::Setup;
use crate::tables::case_name;
use crate::world::{World, folder};

/// The repositories of real modules and the bridge that serves them.
struct ArtifactCache {
    folder: TempDir,
    library: Library,
    bridge: GitHttp,
}

static CACHE: OnceLock<Result<ArtifactCache, String>> = OnceLock::new();

fn cache() -> Result<&'static ArtifactCache, String> {
    let make = || {
        let folder = folder()?;
        let library = Library::make(folder.path())?;
        let bridge = GitHttp::serve(folder.path()).map_err(|e| e.to_string())?;
        Ok(ArtifactCache { folder, library, bridge })
    };
    CACHE.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// Removes the repositories at the suite's end, which a static does not do by itself.
pub(crate) fn clear() {
    if let Some(Ok(cache)) = CACHE.get() {
        drop(std::fs::remove_dir_all(cache.folder.path()));
    }
}

/// Every host's repositories from a folder.
pub(crate) fn from_folder(_: &Path) -> Result<Setup, String> {
    let cache = cache()?;
    let target = |host: &str| cache.folder.path().join(host).to_string_lossy().into_owned();
    Ok(HOSTS.iter().fold(Setup::new(&["git"]), |setup, host| setup.mirror(host, target(host))))
}

/// Every host's repositories over HTTP.
pub(crate) fn over_http(_: &Path) -> Result<Setup, String> {
    let cache = cache()?;
    let setup = Setup::new(&["git"]);
    Ok(HOSTS.iter().fold(setup, |setup, host| setup.mirror(host, cache.bridge.url(host))))
}

/// The rows that the repositories can answer, and the ways to name a commit.
pub(crate) fn trials(world: &Arc<World>, way: &'static str) -> Vec<Trial> {
    let rows = Library::rows().map(|(case, repository, version)| {
        world.trial(format!("{way}: {}", case_name(case)), move |_, server| {
            let answer = server.client.expect(case)?;
            let commit = cache()?.library.commit(repository, version);
            same(answer.header("x-revision")?, commit)
        })
    });
    let named = NAMES.iter().map(|(name, version, data)| {
        let title = format!("{way}: a version can be {name}");
        world.trial(title, move |_, server| {
            let (asked, commit) = version(&cache()?.library);
            let mut fields = crate::client::fields(&encode(data));
            if !asked.is_empty() {
                fields["version"] = asked.into();
            }
            let answer = server.client.call(&fields)?;
            same(answer.data()?, serde_json::json!({"data": data}))?;
            same(answer.header("x-revision")?, &commit)
        })
    });
    let nowhere = world.trial(format!("{way}: a repository can be missing"), |_, server| {
        expect(&server.client, &NOWHERE).map(drop)
    });
    rows.chain(named).chain([nowhere]).collect()
}

const NOWHERE: Failure =
    call("github.com/mmcloughlin/no-such-geohash", "Encode(1, 2)", 404, "repository")
        .during("fetch");
const NEW: &str = "jbcs8zmd6shp";
const OLD: &str = "jcc92ytsf8kn";

fn encode(data: &'static str) -> Case {
    case(GEOHASH, "Encode(100.1, 80.9)", text(data))
}

/// How a commit is called, what is sent for it and which one it is, and the answer there.
type Named = (&'static str, fn(&Library) -> (String, String), &'static str);

const NAMES: &[Named] = &[
    ("absent, which is the head's commit", |all| (String::new(), all.geohash("")), NEW),
    ("a tag", |all| ("v0.10.0".into(), all.geohash("v0.10.0")), NEW),
    ("the main branch", |all| (MAIN.into(), all.geohash(MAIN)), NEW),
    ("a branch with a slash", |all| (TOPIC.into(), all.geohash(TOPIC)), OLD),
    ("a commit of 40 digits", |all| (all.geohash(TOPIC), all.geohash(TOPIC)), OLD),
    ("a commit of 7 digits", |all| (all.geohash(TOPIC)[..7].into(), all.geohash(TOPIC)), OLD),
    (
        "the newest commit of 12 digits",
        |all| (all.geohash(MAIN)[..12].into(), all.geohash(MAIN)),
        NEW,
    ),
    ("a pseudo-version", |all| (pseudo_version(&all.geohash(TOPIC)), all.geohash(TOPIC)), OLD),
];
