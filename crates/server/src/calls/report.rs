//! The report of a call: one line in the log, and its counts.
//!
//! Invariants: each call is reported once. Of a request's headers and body, a line has only the
//! package and the revision of its version. Messages of compilers and functions can quote a call,
//! so they are for the caller alone; the log has the title of such a failure. A failure of a source
//! or of the server is logged with its whole chain of causes.

use std::borrow::Cow;
use std::time::Duration;

use crate::calls::code::{Code, Fault};
use crate::calls::failure::Failure;
use crate::calls::id::CallId;
use crate::calls::stage::Stage;
use crate::calls::trace::CallTrace;
use crate::metrics::{Metrics, Refused};
use crate::principal::Principal;
use crate::source::ImportPath;

/// The outcome of an answered call, in the log and in the metrics.
const OK: &str = "ok";

/// The report of a call.
pub(super) struct Report<'a> {
    pub(super) id: CallId,
    pub(super) principal: Principal,
    pub(super) module: &'a ImportPath,
    pub(super) trace: &'a CallTrace,
    /// None for a call that was answered.
    pub(super) failure: Option<&'a Failure>,
}

impl Report<'_> {
    /// Counts the call and logs it.
    pub(super) fn write(&self, metrics: &Metrics) {
        let (id, principal, module) = (self.id, self.principal, self.module);
        let outcome = self.failure.map_or(OK, |failure| failure.code.as_str());
        let times = self.trace.times.stages().map(|(_, span)| span);
        metrics.call(outcome, principal.kind(), times);
        let revision = self.trace.revision.as_ref().map(|revision| revision.as_str());
        let island = if self.trace.warm { "warm" } else { "cold" };
        let [queue, fetch, build, start, run] = times.map(millis);
        let Some(failure) = self.failure else {
            tracing::info!(
                call = %id, %principal, %module, revision, island, queue, fetch, build, start, run, outcome, "answered"
            );
            return;
        };
        count_refusal(metrics, failure);
        let (stage, reason) = (failure.stage.as_str(), reason(failure));
        if failure.code == Code::Internal {
            tracing::error!(
                call = %id, %principal, %module, revision, island, queue, fetch, build, start, run, outcome, stage, %reason, "failed"
            );
        } else {
            tracing::info!(
                call = %id, %principal, %module, revision, island, queue, fetch, build, start, run, outcome, stage, %reason, "failed"
            );
        }
    }
}

/// Reports a request that did not become a call.
pub(super) fn refused(metrics: &Metrics, id: CallId, principal: Principal, failure: &Failure) {
    metrics.no_call(failure.code.as_str(), principal.kind());
    count_refusal(metrics, failure);
    let (outcome, reason) = (failure.code.as_str(), failure.code.title());
    tracing::info!(call = %id, %principal, outcome, reason, "refused");
}

/// Reports a call whose task panicked. Its stage is not known.
pub(super) fn lost(metrics: &Metrics, id: CallId, principal: Principal, failure: &Failure) {
    metrics.no_call(failure.code.as_str(), principal.kind());
    let (outcome, reason) = (failure.code.as_str(), failure.chain());
    tracing::error!(call = %id, %principal, outcome, %reason, "failed");
}

fn count_refusal(metrics: &Metrics, failure: &Failure) {
    match failure.code.fault() {
        Fault::Caller => metrics.refused(Refused::Request),
        Fault::Busy => metrics.refused(Refused::Busy),
        Fault::Function | Fault::Operator | Fault::Upstream | Fault::Server => {}
    }
}

/// Why a call failed, for the log.
fn reason(failure: &Failure) -> Cow<'static, str> {
    let quotes = matches!(failure.code.fault(), Fault::Caller | Fault::Function)
        && failure.stage != Stage::Fetch;
    match quotes {
        true => Cow::Borrowed(failure.code.title()),
        false => Cow::Owned(failure.chain()),
    }
}

/// Milliseconds with three digits after the point.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::trace::Times;
    use crate::metrics::{CODES, PRINCIPALS, STAGES};
    use std::sync::Arc;

    #[test]
    fn every_code_stage_and_kind_of_principal_is_counted_by_its_name() {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(CODES[1..], codes);
        assert_eq!(CODES[0], OK);
        let stages = Times::default().stages().map(|(stage, _)| stage.as_str());
        assert_eq!(STAGES, stages);
        assert_eq!(PRINCIPALS, Principal::KINDS);
    }

    #[test]
    fn messages_of_compilers_and_functions_are_not_logged() {
        let detail = "cannot use \"hunter2\" as int";
        for (code, stage) in [
            (Code::Malformed, Stage::Request),
            (Code::Build, Stage::Build),
            (Code::Panicked, Stage::Run),
            (Code::Deadline, Stage::Run),
        ] {
            let reason = reason(&Failure::new(code, stage, detail));
            assert_eq!(reason, code.title());
        }
    }

    #[test]
    fn failures_of_a_source_or_of_the_server_are_logged_with_all_causes() {
        let gone = Failure::new(Code::Source, Stage::Fetch, "the host is gone");
        assert_eq!(reason(&gone), "the host is gone");
        let cause = std::io::Error::other("the disk is full");
        let ours = Failure::internal(Stage::Build, Arc::new(cause));
        assert!(reason(&ours).ends_with(": the disk is full"), "{}", reason(&ours));
    }
}
