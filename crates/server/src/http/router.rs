//! All routes: the routes that are open to every client, and the admin API.

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::http::app::App;
use crate::http::guard::{self, Guard};
use crate::http::{admin, error, numbers, openapi};

/// All routes, for the requests that the guard takes.
pub fn router(app: App, guard: Guard) -> Router {
    let (router, _) = openapi::routes().split_for_parts();
    let router = admin::routes::nest(router, &app)
        .fallback(error::no_such_resource)
        .method_not_allowed_fallback(error::no_such_method);
    guarded(router, guard).layer(from_fn_with_state(app.clone(), numbers::count)).with_state(app)
}

/// Routes behind a guard.
#[doc(hidden)]
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, guard: Guard) -> Router<S> {
    router.layer(from_fn_with_state(guard, guard::apply))
}
