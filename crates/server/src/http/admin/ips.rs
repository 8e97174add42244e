//! `/api/v1/admin/ips`: the addresses that islands may have, and which of them are lent.
//!
//! What must always hold: an address that somebody has stays as it is.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use host::net::{Listed, State as Doing, WithdrawalError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calls::Code;
use crate::calls::from_json;
use crate::http::admin::answer::Answer;
use crate::http::admin::answer::note;
use crate::http::admin::guarded::Guarded;
use crate::http::admin::query::{AddressFilter, NoParameters};
use crate::http::app::App;
use crate::http::body;
use crate::http::error::{PROBLEM, Problem, Refused};
use crate::http::json::Json;
use crate::http::peer::Peer;

/// An address.
#[derive(Serialize, ToSchema)]
pub(super) struct Ip {
    ip: String,
    state: Availability,
    /// `free`, `leased`, `withdrawn` by an operator, or `foreign`: the host or somebody else has it.
    #[serde(rename = "use")]
    doing: &'static str,
    /// It is leased, and leaves the pool when it is returned.
    leaves: bool,
    /// The island that has it.
    island: Option<String>,
    /// The call that the island runs.
    call_id: Option<String>,
    /// Since when that is so, in seconds since 1970.
    since: u64,
    /// The pool that it belongs to.
    network: String,
    /// The pool's interface.
    interface: String,
}

/// Whether an address can be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Availability {
    Available,
    Unavailable,
}

/// Addresses, as they are asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum IpList {
    /// All of them, without a state.
    Ips(Vec<Ip>),
    /// Those that can be lent.
    Available(Vec<String>),
    /// Those that cannot.
    Unavailable(Vec<String>),
}

/// What an address is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// An address of a pool.
    ip: String,
    state: NewState,
}

/// `available` or 0, `unavailable` or 1.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum NewState {
    Number(u64),
    Text(String),
}

/// What an address is now.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    ip: String,
    state: Availability,
}

/// The addresses of all pools
#[utoipa::path(get, path = "/ips", operation_id = "listIps", tag = "admin", security(("token" = [])),
    params(("state" = Option<String>, Query, description = "`available` or `unavailable`, for no more than those")),
    responses(
        (status = 200, body = IpList, description = "The addresses in their order"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "Another parameter or state"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, wanted: AddressFilter) -> Answer<IpList> {
    app.calls.addresses().refresh();
    let all = app.calls.addresses().pools().list();
    let of = |state| {
        let those = all.iter().filter(move |it| availability(&it.state) == state);
        those.map(|it| it.address.to_string()).collect()
    };
    Ok(Json(match wanted {
        AddressFilter::Available => IpList::Available(of(Availability::Available)),
        AddressFilter::Unavailable => IpList::Unavailable(of(Availability::Unavailable)),
        AddressFilter::All => IpList::Ips(all.iter().map(|it| ip(&app, it)).collect()),
    }))
}

/// The addresses of all pools, at the path that the server of 2017 served
#[utoipa::path(get, path = "/network/ips", operation_id = "listIpsOf2017", tag = "admin", security(("token" = [])),
    params(("state" = Option<String>, Query, description = "`available` or `unavailable`, for no more than those")),
    responses(
        (status = 200, body = IpList, description = "The addresses in their order"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "Another parameter or state"),
        Guarded,
    ))]
pub(super) async fn list_of_2017(state: State<App>, wanted: AddressFilter) -> Answer<IpList> {
    list(state, wanted).await
}

/// Take an address out of its pool, or put it back
///
/// It counts from now on and after every restart.
#[utoipa::path(put, path = "/ips", operation_id = "changeIp", tag = "admin", security(("token" = [])),
    request_body = Change,
    responses(
        (status = 200, body = Changed, description = "It is so now"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "No address, or another state"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "No pool has the address"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "Somebody has the address"),
        (status = 413, body = Problem, content_type = PROBLEM, description = "The body is too large"),
    ))]
pub(super) async fn change(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
    body: Body,
) -> Response {
    changed(&app, peer, body).await.map(Json).into_response()
}

/// Take an address out of its pool, or put it back, at the path that the server of 2017 served
#[utoipa::path(put, path = "/network/ip", operation_id = "changeIpOf2017", tag = "admin", security(("token" = [])),
    request_body = Change,
    responses(
        (status = 200, body = Changed, description = "It is so now"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "No address, or another state"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "No pool has the address"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "Somebody has the address"),
        (status = 413, body = Problem, content_type = PROBLEM, description = "The body is too large"),
    ))]
pub(super) async fn change_of_2017(
    State(app): State<App>,
    peer: Peer,
    _: NoParameters,
    body: Body,
) -> Response {
    changed(&app, peer, body).await.map(Json).into_response()
}

async fn changed(app: &App, peer: Peer, body: Body) -> Result<Changed, Refused> {
    let bytes = body::read(body).await?;
    let asked: Change = from_json(&bytes).map_err(|error| {
        let detail = format!("the body is not {{\"ip\": …, \"state\": …}}: {error}");
        Refused::new(Code::Malformed, detail)
    })?;
    let address: IpAddr = asked.ip.parse().map_err(|_| {
        let shown: String = asked.ip.chars().take(64).collect();
        Refused::new(Code::Parameter, format!("ip: {shown:?} is no address"))
    })?;
    let state = asked.state.parse()?;
    match steer(app, peer, address, state).await {
        Ok(()) => Ok(Changed { ip: address.to_string(), state }),
        Err(error @ WithdrawalError::Unknown(_)) => {
            Err(Refused::new(Code::NotFound, error.to_string()))
        }
        Err(WithdrawalError::InUse(_, doing)) => {
            Err(Refused::new(Code::InUse, in_use(app, address, &doing)))
        }
        Err(error) => Err(Refused::internal(error)),
    }
}

/// Writes a file, so it is done where that holds nobody up.
async fn steer(
    app: &App,
    peer: Peer,
    address: IpAddr,
    state: Availability,
) -> Result<(), WithdrawalError> {
    let calls = app.calls.clone();
    let steer = move || {
        let withdrawn = state == Availability::Unavailable;
        calls.addresses().steer(address, withdrawn)?;
        // Here, for whoever asked may be gone by now.
        note(peer, format_args!("{address} is made {}", state.as_str()));
        Ok(())
    };
    let lost = |error| WithdrawalError::Disk("withdrawn".into(), std::io::Error::other(error));
    tokio::task::spawn_blocking(steer).await.map_err(lost)?
}

fn in_use(app: &App, address: IpAddr, doing: &Doing) -> String {
    let holder = match doing {
        Doing::Leased { island: Some(island), .. } => match app.calls.islands().call_of(island) {
            Some(call) => format!("the island {island} of the call {call} has it"),
            None => format!("the island {island} has it"),
        },
        Doing::Leased { island: None, .. } => "an island that is being made has it".to_owned(),
        _ => "the host, or somebody else on it, has it".to_owned(),
    };
    format!("{address} is in use: {holder}")
}

impl NewState {
    fn parse(&self) -> Result<Availability, Refused> {
        let shown = match self {
            Self::Number(0) => return Ok(Availability::Available),
            Self::Number(1) => return Ok(Availability::Unavailable),
            Self::Number(other) => other.to_string(),
            Self::Text(text) => match text.as_str() {
                "available" | "0" => return Ok(Availability::Available),
                "unavailable" | "1" => return Ok(Availability::Unavailable),
                other => format!("{:?}", other.chars().take(64).collect::<String>()),
            },
        };
        let detail = format!("state: {shown} is neither available (0) nor unavailable (1)");
        Err(Refused::new(Code::Parameter, detail))
    }
}

impl Availability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
        }
    }
}

fn availability(doing: &Doing) -> Availability {
    if *doing == Doing::Free { Availability::Available } else { Availability::Unavailable }
}

fn ip(app: &App, listed: &Listed) -> Ip {
    let (doing, island, leaves) = match &listed.state {
        Doing::Free => ("free", None, false),
        Doing::Leased { island, withdrawn } => ("leased", island.clone(), *withdrawn),
        Doing::Withdrawn => ("withdrawn", None, false),
        Doing::Foreign => ("foreign", None, false),
    };
    let call = island.as_ref().and_then(|island| app.calls.islands().call_of(island));
    let since = listed.since.duration_since(UNIX_EPOCH);
    Ip {
        ip: listed.address.to_string(),
        state: availability(&listed.state),
        doing,
        leaves,
        island,
        call_id: call.map(|call| call.to_string()),
        since: since.map_or(0, |since| since.as_secs()),
        network: listed.pool.network().to_string(),
        interface: listed.pool.interface().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_word_or_a_number_that_may_be_written_as_text() {
        let parse = |json: &str| serde_json::from_str::<NewState>(json).unwrap().parse().ok();
        for json in ["0", "\"0\"", "\"available\""] {
            assert_eq!(parse(json), Some(Availability::Available), "{json}");
        }
        for json in ["1", "\"1\"", "\"unavailable\""] {
            assert_eq!(parse(json), Some(Availability::Unavailable), "{json}");
        }
        for json in ["2", "\"\"", "\"Available\"", "\"free\""] {
            assert_eq!(parse(json), None, "{json}");
        }
        for json in ["true", "null", "-1", "0.5", "[]"] {
            assert!(serde_json::from_str::<NewState>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_address_is_available_when_it_waits_to_be_lent() {
        let leased = Doing::Leased { island: None, withdrawn: false };
        let table = [
            (Doing::Free, true),
            (leased, false),
            (Doing::Withdrawn, false),
            (Doing::Foreign, false),
        ];
        for (doing, free) in table {
            assert_eq!(availability(&doing) == Availability::Available, free, "{doing:?}");
        }
    }
}
