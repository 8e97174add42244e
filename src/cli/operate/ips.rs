//! `sky-island ips`: lists the addresses of a server, takes an address out of its pool or puts it
//! back.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::failed::Failed;
use crate::cli::operate::table::{Table, long, number, text};
use crate::cli::operate::units::{age, or_nothing};

#[derive(Args)]
pub(crate) struct IpsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Take an address out of its pool, or put it back, from now on and after every restart.
    #[command(after_help = "Example:\n  sky-island ips set 10.9.0.7 unavailable")]
    Set {
        /// An address of a pool.
        ip: IpAddr,
        /// The new state of the address.
        state: NewState,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum NewState {
    Available,
    Unavailable,
}

#[derive(Deserialize)]
struct Addresses {
    ips: Vec<Address>,
}

/// The printed part of an address.
#[derive(Deserialize)]
struct Address {
    ip: String,
    state: String,
    #[serde(rename = "use")]
    usage: String,
    leaves: bool,
    island: Option<String>,
    call_id: Option<String>,
    since: u64,
    network: String,
    interface: String,
}

#[derive(Deserialize)]
struct Changed {
    ip: String,
    state: String,
}

pub(super) fn run(args: &IpsArgs) -> Result<ExitCode, Failed> {
    let client = args.server.client()?;
    let Some(Command::Set { ip, state }) = &args.command else {
        let answer = client.get("/ips")?;
        return args.server.show(&client, answer, |client, answer| {
            let addresses: Addresses = client.read(answer)?;
            Ok(table(addresses.ips, SystemTime::now()).to_stdout())
        });
    };
    let answer = client.put("/ips", &json!({"ip": ip, "state": state.as_str()}));
    let answer = answer.map_err(|error| error.advise("`sky-island ips` lists the addresses"))?;
    args.server.show(&client, answer, |client, answer| {
        let Changed { ip, state } = client.read(answer)?;
        Ok(format!("{ip} is {state}\n"))
    })
}

impl NewState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
        }
    }
}

fn table(addresses: Vec<Address>, now: SystemTime) -> Table<8> {
    let columns = [
        text("ADDRESS"),
        text("STATE"),
        text("USE"),
        number("SINCE"),
        long("ISLAND"),
        long("CALL"),
        text("NETWORK"),
        text("INTERFACE"),
    ];
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rows = addresses.into_iter().map(move |it| {
        [
            it.ip,
            it.state,
            if it.leaves { format!("{}, leaves", it.usage) } else { it.usage },
            age(now.saturating_sub(it.since) as f64),
            or_nothing(it.island, |island| island),
            or_nothing(it.call_id, |call| call),
            it.network,
            it.interface,
        ]
    });
    Table::new(columns, rows)
}
