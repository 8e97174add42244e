//! Parameters, results and type parameters.

use super::ast::{Expr, Field};
use super::error::{Fault, Parsed};
use super::parse::Parser;
use super::span::Span;
use super::token::Kind;

/// An entry of a parameter list before it is known whether the list has names: a lone name is
/// the name of a parameter whose type follows later, or the name of a type.
pub(super) struct Entry {
    name: Option<Span>,
    kind: Option<Expr>,
    span: Span,
}

impl Parser<'_> {
    /// The parameters up to `closing`, which stays; only the last may be variadic, if any.
    pub fn parameters(&mut self, closing: Kind, variadic: bool) -> Parsed<Vec<Field>> {
        let mut entries = Vec::new();
        while !self.at(closing) {
            entries.push(self.parameter(None, false)?);
            if !self.comma_before(closing, "a \",\" or \")\" after the parameter")? {
                break;
            }
        }
        let span = self.token().span;
        let fields = if entries.iter().any(Entry::is_complete) {
            named_fields(entries, span)?
        } else {
            unnamed_fields(entries)
        };
        check_variadic(&fields, variadic, span)?;
        Ok(fields)
    }

    /// `(results)`, one type, or nothing.
    pub fn results(&mut self) -> Parsed<Vec<Field>> {
        if self.take(Kind::LeftParen) {
            let results = self.parameters(Kind::RightParen, false)?;
            self.expect(Kind::RightParen, "a \")\" after the results")?;
            return Ok(results);
        }
        let result = self.type_or_none()?;
        Ok(result.map(|kind| Field { names: Vec::new(), kind }).into_iter().collect())
    }

    /// The type parameters of a type declaration up to the closing bracket, which is taken; the
    /// first one's name and maybe its constraint have been read already.
    pub fn type_parameters(&mut self, name: Span, kind: Option<Expr>) -> Parsed<Vec<Field>> {
        let first = match kind {
            Some(kind) => {
                Entry { name: Some(name), kind: Some(self.union(Some(kind))?), span: name }
            }
            None => self.parameter(Some(name), true)?,
        };
        let mut entries = vec![first];
        while self.comma_before(Kind::RightBracket, "a \",\" or \"]\" after the constraint")?
            && !self.at(Kind::RightBracket)
        {
            entries.push(self.parameter(None, true)?);
        }
        let end = self.expect(Kind::RightBracket, "a \"]\" after the type parameters")?;
        let fields = named_fields(entries, end)?;
        check_variadic(&fields, false, end)?;
        Ok(fields)
    }

    /// One entry, whose name may be read already. Only type parameters have unions of types.
    fn parameter(&mut self, name: Option<Span>, unions: bool) -> Parsed<Entry> {
        let span = name.unwrap_or(self.token().span);
        let mut entry = match name {
            Some(name) => self.named_parameter(name, unions)?,
            None if self.at(Kind::Name) => {
                let name = self.advance().span;
                self.named_parameter(name, unions)?
            }
            None if self.at(Kind::Ellipsis) => {
                Entry { name: None, kind: Some(self.variadic()?), span }
            }
            None if unions => Entry { name: None, kind: Some(self.union(None)?), span },
            None => Entry { name: None, kind: Some(self.type_()?), span },
        };
        if unions && self.at(Kind::Or) && !entry.is_variadic() && entry.kind.is_some() {
            entry.kind = Some(self.union(entry.kind)?);
        }
        Ok(entry)
    }

    /// What follows a name: its type, more of the type that the name begins, or nothing.
    fn named_parameter(&mut self, name: Span, unions: bool) -> Parsed<Entry> {
        let (name, kind) = match self.kind() {
            Kind::LeftBracket => {
                let (field, kind) = self.array_field_or_instance(name)?;
                (field, Some(kind))
            }
            Kind::Ellipsis => (Some(name), Some(self.variadic()?)),
            Kind::Dot => {
                let qualified = self.qualified(Expr::Name(name))?;
                (None, Some(self.instantiated(qualified)?))
            }
            Kind::Tilde if unions => (Some(name), Some(self.union(None)?)),
            Kind::Or if unions => (None, Some(self.union(Some(Expr::Name(name)))?)),
            _ => (Some(name), self.type_or_none()?),
        };
        Ok(Entry { name, kind, span: name.unwrap_or(self.token().span) })
    }

    fn variadic(&mut self) -> Parsed<Expr> {
        self.advance();
        Ok(Expr::Variadic(Box::new(self.type_()?)))
    }
}

impl Entry {
    fn is_complete(&self) -> bool {
        self.name.is_some() && self.kind.is_some()
    }

    fn is_variadic(&self) -> bool {
        matches!(self.kind, Some(Expr::Variadic(_)))
    }
}

/// A list without names: every entry is a type.
fn unnamed_fields(entries: Vec<Entry>) -> Vec<Field> {
    let kind = |entry: Entry| entry.kind.or_else(|| entry.name.map(Expr::Name));
    let field = |kind| Field { names: Vec::new(), kind };
    entries.into_iter().filter_map(kind).map(field).collect()
}

/// A list with names: a name without a type has the type of the next one.
fn named_fields(entries: Vec<Entry>, end: Span) -> Parsed<Vec<Field>> {
    let mut fields = Vec::new();
    let mut names = Vec::new();
    for Entry { name, kind, span } in entries {
        let missing = "a parameter's name is missing: name all of them or none";
        names.push(name.ok_or_else(|| Fault::syntax(span, missing))?);
        if let Some(kind) = kind {
            fields.push(Field { names: std::mem::take(&mut names), kind });
        }
    }
    if names.is_empty() {
        return Ok(fields);
    }
    Err(Fault::syntax(end, "the type of the last parameter is missing: write its type here"))
}

fn check_variadic(fields: &[Field], allowed: bool, end: Span) -> Parsed<()> {
    let last = fields.len().saturating_sub(1);
    let misplaced = |(at, field): (usize, &Field)| {
        matches!(field.kind, Expr::Variadic(_)) && !(allowed && at == last && field.names.len() < 2)
    };
    if fields.iter().enumerate().any(misplaced) {
        return Err(Fault::syntax(end, "only the last parameter can be variadic (\"...\")"));
    }
    Ok(())
}
