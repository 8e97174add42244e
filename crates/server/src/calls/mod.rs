//! Calls: one service that runs the calls of all callers, and reports each call.
//!
//! [`CallService`] is the entry point. HTTP and the command line translate a request into a
//! [`CallRequest`] and a [`Principal`](crate::principal::Principal), and the result into an answer.

mod admission;
mod code;
mod deadline;
#[cfg(test)]
mod examples;
mod execution;
mod failure;
mod fields;
mod id;
mod phase;
mod policy;
mod report;
mod request;
mod service;
mod sink;
mod stage;
mod trace;
mod warm;

pub use admission::Load;
pub use code::{Code, Fault};
#[cfg(test)]
pub(crate) use examples::examples;
pub use failure::Failure;
pub use fields::from_json;
pub use id::CallId;
pub use phase::Phase;
pub use policy::{CallPolicy, Capacity};
pub use request::{CallRequest, FunctionRequest};
pub use service::{CallService, Finished, Reply};
pub use sink::{Collected, Sink};
pub use stage::Stage;
pub use trace::{CallTrace, Times};
pub use warm::Warmed;
