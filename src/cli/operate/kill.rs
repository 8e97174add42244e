//! `sky-island kill`: ends islands of a server.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::args::print;
use crate::cli::operate::client::{AskError, Client};
use crate::cli::operate::failed::Failed;

#[derive(Args)]
pub(crate) struct KillArgs {
    /// The islands' ids, as `ps` lists them.
    #[arg(value_name = "ID", required_unless_present = "all", value_parser = clap::value_parser!(i32).range(1..))]
    ids: Vec<i32>,
    /// End all islands, including warm islands.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct One {
    deleted: i32,
}

#[derive(Deserialize)]
struct All {
    deleted: Vec<i32>,
}

pub(super) fn run(args: &KillArgs) -> Result<ExitCode, Failed> {
    let client = args.server.client()?;
    if args.all {
        let answer = client.delete("/jails")?;
        return args.server.show(&client, answer, |client, answer| {
            let All { deleted } = client.read(answer)?;
            let none = || "the server has no islands\n".to_owned();
            Ok(if deleted.is_empty() { none() } else { lines(&deleted) })
        });
    }
    let (mut ended, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for id in &args.ids {
        match end(&client, *id) {
            Ok(id) => ended.push(id),
            // The remaining islands are ended too.
            Err(error @ AskError::Refused { .. }) => code = Failed::from(error).exit(),
            Err(error) => {
                print(&shown(&ended, args.server.json));
                return Err(error.into());
            }
        }
    }
    print(&shown(&ended, args.server.json));
    Ok(code)
}

fn end(client: &Client, id: i32) -> Result<i32, AskError> {
    let answer = client.delete(&format!("/jail/{id}"));
    let answer = answer.map_err(|error| error.advise("`sky-island ps` lists the islands"))?;
    let One { deleted } = client.read(answer)?;
    Ok(deleted)
}

/// The output, in JSON in the form of the server's answer to `--all`.
fn shown(ended: &[i32], json: bool) -> String {
    if json { format!("{:#}\n", json!({"deleted": ended})) } else { lines(ended) }
}

fn lines(ended: &[i32]) -> String {
    ended.iter().map(|id| format!("ended {id}\n")).collect()
}
