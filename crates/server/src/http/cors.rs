//! CORS: a page of another origin may call the server from a browser only if its origin is
//! configured (`cors_origins`).

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{error, function};
use crate::listen::Origin;

/// How long a browser may cache the answer to its preflight request.
const MAX_AGE: Duration = Duration::from_secs(600);
/// The methods of the server's resources.
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

/// Opens the routes to pages of these origins.
pub fn open_to(router: Router, origins: &[Origin]) -> Router {
    let named = origins.iter().filter_map(|origin| match origin {
        Origin::Any => None,
        // A parsed origin is visible ASCII, so it is always a valid value.
        Origin::One(origin) => HeaderValue::from_str(origin).ok(),
    });
    let allowed = match origins {
        [] => return router,
        _ if origins.contains(&Origin::Any) => AllowOrigin::any(),
        _ => AllowOrigin::list(named),
    };
    let exposed =
        [error::CALL_ID, function::REVISION, function::SERVER_TIMING, header::RETRY_AFTER];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(METHODS)
        // The configuration can name any header for the admin token.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(MAX_AGE);
    router.layer(layer)
}
