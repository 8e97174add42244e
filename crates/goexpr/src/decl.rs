//! Declarations in function literals: `var`, `const` and `type`.

use super::ast::{Expr, Operator, Stmt, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::span::Span;
use super::token::Kind;

impl Parser<'_> {
    pub fn declaration(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        let keyword = self.advance().kind;
        if !self.take(Kind::LeftParen) {
            return self.specification(keyword, into);
        }
        while !self.at(Kind::RightParen) {
            self.specification(keyword, into)?;
        }
        self.expect(Kind::RightParen, "a \")\" after the declarations")?;
        self.end_of_statement()
    }

    fn specification(&mut self, keyword: Kind, into: &mut Vec<Stmt>) -> Parsed<()> {
        into.push(match keyword {
            Kind::Type => self.type_specification()?,
            _ => self.values_specification(keyword)?,
        });
        self.end_of_statement()
    }

    /// `names T = values`; a variable needs the type or the values, a constant neither, since it
    /// may repeat the one before.
    fn values_specification(&mut self, keyword: Kind) -> Parsed<Stmt> {
        let mut names = vec![self.name("a name to declare")?];
        while self.take(Kind::Comma) {
            names.push(self.name("a name to declare")?);
        }
        let mut uses = Vec::new();
        if !self.at(Kind::Assign) {
            match self.type_or_none()? {
                Some(kind) => uses.push(kind),
                None if keyword == Kind::Var => return self.unexpected("a type or a value"),
                None => {}
            }
        }
        if self.take(Kind::Assign) {
            uses.append(&mut self.expressions()?);
        }
        Ok(Stmt::Declare { names, uses })
    }

    fn type_specification(&mut self) -> Parsed<Stmt> {
        let name = self.name("a type name")?;
        if !self.take(Kind::LeftBracket) {
            self.take(Kind::Assign);
            let definition = self.type_()?;
            return Ok(Stmt::Type { name, parameters: Vec::new(), definition });
        }
        if !self.at(Kind::Name) {
            let definition = self.array_type(None)?;
            return Ok(Stmt::Type { name, parameters: Vec::new(), definition });
        }
        match self.length_or_parameter()? {
            FirstBracket::Length(length) => {
                let definition = self.array_type(Some(length))?;
                Ok(Stmt::Type { name, parameters: Vec::new(), definition })
            }
            FirstBracket::Parameter(parameter, constraint) => {
                let parameters = self.type_parameters(parameter, constraint)?;
                self.take(Kind::Assign);
                Ok(Stmt::Type { name, parameters, definition: self.type_()? })
            }
        }
    }

    /// What follows `type T [` and begins with a name. `[P * C]` is an array's length, `[P *C,]`
    /// and `[P *[]C]` are type parameters: what can be read as both is a length.
    fn length_or_parameter(&mut self) -> Parsed<FirstBracket> {
        let name = self.advance().span;
        if self.at(Kind::LeftBracket) {
            return Ok(FirstBracket::Parameter(name, None));
        }
        let header = std::mem::replace(&mut self.header, false);
        let operand = self.suffixes(Expr::Name(name), name.start())?;
        let expression = self.binary(operand, 1)?;
        self.header = header;
        if let Expr::Name(name) = expression {
            return Ok(match self.at(Kind::RightBracket) {
                true => FirstBracket::Length(expression),
                false => FirstBracket::Parameter(name, None),
            });
        }
        let certain = self.at(Kind::Comma);
        Ok(match split_parameter(&expression, certain) {
            Some((name, constraint)) => FirstBracket::Parameter(name, Some(constraint)),
            None => FirstBracket::Length(expression),
        })
    }
}

enum FirstBracket {
    /// An array's length.
    Length(Expr),
    /// The name of a type parameter, and its constraint if that has been read.
    Parameter(Span, Option<Expr>),
}

/// An expression read anew as a type parameter and its constraint, if it can be both and
/// `certain`ly is a parameter, or if only a constraint can look like that.
fn split_parameter(expression: &Expr, certain: bool) -> Option<(Span, Expr)> {
    match expression {
        Expr::Binary(first, rest) if rest.iter().all(|(operator, _)| operator.kind == Kind::Or) => {
            let certain = certain || rest.iter().any(|(_, term)| is_constraint(term));
            let (name, first) = split_parameter(first, certain)?;
            let terms = rest.iter().map(|(_, term)| term.clone());
            Some((name, Expr::Union(std::iter::once(first).chain(terms).collect())))
        }
        Expr::Binary(first, rest) => match (&**first, &rest[..]) {
            (Expr::Name(name), [(star @ Operator { kind: Kind::Star, .. }, pointed)])
                if certain || is_constraint(pointed) =>
            {
                Some((*name, Expr::Unary(*star, Box::new(pointed.clone()))))
            }
            _ => None,
        },
        Expr::Primary(operand, suffixes) => match (&**operand, &suffixes[..]) {
            (Expr::Name(name), [Suffix::Call { arguments, spread: false, .. }])
                if arguments.len() == 1 && (certain || is_constraint(&arguments[0])) =>
            {
                Some((*name, Expr::Paren(Box::new(arguments[0].clone()))))
            }
            _ => None,
        },
        _ => None,
    }
}

/// True for what can only be a type or a constraint, not a value.
fn is_constraint(expression: &Expr) -> bool {
    match expression {
        Expr::Array(..) | Expr::Struct(_) | Expr::Signature(_) => true,
        Expr::Interface(_) | Expr::Map(..) | Expr::Channel(..) => true,
        Expr::Binary(first, rest) => {
            is_constraint(first) || rest.iter().any(|(_, operand)| is_constraint(operand))
        }
        Expr::Unary(operator, _) => operator.kind == Kind::Tilde,
        Expr::Paren(inside) => is_constraint(inside),
        _ => false,
    }
}
