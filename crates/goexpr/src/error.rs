//! What is wrong with a call that a client sent.

use super::span::Span;

/// Why a text is not a call: the place in the text as the client sent it, and a message that says
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call:{line}:{column}: {message}")]
pub struct CallError {
    kind: CallErrorKind,
    line: usize,
    column: usize,
    message: String,
}

/// The sort of a [`CallError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The text is empty, or only white space.
    Empty,
    /// The text is too long, or nested too deeply.
    Limit,
    /// A comment.
    Comment,
    /// A character, number, rune or string that Go does not have.
    Token,
    /// Not exactly one Go expression.
    Syntax,
    /// One Go expression, but its first operand is not an exported identifier.
    FirstOperand,
}

impl CallError {
    /// The kind of the error.
    pub fn kind(&self) -> CallErrorKind {
        self.kind
    }

    /// The line, from 1, in the text as it was sent.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in bytes, from 1, within the line.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong and what to do, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A fault as the lexer and the parser report it: at a byte of the trimmed text.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: CallErrorKind,
    pub at: usize,
    pub message: String,
}

/// The result of the lexer and the parser.
pub(super) type Parsed<T> = Result<T, Fault>;

impl Fault {
    pub fn new(kind: CallErrorKind, at: usize, message: impl Into<String>) -> Self {
        Self { kind, at, message: message.into() }
    }

    pub fn token(at: usize, message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Token, at, message)
    }

    pub fn syntax(span: Span, message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Syntax, span.start(), message)
    }

    /// The error for the client, whose text has `trimmed` bytes before the text that was read.
    pub fn in_text(self, sent: &str, trimmed: usize) -> CallError {
        let (line, column) = line_and_column(sent, trimmed + self.at);
        CallError { kind: self.kind, line, column, message: self.message }
    }
}

/// The line and the byte column, both from 1, of a byte of the text.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    (line, 1 + at - begin)
}
