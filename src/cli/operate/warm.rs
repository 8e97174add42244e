//! `sky-island warm`: lets a server fetch, build and keep islands warm for a call to come.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::failed::Failed;
use crate::cli::operate::table::plain;
use crate::cli::operate::units::took;
use crate::cli::request::RequestArgs;

/// How long fetching and building may take.
const WAIT: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(crate) struct WarmArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Deserialize)]
struct Warm {
    revision: String,
    islands: usize,
    fetch_sec: f64,
    build_sec: f64,
    start_sec: f64,
}

pub(super) fn run(args: &WarmArgs) -> Result<ExitCode, Failed> {
    let client = args.server.client()?;
    let request = args.request.request();
    let answer = client.post("/warm", &request, WAIT)?;
    args.server.show(&client, answer, |client, answer| {
        let warm: Warm = client.read(answer)?;
        let stages =
            [("fetch", warm.fetch_sec), ("build", warm.build_sec), ("start", warm.start_sec)];
        let stages = stages.map(|(stage, seconds)| format!("{stage} {}", took(seconds)));
        let islands = match warm.islands {
            1 => "1 warm island".to_owned(),
            count => format!("{count} warm islands"),
        };
        let (url, revision) = (plain(&request.url), plain(&warm.revision));
        Ok(format!("{url} is ready at {revision}: {islands} ({})\n", stages.join(", ")))
    })
}
