//! `/api/v1/admin/cache`: what was fetched and compiled and is kept.
//!
//! What must always hold: what is let go of stays for the calls that use it.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::Code;
use crate::http::admin::answer::Answer;
use crate::http::admin::answer::note;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::{NoParameters, key};
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem, Refused};
use crate::http::json::Json;
use crate::http::peer::Peer;
use crate::store::Facts;

/// The source of a package at a revision, with what it depends on.
#[derive(Serialize, ToSchema)]
struct Checkout {
    id: String,
    package: String,
    revision: String,
    #[serde(flatten)]
    entry: Entry,
}

/// A program.
#[derive(Serialize, ToSchema)]
struct Artifact {
    id: String,
    /// Not known of what an older server compiled; likewise the next two.
    package: Option<String>,
    revision: Option<String>,
    /// The function, or the call where that was compiled as it stands.
    call: Option<String>,
    #[serde(flatten)]
    entry: Entry,
}

/// What an entry takes and gives.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheEntry)]
struct Entry {
    /// On disk.
    bytes: u64,
    /// Seconds since it was made.
    age_sec: u64,
    /// Seconds since it was used.
    idle_sec: u64,
    /// How often it was found since the server started.
    hits: u64,
}

/// All entries.
#[derive(Serialize, ToSchema)]
pub(super) struct Cache {
    checkouts: Vec<Checkout>,
    artifacts: Vec<Artifact>,
    /// All of them together, on disk.
    bytes: u64,
}

/// What was let go of.
#[derive(Serialize, ToSchema)]
pub(super) struct Cleared {
    /// Entries.
    deleted: usize,
    /// What they take on disk until nobody uses them any more.
    bytes: u64,
}

/// What was let go of.
#[derive(Serialize, ToSchema)]
pub(super) struct Forgotten {
    deleted: String,
}

/// What is kept of sources and programs
#[utoipa::path(get, path = "/cache", operation_id = "listCache", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Cache, description = "All entries, those that were used last first"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A parameter that there is not"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, _: NoParameters) -> Answer<Cache> {
    blocking(move || cache(&app)).await.map(Json)
}

/// Let go of all sources and programs
#[utoipa::path(delete, path = "/cache", operation_id = "clearCache", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Cleared, description = "They are fetched and compiled anew when they are called"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A parameter that there is not"),
        Guarded,
    ))]
pub(super) async fn clear(State(app): State<App>, peer: Peer, _: NoParameters) -> Answer<Cleared> {
    note(peer, format_args!("clears the caches"));
    let clear = move || {
        let (sources, builder) = (app.calls.sources(), app.calls.builder());
        let mut gone = Cleared { deleted: 0, bytes: 0 };
        let mut count = |found: bool, facts: &Facts| {
            gone.deleted += usize::from(found);
            gone.bytes += if found { facts.bytes } else { 0 };
        };
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

/// Let go of a source or a program
#[utoipa::path(delete, path = "/cache/{id}", operation_id = "forgetCached", tag = "admin", security(("token" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, body = Forgotten, description = "It is fetched or compiled anew when it is called"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "No id, or a parameter that there is not"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "The caches have no such entry"),
    ))]
pub(super) async fn forget(
    State(app): State<App>,
    peer: Peer,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Answer<Forgotten> {
    let id = key(id)?;
    let key = id.clone();
    let calls = app.calls.clone();
    // In this order, for both may have it only if somebody named it so.
    let forget = move || {
        let found = calls.builder().forget(&key) || calls.sources().forget(&key);
        if found {
            // Here, for whoever asked may be gone by now.
            note(peer, format_args!("lets go of {key} in the caches"));
        }
        found
    };
    if !blocking(forget).await? {
        let detail = format!("the caches have no entry {id:.80}");
        return Err(Refused::new(Code::NotFound, detail));
    }
    Ok(Json(Forgotten { deleted: id }))
}

/// Does what reads or writes the disk.
async fn blocking<T: Send + 'static>(
    deed: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(deed).await.map_err(Refused::internal)
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
