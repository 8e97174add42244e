//! Failures of a call: a code for programs, a sentence for people, and whose fault it is.

use std::error::Error;
use std::sync::Arc;

use fetch_job::FailureCode;
use island::{Ending, Limits, Outcome, StartError};

use crate::compile::BuildError;
use crate::compile::Diagnostic;
use crate::source::SourceError;

/// How much of a function's stderr goes into an answer, in bytes.
const STDERR_BYTES: usize = 8 * 1024;

/// The stages of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading the request.
    Request,
    /// Waiting for a turn.
    Queue,
    /// Getting the source.
    Fetch,
    /// Compiling.
    Build,
    /// Making the island.
    Start,
    /// Running the function.
    Run,
}

impl Stage {
    /// Its name in answers, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Start => "start",
            Self::Run => "run",
        }
    }
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request's.
    Caller,
    /// The function's, or its package's.
    Function,
    /// Nobody's: there is no room now.
    Busy,
    /// Nobody's: an operator wanted it.
    Operator,
    /// The source's host.
    Upstream,
    /// Ours.
    Ours,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $fault:ident $title:literal,)*) => {
        /// What went wrong, as answers name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The code that answers name so.
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }

            /// A few words for people, the same for every failure of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Whose fault it is.
            pub fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }
        }
    };
}

codes! {
    /// The body is no request.
    Malformed "malformed" Caller "Bad Request",
    /// The body has a field that requests do not have.
    UnknownField "unknown_field" Caller "Unknown field",
    /// The url is no import path.
    Url "url" Caller "Bad url",
    /// The call is no Go expression that can be called.
    Call "call" Caller "Bad call",
    /// The version can be none.
    VersionText "version_text" Caller "Bad version",
    /// The imports are no package paths.
    Imports "imports" Caller "Bad imports",
    /// The body is too large.
    TooLarge "too_large" Caller "Request too large",
    /// The body did not arrive in time.
    Slow "slow" Caller "Request too slow",
    /// There is no such resource.
    NotFound "not_found" Caller "Not Found",
    /// A parameter of the request is unknown, or has no such value.
    Parameter "parameter" Caller "Bad parameter",
    /// Something else has what is to be changed.
    InUse "in_use" Caller "In use",
    /// The resource has no such method.
    Method "method" Caller "Method not allowed",
    /// No source knows the repository.
    Repository "repository" Function "No such repository",
    /// The module has no such package.
    Package "package" Function "No such package",
    /// The module has no such version.
    Version "version" Function "No such version",
    /// The package has no such function.
    Function "function" Function "No such function",
    /// It does not compile.
    Build "build" Function "Does not build",
    /// It panicked.
    Panicked "panicked" Function "The function panicked",
    /// It exited with a status other than 0.
    Exited "exited" Function "The function exited",
    /// A signal ended it.
    Signaled "signaled" Function "A signal ended the function",
    /// An operator ended its island.
    Killed "killed" Operator "Killed by an operator",
    /// It needs more memory than it may use.
    OutOfMemory "out_of_memory" Function "Out of memory",
    /// It writes more than it may.
    Output "output" Function "Too much output",
    /// The package is a program.
    MainPackage "main_package" Function "Not importable: a program",
    /// The package needs cgo.
    Cgo "cgo" Function "Not importable: needs cgo",
    /// The module needs a newer Go.
    NewerGo "newer_go" Function "Not importable: needs a newer Go",
    /// The module or its dependencies cannot be read or found.
    Module "module" Function "Not importable: bad module",
    /// The source is too large.
    SourceSize "source_size" Function "Source too large",
    /// The source's host failed.
    Source "source" Upstream "The source failed",
    /// There is no room.
    Busy "busy" Busy "Busy",
    /// The server ends.
    Draining "draining" Busy "Draining",
    /// A deadline passed.
    Deadline "deadline" Function "Deadline passed",
    /// All addresses are in use.
    NoAddress "no_address" Busy "No address free",
    /// Islands can have no address here.
    NoNetwork "no_network" Caller "No network",
    /// Our fault.
    Internal "internal" Ours "Internal Server Error",
}

/// A call that has no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong.
    pub code: Code,
    /// Where.
    pub stage: Stage,
    /// For the caller.
    pub detail: String,
    /// For the log alone.
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(code: Code, stage: Stage, detail: impl Into<String>) -> Self {
        Self { code, stage, detail: detail.into(), cause: None }
    }

    /// Our fault: the caller learns no more than that.
    pub fn internal(stage: Stage, cause: Arc<dyn Error + Send + Sync>) -> Self {
        let detail = "the server failed; its log has the reason under this call_id".to_owned();
        Self { code: Code::Internal, stage, detail, cause: Some(cause) }
    }

    /// The whole chain of causes, for the log.
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
        SourceError::Busy => new(Code::Busy, error.to_string()),
        _ => Failure::internal(Stage::Fetch, error),
    }
}

pub(super) fn of_build(error: Arc<BuildError>) -> Failure {
    let new = |code, detail: String| Failure::new(code, Stage::Build, detail);
    match &*error {
        BuildError::Refused(complaint, text) => {
            let code = match complaint {
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
        BuildError::Size => new(Code::Build, error.to_string()),
        BuildError::Busy => new(Code::Busy, error.to_string()),
        _ => Failure::internal(Stage::Build, error),
    }
}

/// Why islands have no addresses here is for the caller too: only an operator can change it.
pub(super) fn of_network(why: String) -> Failure {
    let detail = format!("this server lends no addresses ({why}); leave ip4 away");
    Failure::new(Code::NoNetwork, Stage::Start, detail)
}

pub(super) fn of_start(error: StartError) -> Failure {
    Failure::internal(Stage::Start, Arc::new(error))
}

fn stopped(stage: Stage) -> Failure {
    Failure::new(Code::Killed, stage, "an operator of this server ended its island")
}

/// Why a function that ran has no answer.
pub(super) fn of_run(outcome: &Outcome, limits: &Limits) -> Failure {
    let stderr = excerpt(&outcome.stderr);
    let with_stderr =
        |text: String| if stderr.is_empty() { text } else { format!("{text}; stderr:\n{stderr}") };
    let panicked = stderr.contains("panic: ") || stderr.contains("fatal error: ");
    let (code, detail) = match outcome.ending {
        Ending::Exited(2) if panicked => {
            (Code::Panicked, with_stderr("it panicked, with status 2".into()))
        }
        Ending::Exited(status) => {
            (Code::Exited, with_stderr(format!("it exited with status {status}")))
        }
        Ending::Signaled(signal) => {
            (Code::Signaled, with_stderr(format!("signal {signal} ended it")))
        }
        Ending::Memory => (
            Code::OutOfMemory,
            format!("it needs more memory than {} bytes", limits.resources.memory),
        ),
        Ending::Output => {
            (Code::Output, format!("it writes more than {} bytes", limits.bounds.output))
        }
        Ending::Disk => (Code::Output, "it leaves more on disk than it may".into()),
        // Whoever gives arguments to a program knows what to do when it cannot represent them.
        Ending::Unrepresentable => (Code::Internal, "its arguments are not representable".into()),
        Ending::Stopped => return stopped(Stage::Run),
        Ending::Deadline => (
            Code::Deadline,
            with_stderr(format!("it did not end within {:?}", limits.bounds.deadline)),
        ),
    };
    Failure::new(code, Stage::Run, detail)
}

/// The beginning of what a function wrote to stderr, where a panic's message stands.
fn excerpt(stderr: &[u8]) -> String {
    let cut = &stderr[..stderr.len().min(STDERR_BYTES)];
    String::from_utf8_lossy(cut).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use island::{Bounds, Resources};
    use std::collections::HashSet;
    use std::time::Duration;

    #[test]
    fn no_two_codes_share_a_name() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn a_run_that_failed_is_told_by_its_end() {
        let resources =
            Resources { memory: 1, processes: 1, processor_time: None, tmp: 1, disk: None };
        let bounds = Bounds { deadline: Duration::from_secs(5), output: 1 };
        let limits = Limits { resources, bounds };
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
            of_run(&outcome, &limits)
        };
        assert_eq!(of(Ending::Exited(2), "panic: boom\n\ngoroutine 1").code, Code::Panicked);
        assert_eq!(of(Ending::Exited(2), "usage").code, Code::Exited);
        let exited = of(Ending::Exited(3), "bye");
        assert_eq!(exited.code, Code::Exited);
        assert!(exited.detail.contains("status 3") && exited.detail.contains("bye"));
        assert_eq!(of(Ending::Signaled(9), "").code, Code::Signaled);
        assert_eq!(of(Ending::Stopped, "").code, Code::Killed);
        assert_eq!(of(Ending::Deadline, "").code, Code::Deadline);
    }

    #[test]
    fn what_is_our_fault_shows_its_cause_to_the_log_alone() {
        let failure = of_start(StartError::Refused("mount /tmp: no".into()));
        assert!(!failure.detail.contains("mount"));
        assert!(failure.chain().contains("mount /tmp: no"));
    }
}
