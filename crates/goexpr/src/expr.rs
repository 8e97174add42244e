//! Expressions: operators and what stands after an operand.

use super::ast::{Direction, Element, Expr, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::span::Span;
use super::token::Kind;

impl Parser<'_> {
    /// One expression, which may also be a type.
    pub fn expression(&mut self) -> Parsed<Expr> {
        let first = self.unary()?;
        self.binary(first, 1)
    }

    /// An expression within brackets, where a `{` after a name is a composite literal again.
    pub fn bracketed(&mut self) -> Parsed<Expr> {
        let header = std::mem::replace(&mut self.header, false);
        let expression = self.expression()?;
        self.header = header;
        Ok(expression)
    }

    pub fn expressions(&mut self) -> Parsed<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.take(Kind::Comma) {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    /// What follows `left` as long as its operators bind at least this tightly.
    pub fn binary(&mut self, mut left: Expr, least: u8) -> Parsed<Expr> {
        while let Some(precedence) = self.kind().precedence().filter(|&found| found >= least) {
            let mut rest = Vec::new();
            while self.kind().precedence() == Some(precedence) {
                let operator = self.operator();
                let operand = self.unary()?;
                rest.push((operator, self.binary(operand, precedence + 1)?));
            }
            left = Expr::Binary(Box::new(left), rest);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        self.enter()?;
        let expression = if self.kind().is_unary() {
            let operator = self.operator();
            let mut operand = self.unary()?;
            if operator.kind == Kind::Arrow && matches!(operand, Expr::Channel(..)) {
                self.receive_only(&mut operand)?;
                operand
            } else {
                Expr::Unary(operator, Box::new(operand))
            }
        } else {
            let begin = self.token().span.start();
            let operand = self.operand()?;
            self.suffixes(operand, begin)?
        };
        self.leave();
        Ok(expression)
    }

    /// Gives the arrow before a channel type to that type: `<-(chan T)` receives, but `<-chan T`
    /// is a type, and `<-chan<- chan T` is read as `<-chan (<-chan T)`.
    fn receive_only(&self, channel: &mut Expr) -> Parsed<()> {
        match channel {
            Expr::Channel(direction @ Direction::Both, _) => {
                *direction = Direction::Receive;
                Ok(())
            }
            Expr::Channel(direction @ Direction::Send, element) => {
                *direction = Direction::Receive;
                self.receive_only(element)
            }
            _ => Err(self.fault("the \"<-\" before this needs a channel type: write <-chan T")),
        }
    }

    /// Everything that is applied to an operand, which begins at a byte of the text.
    pub fn suffixes(&mut self, operand: Expr, begin: usize) -> Parsed<Expr> {
        let mut suffixes = Vec::new();
        loop {
            let before = Span::new(begin, self.token().span.start());
            suffixes.push(match self.kind() {
                Kind::Dot => self.selector_or_assertion()?,
                Kind::LeftBracket => self.index_or_slice()?,
                Kind::LeftParen => self.call(before)?,
                Kind::LeftBrace if self.is_composite(&operand, suffixes.last())? => {
                    Suffix::Composite { kind: before, elements: self.literal_value()? }
                }
                _ => break,
            });
        }
        match suffixes.is_empty() {
            true => Ok(operand),
            false => Ok(Expr::Primary(Box::new(operand), suffixes)),
        }
    }

    fn selector_or_assertion(&mut self) -> Parsed<Suffix> {
        self.advance();
        if self.at(Kind::Name) {
            return Ok(Suffix::Selector(self.advance().span));
        }
        self.expect(Kind::LeftParen, "a name after the dot")?;
        let asserted = if self.at(Kind::Type) {
            let keyword = self.advance().span;
            self.type_guards.push(keyword);
            None
        } else {
            Some(self.type_()?)
        };
        self.expect(Kind::RightParen, "a \")\" after the type")?;
        Ok(Suffix::Assertion(asserted))
    }

    /// `[index]`, `[T, U]` or `[low:high:max]`.
    fn index_or_slice(&mut self) -> Parsed<Suffix> {
        self.advance();
        let mut list = Vec::new();
        if !self.at(Kind::Colon) {
            list.push(self.bracketed()?);
        }
        let suffix = match self.kind() {
            Kind::Colon => self.slice(list)?,
            _ => self.type_arguments(list)?,
        };
        self.expect(Kind::RightBracket, "a \"]\"")?;
        Ok(suffix)
    }

    /// The further arguments of an instantiation can only be types, unlike the first one, which
    /// may be an index as well.
    fn type_arguments(&mut self, mut list: Vec<Expr>) -> Parsed<Suffix> {
        while self.take(Kind::Comma) {
            if !self.at(Kind::RightBracket) {
                list.push(self.type_()?);
            }
        }
        Ok(Suffix::Index(list))
    }

    fn slice(&mut self, mut list: Vec<Expr>) -> Parsed<Suffix> {
        self.advance();
        if !matches!(self.kind(), Kind::Colon | Kind::RightBracket) {
            list.push(self.bracketed()?);
        } else if self.at(Kind::Colon) {
            return self.unexpected("the middle index of the slice");
        }
        if self.take(Kind::Colon) {
            list.push(self.bracketed()?);
        }
        Ok(Suffix::Slice(list))
    }

    fn call(&mut self, callee: Span) -> Parsed<Suffix> {
        self.advance();
        let mut arguments = Vec::new();
        let mut spread = false;
        while !spread && !self.at(Kind::RightParen) {
            arguments.push(self.bracketed()?);
            spread = self.take(Kind::Ellipsis);
            if !self.comma_before(Kind::RightParen, "a \",\" or \")\" after the argument")? {
                break;
            }
        }
        self.expect(Kind::RightParen, "a \")\" after the arguments")?;
        Ok(Suffix::Call { callee, arguments, spread })
    }

    /// Whether the `{` that follows begins a composite literal of the type read so far.
    fn is_composite(&self, operand: &Expr, last: Option<&Suffix>) -> Parsed<bool> {
        let (innermost, last) = match (operand, last) {
            (Expr::Paren(inside), None) => innermost(inside),
            _ => (operand, last),
        };
        let composite = match (innermost, last) {
            (Expr::Array(..) | Expr::Map(..) | Expr::Struct(_), None) => true,
            (Expr::Name(_), None) | (_, Some(Suffix::Selector(_) | Suffix::Index(_))) => {
                !self.header
            }
            _ => false,
        };
        if composite && matches!(operand, Expr::Paren(_)) && !std::ptr::eq(operand, innermost) {
            return Err(self.fault(
                "the type of a composite literal cannot be in parentheses: write T{…}, not (T){…}",
            ));
        }
        Ok(composite)
    }

    /// `{elements}`
    pub fn literal_value(&mut self) -> Parsed<Vec<Element>> {
        self.enter()?;
        self.expect(Kind::LeftBrace, "a \"{\"")?;
        let mut elements = Vec::new();
        while !self.at(Kind::RightBrace) {
            elements.push(self.element()?);
            if !self.comma_before(Kind::RightBrace, "a \",\" or \"}\" after the element")? {
                break;
            }
        }
        self.expect(Kind::RightBrace, "a \"}\"")?;
        self.leave();
        Ok(elements)
    }

    fn element(&mut self) -> Parsed<Element> {
        let value = self.element_value()?;
        if !self.take(Kind::Colon) {
            return Ok(Element { key: None, value });
        }
        Ok(Element { key: Some(value), value: self.element_value()? })
    }

    fn element_value(&mut self) -> Parsed<Expr> {
        if self.at(Kind::LeftBrace) {
            return Ok(Expr::Elided(self.literal_value()?));
        }
        self.bracketed()
    }

    /// An operand by itself, which may be a type that is written with a keyword or brackets.
    fn operand(&mut self) -> Parsed<Expr> {
        if let Some(kind) = self.kind().literal() {
            return Ok(Expr::Literal(kind, self.advance().span));
        }
        match self.kind() {
            Kind::Name => Ok(Expr::Name(self.advance().span)),
            Kind::LeftParen => {
                self.advance();
                let inside = self.bracketed()?;
                self.expect(Kind::RightParen, "a \")\"")?;
                Ok(Expr::Paren(Box::new(inside)))
            }
            Kind::Func => self.function_or_type(),
            _ => match self.type_or_none()? {
                Some(kind) => Ok(kind),
                None => self.unexpected("an operand"),
            },
        }
    }

    fn function_or_type(&mut self) -> Parsed<Expr> {
        let signature = Box::new(self.function_type()?);
        if !self.at(Kind::LeftBrace) {
            return Ok(Expr::Signature(signature));
        }
        let header = std::mem::replace(&mut self.header, false);
        let body = self.block()?;
        self.header = header;
        Ok(Expr::Function(signature, body))
    }
}

/// What is inside any number of parentheses: the operand, and the last of its suffixes.
fn innermost(mut inside: &Expr) -> (&Expr, Option<&Suffix>) {
    while let Expr::Paren(deeper) = inside {
        inside = deeper;
    }
    match inside {
        Expr::Primary(operand, suffixes) => (operand, suffixes.last()),
        _ => (inside, None),
    }
}
