//! Failures of a call: a code for programs, a sentence for people, and the cause for the log.

use std::error::Error;
use std::sync::Arc;

use common::units::{Size, Span};
use fetch_job::FailureCode;
use host::net::NoAddress;
use island::{Ending, Outcome, StartError};

use crate::calls::code::Code;
use crate::calls::policy::CallPolicy;
use crate::calls::stage::Stage;
use crate::compile::{BuildError, Diagnostic};
use crate::source::SourceError;

/// How much of a function's stderr goes into an answer, in bytes.
const STDERR_BYTES: usize = 8 * 1024;

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What failed.
    pub code: Code,
    /// The stage that failed.
    pub stage: Stage,
    /// For the caller: what failed, which limit or key decides it, and what to do.
    pub detail: String,
    /// The cause, for the log alone.
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(code: Code, stage: Stage, detail: impl Into<String>) -> Self {
        Self { code, stage, detail: detail.into(), cause: None }
    }

    /// A failure of the server. The caller does not learn the cause; the log has it.
    pub fn internal(stage: Stage, cause: Arc<dyn Error + Send + Sync>) -> Self {
        let detail =
            "the server failed; the server's log has the reason under this call_id".to_owned();
        Self { code: Code::Internal, stage, detail, cause: Some(cause) }
    }

    /// The failure of a call that a stopping server does not run.
    pub(crate) fn draining(stage: Stage) -> Self {
        Self::new(Code::Draining, stage, "the server is stopping; try again, or ask another server")
    }

    /// The detail with the whole chain of causes, for the log.
    pub fn chain(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {}", self.detail, common::causes::chain(&**cause)),
            None => self.detail.clone(),
        }
    }
}

pub(super) fn of_source(error: Arc<SourceError>) -> Failure {
    let new = |code, detail: String| Failure::new(code, Stage::Fetch, detail);
    match &*error {
        SourceError::Failed(failure) => {
            let code = match failure.code {
                FailureCode::Repository => Code::Repository,
                FailureCode::Package => Code::Package,
                FailureCode::Version => Code::Version,
                FailureCode::Unreachable => Code::Source,
                FailureCode::TooLarge => Code::SourceSize,
                FailureCode::MainPackage => Code::MainPackage,
                FailureCode::Cgo => Code::Cgo,
                FailureCode::NewerGo => Code::NewerGo,
                FailureCode::Module => Code::Module,
                FailureCode::Internal => return Failure::internal(Stage::Fetch, error),
            };
            new(code, failure.detail.clone())
        }
        SourceError::Deadline(_) => new(Code::Deadline, error.to_string()),
        SourceError::Stopped => stopped(Stage::Fetch),
        SourceError::Busy(_) => new(Code::Busy, error.to_string()),
        SourceError::OverShare { .. } => new(Code::OverShare, error.to_string()),
        _ => Failure::internal(Stage::Fetch, error),
    }
}

pub(super) fn of_build(error: Arc<BuildError>) -> Failure {
    let new = |code, detail: String| Failure::new(code, Stage::Build, detail);
    match &*error {
        BuildError::Refused(diagnostic, text) => {
            let code = match diagnostic {
                Diagnostic::NoFunction => Code::Function,
                Diagnostic::NewerGo => Code::NewerGo,
                Diagnostic::Cgo => Code::Cgo,
                Diagnostic::NoValue | Diagnostic::Refused => Code::Build,
            };
            new(code, text.clone())
        }
        BuildError::Qualifier { .. } => new(Code::Call, error.to_string()),
        BuildError::Deadline(_) => new(Code::Deadline, error.to_string()),
        BuildError::Memory(_) => new(Code::OutOfMemory, error.to_string()),
        BuildError::Stopped => stopped(Stage::Build),
        BuildError::Size(_) | BuildError::Output(_) => new(Code::Build, error.to_string()),
        BuildError::Busy(_) => new(Code::Busy, error.to_string()),
        BuildError::OverShare { .. } => new(Code::OverShare, error.to_string()),
        _ => Failure::internal(Stage::Build, error),
    }
}

/// Whether a call failed because its checkout is damaged on disk.
pub(super) fn is_of_damage(failure: &Failure) -> bool {
    let cause = failure.cause.as_ref().and_then(|cause| cause.downcast_ref::<BuildError>());
    matches!(cause, Some(BuildError::Damaged))
}

/// The failure of a call whose client hung up before the call began.
pub(super) fn abandoned(stage: Stage) -> Failure {
    Failure::new(Code::Abandoned, stage, "the client hung up before the call began")
}

/// The caller learns the reason too, and can report it to an operator.
pub(super) fn of_network(why: String) -> Failure {
    let detail = format!(
        "this server has no addresses for islands ({why}); leave \"ip4\" out of the request"
    );
    Failure::new(Code::NoNetwork, Stage::Start, detail)
}

pub(super) fn of_lease(error: NoAddress) -> Failure {
    let detail =
        format!("{error} (network.ip4, network.pools); try again when another call has ended");
    Failure::new(Code::NoAddress, Stage::Start, detail)
}

pub(super) fn of_start(error: StartError) -> Failure {
    Failure::internal(Stage::Start, Arc::new(error))
}

fn stopped(stage: Stage) -> Failure {
    Failure::new(Code::Killed, stage, "an operator of this server ended the call's island")
}

/// The failure of a function that ran. `policy` has the limits of the run.
pub(super) fn of_run(outcome: &Outcome, policy: &CallPolicy) -> Failure {
    let (resources, bounds) = (&policy.limits.resources, &policy.limits.bounds);
    let stderr = excerpt(&outcome.stderr);
    let with_stderr =
        |text: String| if stderr.is_empty() { text } else { format!("{text}; stderr:\n{stderr}") };
    let panicked = stderr.contains("panic: ") || stderr.contains("fatal error: ");
    let (code, detail) = match outcome.ending {
        Ending::Exited(2) if panicked => {
            (Code::Panicked, with_stderr("the function panicked (exit status 2)".into()))
        }
        Ending::Exited(status) => {
            (Code::Exited, with_stderr(format!("the function exited with status {status}")))
        }
        Ending::Signaled(signal) => {
            (Code::Signaled, with_stderr(format!("signal {signal} ended the function")))
        }
        Ending::Memory => {
            let limit = Size(resources.memory);
            let text =
                format!("the function needs more memory than its limit of {limit} (limits.memory)");
            (Code::OutOfMemory, text)
        }
        Ending::Output => {
            let limit = Size(bounds.output);
            let text = format!(
                "the function wrote more than its limit of {limit} to stdout or stderr (limits.output)"
            );
            (Code::Output, text)
        }
        Ending::Disk => {
            let limit = Size(resources.tmp);
            let text = format!("the function's files exceed their limit of {limit} (limits.tmp)");
            (Code::Output, text)
        }
        // `Execution::run` runs such a call again in its exact form, whose program never says so.
        Ending::Unrepresentable => (
            Code::Exited,
            "the function wrote to the call channel (descriptor 3), which ends its call".into(),
        ),
        Ending::Stopped => return stopped(Stage::Run),
        Ending::Deadline => {
            let limit = Span(bounds.deadline);
            let text =
                format!("the function exceeded its time limit of {limit} (jails.exec_timeout)");
            (Code::Deadline, with_stderr(text))
        }
    };
    Failure::new(code, Stage::Run, detail)
}

/// The beginning of a function's stderr, which holds the message of a panic.
fn excerpt(stderr: &[u8]) -> String {
    let cut = &stderr[..stderr.len().min(STDERR_BYTES)];
    String::from_utf8_lossy(cut).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use island::{Bounds, Limits, Resources};
    use std::time::Duration;

    #[test]
    fn each_ending_of_a_run_has_its_code() {
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 1, disk: None };
        let bounds = Bounds { deadline: Duration::from_secs(5), output: 1 };
        let limits = Limits { resources, bounds };
        let policy = CallPolicy { limits, queue_wait: Duration::ZERO, timeout: Duration::ZERO };
        let of = |ending, stderr: &str| {
            let (start, run) = (Duration::ZERO, Duration::ZERO);
            let outcome = Outcome {
                ending,
                stdout: Vec::new(),
                stderr: stderr.into(),
                start,
                run,
                warm: false,
            };
            of_run(&outcome, &policy)
        };
        assert_eq!(of(Ending::Exited(2), "panic: boom\n\ngoroutine 1").code, Code::Panicked);
        assert_eq!(of(Ending::Exited(2), "usage").code, Code::Exited);
        let exited = of(Ending::Exited(3), "bye");
        assert_eq!(exited.code, Code::Exited);
        assert!(exited.detail.contains("status 3") && exited.detail.contains("bye"));
        assert_eq!(of(Ending::Signaled(9), "").code, Code::Signaled);
        assert_eq!(of(Ending::Stopped, "").code, Code::Killed);
        assert_eq!(of(Ending::Deadline, "").code, Code::Deadline);
        let own = of(Ending::Unrepresentable, "");
        assert_eq!(own.code, Code::Exited);
        assert!(own.detail.contains("descriptor 3"), "{}", own.detail);
    }

    #[test]
    fn the_cause_of_a_failed_server_is_for_the_log_alone() {
        let failure = of_start(StartError::Refused("mount /tmp: no".into()));
        assert!(!failure.detail.contains("mount"));
        assert!(failure.chain().contains("mount /tmp: no"));
    }
}
