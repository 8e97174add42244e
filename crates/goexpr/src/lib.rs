//! The call that a client sends: exactly one Go expression.
//!
//! This module owns the question whether a text is a call, and what the later stages need to
//! know of it: its function, and the names that it takes from outside. It reads Go's grammar
//! itself, before any Go program is involved.
//!
//! What must always hold: a [`Call`] comes from [`Call::parse`] alone, and past it the text is
//! trusted. It is put verbatim into generated Go source, as the only argument of a function or as
//! a statement, so nothing may be accepted that does not stay one expression there: no comment,
//! no line end that ends a statement, nothing behind the expression, no unfinished string, no
//! character that Go's source cannot have. A property test holds this against Go's own parser.
//!
//! It says nothing about types: whether the call compiles is for the compiler to find out.

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
