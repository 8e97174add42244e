//! The parser's cursor over the tokens, which every part of the grammar uses.
//!
//! The grammar itself is spread over `expr` and `operand` (expressions), `types`, `fields` and
//! `params` (types), `stmt`, `control` and `decl` (what is inside function literals). The parser
//! accepts exactly what Go's own parser accepts; the compiler checks the rest.

use super::ast::{Expr, Operator};
use super::error::{CallErrorKind, Fault, Parsed};
use super::span::Span;
use super::token::{Kind, Token};

/// The deepest nesting of brackets, prefix operators, types and statements.
///
/// The parser recurses as deep, and so does what walks the tree: a debug build needs a bit more
/// than a mebibyte of stack for the worst text, half of what a thread has by default. Chains of
/// operators, of selectors and calls, and of `else if` are not nesting.
pub const MAX_DEPTH: usize = 100;

/// The advice for every text that is not one expression.
const ADVICE: &str = "give exactly one Go expression, such as Encode(100.1, 80.9)";

pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token],
    next: usize,
    depth: usize,
    /// True in the header of an `if`, `for` or `switch` and outside all brackets there: a `{`
    /// after a name begins the body then, not a composite literal.
    pub header: bool,
    /// Every `.(type)` that is not (yet) known to be the guard of a type switch.
    pub type_guards: Vec<Span>,
}

/// The tree of a text whose tokens are exactly one expression.
pub(super) fn expression(text: &str, tokens: &[Token]) -> Parsed<Expr> {
    let mut parser =
        Parser { text, tokens, next: 0, depth: 0, header: false, type_guards: Vec::new() };
    let expression = parser.expression()?;
    if parser.kind() != Kind::End {
        let shown = parser.shown();
        return Err(parser.fault(format!("unexpected {shown} after the expression: {ADVICE}")));
    }
    match parser.type_guards.first() {
        Some(&guard) => Err(Fault::syntax(
            guard,
            "\".(type)\" belongs in the header of a type switch: name a type here, as in x.(int)",
        )),
        None => Ok(expression),
    }
}

impl Parser<'_> {
    /// The kind of the next token.
    pub fn kind(&self) -> Kind {
        self.token().kind
    }

    pub fn at(&self, kind: Kind) -> bool {
        self.kind() == kind
    }

    /// True at a written semicolon and at a line end that counts as one.
    pub fn at_semicolon(&self) -> bool {
        matches!(self.kind(), Kind::Semicolon | Kind::Newline)
    }

    pub fn token(&self) -> Token {
        self.tokens[self.next]
    }

    /// Takes the next token; the end stays where it is.
    pub fn advance(&mut self) -> Token {
        let token = self.token();
        if token.kind != Kind::End {
            self.next += 1;
        }
        token
    }

    /// Takes the next token if it is of this kind.
    pub fn take(&mut self, kind: Kind) -> bool {
        let found = self.at(kind);
        if found {
            self.advance();
        }
        found
    }

    pub fn take_semicolon(&mut self) -> bool {
        let found = self.at_semicolon();
        if found {
            self.advance();
        }
        found
    }

    pub fn operator(&mut self) -> Operator {
        let Token { kind, span } = self.advance();
        Operator { kind, span }
    }

    /// Takes a token that must follow here.
    pub fn expect(&mut self, kind: Kind, wanted: &str) -> Parsed<Span> {
        if self.at(kind) { Ok(self.advance().span) } else { self.unexpected(wanted) }
    }

    pub fn name(&mut self, wanted: &str) -> Parsed<Span> {
        self.expect(Kind::Name, wanted)
    }

    /// The end of a statement or field: a semicolon, a line end or a closing bracket.
    pub fn end_of_statement(&mut self) -> Parsed<()> {
        let closed = matches!(self.kind(), Kind::RightParen | Kind::RightBrace);
        if closed || self.take_semicolon() {
            return Ok(());
        }
        self.unexpected("the end of the statement")
    }

    /// Takes the comma after an element of a list; false if the list ends here.
    pub fn comma_before(&mut self, closing: Kind, wanted: &str) -> Parsed<bool> {
        if self.take(Kind::Comma) {
            return Ok(true);
        }
        if self.at(closing) { Ok(false) } else { self.unexpected(wanted) }
    }

    /// Goes one level deeper; every recursion of the grammar passes through here.
    pub fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!(
            "the call is nested more than {MAX_DEPTH} levels deep: simplify the expression"
        );
        Err(Fault::new(CallErrorKind::Limit, self.token().span.start(), message))
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// A fault at the next token.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::syntax(self.token().span, message)
    }

    /// The fault that another token than the wanted one follows.
    pub fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        Err(match self.kind() {
            Kind::End => self.fault(format!("the call ends too early: {wanted} is missing")),
            Kind::Newline => self.fault(format!(
                "the end of the line ends the statement here, but {wanted} is missing: continue \
                 on the same line, or end the line with an operator, a comma or an open bracket"
            )),
            _ => self.fault(format!("unexpected {}, {wanted} is missing: {ADVICE}", self.shown())),
        })
    }

    /// The next token as a message names it.
    fn shown(&self) -> String {
        const LONGEST: usize = 24;
        let token = self.token();
        if token.kind == Kind::Newline {
            return "new line".to_owned();
        }
        let spelled = token.span.of(self.text);
        match spelled.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{:?}", format!("{}…", &spelled[..end])),
            None if spelled.contains('"') => spelled.to_owned(),
            None => format!("\"{spelled}\""),
        }
    }
}
