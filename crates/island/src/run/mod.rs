//! An island from its start to its end: input, bounded output, deadline and outcome.

pub(crate) mod channel;
pub(crate) mod instance;
pub(crate) mod islands;
pub(crate) mod metrics;
pub(crate) mod outcome;
pub(crate) mod output;
