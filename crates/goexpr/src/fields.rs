//! Struct and interface types.

use super::ast::{Expr, Field, InterfaceElement, Length, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::span::Span;
use super::token::Kind;
use super::types::with_suffix;

impl Parser<'_> {
    pub fn struct_type(&mut self) -> Parsed<Expr> {
        self.advance();
        self.expect(Kind::LeftBrace, "a \"{\" after struct")?;
        let mut fields = Vec::new();
        while matches!(self.kind(), Kind::Name | Kind::Star) {
            fields.push(self.field()?);
            // A field's tag.
            self.take(Kind::String);
            self.end_of_statement()?;
        }
        self.expect(Kind::RightBrace, "a field or \"}\"")?;
        Ok(Expr::Struct(fields))
    }

    fn field(&mut self) -> Parsed<Field> {
        if self.at(Kind::Star) {
            let operator = self.operator();
            let kind = Expr::Unary(operator, Box::new(self.named_type()?));
            return Ok(Field { names: Vec::new(), kind });
        }
        let name = self.advance().span;
        match self.kind() {
            Kind::String | Kind::Semicolon | Kind::Newline | Kind::RightBrace => {
                Ok(Field { names: Vec::new(), kind: Expr::Name(name) })
            }
            Kind::Dot => {
                let qualified = self.qualified(Expr::Name(name))?;
                Ok(Field { names: Vec::new(), kind: self.instantiated(qualified)? })
            }
            Kind::LeftBracket => {
                let (name, kind) = self.array_field_or_instance(name)?;
                Ok(Field { names: name.into_iter().collect(), kind })
            }
            _ => {
                let mut names = vec![name];
                while self.take(Kind::Comma) {
                    names.push(self.name("a field name")?);
                }
                Ok(Field { names, kind: self.type_()? })
            }
        }
    }

    /// What `name [` begins: a field or parameter of an array type (`name [n]T`, `name []T`), or
    /// an embedded or unnamed generic type (`name[A, B]`, for which the name is `None`).
    pub fn array_field_or_instance(&mut self, name: Span) -> Parsed<(Option<Span>, Expr)> {
        self.advance();
        if self.take(Kind::RightBracket) {
            return Ok((Some(name), Expr::Array(Length::Slice, Box::new(self.type_()?))));
        }
        let mut arguments = vec![self.bracketed()?];
        let mut comma = None;
        while self.at(Kind::Comma) {
            comma = Some(self.advance().span);
            if self.at(Kind::RightBracket) {
                break;
            }
            arguments.push(self.bracketed()?);
        }
        self.expect(Kind::RightBracket, "a \"]\"")?;
        if arguments.len() == 1
            && comma.is_none()
            && let Some(element) = self.type_or_none()?
        {
            let length = arguments.remove(0);
            return Ok((Some(name), Expr::Array(Length::Given(length.into()), element.into())));
        }
        Ok((None, with_suffix(Expr::Name(name), Suffix::Index(arguments))))
    }

    pub fn interface_type(&mut self) -> Parsed<Expr> {
        self.advance();
        self.expect(Kind::LeftBrace, "a \"{\" after interface")?;
        let mut elements = Vec::new();
        while !self.at(Kind::RightBrace) {
            elements.push(self.interface_element()?);
            self.end_of_statement()?;
        }
        self.expect(Kind::RightBrace, "a method, a type or \"}\"")?;
        Ok(Expr::Interface(elements))
    }

    fn interface_element(&mut self) -> Parsed<InterfaceElement> {
        if !self.at(Kind::Name) {
            return Ok(InterfaceElement::Embedded(self.union(None)?));
        }
        let name = self.advance().span;
        let embedded = match self.kind() {
            Kind::LeftParen => return Ok(InterfaceElement::Method(name, self.signature()?)),
            Kind::LeftBracket => self.embedded_instance(name)?,
            _ => {
                let qualified = self.qualified(Expr::Name(name))?;
                self.instantiated(qualified)?
            }
        };
        Ok(InterfaceElement::Embedded(self.union(Some(embedded))?))
    }

    /// `name[A, B]`. Go reads the first argument as an expression, since it may not be known yet
    /// whether this is a type or a (forbidden) generic method; so do we.
    fn embedded_instance(&mut self, name: Span) -> Parsed<Expr> {
        self.advance();
        let mut arguments = vec![self.bracketed()?];
        while self.comma_before(Kind::RightBracket, "a \",\" or \"]\" after the type")?
            && !self.at(Kind::RightBracket)
        {
            arguments.push(self.type_()?);
        }
        self.expect(Kind::RightBracket, "a \"]\" after the types")?;
        Ok(with_suffix(Expr::Name(name), Suffix::Index(arguments)))
    }
}
