//! The answers that every operation of the admin API has besides its own, for the description.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::error::PROBLEM;

/// Adds these answers to an operation.
pub(super) struct Guarded;

/// Status, content type, the schema's name, and when it is answered.
const ANSWERS: [(&str, &str, &str, &str); 4] = [
    ("403", "application/json", "Forbidden", "The token is wrong or missing"),
    ("500", PROBLEM, "Problem", "The server failed"),
    ("503", PROBLEM, "Problem", "Too many admin requests are under way"),
    (
        "504",
        PROBLEM,
        "Problem",
        "The request exceeded its time limit; part of the change may be done",
    ),
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
