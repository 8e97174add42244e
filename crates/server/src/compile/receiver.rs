//! The Go package `sky_island`, which gives a program its arguments at run time.
//!
//! The go command's overlay adds the package to the standard library, which has none of that name.
//! So the package is compiled once for all modules and lies in the base layer of the build cache.

use std::path::Path;

use serde_json::{Map, Value};

/// The package's import path, and its folder in the library's source.
pub(super) const PACKAGE: &str = "sky_island";
/// The package's files, by name.
pub(super) const FILES: [(&str, &str); 3] = [
    ("input.go", include_str!("../../../../templates/sky_island/input.go")),
    ("decode.go", include_str!("../../../../templates/sky_island/decode.go")),
    ("number.go", include_str!("../../../../templates/sky_island/number.go")),
];

/// A file as the go command sees it, and the file that it reads instead.
pub(super) type Replacement = (String, Value);

/// Has the go command read `real` where it sees `seen`.
pub(super) fn replace(seen: &Path, real: String) -> Replacement {
    (seen.display().to_string(), Value::from(real))
}

/// Writes the package's files into the folder `job`, which an island sees as `/job`. Returns where
/// the go command sees them.
pub(super) fn lay_out(goroot: &Path, job: &Path) -> std::io::Result<Map<String, Value>> {
    std::fs::create_dir(job.join(PACKAGE))?;
    let seen = goroot.join("src").join(PACKAGE);
    let lay = |(name, text)| {
        std::fs::write(job.join(PACKAGE).join(name), text)?;
        Ok(replace(&seen.join(name), format!("/job/{PACKAGE}/{name}")))
    };
    FILES.into_iter().map(lay).collect()
}
