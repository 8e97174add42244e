//! Why a checkout cannot be completed, and whose fault that is.

use std::io;

use fetch_job::FailureCode;

use super::budget::OverBudget;
use super::gocmd::GoError;
use super::module::PackageLayoutError;

/// Why a checkout cannot be made whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompleteError {
    #[error(transparent)]
    Layout(#[from] PackageLayoutError),
    #[error("{0} is a program (package main), which cannot be imported")]
    MainPackage(String),
    #[error("{0} needs cgo: every file that would fit imports \"C\"")]
    Cgo(String),
    #[error("{package} has no Go file for this platform: {text}")]
    Platform { package: String, text: String },
    #[error("the module requires Go {needs} or newer, and this server has Go {running}: {text}")]
    NewerGo { needs: String, running: String, text: String },
    #[error("a dependency cannot be downloaded{}: {text}", if *.no_proxy { " (GOPROXY names no module proxy)" } else { "" })]
    Unreachable { text: String, no_proxy: bool },
    #[error("the dependencies cannot be resolved: {0}")]
    Module(String),
    #[error("the output of the go command cannot be read: {0}")]
    UnreadableOutput(#[source] serde_json::Error),
    #[error("a file of the checkout cannot be written: {0}")]
    Files(#[from] io::Error),
    #[error(transparent)]
    GoCommand(#[from] GoError),
}

impl CompleteError {
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Layout(PackageLayoutError::GoMod(..)) => FailureCode::Module,
            Self::Layout(_) => FailureCode::Package,
            Self::MainPackage(_) => FailureCode::MainPackage,
            Self::Cgo(_) => FailureCode::Cgo,
            Self::NewerGo { .. } => FailureCode::NewerGo,
            Self::Unreachable { .. } => FailureCode::Unreachable,
            Self::Module(_) | Self::Platform { .. } => FailureCode::Module,
            Self::GoCommand(GoError::Budget(OverBudget { .. })) => FailureCode::TooLarge,
            Self::UnreadableOutput(_) | Self::Files(_) | Self::GoCommand(_) => {
                FailureCode::Internal
            }
        }
    }
}
