//! The admin API: what operators see of a running server, and what they change.
//!
//! What must always hold: nothing below [`PREFIX`] is told or done without the token; each change is logged with who made
//! it, from where, and what it was; every request is bounded in size and time.

mod cache;
mod config;
mod go;
mod ips;
mod jails;
mod query;
mod stats;
mod token;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_layer::Layer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use config::Setting;
pub use token::{Access, AccessError, HEADER};

use super::error::{self, Refused};
use super::json::Json;
use super::{App, Peer};
use crate::invoke::Code;

/// Where all of it lies.
pub(super) const PREFIX: &str = "/api/v1/admin";
/// Requests at once; further ones are refused.
const AT_ONCE: usize = 16;
/// Functions that are made ready at once; they have turns of their own, for they take long.
const WARMS: usize = 16;
/// How long a request may take, its body included. Only [`warm`] takes longer, for what it waits for has limits of its own.
const WAIT: Duration = Duration::from_secs(30);

/// What the admin API needs besides what calls need.
#[derive(Clone)]
pub struct Admin {
    access: Access,
    settings: Arc<dyn Fn() -> Vec<Setting> + Send + Sync>,
    turns: Arc<Semaphore>,
    warms: Arc<Semaphore>,
}

impl Admin {
    /// For whoever has the token. `settings` gives the configuration that is in force, with what is secret left out.
    pub fn new(
        access: Access,
        settings: impl Fn() -> Vec<Setting> + Send + Sync + 'static,
    ) -> Self {
        let [turns, warms] = [AT_ONCE, WARMS].map(|most| Arc::new(Semaphore::new(most)));
        Self { access, settings: Arc::new(settings), turns, warms }
    }
}

/// The answer of a handler.
type Answer<T> = Result<Json<T>, Refused>;

/// All routes, relative to [`PREFIX`], open to everybody.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(stats::show))
        .routes(routes!(jails::list, jails::stop_all))
        .routes(routes!(jails::show, jails::stop))
        .routes(routes!(ips::list, ips::change))
        .routes(routes!(ips::list_of_2017))
        .routes(routes!(ips::change_of_2017))
        .routes(routes!(cache::list, cache::clear))
        .routes(routes!(cache::forget))
        .routes(routes!(config::show))
        .layer(from_fn(in_time))
        .merge(OpenApiRouter::new().routes(routes!(warm::warm)))
}

/// Puts all routes behind the token, below [`PREFIX`] of another router. What guards them is around the router and not in
/// it: who has no token does not learn either what there is.
pub(super) fn nest(outer: Router<App>, app: &App) -> Router<App> {
    let (router, _) = routes().split_for_parts();
    let router = router.fallback(nothing).method_not_allowed_fallback(no_method);
    let guard = from_fn_with_state(app.admin.clone(), guard);
    outer.nest_service(PREFIX, guard.layer(router.with_state::<()>(app.clone())))
}

async fn nothing(uri: Uri) -> Response {
    error::nothing_at(&format!("{PREFIX}{}", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Response {
    error::no_method_at(&method, &format!("{PREFIX}{}", uri.path()))
}

/// Lets those in who have the token, so many at once.
async fn guard(State(admin): State<Admin>, peer: Peer, request: Request, next: Next) -> Response {
    if !admin.access.is_open_to(request.headers()) {
        let path = request.uri().path();
        tracing::info!(%peer, path = format!("{PREFIX}{path:.200}"), "refused: an admin request without the token");
        return error::forbidden();
    }
    // Relative to the prefix.
    let (turns, most) = match request.uri().path() {
        "/warm" => (&admin.warms, WARMS),
        _ => (&admin.turns, AT_ONCE),
    };
    let Ok(_turn) = turns.try_acquire() else {
        let detail = format!("{most} such admin requests are under way");
        return Refused::new(Code::Busy, detail).into_response();
    };
    next.run(request).await
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| {
        let detail = format!("it was not done within {WAIT:?}; part of it may be");
        Refused::new(Code::Deadline, detail).into_response()
    };
    timeout(WAIT, next.run(request)).await.unwrap_or_else(late)
}

/// Writes a change down, before it is made.
fn note(peer: Peer, what: std::fmt::Arguments<'_>) {
    tracing::info!(%peer, "admin: {what}");
}
