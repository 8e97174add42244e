//! The routes of the admin API, and the guard around them.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use common::units::Span;
use tokio::time::timeout;
use tower_layer::Layer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::calls::Code;
use crate::http::admin::state::{AT_ONCE, Admin, WARMS};
use crate::http::admin::{cache, config, ips, jails, stats, warm};
use crate::http::app::App;
use crate::http::error::{self, Refused};
use crate::http::peer::Peer;

/// The path of the admin API.
pub(crate) const PREFIX: &str = "/api/v1/admin";
/// How long a request may take, including its body. Only [`warm`] may take longer: fetch and build
/// have their own limits.
const WAIT: Duration = Duration::from_secs(30);

/// All routes, relative to [`PREFIX`], without the guard.
pub(crate) fn routes() -> OpenApiRouter<App> {
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

/// Puts all routes behind the token, below [`PREFIX`] of another router. The guard is around the
/// router and not in it: a client without the token does not learn which paths there are.
pub(crate) fn nest(outer: Router<App>, app: &App) -> Router<App> {
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

/// Lets requests with the token through, a bounded number at once.
async fn guard(State(admin): State<Admin>, peer: Peer, request: Request, next: Next) -> Response {
    if !admin.access.is_open_to(request.headers()) {
        let path = request.uri().path();
        tracing::info!(%peer, path = format!("{PREFIX}{path:.200}"), "refused: an admin request without the token");
        return error::forbidden();
    }
    // The path is relative to the prefix.
    let (slots, most) = match request.uri().path() {
        "/warm" => (&admin.warms, WARMS),
        _ => (&admin.requests, AT_ONCE),
    };
    let Ok(_slot) = slots.try_acquire() else {
        let detail = format!(
            "too many admin requests at once (the limit is {most}); try again when one has ended"
        );
        return Refused::new(Code::Busy, detail).into_response();
    };
    next.run(request).await
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| {
        let detail = format!(
            "the admin request exceeded its time limit of {}; part of the change may be done",
            Span(WAIT)
        );
        Refused::new(Code::Deadline, detail).into_response()
    };
    timeout(WAIT, next.run(request)).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admin::token::{Access, HEADER};
    use crate::http::json::Json;
    use axum::body::Body;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::{Value, json};

    const TOKEN: &str = "asdfasdfasdfasdf";

    /// The answer to an operator, without its id, which differs each time.
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
    async fn a_request_above_the_limit_is_refused() {
        let admin = Admin::new(Access::new(None, TOKEN).unwrap(), Vec::new);
        let taken = admin.requests.clone().try_acquire_many_owned(AT_ONCE as u32).unwrap();
        let handler = get(|| async { Json(json!({"call_id": "a"})) });
        let router = Router::new().route("/x", handler);
        let router = router.layer(from_fn_with_state(admin, guard));
        let detail =
            "too many admin requests at once (the limit is 16); try again when one has ended";
        let expected = written(503, "busy", "Busy", detail);
        assert_eq!(answer(router).await, expected);
        drop(taken);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_ended() {
        let handler = get(|| async { std::future::pending::<()>().await });
        let router = Router::new().route("/x", handler).layer(from_fn(in_time));
        let detail =
            "the admin request exceeded its time limit of 30 s; part of the change may be done";
        assert_eq!(answer(router).await, written(504, "deadline", "Deadline passed", detail));
    }

    #[tokio::test]
    async fn a_failure_of_the_server_does_not_show_its_cause() {
        let failed = || async { Err::<(), _>(Refused::internal(std::io::Error::other("secret"))) };
        let router = Router::new().route("/x", get(failed));
        let detail = "the server failed; the server's log has the reason under this call_id";
        let expected = written(500, "internal", "Internal Server Error", detail);
        assert_eq!(answer(router).await, expected);
    }
}
