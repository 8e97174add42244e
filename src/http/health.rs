//! `GET /healthcheck`: 200 without a body, as in 2017.

pub(super) async fn check() {}
