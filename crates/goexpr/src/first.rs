//! The first operand of a call: the function, variable or type that the call begins with.

use super::error::{CallErrorKind, Fault, Parsed};
use super::span::Span;
use super::token::{Kind, Token};
use super::unicode::is_exported;

/// The exported identifier that a call begins with, and the package's name before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstOperand {
    pub qualifier: Option<Span>,
    pub name: Span,
}

/// Finds the first operand among the tokens of one whole expression. Only parentheses and unary
/// operators can precede it.
pub(super) fn first_operand(text: &str, tokens: &[Token]) -> Parsed<FirstOperand> {
    let before = |token: &Token| token.kind == Kind::LeftParen || token.kind.is_unary();
    let begin = tokens.iter().position(|token| !before(token)).unwrap_or(tokens.len() - 1);
    let first = tokens[begin];
    if first.kind != Kind::Name {
        return Err(fault(first.span, "the call does not begin with an exported name"));
    }
    if is_exported(first.span.of(text)) {
        return Ok(FirstOperand { qualifier: None, name: first.span });
    }
    let selected = match tokens[begin + 1..] {
        [Token { kind: Kind::Dot, .. }, Token { kind: Kind::Name, span }, ..] => span,
        _ => {
            let reason = format!("\"{}\" is not exported", first.span.of(text));
            return Err(fault(first.span, &reason));
        }
    };
    if !is_exported(selected.of(text)) {
        let reason = format!("\"{}\" is not exported", selected.of(text));
        return Err(fault(selected, &reason));
    }
    Ok(FirstOperand { qualifier: Some(first.span), name: selected })
}

fn fault(span: Span, reason: &str) -> Fault {
    let message = format!(
        "{reason}: begin the call with an exported name of the package, such as \
         Encode(100.1, 80.9) or geohash.Encode(100.1, 80.9)"
    );
    Fault::new(CallErrorKind::FirstOperand, span.start(), message)
}
