//! The islands in use: what each is for, since when, and what it is doing.

pub(crate) mod info;
pub(crate) mod table;
