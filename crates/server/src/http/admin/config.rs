//! `GET /api/v1/admin/config`: the configuration that is in force.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::admin::answer::AdminAnswer;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::NoParameters;
use crate::http::admin::state::Setting;
use crate::http::app::App;
use crate::http::error::{PROBLEM, Problem};
use crate::http::json::Json;

/// All keys of the configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct Settings {
    settings: Vec<Setting>,
}

/// Show the configuration that is in force
#[utoipa::path(get, path = "/config", operation_id = "showConfig", tag = "admin", security(("token" = [])),
    responses(
        (status = 200, body = Settings, description = "All keys; tokens are not shown"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter"),
        Guarded,
    ))]
pub(super) async fn show(State(app): State<App>, _: NoParameters) -> AdminAnswer<Settings> {
    Ok(Json(Settings { settings: (app.admin.settings)() }))
}
