//! `GET /api/v1/admin/config`: the configuration that is in force.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::error::{PROBLEM, Problem};
use super::super::json::Json;
use super::query::NoParameters;
use super::{Answer, Guarded};

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Setting {
    /// `limits.memory`
    pub key: String,
    /// What counts; what is secret is not shown.
    pub value: serde_json::Value,
    /// Where it comes from: `default`, `file`, `environment` or `flag`.
    pub source: String,
}

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
