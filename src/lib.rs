//! Sky Island: any exported function of any public Go repository, one HTTP request away, each call in a sandbox of its
//! own.

pub mod island;
