//! Literal values: arguments that name no variable and call nothing.
//!
//! Invariants: a [`Value`] has all that Go's compiler needs to know of the argument,
//! and nothing depends on how it is written. Of which type it becomes is not decided here:
//! constants stay untyped.

use super::ast::{Element, Expr, Length, Operator, Suffix};
use super::number::Number;
use super::span::Span;
use super::token::{Kind, LiteralKind};
use super::unescape;

/// How far an index of an array or slice may exceed the number of elements.
const MAX_GAP: u64 = 65_536;

/// The value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Text(Vec<u8>),
    Number(Number),
    Composite(TypeNotation, Composite),
}

/// How a composite literal names its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TypeNotation {
    /// By the index in the table of types.
    Typed(usize),
    /// By the index in the table of types, with a `&` before the literal.
    Addressed(usize),
    /// Not at all: the enclosing literal determines the type.
    Elided,
}

/// The elements of a composite literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Composite {
    /// One more than the largest index, if this is an array or a slice.
    length: usize,
    elements: Vec<(Key, Value)>,
}

/// The key of an element, before the colon.
#[derive(Clone, Debug, PartialEq)]
enum Key {
    None,
    Field(String),
    Value(Value),
}

/// Reads values, and collects the types that they name.
pub(super) struct ValueReader<'t> {
    pub text: &'t str,
    /// The types' texts in order of appearance, each once.
    pub types: Vec<String>,
}

impl ValueReader<'_> {
    /// The value of an expression, if it is a literal.
    pub fn value(&mut self, expression: &Expr) -> Option<Value> {
        match expression {
            Expr::Name(name) => named(name.of(self.text)),
            Expr::Literal(LiteralKind::String, span) => {
                unescape::string(span.of(self.text)).map(Value::Text)
            }
            Expr::Literal(LiteralKind::Rune, span) => {
                Number::of_rune(unescape::rune(span.of(self.text))?).map(Value::Number)
            }
            Expr::Literal(kind, span) => Number::read(*kind, span.of(self.text)).map(Value::Number),
            Expr::Paren(inside) => self.value(inside),
            Expr::Unary(operator, operand) => self.unary(*operator, operand),
            Expr::Primary(operand, suffixes) => {
                self.composite(operand, suffixes, TypeNotation::Typed)
            }
            Expr::Elided(elements) => {
                Some(Value::Composite(TypeNotation::Elided, self.elements(elements)?))
            }
            _ => None,
        }
    }

    fn unary(&mut self, operator: Operator, operand: &Expr) -> Option<Value> {
        if operator.kind == Kind::And {
            let mut operand = operand;
            while let Expr::Paren(inside) = operand {
                operand = inside;
            }
            let Expr::Primary(operand, suffixes) = operand else { return None };
            return self.composite(operand, suffixes, TypeNotation::Addressed);
        }
        match (operator.kind, self.value(operand)?) {
            (Kind::Plus, value @ Value::Number(_)) => Some(value),
            (Kind::Minus, Value::Number(number)) => Some(Value::Number(number.negated())),
            _ => None,
        }
    }

    /// `Type{elements}`
    fn composite(
        &mut self,
        operand: &Expr,
        suffixes: &[Suffix],
        form: fn(usize) -> TypeNotation,
    ) -> Option<Value> {
        let (Suffix::Composite { kind, elements }, before) = suffixes.split_last()? else {
            return None;
        };
        let is_type = |suffix| matches!(suffix, &Suffix::Selector(_) | &Suffix::Index(_));
        if !before.iter().all(is_type) {
            return None;
        }
        let kind = self.kind(operand, *kind, elements)?;
        let index = self.types.iter().position(|known| *known == kind);
        let index = index.unwrap_or_else(|| {
            self.types.push(kind);
            self.types.len() - 1
        });
        Some(Value::Composite(form(index), self.elements(elements)?))
    }

    /// The text of a literal's type, with the length that `[...]` means.
    fn kind(&self, operand: &Expr, kind: Span, elements: &[Element]) -> Option<String> {
        let text = kind.of(self.text).trim_end();
        if !matches!(operand, Expr::Array(Length::Counted, _)) {
            return Some(text.to_owned());
        }
        // With keys, only the compiler knows the length.
        let plain = elements.iter().all(|element| element.key.is_none());
        plain.then(|| text.replacen("...", &elements.len().to_string(), 1))
    }

    fn elements(&mut self, elements: &[Element]) -> Option<Composite> {
        let mut read = Vec::with_capacity(elements.len());
        for Element { key, value } in elements {
            let key = match key {
                None => Key::None,
                Some(Expr::Name(name)) if named(name.of(self.text)).is_none() => {
                    Key::Field(name.of(self.text).to_owned())
                }
                Some(key) => Key::Value(self.value(key)?),
            };
            read.push((key, self.value(value)?));
        }
        Some(Composite { length: length(&read).unwrap_or(0), elements: read })
    }
}

/// The values of the predeclared names. A call cannot redefine them, for they are not exported.
fn named(name: &str) -> Option<Value> {
    match name {
        "nil" => Some(Value::Nil),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// The length of a slice with these elements, if all keys are indices within [`MAX_GAP`].
fn length(elements: &[(Key, Value)]) -> Option<usize> {
    let (mut next, mut length) = (0, 0);
    let limit = elements.len() as u64 + MAX_GAP;
    for (key, _) in elements {
        match key {
            Key::None => {}
            Key::Value(Value::Number(number)) if !number.negative => next = number.integer?,
            _ => return None,
        }
        next = next.checked_add(1).filter(|next| *next <= limit)?;
        length = length.max(next);
    }
    usize::try_from(length).ok()
}

impl Value {
    /// Appends the value as `templates/sky_island` reads it: a letter, then what belongs to it.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Nil => into.push(b'N'),
            Self::Bool(true) => into.push(b'T'),
            Self::Bool(false) => into.push(b'F'),
            Self::Text(bytes) => {
                into.push(b's');
                encode_bytes(bytes, into);
            }
            Self::Number(number) => encode_number(number, into),
            Self::Composite(form, composite) => {
                match form {
                    TypeNotation::Typed(index) => {
                        into.push(b'c');
                        encode_count(*index, into);
                    }
                    TypeNotation::Addressed(index) => {
                        into.push(b'&');
                        encode_count(*index, into);
                    }
                    TypeNotation::Elided => into.push(b'e'),
                }
                composite.encode(into);
            }
        }
    }
}

impl Composite {
    fn encode(&self, into: &mut Vec<u8>) {
        encode_count(self.length, into);
        encode_count(self.elements.len(), into);
        for (key, value) in &self.elements {
            match key {
                Key::None => into.push(b'-'),
                Key::Field(name) => {
                    into.push(b'f');
                    encode_bytes(name.as_bytes(), into);
                }
                Key::Value(key) => {
                    into.push(b'v');
                    key.encode(into);
                }
            }
            value.encode(into);
        }
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn encode_count(mut count: usize, into: &mut Vec<u8>) {
    while count >= 0x80 {
        into.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    into.push(count as u8);
}

fn encode_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    encode_count(bytes.len(), into);
    into.extend_from_slice(bytes);
}

/// The notation's letter, a byte that says what follows, and the magnitude and the floats as far as
/// there are any.
fn encode_number(number: &Number, into: &mut Vec<u8>) {
    into.push(match number.kind {
        LiteralKind::Rune => b'r',
        LiteralKind::Float => b'f',
        LiteralKind::Imaginary => b'm',
        LiteralKind::Integer | LiteralKind::String => b'i',
    });
    let Number { negative, integer, double, single, .. } = *number;
    let has = [integer.is_some(), negative, double.is_some(), single.is_some()];
    into.push((0..).zip(has).map(|(bit, has)| u8::from(has) << bit).sum());
    into.extend(integer.iter().flat_map(|integer| integer.to_le_bytes()));
    into.extend(double.iter().flat_map(|double| double.to_le_bytes()));
    into.extend(single.iter().flat_map(|single| single.to_le_bytes()));
}
