//! One island from its start to its end: its input, its bounded output, its deadline, and what came of it.

pub(crate) mod channel;
pub(crate) mod instance;
pub(crate) mod islands;
pub(crate) mod metrics;
pub(crate) mod output;
