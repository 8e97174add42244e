//! The function form of a call: a function and literal arguments, so that one compiled function
//! serves all arguments.
//!
//! Invariants: two calls whose functions, types and lines are equal differ in nothing
//! but what their [`FunctionForm::encode`] says.

use super::ast::{Expr, Length, Suffix};
use super::call::Call;
use super::value::{Value, ValueReader, encode_count};

/// A function and arguments whose values are known without running anything.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionForm {
    callee: String,
    line: usize,
    types: Vec<String>,
    spread: bool,
    arguments: Vec<Value>,
}

impl FunctionForm {
    /// The called function, as the client wrote it: `Encode`, `geohash.Encode`, `Map[int, string]`.
    pub fn callee(&self) -> &str {
        &self.callee
    }

    /// The line, from 1, in which the call begins in the client's text.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The types of the composite literals among the arguments, each once; an argument names its
    /// type by the index here.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// How many arguments there are; a list that is spread is one.
    pub fn argument_count(&self) -> usize {
        self.arguments.len()
    }

    /// Whether the last argument is followed by `...`.
    pub fn is_spread(&self) -> bool {
        self.spread
    }

    /// The arguments as `templates/sky_island` reads them.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.spread)];
        encode_count(self.arguments.len(), &mut bytes);
        self.arguments.iter().for_each(|argument| argument.encode(&mut bytes));
        bytes
    }
}

impl Call {
    /// The call as a function and its arguments. `None` unless names, selectors and type arguments
    /// are called, and each argument is a literal, or a composite literal of literals.
    pub fn function_form(&self) -> Option<FunctionForm> {
        let Expr::Primary(operand, suffixes) = &self.expression else { return None };
        let (Suffix::Call { callee, arguments, spread }, before) = suffixes.split_last()? else {
            return None;
        };
        if !matches!(**operand, Expr::Name(_)) || !before.iter().all(is_plain_suffix) {
            return None;
        }
        let mut reader = ValueReader { text: &self.text, types: Vec::new() };
        let arguments = arguments.iter().map(|argument| reader.value(argument));
        let arguments = arguments.collect::<Option<Vec<_>>>()?;
        Some(FunctionForm {
            callee: callee.of(&self.text).trim_end().to_owned(),
            line: self.start.0,
            types: reader.types,
            spread: *spread,
            arguments,
        })
    }
}

fn is_plain_suffix(suffix: &Suffix) -> bool {
    match suffix {
        Suffix::Selector(_) => true,
        Suffix::Index(list) => list.iter().all(is_plain),
        _ => false,
    }
}

/// Whether an index or a type argument runs nothing: it is evaluated more than once.
fn is_plain(expression: &Expr) -> bool {
    match expression {
        Expr::Name(_) | Expr::Literal(..) => true,
        Expr::Paren(inside) | Expr::Unary(_, inside) | Expr::Channel(_, inside) => is_plain(inside),
        Expr::Primary(operand, suffixes) => {
            is_plain(operand) && suffixes.iter().all(is_plain_suffix)
        }
        Expr::Array(Length::Given(length), element) => is_plain(length) && is_plain(element),
        Expr::Array(_, element) => is_plain(element),
        Expr::Map(key, value) => is_plain(key) && is_plain(value),
        Expr::Struct(fields) => fields.iter().all(|field| is_plain(&field.kind)),
        _ => false,
    }
}

#[cfg(test)]
#[path = "function_tests.rs"]
mod tests;
