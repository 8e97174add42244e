//! The Go package `sky_island`, which gives a program its arguments at run time.
//!
//! It is laid over the standard library, where a toolchain has nothing of that name, so that it is compiled once for all
//! modules and lies in the base layer of the build cache.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Its import path, and its folder in the library's source.
pub(super) const PACKAGE: &str = "sky_island";
/// Its files, by name.
pub(super) const FILES: [(&str, &str); 3] = [
    ("input.go", include_str!("../../../../templates/sky_island/input.go")),
    ("decode.go", include_str!("../../../../templates/sky_island/decode.go")),
    ("number.go", include_str!("../../../../templates/sky_island/number.go")),
];

/// Writes its files into the folder `job`, which an island sees as `/job`, and adds them to what is replaced there.
pub(super) fn lay_out(
    goroot: &Path,
    job: &Path,
    replace: &mut Map<String, Value>,
) -> std::io::Result<()> {
    let folder = PathBuf::from("src").join(PACKAGE);
    std::fs::create_dir(job.join(PACKAGE))?;
    for (name, text) in FILES {
        std::fs::write(job.join(PACKAGE).join(name), text)?;
        let seen = goroot.join(&folder).join(name).display().to_string();
        replace.insert(seen, Value::from(format!("/job/{PACKAGE}/{name}")));
    }
    Ok(())
}
