//! `sky-island ps`: lists the islands of a server.

use std::process::ExitCode;

use serde::Deserialize;

use crate::cli::operate::args::ServerArgs;
use crate::cli::operate::failed::Failed;
use crate::cli::operate::table::{Table, long, number, text};
use crate::cli::operate::units::{age, or_nothing, size};

#[derive(Deserialize)]
struct Islands {
    jails: Vec<Island>,
}

/// The printed part of an island.
#[derive(Deserialize)]
struct Island {
    jid: i32,
    state: String,
    purpose: String,
    module: Option<String>,
    call_id: Option<String>,
    age_sec: f64,
    memory: Option<u64>,
    cpu_sec: Option<f64>,
    address: Option<String>,
}

pub(super) fn run(args: &ServerArgs) -> Result<ExitCode, Failed> {
    let client = args.client()?;
    let answer = client.get("/jails")?;
    args.show(&client, answer, |client, answer| {
        let islands: Islands = client.read(answer)?;
        Ok(table(islands.jails).to_stdout())
    })
}

fn table(islands: Vec<Island>) -> Table<9> {
    let columns = [
        number("ID"),
        text("STATE"),
        text("PURPOSE"),
        long("MODULE"),
        long("CALL"),
        number("AGE"),
        number("MEMORY"),
        number("CPU"),
        text("ADDRESS"),
    ];
    let same = |text| text;
    let rows = islands.into_iter().map(|island| {
        [
            island.jid.to_string(),
            island.state,
            island.purpose,
            or_nothing(island.module, same),
            or_nothing(island.call_id, same),
            age(island.age_sec),
            or_nothing(island.memory, size),
            or_nothing(island.cpu_sec, |seconds| format!("{seconds:.2}s")),
            or_nothing(island.address, same),
        ]
    });
    Table::new(columns, rows)
}
