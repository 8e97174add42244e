//! `GET /api/v1/admin/config`: the configuration that is in force.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::admin::answer::Answer;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::NoParameters;
use crate::http::admin::state::Setting;
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem};
use crate::http::json::Json;

/// All keys.
#[derive(Serialize, ToSchema)]
pub(super) struct Settings {
    settings: Vec<Setting>,
}

/// The configuration that is in force
#[utoipa::path(get, path = "/config", operation_id = "showConfig", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Settings, description = "All keys; tokens are not shown"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A parameter that there is not"),
        Guarded,
    ))]
pub(super) async fn show(State(app): State<App>, _: NoParameters) -> Answer<Settings> {
    Ok(Json(Settings { settings: (app.admin.settings)() }))
}
