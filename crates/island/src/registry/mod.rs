//! The islands that are in use: for whom, since when, and what each is doing.

pub(crate) mod info;
pub(crate) mod table;
