//! Calls: one service that runs a call for every caller alike, and what it says about each call.
//!
//! [`CallService`] is the whole of it: HTTP and the command line translate into a [`CallRequest`] and a [`Principal`], and
//! translate what comes back.

mod admission;
mod code;
mod deadline;
mod execution;
mod failure;
mod fields;
mod id;
mod phase;
mod policy;
mod principal;
mod report;
mod request;
mod service;
mod sink;
mod stage;
mod trace;
mod warm;

pub use admission::Load;
pub use code::{Code, Fault};
pub use failure::Failure;
pub use fields::from_json;
pub use id::CallId;
pub use phase::Phase;
pub use policy::{CallPolicy, Capacity};
pub use principal::Principal;
pub use request::{CallRequest, FunctionRequest};
pub use service::{CallService, Finished, Reply};
pub use sink::{Collected, Sink};
pub use stage::Stage;
pub use trace::{CallTrace, Times};
pub use warm::Warmed;
