//! `sky-island cache`: lists the sources and programs in the caches of a server, and deletes them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use console::Term;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::client::Client;
use crate::cli::operate::failed::Failed;
use crate::cli::operate::table::{Table, long, number, text};
use crate::cli::operate::units::{age, or_nothing, size};

/// How much of an id a terminal shows, in characters.
const SHORT: usize = 12;

#[derive(Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Delete all entries, or one entry. Running calls keep the entries that they use.
    #[command(
        after_help = "Example:\n  sky-island cache clear\n  sky-island cache clear 3f9a27c1d0be"
    )]
    Clear {
        /// The id of the entry. The beginning is enough if no other id begins so.
        id: Option<String>,
    },
}

#[derive(Deserialize)]
struct Cache {
    checkouts: Vec<Entry>,
    artifacts: Vec<Entry>,
    bytes: u64,
}

/// The printed part of an entry. A checkout has no call.
#[derive(Deserialize)]
struct Entry {
    id: String,
    package: Option<String>,
    revision: Option<String>,
    call: Option<String>,
    bytes: u64,
    age_sec: u64,
    idle_sec: u64,
    hits: u64,
}

#[derive(Deserialize)]
struct Cleared {
    deleted: usize,
    bytes: u64,
}

#[derive(Deserialize)]
struct Forgotten {
    deleted: String,
}

pub(super) fn run(args: &CacheArgs) -> Result<ExitCode, Failed> {
    let client = args.server.client()?;
    match &args.command {
        None => args.server.show(&client, client.get("/cache")?, listed),
        Some(Command::Clear { id: None }) => {
            args.server.show(&client, client.delete("/cache")?, |client, answer| {
                let Cleared { deleted, bytes } = client.read(answer)?;
                Ok(format!("deleted {}, {}\n", entries(deleted), size(bytes)))
            })
        }
        Some(Command::Clear { id: Some(id) }) => {
            let id = whole(&client, id)?;
            let answer = client.delete(&format!("/cache/{id}"));
            let answer =
                answer.map_err(|error| error.advise("`sky-island cache` lists the entries"))?;
            args.server.show(&client, answer, |client, answer| {
                let Forgotten { deleted } = client.read(answer)?;
                Ok(format!("deleted {deleted}\n"))
            })
        }
    }
}

fn listed(client: &Client, answer: Value) -> Result<String, crate::cli::operate::client::AskError> {
    let cache: Cache = client.read(answer)?;
    let sum = entries(cache.checkouts.len() + cache.artifacts.len());
    let table = table(cache.checkouts, cache.artifacts, Term::stdout().is_term());
    Ok(format!("{}{sum}, {}\n", table.to_stdout(), size(cache.bytes)))
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn table(checkouts: Vec<Entry>, artifacts: Vec<Entry>, short: bool) -> Table<9> {
    let columns = [
        text("ID"),
        text("KIND"),
        long("PACKAGE"),
        long("CALL"),
        long("REVISION"),
        number("SIZE"),
        number("AGE"),
        number("IDLE"),
        number("HITS"),
    ];
    let row = move |kind: &str, entry: Entry| {
        let same = |text| text;
        let id = if short { entry.id.chars().take(SHORT).collect() } else { entry.id };
        [
            id,
            kind.to_owned(),
            or_nothing(entry.package, same),
            or_nothing(entry.call, same),
            or_nothing(entry.revision, same),
            size(entry.bytes),
            age(entry.age_sec as f64),
            age(entry.idle_sec as f64),
            entry.hits.to_string(),
        ]
    };
    let checkouts = checkouts.into_iter().map(|entry| row("checkout", entry));
    let programs = artifacts.into_iter().map(|entry| row("program", entry));
    Table::new(columns, checkouts.chain(programs))
}

/// The whole id of the entry. The server refuses an id that no entry has.
fn whole(client: &Client, id: &str) -> Result<String, Failed> {
    let Cache { checkouts, artifacts, .. } = client.read(client.get("/cache")?)?;
    let ids: Vec<String> = checkouts.into_iter().chain(artifacts).map(|it| it.id).collect();
    match matching(&ids, id)[..] {
        [one] => Ok(one.to_owned()),
        [] => Ok(encoded(id)),
        ref several => Err(Failed::Ambiguous(id.to_owned(), several.len())),
    }
}

fn matching<'a>(ids: &'a [String], id: &str) -> Vec<&'a str> {
    match ids.iter().find(|known| *known == id) {
        Some(exact) => vec![exact],
        None => ids.iter().map(String::as_str).filter(|known| known.starts_with(id)).collect(),
    }
}

/// Any text as one segment of a path.
fn encoded(id: &str) -> String {
    let byte = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    id.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_enough_if_no_other_id_begins_so() {
        let ids = ["abcd", "abef", "ab"].map(str::to_owned);
        assert_eq!(matching(&ids, "abc"), ["abcd"]);
        assert_eq!(matching(&ids, "ab"), ["ab"]);
        assert_eq!(matching(&ids, "a").len(), 3);
        assert!(matching(&ids, "x").is_empty());
    }

    #[test]
    fn an_id_stays_one_segment_of_a_path() {
        assert_eq!(encoded("../x y?"), "%2e%2e%2fx%20y%3f");
    }
}
