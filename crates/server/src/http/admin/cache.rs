//! `/api/v1/admin/cache`: the checkouts and artifacts in the caches.
//!
//! Invariants: a deleted entry stays on disk until the calls that use it have ended.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::Code;
use crate::http::admin::answer::AdminAnswer;
use crate::http::admin::answer::note;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::{NoParameters, key};
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem, Refused};
use crate::http::json::Json;
use crate::http::peer::Peer;
use crate::store::Facts;

/// The source of a package at a revision, with its dependencies.
#[derive(Serialize, ToSchema)]
struct Checkout {
    id: String,
    package: String,
    revision: String,
    #[serde(flatten)]
    entry: Entry,
}

/// A compiled program. Its package, revision and call are null if an older server compiled it.
#[derive(Serialize, ToSchema)]
struct Artifact {
    id: String,
    package: Option<String>,
    revision: Option<String>,
    /// The function, or the whole call if the call was compiled in its exact form.
    call: Option<String>,
    #[serde(flatten)]
    entry: Entry,
}

/// The size, the age and the use of an entry.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheEntry)]
struct Entry {
    /// The size on disk.
    bytes: u64,
    /// Seconds since the entry was made.
    age_sec: u64,
    /// Seconds since the entry was used.
    idle_sec: u64,
    /// How often the entry was found since the server started.
    hits: u64,
}

/// All entries of the caches.
#[derive(Serialize, ToSchema)]
pub(super) struct Cache {
    checkouts: Vec<Checkout>,
    artifacts: Vec<Artifact>,
    /// The size of all entries on disk.
    bytes: u64,
}

/// The deleted entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Cleared {
    /// The number of deleted entries.
    deleted: usize,
    /// Their size. An entry keeps its space on disk until no call uses it.
    bytes: u64,
}

/// The deleted entry.
#[derive(Serialize, ToSchema)]
pub(super) struct Forgotten {
    /// The id of the entry.
    deleted: String,
}

/// List the sources and programs in the caches
#[utoipa::path(get, path = "/cache", operation_id = "listCache", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Cache, description = "All entries, the most recently used first"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, _: NoParameters) -> AdminAnswer<Cache> {
    blocking(move || cache(&app)).await.map(Json)
}

/// Delete all sources and programs from the caches
#[utoipa::path(delete, path = "/cache", operation_id = "clearCache", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Cleared, description = "All entries were deleted; the next calls fetch and compile again"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn clear(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
) -> AdminAnswer<Cleared> {
    note(peer, format_args!("clears the caches"));
    let clear = move || {
        let (sources, builder) = (app.calls.sources(), app.calls.builder());
        let mut gone = Cleared { deleted: 0, bytes: 0 };
        let mut count = |found: bool, facts: &Facts| {
            gone.deleted += usize::from(found);
            gone.bytes += if found { facts.bytes } else { 0 };
        };
        builder.forget_failures();
        for facts in builder.cached().into_iter().map(|it| it.facts) {
            count(builder.forget(&facts.key), &facts);
        }
        for facts in sources.cached().into_iter().map(|it| it.facts) {
            count(sources.forget(&facts.key), &facts);
        }
        gone
    };
    blocking(clear).await.map(Json)
}

/// Delete a source or a program from the caches
#[utoipa::path(delete, path = "/cache/{id}", operation_id = "forgetCached", tag = "admin", security(("token" = [])),
    params(("id" = String, Path, description = "The id of the entry")),
    responses(
        (status = 200, body = Forgotten, description = "The entry was deleted; the next call fetches or compiles again"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad id, or an unknown parameter"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "The caches have no such entry"),
    ))]
pub(super) async fn forget(
    State(app): State<App>,
    peer: Peer,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> AdminAnswer<Forgotten> {
    let id = key(id)?;
    let key = id.clone();
    let calls = app.calls.clone();
    let forget = move || {
        let found = calls.builder().forget(&key) || calls.sources().forget(&key);
        if found {
            // Logged here, because the client may have disconnected.
            note(peer, format_args!("deletes {key} from the caches"));
        }
        found
    };
    if !blocking(forget).await? {
        let detail = format!("the caches have no entry {id:.80}");
        return Err(Refused::new(Code::NotFound, detail));
    }
    Ok(Json(Forgotten { deleted: id }))
}

/// Runs work that reads or writes the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.map_err(Refused::internal)
}

fn cache(app: &App) -> Cache {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_secs());
    let checkouts = app.calls.sources().cached().into_iter().map(|it| Checkout {
        id: it.facts.key.clone(),
        package: it.package,
        revision: it.revision,
        entry: entry(&it.facts, now),
    });
    let artifacts = app.calls.builder().cached().into_iter().map(|it| {
        let about = it.about().map(|(package, revision, call)| [package, revision, call]);
        let [package, revision, call] = match about {
            Some(texts) => texts.map(|text| Some(text.to_owned())),
            None => [None, None, None],
        };
        Artifact { id: it.facts.key.clone(), package, revision, call, entry: entry(&it.facts, now) }
    });
    let (mut checkouts, mut artifacts): (Vec<_>, Vec<_>) =
        (checkouts.collect(), artifacts.collect());
    checkouts.sort_by(|a, b| (a.entry.idle_sec, &a.id).cmp(&(b.entry.idle_sec, &b.id)));
    artifacts.sort_by(|a, b| (a.entry.idle_sec, &a.id).cmp(&(b.entry.idle_sec, &b.id)));
    let sizes = checkouts.iter().map(|it| &it.entry).chain(artifacts.iter().map(|it| &it.entry));
    let bytes = sizes.map(|entry| entry.bytes).fold(0, u64::saturating_add);
    Cache { checkouts, artifacts, bytes }
}

fn entry(facts: &Facts, now: u64) -> Entry {
    Entry {
        bytes: facts.bytes,
        age_sec: now.saturating_sub(facts.made),
        idle_sec: now.saturating_sub(facts.used),
        hits: facts.hits,
    }
}
