//! `/api/v1/admin/jails` and `/api/v1/admin/jail/{id}`: the islands of this server, under their
//! name of 2017.
//!
//! Invariants: only islands of this server are listed and ended.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use island::{IslandId, IslandInfo};
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::Code;
use crate::http::admin::answer::AdminAnswer;
use crate::http::admin::answer::note;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::{NoParameters, number};
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem, Refused};
use crate::http::json::Json;
use crate::http::peer::Peer;

/// An island. The first eight keys are from 2017.
#[derive(Serialize, ToSchema)]
pub(super) struct Jail {
    /// `new`: the island has a host name and a host id of its own.
    host: &'static str,
    /// `disable`, `inherit`, or `new` for an address of its own.
    ip4: &'static str,
    /// The same for IPv6.
    ip6: &'static str,
    /// The id of the island's first process on Linux, of its jail on FreeBSD.
    jid: i32,
    /// The server's name for the island.
    name: String,
    /// The release of the operating system.
    #[serde(rename = "OSRelease")]
    os_release: String,
    /// The root folder of the island.
    path: String,
    /// The host name inside the island.
    hostname: String,
    /// The id of the call that the island runs.
    call_id: Option<String>,
    /// The package that the island serves.
    module: Option<String>,
    /// Seconds since the island was requested.
    age_sec: f64,
    /// `ahead`, `starting`, `standby`, `running` or `ending`.
    state: &'static str,
    /// `function`, `fetch` or `build`.
    purpose: &'static str,
    /// The memory of the island's processes, in bytes.
    memory: Option<u64>,
    /// The processor time of the island's processes, in seconds.
    cpu_sec: Option<f64>,
    /// The address that the island leases.
    address: Option<String>,
}

/// All islands.
#[derive(Serialize, ToSchema)]
pub(super) struct Jails {
    jails: Vec<Jail>,
}

/// One island.
#[derive(Serialize, ToSchema)]
pub(super) struct Details {
    details: Jail,
}

/// The ended island.
#[derive(Serialize, ToSchema)]
pub(super) struct Stopped {
    deleted: i32,
}

/// The ended islands.
#[derive(Serialize, ToSchema)]
pub(super) struct AllStopped {
    deleted: Vec<i32>,
}

/// List all islands
#[utoipa::path(get, path = "/jails", operation_id = "listJails", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Jails, description = "The islands of this server, the oldest first"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, _: NoParameters) -> AdminAnswer<Jails> {
    let release = release();
    let all = islands(&app).await?;
    Ok(Json(Jails { jails: all.into_iter().map(|one| jail(one, &release)).collect() }))
}

/// Show one island
#[utoipa::path(get, path = "/jail/{id}", operation_id = "showJail", tag = "admin", security(("token" = [])),
    params(("id" = i32, Path, description = "The number of the island (`jid`)")),
    responses(
        (status = 200, body = Details, description = "The island"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad number, or an unknown parameter"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "This server has no such island"),
    ))]
pub(super) async fn show(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> AdminAnswer<Details> {
    let details = find(&app, number(id)?).await?;
    Ok(Json(Details { details: jail(details, &release()) }))
}

/// End an island; its call answers 409 `killed`
#[utoipa::path(delete, path = "/jail/{id}", operation_id = "stopJail", tag = "admin", security(("token" = [])),
    params(("id" = i32, Path, description = "The number of the island (`jid`)")),
    responses(
        (status = 200, body = Stopped, description = "The island was ended"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad number, or an unknown parameter"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "This server has no such island"),
    ))]
pub(super) async fn stop(
    State(app): State<App>,
    peer: Peer,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> AdminAnswer<Stopped> {
    let IslandInfo { id, number, state, module, .. } = find(&app, number(id)?).await?;
    let module = module.unwrap_or_default();
    note(peer, format_args!("ends island {number} ({id}, {}, {module})", state.as_str()));
    end(&app, vec![id]).await?;
    Ok(Json(Stopped { deleted: number }))
}

/// End all islands; their calls answer 409 `killed`
#[utoipa::path(delete, path = "/jails", operation_id = "stopAllJails", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = AllStopped, description = "All islands were ended"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn stop_all(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
) -> AdminAnswer<AllStopped> {
    let all = islands(&app).await?;
    note(peer, format_args!("ends all {} islands", all.len()));
    let (ids, deleted) = all.into_iter().map(|one| (one.id, one.number)).unzip();
    end(&app, ids).await?;
    Ok(Json(AllStopped { deleted }))
}

async fn islands(app: &App) -> Result<Vec<IslandInfo>, Refused> {
    app.calls.islands().list().await.map_err(Refused::internal)
}

async fn find(app: &App, number: i32) -> Result<IslandInfo, Refused> {
    let found = islands(app).await?.into_iter().find(|one| one.number == number);
    let none = || Refused::new(Code::NotFound, format!("this server has no island {number}"));
    found.ok_or_else(none)
}

/// Ends islands, in a task of its own: all of them end even if the client disconnects.
async fn end(app: &App, islands: Vec<IslandId>) -> Result<(), Refused> {
    let all = app.calls.islands().clone();
    tokio::spawn(async move { all.stop(&islands).await }).await.map_err(Refused::internal)
}

/// The release of the operating system, which all islands share.
fn release() -> String {
    let system = nix::sys::utsname::uname();
    system.map(|it| it.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn jail(island: IslandInfo, release: &str) -> Jail {
    Jail {
        host: "new",
        ip4: island.ip4,
        ip6: island.ip6,
        jid: island.number,
        name: island.id.to_string(),
        os_release: release.to_owned(),
        path: island.path.display().to_string(),
        hostname: island.hostname,
        call_id: island.call.map(|call| call.to_string()),
        module: island.module,
        age_sec: island.age.as_secs_f64(),
        state: island.state.as_str(),
        purpose: island.purpose,
        memory: island.usage.map(|usage| usage.memory),
        cpu_sec: island.usage.map(|usage| usage.processor.as_secs_f64()),
        address: island.address.map(|address| address.to_string()),
    }
}
