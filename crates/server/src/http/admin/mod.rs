//! The admin API: what operators see of a running server, and what they change.
//!
//! What must always hold: nothing below [`PREFIX`] is told or done without the token; each change is logged with who made
//! it, from where, and what it was; every request is bounded in size and time.

mod cache;
mod config;
mod go;
mod guarded;
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
use guarded::Guarded;
pub use token::{Access, AccessError, HEADER};

use super::error::{self, Refused};
use super::json::Json;
use crate::calls::Code;
use crate::http::App;
use crate::http::peer::Peer;

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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::{Value, json};

    const TOKEN: &str = "asdfasdfasdfasdf";

    /// The answer to an operator, without the id that differs each time.
    async fn answer(router: Router) -> Value {
        let request = Request::builder().uri("/x").header(HEADER, TOKEN).body(Body::empty());
        let service = TowerToHyperService::new(router);
        let response = service.call(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        let mut body: Value = serde_json::from_slice(&bytes).unwrap();
        let id = body.as_object_mut().unwrap().remove("call_id").unwrap();
        assert_eq!(parts.headers["x-call-id"], id.as_str().unwrap());
        let retry = parts.headers.get("retry-after").map(|value| value.to_str().unwrap());
        let kind = parts.headers["content-type"].to_str().unwrap();
        json!({"status": parts.status.as_u16(), "type": kind, "retry": retry, "body": body})
    }

    fn written(status: u16, code: &str, title: &str, detail: &str) -> Value {
        let body = json!({"type": format!("urn:sky-island:{code}"), "title": title, "status": status,
            "detail": detail, "code": code, "stage": "request", "error": title});
        let retry = (status == 503).then_some("1");
        json!({"status": status, "type": "application/problem+json", "retry": retry, "body": body})
    }

    #[tokio::test]
    async fn who_finds_no_room_is_told_so() {
        let admin = Admin::new(Access::new(None, TOKEN).unwrap(), Vec::new);
        let taken = admin.turns.clone().try_acquire_many_owned(AT_ONCE as u32).unwrap();
        let handler = get(|| async { Json(json!({"call_id": "a"})) });
        let router = Router::new().route("/x", handler);
        let router = router.layer(from_fn_with_state(admin, guard));
        let detail = "16 such admin requests are under way";
        let expected = written(503, "busy", "Busy", detail);
        assert_eq!(answer(router).await, expected);
        drop(taken);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let handler = get(|| async { std::future::pending::<()>().await });
        let router = Router::new().route("/x", handler).layer(from_fn(in_time));
        let detail = "it was not done within 30s; part of it may be";
        assert_eq!(answer(router).await, written(504, "deadline", "Deadline passed", detail));
    }

    #[tokio::test]
    async fn what_fails_on_our_side_says_no_more_than_that() {
        let failed = || async { Err::<(), _>(Refused::internal(std::io::Error::other("secret"))) };
        let router = Router::new().route("/x", get(failed));
        let detail = "the server failed; its log has the reason under this call_id";
        let expected = written(500, "internal", "Internal Server Error", detail);
        assert_eq!(answer(router).await, expected);
    }
}
