//! What pages of other origins may do from a browser (CORS): nothing, unless their origin is configured.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{error, function};
use crate::listen::Origin;

/// How long a browser may remember what it was told.
const MAX_AGE: Duration = Duration::from_secs(600);
/// What the server's resources know.
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

/// The same routes, open to pages of these origins.
pub fn open_to(router: Router, origins: &[Origin]) -> Router {
    let named = origins.iter().filter_map(|origin| match origin {
        Origin::Any => None,
        // Visible ASCII, as it was parsed.
        Origin::One(origin) => HeaderValue::from_str(origin).ok(),
    });
    let allowed = match origins {
        [] => return router,
        _ if origins.contains(&Origin::Any) => AllowOrigin::any(),
        _ => AllowOrigin::list(named),
    };
    let seen = [error::CALL_ID, function::REVISION, function::SERVER_TIMING, header::RETRY_AFTER];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(METHODS)
        // The header of the token is whatever the configuration says.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(seen)
        .max_age(MAX_AGE);
    router.layer(layer)
}
