//! What every operation of operators can answer besides its own answers, for the description.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::error::PROBLEM;

/// See the module.
pub(super) struct Guarded;

/// Status, content type, the schema's name, and when it is answered.
const ANSWERS: [(&str, &str, &str, &str); 4] = [
    ("403", "application/json", "Forbidden", "The token is wrong or missing"),
    ("500", PROBLEM, "Problem", "The server failed"),
    ("503", PROBLEM, "Problem", "Too many admin requests are under way"),
    ("504", PROBLEM, "Problem", "It was not done in time; part of it may be"),
];

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let answer = |(status, kind, schema, description): (&str, &str, &str, &str)| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
            let response = ResponseBuilder::new().description(description).content(kind, content);
            (status.to_owned(), response.build().into())
        };
        ANSWERS.map(answer).into()
    }
}
