//! `/api/v1/admin/ips`: the addresses that islands may have, and the use of each.
//!
//! Invariants: a change leaves an address in use as it is.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use host::net::{AddressState, PoolAddress, WithdrawalError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calls::Code;
use crate::calls::from_json;
use crate::http::admin::answer::AdminAnswer;
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
    /// `free`, `leased`, `withdrawn` by an operator, or `foreign` if the host or another program
    /// has the address.
    #[serde(rename = "use")]
    usage: &'static str,
    /// The address is leased, and leaves its pool when the lease ends.
    leaves: bool,
    /// The island that has the address.
    island: Option<String>,
    /// The id of the call that the island runs.
    call_id: Option<String>,
    /// The beginning of this use, in seconds since 1970.
    since: u64,
    /// The network of the address's pool.
    network: String,
    /// The interface of the pool.
    interface: String,
}

/// Whether an address can be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Availability {
    Available,
    Unavailable,
}

/// Addresses: all of them, or the ones in one state.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum IpList {
    /// All addresses, for a request without a state.
    Ips(Vec<Ip>),
    /// The addresses that can be leased.
    Available(Vec<String>),
    /// The addresses that cannot be leased.
    Unavailable(Vec<String>),
}

/// The new state of an address.
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

/// The state of an address after a change.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    ip: String,
    state: Availability,
}

/// List the addresses of all pools
#[utoipa::path(get, path = "/ips", operation_id = "listIps", tag = "admin", security(("token" = [])),
    params(("state" = Option<String>, Query, description = "Only addresses in this state: `available` or `unavailable`")),
    responses(
        (status = 200, body = IpList, description = "The addresses, in order"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter or state"),
        Guarded,
    ))]
pub(super) async fn list(State(app): State<App>, filter: AddressFilter) -> AdminAnswer<IpList> {
    app.calls.addresses().refresh();
    let all = app.calls.addresses().pools().list();
    let of = |state| {
        let those = all.iter().filter(move |it| availability(&it.state) == state);
        those.map(|it| it.address.to_string()).collect()
    };
    Ok(Json(match filter {
        AddressFilter::Available => IpList::Available(of(Availability::Available)),
        AddressFilter::Unavailable => IpList::Unavailable(of(Availability::Unavailable)),
        AddressFilter::All => IpList::Ips(all.iter().map(|it| ip(&app, it)).collect()),
    }))
}

/// List the addresses of all pools, at the path of 2017
#[utoipa::path(get, path = "/network/ips", operation_id = "listIpsOf2017", tag = "admin", security(("token" = [])),
    params(("state" = Option<String>, Query, description = "Only addresses in this state: `available` or `unavailable`")),
    responses(
        (status = 200, body = IpList, description = "The addresses, in order"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "An unknown parameter or state"),
        Guarded,
    ))]
pub(super) async fn list_of_2017(state: State<App>, filter: AddressFilter) -> AdminAnswer<IpList> {
    list(state, filter).await
}

/// Take an address out of its pool, or put it back
///
/// The change holds from now on and after every restart.
#[utoipa::path(put, path = "/ips", operation_id = "changeIp", tag = "admin", security(("token" = [])),
    request_body = Change,
    responses(
        (status = 200, body = Changed, description = "The address was changed"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad address, or an unknown state"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "No pool has the address"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "The address is in use"),
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

/// Take an address out of its pool, or put it back, at the path of 2017
#[utoipa::path(put, path = "/network/ip", operation_id = "changeIpOf2017", tag = "admin", security(("token" = [])),
    request_body = Change,
    responses(
        (status = 200, body = Changed, description = "The address was changed"),
        (status = 400, body = Problem, content_type = PROBLEM, description = "A bad address, or an unknown state"),
        Guarded,
        (status = 404, body = Problem, content_type = PROBLEM, description = "No pool has the address"),
        (status = 409, body = Problem, content_type = PROBLEM, description = "The address is in use"),
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
        Refused::new(Code::Parameter, format!("ip: {shown:?} is not an IP address"))
    })?;
    let state = asked.state.parse()?;
    match steer(app, peer, address, state).await {
        Ok(()) => Ok(Changed { ip: address.to_string(), state }),
        Err(error @ WithdrawalError::Unknown(_)) => {
            Err(Refused::new(Code::NotFound, error.to_string()))
        }
        Err(WithdrawalError::InUse(_, address_state)) => {
            let call = call_of(app, &address_state);
            Err(Refused::new(Code::InUse, in_use(address, &address_state, call.as_deref())))
        }
        Err(error) => Err(Refused::internal(error)),
    }
}

/// Changes an address. This writes a file, so it runs on a thread for blocking work.
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
        // Logged here, because the client may have disconnected.
        note(peer, format_args!("makes {address} {}", state.as_str()));
        Ok(())
    };
    let lost = |error| WithdrawalError::Disk("withdrawn".into(), std::io::Error::other(error));
    tokio::task::spawn_blocking(steer).await.map_err(lost)?
}

/// The id of the call whose island has the address.
fn call_of(app: &App, state: &AddressState) -> Option<String> {
    let AddressState::Leased { island: Some(island), .. } = state else { return None };
    app.calls.islands().call_of(island).map(|call| call.to_string())
}

/// Why an address cannot be changed. `call` is the call whose island has the address.
pub(super) fn in_use(address: IpAddr, state: &AddressState, call: Option<&str>) -> String {
    let (user, next) = match (state, call) {
        (AddressState::Leased { island: Some(island), .. }, Some(call)) => {
            (format!("the island {island} of the call {call}"), "try again when the call has ended")
        }
        (AddressState::Leased { island: Some(island), .. }, None) => {
            (format!("the island {island}"), "try again when the island has ended")
        }
        (AddressState::Leased { island: None, .. }, _) => {
            ("an island that is being made".to_owned(), "try again when the island has ended")
        }
        _ => ("the host or another program on it".to_owned(), "remove it there first"),
    };
    format!("{address} is in use by {user}; {next}")
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

fn availability(state: &AddressState) -> Availability {
    match state {
        AddressState::Free => Availability::Available,
        _ => Availability::Unavailable,
    }
}

fn ip(app: &App, listed: &PoolAddress) -> Ip {
    let (usage, island, leaves) = match &listed.state {
        AddressState::Free => ("free", None, false),
        AddressState::Leased { island, withdrawn } => ("leased", island.clone(), *withdrawn),
        AddressState::Withdrawn => ("withdrawn", None, false),
        AddressState::Foreign => ("foreign", None, false),
    };
    let since = listed.since.duration_since(UNIX_EPOCH);
    Ip {
        ip: listed.address.to_string(),
        state: availability(&listed.state),
        usage,
        leaves,
        island,
        call_id: call_of(app, &listed.state),
        since: since.map_or(0, |since| since.as_secs()),
        network: listed.pool.network().to_string(),
        interface: listed.pool.interface().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_word_or_a_number_also_as_text() {
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
    fn only_a_free_address_is_available() {
        let leased = AddressState::Leased { island: None, withdrawn: false };
        let table = [
            (AddressState::Free, true),
            (leased, false),
            (AddressState::Withdrawn, false),
            (AddressState::Foreign, false),
        ];
        for (state, free) in table {
            assert_eq!(availability(&state) == Availability::Available, free, "{state:?}");
        }
    }
}
