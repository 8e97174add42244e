//! Hand-overs one after another under load: no request fails.

use nix::sys::signal::Signal;
use serde_json::json;

use super::host::{Host, free, warm};
use super::load::{Load, QUICK, SLOW};
use crate::Outcome;
use crate::plan::Plan;

/// Calls that are answered between two hand-overs.
const CALLS: usize = 20;

pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    let (host, address) = (Host::new(), free());
    let server = host.start(&json!({"listen": address}));
    warm(address, &[QUICK, SLOW]);
    let load = Load::begin(address);
    for before in 1..=plan.hand_overs {
        load.until_served(CALLS);
        server.signal(Signal::SIGUSR2);
        server.wait_for("sky-island serves", before + 1);
    }
    load.until_served(CALLS);
    let (served, failed) = load.end();
    if !failed.is_empty() {
        return Err(format!("beside {served}, these failed: {failed:#?}"));
    }
    server.signal(Signal::SIGTERM);
    server.ended_well();
    Ok(Outcome::Passed(format!(
        "{} hand-overs; {served} requests answered right, 0 failed",
        plan.hand_overs
    )))
}
