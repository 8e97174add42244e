//! Types, where only a type can stand.

use super::ast::{Direction, Expr, Length, Signature, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::token::Kind;

impl Parser<'_> {
    pub fn type_(&mut self) -> Parsed<Expr> {
        match self.type_or_none()? {
            Some(kind) => Ok(kind),
            None => self.unexpected("a type"),
        }
    }

    /// A type, if the next token can begin one.
    pub fn type_or_none(&mut self) -> Parsed<Option<Expr>> {
        self.enter()?;
        let kind = match self.kind() {
            Kind::Name => self.named_type()?,
            Kind::LeftBracket => {
                self.advance();
                self.array_type(None)?
            }
            Kind::Star => Expr::Unary(self.operator(), Box::new(self.type_()?)),
            Kind::LeftParen => {
                self.advance();
                let inside = self.type_()?;
                self.expect(Kind::RightParen, "a \")\" after the type")?;
                Expr::Paren(Box::new(inside))
            }
            Kind::Func => Expr::Signature(Box::new(self.function_type()?)),
            Kind::Map => self.map_type()?,
            Kind::Chan | Kind::Arrow => self.channel_type()?,
            Kind::Struct => self.struct_type()?,
            Kind::Interface => self.interface_type()?,
            _ => {
                self.leave();
                return Ok(None);
            }
        };
        self.leave();
        Ok(Some(kind))
    }

    /// `T`, `package.T`, `T[A]` or `package.T[A, B]`
    pub fn named_type(&mut self) -> Parsed<Expr> {
        let name = Expr::Name(self.name("a type name")?);
        let named = self.qualified(name)?;
        self.instantiated(named)
    }

    /// `name.T` if a dot follows.
    pub fn qualified(&mut self, name: Expr) -> Parsed<Expr> {
        if !self.take(Kind::Dot) {
            return Ok(name);
        }
        let selected = self.name("a type name after the dot")?;
        Ok(Expr::Primary(Box::new(name), vec![Suffix::Selector(selected)]))
    }

    /// `generic[A, B]` if a bracket follows.
    pub fn instantiated(&mut self, generic: Expr) -> Parsed<Expr> {
        if !self.take(Kind::LeftBracket) {
            return Ok(generic);
        }
        let mut arguments = vec![self.type_()?];
        while self.comma_before(Kind::RightBracket, "a \",\" or \"]\" after the type")?
            && !self.at(Kind::RightBracket)
        {
            arguments.push(self.type_()?);
        }
        self.expect(Kind::RightBracket, "a \"]\" after the types")?;
        Ok(with_suffix(generic, Suffix::Index(arguments)))
    }

    /// `[`, an optional length and `]`, then the element type; or the rest after a length.
    pub fn array_type(&mut self, length: Option<Expr>) -> Parsed<Expr> {
        let length = match length {
            Some(length) => Length::Given(Box::new(length)),
            None if self.take(Kind::Ellipsis) => Length::Counted,
            None if self.at(Kind::RightBracket) => Length::Slice,
            None => Length::Given(Box::new(self.bracketed()?)),
        };
        self.expect(Kind::RightBracket, "a \"]\" after the length")?;
        Ok(Expr::Array(length, Box::new(self.type_()?)))
    }

    fn map_type(&mut self) -> Parsed<Expr> {
        self.advance();
        self.expect(Kind::LeftBracket, "a \"[\" after map")?;
        let key = self.type_()?;
        self.expect(Kind::RightBracket, "a \"]\" after the key type")?;
        Ok(Expr::Map(Box::new(key), Box::new(self.type_()?)))
    }

    fn channel_type(&mut self) -> Parsed<Expr> {
        let direction = if self.take(Kind::Arrow) {
            self.expect(Kind::Chan, "\"chan\" after the arrow")?;
            Direction::Receive
        } else {
            self.advance();
            if self.take(Kind::Arrow) { Direction::Send } else { Direction::Both }
        };
        Ok(Expr::Channel(direction, Box::new(self.type_()?)))
    }

    /// `func`, parameters and results.
    pub fn function_type(&mut self) -> Parsed<Signature> {
        self.advance();
        if self.at(Kind::LeftBracket) {
            return Err(self.fault(
                "a function literal or type cannot have type parameters: name the types instead",
            ));
        }
        self.signature()
    }

    /// Parameters and results.
    pub fn signature(&mut self) -> Parsed<Signature> {
        self.expect(Kind::LeftParen, "a \"(\" before the parameters")?;
        let parameters = self.parameters(Kind::RightParen, true)?;
        self.expect(Kind::RightParen, "a \")\" after the parameters")?;
        Ok(Signature { parameters, results: self.results()? })
    }

    /// A type term or several: `A | ~B`, the first of which may be read already.
    pub fn union(&mut self, first: Option<Expr>) -> Parsed<Expr> {
        let first = match first {
            Some(first) => first,
            None => self.union_term()?,
        };
        if !self.at(Kind::Or) {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.take(Kind::Or) {
            terms.push(self.union_term()?);
        }
        Ok(Expr::Union(terms))
    }

    fn union_term(&mut self) -> Parsed<Expr> {
        if self.at(Kind::Tilde) {
            return Ok(Expr::Unary(self.operator(), Box::new(self.type_()?)));
        }
        self.type_()
    }
}

/// `expression` with one more suffix, without one more level of nesting.
pub(super) fn with_suffix(expression: Expr, suffix: Suffix) -> Expr {
    match expression {
        Expr::Primary(operand, mut suffixes) => {
            suffixes.push(suffix);
            Expr::Primary(operand, suffixes)
        }
        operand => Expr::Primary(Box::new(operand), vec![suffix]),
    }
}
