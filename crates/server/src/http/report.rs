//! The one line that the log has of each call, and its count.
//!
//! What must always hold: no line has anything of a request's headers or body but the package and what its version means.
//! What compilers and functions say can quote a call, so a failure that is not ours is logged with what is said there for
//! everybody, and with the whole chain of its causes where they come from elsewhere.

use std::borrow::Cow;
use std::time::Duration;

use crate::calls::CallRequest;
use crate::calls::CallTrace;
use crate::calls::{Code, Failure, Fault, Stage};
use crate::metrics::Metrics;
use crate::metrics::Refused;

/// What a call is called in the log when it was answered.
const OK: &str = "ok";

/// A request that came to no call.
pub(super) fn no_call(metrics: &Metrics, id: &str, failure: &Failure) {
    metrics.no_call(failure.code.as_str());
    metrics.refused(Refused::Request);
    let (outcome, reason) = (failure.code.as_str(), failure.code.title());
    tracing::info!(call = %id, outcome, reason, "refused");
}

/// A call that was taken on; without a failure it was answered.
pub(super) fn call(
    metrics: &Metrics,
    id: &str,
    call: &CallRequest,
    trace: &CallTrace,
    failure: Option<&Failure>,
) {
    let outcome = failure.map_or(OK, |failure| failure.code.as_str());
    metrics.call(outcome, trace.times.stages().map(|(_, span)| span));
    let module = &call.want.path;
    let revision = trace.revision.as_ref().map(|revision| revision.as_str());
    let island = if trace.warm { "warm" } else { "cold" };
    let [queue, fetch, build, start, run] = trace.times.stages().map(|(_, span)| millis(span));
    let Some(failure) = failure else {
        tracing::info!(
            call = %id, %module, revision, island, queue, fetch, build, start, run, outcome, "answered"
        );
        return;
    };
    match failure.code.fault() {
        Fault::Caller => metrics.refused(Refused::Request),
        Fault::Busy => metrics.refused(Refused::Busy),
        Fault::Function | Fault::Operator | Fault::Upstream | Fault::Ours => {}
    }
    let (stage, reason) = (failure.stage.as_str(), reason(failure));
    if failure.code == Code::Internal {
        tracing::error!(
            call = %id, %module, revision, island, queue, fetch, build, start, run, outcome, stage, %reason, "failed"
        );
    } else {
        tracing::info!(
            call = %id, %module, revision, island, queue, fetch, build, start, run, outcome, stage, %reason, "failed"
        );
    }
}

/// A call whose work panicked: how far it got is lost.
pub(super) fn lost(metrics: &Metrics, id: &str, failure: &Failure) {
    metrics.no_call(failure.code.as_str());
    let (outcome, reason) = (failure.code.as_str(), failure.chain());
    tracing::error!(call = %id, outcome, %reason, "failed");
}

/// Why a call has no answer, for the log.
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
    use crate::metrics::{CODES, STAGES};
    use std::sync::Arc;

    #[test]
    fn every_code_and_every_stage_is_counted_by_its_name() {
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(CODES[1..], codes);
        assert_eq!(CODES[0], OK);
        let stages = crate::calls::Times::default().stages().map(|(stage, _)| stage.as_str());
        assert_eq!(STAGES, stages);
    }

    #[test]
    fn what_a_compiler_or_a_function_says_is_not_for_the_log() {
        let said = "cannot use \"hunter2\" as int";
        for (code, stage) in [
            (Code::Malformed, Stage::Request),
            (Code::Build, Stage::Build),
            (Code::Panicked, Stage::Run),
            (Code::Deadline, Stage::Run),
        ] {
            let reason = reason(&Failure::new(code, stage, said));
            assert_eq!(reason, code.title());
        }
    }

    #[test]
    fn what_a_source_or_we_ourselves_say_is_with_all_causes() {
        let gone = Failure::new(Code::Source, Stage::Fetch, "the host is gone");
        assert_eq!(reason(&gone), "the host is gone");
        let cause = std::io::Error::other("the disk is full");
        let ours = Failure::internal(Stage::Build, Arc::new(cause));
        assert!(reason(&ours).ends_with(": the disk is full"), "{}", reason(&ours));
    }
}
