//! What may be named in few places alone: processes, status codes, the web framework, the whole
//! configuration.

use super::modules::Crate;
use super::sources;

/// Names that follow each other in a path, and the beginnings of the files that may name them.
struct Place {
    names: &'static [&'static str],
    files: &'static [&'static str],
}

/// Where processes are started: host commands, the launcher's client, and tools that run on
/// islands.
const PROCESSES: Place = Place {
    names: &["Command", "new"],
    files: &[
        "crates/host/src/exec/host.rs",
        "crates/island/src/launcher/client.rs",
        "crates/fetch-worker/src/gocmd.rs",
        "crates/server/src/compile/replay.rs",
        "crates/server/src/serve/successor.rs",
    ],
};

/// One file knows which failure is which status code.
const STATUS_CODES: Place =
    Place { names: &["StatusCode"], files: &["crates/server/src/http/error.rs"] };

/// The web framework is known at the edge alone.
const FRAMEWORK: Place = Place { names: &["axum"], files: &["crates/server/src/http/"] };

/// The whole configuration stays at the top; each part is given its own section.
const CONFIGURATION: Place = Place {
    names: &["config", "Config"],
    files: &[
        "crates/server/src/config.rs",
        "crates/server/src/config/",
        "crates/server/src/serve/",
        "src/cli/",
    ],
};

impl Place {
    /// Each file elsewhere that has the names, with the path that has them.
    fn elsewhere(&self, loaded: &Crate) -> Vec<String> {
        let mut found = Vec::new();
        for (index, module) in loaded.modules.iter().enumerate() {
            if self.files.iter().any(|file| module.file.starts_with(file)) {
                continue;
            }
            let named = module.uses.iter().map(|path| loaded.spelled(index, path));
            // The HTTP client has a configuration of its own.
            let named = named.filter(|path| path.first().is_none_or(|first| first != "ureq"));
            let here = named.filter(|path| path.windows(self.names.len()).any(|w| w == self.names));
            found.extend(here.map(|path| format!("{} names {}", module.file, path.join("::"))));
        }
        found
    }

    fn check(&self) {
        let crates = sources::crate_roots();
        let found: Vec<_> =
            crates.iter().flat_map(|root| self.elsewhere(&Crate::load(root))).collect();
        assert!(found.is_empty(), "allowed only in {:?}\n{found:#?}", self.files);
    }
}

#[test]
fn processes_are_started_in_five_files() {
    PROCESSES.check();
}

#[test]
fn status_codes_are_in_one_file() {
    STATUS_CODES.check();
}

#[test]
fn axum_is_named_at_the_edge_alone() {
    FRAMEWORK.check();
}

#[test]
fn the_whole_configuration_stays_at_the_top() {
    CONFIGURATION.check();
}

#[test]
fn a_name_elsewhere_is_found_however_it_is_imported() {
    let of = |place: Place, text: &str| {
        let read = |path: &str| (path == "src/lib.rs").then(|| text.to_owned());
        place.elsewhere(&Crate::parse("src/lib.rs", &read))
    };
    let found = of(PROCESSES, "use tokio::process::Command as Other; fn f() { Other::new(\"a\") }");
    assert_eq!(found, ["src/lib.rs names tokio::process::Command::new"]);
    let found = of(STATUS_CODES, "fn f() { log!(http::StatusCode::OK) }");
    assert_eq!(found, ["src/lib.rs names http::StatusCode::OK"]);
    assert_eq!(of(FRAMEWORK, "use axum::{Router};"), ["src/lib.rs names axum::Router"]);
    let found = of(CONFIGURATION, "use server::config; fn f(c: &config::Config) {}");
    assert_eq!(found, ["src/lib.rs names server::config::Config"]);
    assert_eq!(of(PROCESSES, "#[test] fn f() { Command::new(\"a\") }"), [""; 0]);
}
