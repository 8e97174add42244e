//! The keys of programs: an artifact's key covers everything that its bytes depend on, a function's
//! name identifies its islands.

use std::sync::OnceLock;

use goexpr::FunctionForm;
use sha2::{Digest, Sha256};

use super::request::{BuildRequest, ProgramPlan};
use super::{receiver, render};
use crate::source::ImportPath;

/// Everything that the bytes of an artifact depend on. `version` is the toolchain's.
pub(super) fn of(request: &BuildRequest, plan: &ProgramPlan, version: &str) -> String {
    let mut parts = vec![made_by()];
    // A function can ask for its caller's line, and diagnostics name the position of the call.
    let (line, column) = request.call.start();
    let (line, column) = (line.to_string(), column.to_string());
    match plan {
        ProgramPlan::Exact => parts.extend(["call", request.call.text(), &column]),
        ProgramPlan::Function(function) => {
            parts.extend(["function", function.callee()]);
            parts.extend(function.types().iter().map(String::as_str));
        }
    }
    let common = [request.checkout.key(), version, std::env::consts::ARCH, &line];
    let imports: Vec<_> = request.imports.iter().map(ImportPath::as_str).collect();
    digest(&[&parts, &common, &imports])
}

/// Tells a function's program from others of its package.
pub(super) fn name(function: &FunctionForm, request: &BuildRequest) -> String {
    let types = function.types().iter().map(String::as_str);
    let imports = request.imports.iter().map(ImportPath::as_str);
    let parts: Vec<_> = [function.callee()].into_iter().chain(types).chain(imports).collect();
    parts.join("\n")
}

/// A digest of what this server adds to each program.
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
