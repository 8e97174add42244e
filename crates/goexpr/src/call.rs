//! The call: one Go expression, its function, and the names that it takes from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::ast;
use super::error::{CallError, CallErrorKind, Fault, line_and_column};
use super::first::{self, FirstOperand};
use super::names::{self, Names};
use super::{lex, parse};

/// The longest call, in bytes.
pub const MAX_LENGTH: usize = 32 * 1024;

/// One Go expression whose first operand is an exported identifier.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) text: String,
    pub(super) start: (usize, usize),
    pub(super) expression: ast::Expr,
    first: FirstOperand,
    names: Names,
}

impl Call {
    /// Reads a call as a client sent it; white space around it is dropped.
    ///
    /// # Errors
    /// What is wrong with the text, where, and what to do about it.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        let white: &[char] = &[' ', '\t', '\r', '\n'];
        let trimmed = text.trim_start_matches(white).trim_end_matches(white);
        let before = text.len() - text.trim_start_matches(white).len();
        let (expression, first) = read(trimmed).map_err(|fault| fault.in_text(text, before))?;
        Ok(Self {
            names: names::names(trimmed, &expression),
            start: line_and_column(text, before),
            text: trimmed.to_owned(),
            expression,
            first,
        })
    }

    /// The expression verbatim, without the white space around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and the byte column, both from 1, where [`text`](Self::text) begins in what the
    /// client sent. With `/*line call:LINE:COLUMN*/` before the expression, the compiler's
    /// messages have the positions that the client sees.
    pub fn start(&self) -> (usize, usize) {
        self.start
    }

    /// The exported identifier that the call begins with: `Encode` in `geohash.Encode(1, 2)`.
    pub fn function(&self) -> &str {
        self.first.name.of(&self.text)
    }

    /// The byte offset of [`function`](Self::function) in [`text`](Self::text).
    pub fn function_column(&self) -> usize {
        self.first.name.start()
    }

    /// The package's name before the function, if there is one: `geohash`.
    pub fn qualifier(&self) -> Option<&str> {
        self.first.qualifier.map(|qualifier| qualifier.of(&self.text))
    }

    /// The names that may be packages, each with the exported names selected from it.
    ///
    /// These are all identifiers, not declared inside the call, that stand before a selector that
    /// is exported: `strings` with `NewReader` for `Parse(strings.NewReader("a"))`, the
    /// [`qualifier`](Self::qualifier) with the function, but also `Version` with `String` for
    /// `Version.String()`, which may be a variable of the package that is called.
    pub fn packages(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.names.packages
    }

    /// The exported identifiers that the call uses without a package's name before them and does
    /// not declare itself: those of the package that is called.
    ///
    /// In a composite literal, a lone name before a colon is taken for a field's name and left
    /// out, unless the literal's type is written as a map, slice or array.
    pub fn unqualified(&self) -> &BTreeSet<String> {
        &self.names.unqualified
    }

    /// The tree of the expression; its spans are offsets into [`text`](Self::text).
    pub fn expression(&self) -> &ast::Expr {
        &self.expression
    }
}

impl FromStr for Call {
    type Err = CallError;

    fn from_str(text: &str) -> Result<Self, CallError> {
        Self::parse(text)
    }
}

/// Reads a text without white space around it.
fn read(text: &str) -> Result<(ast::Expr, FirstOperand), Fault> {
    if text.is_empty() {
        let message = "the call is empty: give one Go expression, such as Encode(100.1, 80.9)";
        return Err(Fault::new(CallErrorKind::Empty, 0, message));
    }
    if text.len() > MAX_LENGTH {
        let length = text.len();
        let message = format!(
            "the call has {length} bytes, and at most {MAX_LENGTH} are allowed: shorten the call"
        );
        return Err(Fault::new(CallErrorKind::Limit, 0, message));
    }
    let tokens = lex::tokens(text)?;
    let expression = parse::expression(text, &tokens)?;
    let first = first::first_operand(text, &tokens)?;
    Ok((expression, first))
}
