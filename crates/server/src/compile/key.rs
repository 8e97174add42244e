//! By what programs are found: an artifact by everything that its bytes depend on, a function's islands by its name.

use std::sync::OnceLock;

use goexpr::FunctionForm;
use sha2::{Digest, Sha256};

use super::builder::BuildRequest;
use super::program::ProgramPlan;
use super::{receiver, render};
use crate::source::ImportPath;

/// Everything that the bytes of an artifact depend on. `version` is the toolchain's.
pub(super) fn of(wanted: &BuildRequest, plan: &ProgramPlan, version: &str) -> String {
    let mut parts = vec![made_by()];
    // Where the call begins is seen by functions that ask for their caller's line, and in complaints.
    let (line, column) = wanted.call.start();
    let (line, column) = (line.to_string(), column.to_string());
    match plan {
        ProgramPlan::Exact => parts.extend(["call", wanted.call.text(), &column]),
        ProgramPlan::Function(function) => {
            parts.extend(["function", function.callee()]);
            parts.extend(function.types().iter().map(String::as_str));
        }
    }
    let common = [wanted.checkout.key(), version, std::env::consts::ARCH, &line];
    let imports: Vec<_> = wanted.imports.iter().map(ImportPath::as_str).collect();
    digest(&[&parts, &common, &imports])
}

/// What tells a function's program from others of its package.
pub(super) fn name(function: &FunctionForm, wanted: &BuildRequest) -> String {
    let types = function.types().iter().map(String::as_str);
    let imports = wanted.imports.iter().map(ImportPath::as_str);
    let parts: Vec<_> = [function.callee()].into_iter().chain(types).chain(imports).collect();
    parts.join("\n")
}

/// A digest of what is ours in each program.
fn made_by() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let receiver = receiver::FILES.iter().flat_map(|(name, text)| [*name, *text]);
        let parts: Vec<_> =
            [env!("CARGO_PKG_VERSION"), render::TEMPLATES].into_iter().chain(receiver).collect();
        digest(&[&parts])
    })
}

fn digest(lists: &[&[&str]]) -> String {
    let mut hash = Sha256::new();
    for list in lists {
        hash.update(list.len().to_le_bytes());
        for part in *list {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    crate::source::short_hex(&hash.finalize())
}
