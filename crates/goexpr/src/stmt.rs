//! Statements, which exist only in the bodies of function literals.

use super::ast::{Expr, Stmt, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::token::Kind;

/// Where a simple statement stands, which decides what it can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// In a list of statements, where it can be a label.
    List,
    /// First in the header of a `for`, where it can be a range clause.
    ForHeader,
    /// Elsewhere in a header.
    Header,
}

/// A simple statement, as far as its surroundings need to know what it is.
pub(super) enum SimpleStatement {
    Expression(Expr),
    Label,
    Range(Stmt),
    Other(Stmt),
}

impl SimpleStatement {
    pub fn into_stmt(self) -> Option<Stmt> {
        match self {
            SimpleStatement::Expression(expression) => Some(Stmt::Use(vec![expression])),
            SimpleStatement::Label => None,
            SimpleStatement::Range(stmt) | SimpleStatement::Other(stmt) => Some(stmt),
        }
    }
}

impl Parser<'_> {
    /// `{ statements }`
    pub fn block(&mut self) -> Parsed<Vec<Stmt>> {
        self.expect(Kind::LeftBrace, "a \"{\"")?;
        let statements = self.statements()?;
        self.expect(Kind::RightBrace, "a \"}\"")?;
        Ok(statements)
    }

    /// The statements up to the end of a block or the next clause of a switch or select.
    pub fn statements(&mut self) -> Parsed<Vec<Stmt>> {
        let mut statements = Vec::new();
        while !matches!(self.kind(), Kind::RightBrace | Kind::Case | Kind::Default | Kind::End) {
            self.enter()?;
            self.statement(&mut statements)?;
            self.leave();
        }
        Ok(statements)
    }

    fn statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        match self.kind() {
            Kind::Const | Kind::Var | Kind::Type => self.declaration(into),
            Kind::Go | Kind::Defer => self.go_or_defer(into),
            Kind::Return => self.return_statement(into),
            Kind::Break | Kind::Continue | Kind::Goto | Kind::Fallthrough => self.branch(),
            Kind::LeftBrace => {
                into.push(Stmt::Block(self.block()?));
                self.end_of_statement()
            }
            Kind::If => self.if_statement(into),
            Kind::Switch => self.switch_statement(into),
            Kind::Select => self.select_statement(into),
            Kind::For => self.for_statement(into),
            Kind::Semicolon | Kind::Newline => {
                self.advance();
                Ok(())
            }
            Kind::Tilde => self.unexpected("a statement"),
            _ => self.simple_statement(into),
        }
    }

    /// A simple statement in a list, after any number of labels.
    fn simple_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        match self.simple(Position::List)? {
            SimpleStatement::Label if self.at(Kind::RightBrace) => Ok(()),
            SimpleStatement::Label => {
                self.enter()?;
                self.statement(into)?;
                self.leave();
                Ok(())
            }
            other => {
                into.extend(other.into_stmt());
                self.end_of_statement()
            }
        }
    }

    /// An expression, assignment, definition, send, increment, label or range clause.
    pub fn simple(&mut self, place: Position) -> Parsed<SimpleStatement> {
        let mut left = self.expressions()?;
        if self.kind().is_assignment() {
            return self.assignment(left, place);
        }
        if left.len() > 1 {
            return self.unexpected("an assignment after the list");
        }
        match self.kind() {
            Kind::Colon if place == Position::List && matches!(left[0], Expr::Name(_)) => {
                self.advance();
                Ok(SimpleStatement::Label)
            }
            Kind::Arrow => {
                self.advance();
                left.push(self.expression()?);
                Ok(SimpleStatement::Other(Stmt::Use(left)))
            }
            Kind::Increment | Kind::Decrement => {
                self.advance();
                Ok(SimpleStatement::Other(Stmt::Use(left)))
            }
            _ => Ok(SimpleStatement::Expression(left.remove(0))),
        }
    }

    fn assignment(&mut self, mut left: Vec<Expr>, place: Position) -> Parsed<SimpleStatement> {
        let operator = self.advance().kind;
        let ranges = place == Position::ForHeader
            && matches!(operator, Kind::Define | Kind::Assign)
            && self.at(Kind::Range);
        let mut values = if ranges {
            if left.len() > 2 {
                return Err(self.fault("a range gives at most two values: name one or two"));
            }
            self.advance();
            vec![self.expression()?]
        } else {
            self.expressions()?
        };
        let stmt = if operator == Kind::Define {
            Stmt::Define { targets: left, values }
        } else {
            left.append(&mut values);
            Stmt::Use(left)
        };
        Ok(if ranges { SimpleStatement::Range(stmt) } else { SimpleStatement::Other(stmt) })
    }

    fn go_or_defer(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        self.advance();
        let at = self.token().span;
        let expression = self.expression()?;
        if !is_last(&expression, |suffix| matches!(suffix, Suffix::Call { .. })) {
            let message = "\"go\" and \"defer\" need a function call that is not in parentheses";
            return Err(super::error::Fault::syntax(at, message));
        }
        into.push(Stmt::Use(vec![expression]));
        self.end_of_statement()
    }

    fn return_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        self.advance();
        if !self.at_semicolon() && !self.at(Kind::RightBrace) {
            into.push(Stmt::Use(self.expressions()?));
        }
        self.end_of_statement()
    }

    /// `break`, `continue`, `goto` or `fallthrough` with its label.
    fn branch(&mut self) -> Parsed<()> {
        match self.advance().kind {
            Kind::Goto => {
                self.name("a label after goto")?;
            }
            Kind::Break | Kind::Continue => {
                self.take(Kind::Name);
            }
            _ => {}
        }
        self.end_of_statement()
    }
}

/// Whether what is applied last in an expression is such a suffix.
pub(super) fn is_last(expression: &Expr, wanted: impl Fn(&Suffix) -> bool) -> bool {
    matches!(expression, Expr::Primary(_, suffixes) if suffixes.last().is_some_and(wanted))
}
