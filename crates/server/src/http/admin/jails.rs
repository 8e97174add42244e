//! `/api/v1/admin/jails` and `/api/v1/admin/jail/{id}`: the islands of this server, by the name that they had in 2017.
//!
//! What must always hold: only islands of this server are listed, and only they are ended.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use island::{IslandId, IslandInfo};
use serde::Serialize;
use utoipa::ToSchema;

use crate::calls::Code;
use crate::http::admin::answer::Answer;
use crate::http::admin::answer::note;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::{NoParameters, number};
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem, Refused};
use crate::http::json::Json;
use crate::http::peer::Peer;

/// An island. The first eight keys are those of 2017.
#[derive(Serialize, ToSchema)]
pub(super) struct Jail {
    /// `new`: it has a name and a number of a host of its own.
    host: &'static str,
    /// `disable`, `inherit`, or `new` for an address of its own.
    ip4: &'static str,
    /// The same in IPv6.
    ip6: &'static str,
    /// Its first process on Linux, its jail on FreeBSD.
    jid: i32,
    /// What the server calls it.
    name: String,
    /// The release of the system.
    #[serde(rename = "OSRelease")]
    os_release: String,
    /// Its root.
    path: String,
    /// The name that it has for itself.
    hostname: String,
    /// The call that it runs.
    call_id: Option<String>,
    /// The package that it is for.
    module: Option<String>,
    /// How long ago it was asked for, in seconds.
    age_sec: f64,
    /// `ahead`, `starting`, `standby`, `running` or `ending`.
    state: &'static str,
    /// `function`, `fetch` or `build`.
    purpose: &'static str,
    /// Bytes that its processes use.
    memory: Option<u64>,
    /// Processor time of its processes, in seconds.
    cpu_sec: Option<f64>,
    /// The address that was lent to it.
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

/// The island that was ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Stopped {
    deleted: i32,
}

/// The islands that were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct AllStopped {
    deleted: Vec<i32>,
}

/// All islands
#[utoipa::path(get, path = "/jails", operation_id = "listJails", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Jails, description = "The islands of this server, the oldest first"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A parameter that there is not"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, _: NoParameters) -> Answer<Jails> {
    let release = release();
    let all = residents(&app).await?;
    Ok(Json(Jails { jails: all.into_iter().map(|one| jail(one, &release)).collect() }))
}

/// One island
#[utoipa::path(get, path = "/jail/{id}", operation_id = "showJail", tag = "admin", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number")),
    responses(
        (status = 200, body = Details, description = "The island"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "No number, or a parameter that there is not"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "This server has no such island"),
    ))]
pub(super) async fn show(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Answer<Details> {
    let details = find(&app, number(id)?).await?;
    Ok(Json(Details { details: jail(details, &release()) }))
}

/// End an island; its call answers 409 `killed`
#[utoipa::path(delete, path = "/jail/{id}", operation_id = "stopJail", tag = "admin", security(("token" = [])),
    params(("id" = i32, Path, description = "Its number")),
    responses(
        (status = 200, body = Stopped, description = "It was ended"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "No number, or a parameter that there is not"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "This server has no such island"),
    ))]
pub(super) async fn stop(
    State(app): State<App>,
    peer: Peer,
    id: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Answer<Stopped> {
    let IslandInfo { id, number, state, module, .. } = find(&app, number(id)?).await?;
    let module = module.unwrap_or_default();
    note(peer, format_args!("ends island {number} ({id}, {}, {module})", state.as_str()));
    end(&app, vec![id]).await?;
    Ok(Json(Stopped { deleted: number }))
}

/// End all islands; their calls answer 409 `killed`
#[utoipa::path(delete, path = "/jails", operation_id = "stopAllJails", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = AllStopped, description = "They were ended"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A parameter that there is not"),
        Guarded,
    ))]
pub(super) async fn stop_all(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
) -> Answer<AllStopped> {
    let all = residents(&app).await?;
    note(peer, format_args!("ends all {} islands", all.len()));
    let (ids, deleted) = all.into_iter().map(|one| (one.id, one.number)).unzip();
    end(&app, ids).await?;
    Ok(Json(AllStopped { deleted }))
}

async fn residents(app: &App) -> Result<Vec<IslandInfo>, Refused> {
    app.calls.islands().list().await.map_err(Refused::internal)
}

async fn find(app: &App, number: i32) -> Result<IslandInfo, Refused> {
    let found = residents(app).await?.into_iter().find(|one| one.number == number);
    let none = || Refused::new(Code::NotFound, format!("this server has no island {number}"));
    found.ok_or_else(none)
}

/// In a task of its own, for who has begun to end islands ends them all.
async fn end(app: &App, islands: Vec<IslandId>) -> Result<(), Refused> {
    let all = app.calls.islands().clone();
    tokio::spawn(async move { all.stop(&islands).await }).await.map_err(Refused::internal)
}

/// The release of the system, which all islands share.
fn release() -> String {
    let system = nix::sys::utsname::uname();
    system.map(|it| it.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn jail(resident: IslandInfo, release: &str) -> Jail {
    Jail {
        host: "new",
        ip4: resident.ip4,
        ip6: resident.ip6,
        jid: resident.number,
        name: resident.id.to_string(),
        os_release: release.to_owned(),
        path: resident.path.display().to_string(),
        hostname: resident.hostname,
        call_id: resident.call.map(|call| call.to_string()),
        module: resident.module,
        age_sec: resident.age.as_secs_f64(),
        state: resident.state.as_str(),
        purpose: resident.purpose,
        memory: resident.usage.map(|usage| usage.memory),
        cpu_sec: resident.usage.map(|usage| usage.processor.as_secs_f64()),
        address: resident.address.map(|address| address.to_string()),
    }
}
