//! What is to be compiled, and which program is made of it.

use std::sync::Arc;

use goexpr::{Call, FunctionForm};

use crate::source::{Checkout, ImportPath};

/// What is to be compiled.
#[derive(Clone)]
pub struct BuildRequest {
    /// The source.
    pub checkout: Arc<Checkout>,
    /// The call.
    pub call: Arc<Call>,
    /// Packages that the call names, where they are not evident.
    pub imports: Vec<ImportPath>,
}

/// Which program is made of a call.
#[derive(Clone, Debug)]
pub(super) enum ProgramPlan {
    /// The call as it stands.
    Exact,
    /// The function, which receives the arguments at run time.
    Function(FunctionForm),
}

impl ProgramPlan {
    /// What the program runs, for operators: the function, or the call.
    pub(super) fn text<'a>(&'a self, call: &'a Call) -> &'a str {
        match self {
            Self::Exact => call.text(),
            Self::Function(function) => function.callee(),
        }
    }
}
