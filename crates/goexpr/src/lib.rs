//! The call that a client sends: exactly one Go expression.
//!
//! This crate decides whether a text is a call, and finds what the later stages need to know: the
//! function, and the names that the call takes from outside. It reads Go's grammar itself, before
//! any Go program is involved.
//!
//! Invariants: a [`Call`] comes from [`Call::parse`] alone, and from there on the text is trusted.
//! The text is put verbatim into generated Go source, as the only argument of a function or as a
//! statement, so nothing may be accepted that does not stay one expression there: no comment, no
//! line end that ends a statement, nothing after the expression, no unfinished string, no character
//! that Go's source cannot have. A property test holds this against Go's own parser.
//!
//! Types are not checked: the compiler decides whether the call compiles.

pub mod ast;
mod call;
mod control;
mod decl;
mod error;
mod expr;
mod fields;
mod first;
mod function;
mod lex;
mod literal;
mod names;
mod number;
mod params;
mod parse;
mod span;
mod stmt;
mod token;
mod types;
mod unescape;
mod unicode;
mod value;

pub use call::{Call, MAX_LENGTH};
pub use error::{CallError, CallErrorKind};
pub use function::FunctionForm;
pub use parse::MAX_DEPTH;
/// The bytes of a Go string literal.
pub use unescape::string as unquote;
