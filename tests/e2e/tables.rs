//! Each row of the tables as a test of its own.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::calls::CALLS;
use crate::case::{Case, Data};
use crate::failure::{Ask, Failure};
use crate::failures::FAILURES;
use crate::fixture_calls;
use crate::problem;
use crate::refusals::REFUSALS;
use crate::world::World;

/// The longest part of a request that a test's name shows.
const SHOWN: usize = 60;

/// The rows about the suite's own repositories.
pub(crate) fn of_fixtures(world: &Arc<World>) -> Vec<Trial> {
    let calls = fixture_calls::CALLS.iter().map(|case| row(world, case));
    let failures = REFUSALS.iter().chain(FAILURES).filter(|failure| !failure.network);
    calls.chain(failures.map(|failure| failing_row(world, failure))).collect()
}

/// The rows about real modules.
pub(crate) fn of_modules(world: &Arc<World>) -> Vec<Trial> {
    let calls = CALLS.iter().map(|case| row(world, case));
    let failures = FAILURES.iter().filter(|failure| failure.network);
    calls.chain(failures.map(|failure| failing_row(world, failure))).collect()
}

fn row(world: &Arc<World>, case: &'static Case) -> Trial {
    world.trial(case_name(case), |_, server| {
        let answer = server.client.expect(case)?;
        answer.timing()?;
        answer.header("x-call-id")?;
        match (answer.header("x-revision")?, case.version) {
            (revision, _) if is_commit(revision) => Ok(()),
            (revision, Some(version)) if revision == version => Ok(()),
            (revision, None) if revision.starts_with('v') => Ok(()),
            (revision, _) => Err(format!("X-Revision {revision} is not the version asked for")),
        }
    })
}

fn failing_row(world: &Arc<World>, failure: &'static Failure) -> Trial {
    let name = format!("{} fails with {} {}", asked(failure), failure.status, failure.code);
    world.trial(name, |_, server| problem::expect(&server.client, failure).map(drop))
}

/// True for 40 hex digits.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The sentence that names the test of a row.
pub(crate) fn case_name(case: &Case) -> String {
    let version = case.version.map_or_else(String::new, |version| format!(" at {version}"));
    let data = match case.data {
        Data::Text(text) => shown(text),
        Data::Bytes(bytes) => format!("the bytes {bytes:x?}"),
    };
    format!("{} of {}{version} answers {data}", shown(case.call), case.url)
}

fn asked(failure: &Failure) -> String {
    match failure.ask {
        Ask::Body(body) => format!("the body {}", shown(body)),
        Ask::Made(name, _) => name.to_owned(),
        Ask::Call { url, call, version, imports } => {
            let version = version.map_or_else(String::new, |version| format!(" at {version:?}"));
            let imports =
                if imports.is_empty() { String::new() } else { format!(" with {imports:?}") };
            format!("{} of {}{version}{imports}", shown(call), url.escape_debug())
        }
    }
}

/// A text on one line, and not all of a long one.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
