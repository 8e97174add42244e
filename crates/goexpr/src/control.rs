//! Statements that control the flow: `if`, `for`, `switch` and `select`.
//!
//! Each becomes a block that holds what its header declares and a block for each of its bodies,
//! which are the scopes that Go gives to them.

use super::ast::{Expr, Stmt, Suffix};
use super::error::Parsed;
use super::parse::Parser;
use super::stmt::{Position, SimpleStatement, is_last};
use super::token::Kind;

impl Parser<'_> {
    /// An `if` with all its `else if`s: nothing follows the innermost scope, so one block does.
    pub fn if_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        let mut chain = Vec::new();
        loop {
            self.advance();
            let outside = std::mem::replace(&mut self.header, true);
            self.if_header(&mut chain)?;
            self.header = outside;
            chain.push(Stmt::Block(self.block()?));
            if !self.take(Kind::Else) {
                break;
            }
            if !self.at(Kind::If) {
                chain.push(Stmt::Block(self.block()?));
                break;
            }
        }
        into.push(Stmt::Block(chain));
        self.end_of_statement()
    }

    fn if_header(&mut self, chain: &mut Vec<Stmt>) -> Parsed<()> {
        let mut condition = None;
        if !self.at_semicolon() {
            condition = Some(self.simple(Position::Header)?);
        }
        if !self.at(Kind::LeftBrace) {
            chain.extend(condition.take().and_then(SimpleStatement::into_stmt));
            if !self.take_semicolon() {
                return self.unexpected("a \"{\" or \";\" after the condition");
            }
            condition = Some(self.simple(Position::Header)?);
        }
        self.only_expression(condition, "a condition", chain)
    }

    /// What a header has to have in the place of an expression, if it has anything there.
    fn only_expression(
        &mut self,
        found: Option<SimpleStatement>,
        wanted: &str,
        into: &mut Vec<Stmt>,
    ) -> Parsed<()> {
        match found {
            None => Ok(()),
            Some(SimpleStatement::Expression(expression)) => {
                into.push(Stmt::Use(vec![expression]));
                Ok(())
            }
            Some(_) => Err(self.fault(format!(
                "the header before this has a statement instead of {wanted}: put a composite \
                 literal there into parentheses, and a statement before a \";\""
            ))),
        }
    }

    pub fn for_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        self.advance();
        let mut inside = Vec::new();
        if !self.at(Kind::LeftBrace) {
            let outside = std::mem::replace(&mut self.header, true);
            self.for_header(&mut inside)?;
            self.header = outside;
        }
        inside.push(Stmt::Block(self.block()?));
        into.push(Stmt::Block(inside));
        self.end_of_statement()
    }

    fn for_header(&mut self, inside: &mut Vec<Stmt>) -> Parsed<()> {
        if self.take(Kind::Range) {
            inside.push(Stmt::Use(vec![self.expression()?]));
            return Ok(());
        }
        let mut condition = None;
        if !self.at_semicolon() {
            match self.simple(Position::ForHeader)? {
                SimpleStatement::Range(clause) => {
                    inside.push(clause);
                    return Ok(());
                }
                first => condition = Some(first),
            }
        }
        let mut post = None;
        if self.take_semicolon() {
            inside.extend(condition.take().and_then(SimpleStatement::into_stmt));
            if !self.at_semicolon() {
                condition = Some(self.simple(Position::Header)?);
            }
            self.end_of_statement()?;
            if !self.at(Kind::LeftBrace) {
                post = self.simple(Position::Header)?.into_stmt();
            }
        }
        self.only_expression(condition, "a condition", inside)?;
        inside.extend(post);
        Ok(())
    }

    pub fn switch_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        self.advance();
        let mut inside = Vec::new();
        if !self.at(Kind::LeftBrace) {
            let outside = std::mem::replace(&mut self.header, true);
            self.switch_header(&mut inside)?;
            self.header = outside;
        }
        self.clauses(&mut inside, |parser| Ok(vec![Stmt::Use(parser.expressions()?)]))?;
        into.push(Stmt::Block(inside));
        self.end_of_statement()
    }

    fn switch_header(&mut self, inside: &mut Vec<Stmt>) -> Parsed<()> {
        let mut tag = None;
        if !self.at_semicolon() {
            tag = Some(self.simple(Position::Header)?);
        }
        if self.take_semicolon() {
            inside.extend(tag.take().and_then(SimpleStatement::into_stmt));
            if !self.at(Kind::LeftBrace) {
                tag = Some(self.simple(Position::Header)?);
            }
        }
        if tag.as_ref().is_some_and(is_type_guard) {
            self.type_guards.pop();
            inside.extend(tag.and_then(SimpleStatement::into_stmt));
            return Ok(());
        }
        self.only_expression(tag, "an expression", inside)
    }

    pub fn select_statement(&mut self, into: &mut Vec<Stmt>) -> Parsed<()> {
        self.advance();
        let mut inside = Vec::new();
        self.clauses(&mut inside, Self::communication)?;
        into.push(Stmt::Block(inside));
        self.end_of_statement()
    }

    /// `ch <- value`, `<-ch`, `v = <-ch` or `v, ok := <-ch`
    fn communication(&mut self) -> Parsed<Vec<Stmt>> {
        let mut left = self.expressions()?;
        let operator = self.kind();
        let most = match operator {
            Kind::Assign | Kind::Define => 2,
            _ => 1,
        };
        if left.len() > most {
            return self.unexpected("a single send or receive");
        }
        if !matches!(operator, Kind::Assign | Kind::Define | Kind::Arrow) {
            return Ok(vec![Stmt::Use(left)]);
        }
        self.advance();
        let value = self.expression()?;
        if operator == Kind::Define {
            return Ok(vec![Stmt::Define { targets: left, values: vec![value] }]);
        }
        left.push(value);
        Ok(vec![Stmt::Use(left)])
    }

    /// The body of a `switch` or `select`; `case` reads what stands between `case` and the colon.
    fn clauses(
        &mut self,
        into: &mut Vec<Stmt>,
        case: impl Fn(&mut Self) -> Parsed<Vec<Stmt>>,
    ) -> Parsed<()> {
        self.expect(Kind::LeftBrace, "a \"{\"")?;
        while !self.at(Kind::RightBrace) {
            let mut clause = Vec::new();
            if self.take(Kind::Case) {
                clause = case(self)?;
            } else {
                self.expect(Kind::Default, "\"case\", \"default\" or a \"}\"")?;
            }
            self.expect(Kind::Colon, "a \":\" after the case")?;
            clause.append(&mut self.statements()?);
            into.push(Stmt::Block(clause));
        }
        self.expect(Kind::RightBrace, "a \"}\"")?;
        Ok(())
    }
}

/// `x.(type)` or `name := x.(type)`
fn is_type_guard(simple: &SimpleStatement) -> bool {
    let guard = |expression| is_last(expression, |last| matches!(last, Suffix::Assertion(None)));
    let single = |list: &[Expr]| list.len() == 1;
    match simple {
        SimpleStatement::Expression(expression) => guard(expression),
        SimpleStatement::Other(Stmt::Define { targets, values }) => {
            single(targets) && single(values) && guard(&values[0])
        }
        _ => false,
    }
}
