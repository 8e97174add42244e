//! `GET /api/v1/openapi.json`: the description of the server's API, in OpenAPI 3.1, made from the
//! handlers' types.
//!
//! Invariants: each route is made together with its description. docs/openapi.json is the
//! description of this version.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::admin::routes::{self, PREFIX};
use crate::http::admin::token::HEADER;
use crate::http::app::App;
use crate::http::{function, health, numbers};

/// The name of the admin API's token in the description.
pub(super) const TOKEN: &str = "token";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let routes = routes().nest(PREFIX, routes::routes());
    let mut text = routes.into_openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The description, as JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// All routes outside the admin API, with their descriptions.
pub(super) fn routes() -> OpenApiRouter<App> {
    let license = LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE")).build();
    let info = InfoBuilder::new()
        .title("Sky Island")
        .description(Some(env!("CARGO_PKG_DESCRIPTION")))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license));
    let token = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
        HEADER,
        "admin_api_token of the configuration, or the token that the server wrote into the file admin-token in its state \
         directory; admin_token_header can name another header",
    )));
    let components = ComponentsBuilder::new().security_scheme(TOKEN, token).build();
    let described = OpenApiBuilder::new().info(info.build()).components(Some(components)).build();
    OpenApiRouter::with_openapi(described)
        .routes(routes!(health::check))
        .routes(routes!(health::check_of_2017))
        .routes(routes!(function::run))
        .routes(routes!(describe))
        .routes(routes!(numbers::show))
}

/// This description
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "describe", tag = "health",
    responses((status = 200, content_type = "application/json", description = "The description, in OpenAPI 3.1")))]
async fn describe() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], document()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Set this variable to write the committed description again.
    const WRITE: &str = "SKY_ISLAND_WRITE_DOCS";

    #[test]
    fn the_committed_description_is_the_one_of_the_handlers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let same = committed == document();
        assert!(same, "docs/openapi.json is outdated: {WRITE}=1 cargo test -p server openapi");
    }

    #[test]
    fn exactly_the_operations_of_operators_need_the_token() {
        let described: Value = serde_json::from_str(document()).unwrap();
        assert_eq!(described["openapi"], "3.1.0");
        let paths = described["paths"].as_object().unwrap();
        let mut operators = 0;
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let needs = operation["security"][0].get(TOKEN).is_some();
                let of_operators = path.starts_with(PREFIX);
                assert_eq!(needs, of_operators, "{method} {path}");
                let refused = operation["responses"].get("403").is_some();
                assert_eq!(refused, of_operators, "{method} {path}");
                operators += usize::from(of_operators);
            }
        }
        assert_eq!(operators, 14);
    }
}
