//! The tree of a parsed call.
//!
//! Expressions and types share one tree, as they share their notation: whether `A[B](c)` is a
//! call or a conversion only the compiler knows. What repeats without brackets (`a.b().c`,
//! `a + b + c`) is a flat list here, so the tree is never deeper than the nesting that the parser
//! allows. Statements, which exist only inside function literals, are kept only as far as the
//! scopes of names need them.

pub use super::span::Span;
use super::token::Kind;
pub use super::token::LiteralKind;

/// An expression or a type.
#[derive(Clone, Debug)]
pub enum Expr {
    /// An identifier.
    Name(Span),
    /// A number, rune or string.
    Literal(LiteralKind, Span),
    /// A function literal.
    Function(Box<Signature>, Vec<Stmt>),
    /// `(operand)`
    Paren(Box<Expr>),
    /// `-operand`, `*pointed`, `&addressed`, `<-received`, `~constraint`
    Unary(Operator, Box<Expr>),
    /// `first + second - third`: a chain of operators of one precedence, applied left to right.
    Binary(Box<Expr>, Vec<(Operator, Expr)>),
    /// An operand and what is applied to it, left to right: `Name.selector[index](argument){…}`
    Primary(Box<Expr>, Vec<Suffix>),
    /// A composite literal without its type, inside another one.
    Elided(Vec<Element>),
    /// `[]element`, `[length]element`, `[...]element`
    Array(Length, Box<Expr>),
    /// `map[key]value`
    Map(Box<Expr>, Box<Expr>),
    /// `chan element`
    Channel(Direction, Box<Expr>),
    /// `func(...) ...` without a body
    Signature(Box<Signature>),
    /// `struct{ ... }`
    Struct(Vec<Field>),
    /// `interface{ ... }`
    Interface(Vec<InterfaceElement>),
    /// `A | ~B`, the terms of a type constraint
    Union(Vec<Expr>),
    /// `...T`, the type of a final parameter
    Variadic(Box<Expr>),
}

/// An operator and its place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    pub(super) kind: Kind,
    /// The place of the operator.
    pub span: Span,
}

/// An operation that follows an operand.
#[derive(Clone, Debug)]
pub enum Suffix {
    /// `.name`
    Selector(Span),
    /// `.(T)`, or `.(type)` as `None`
    Assertion(Option<Expr>),
    /// `[index]`, `[T, U]`
    Index(Vec<Expr>),
    /// `[low:high:max]`, without the indices that are left out
    Slice(Vec<Expr>),
    /// `(arguments)`; `spread` if `...` follows the last argument
    Call {
        /// The called function: all text before the bracket, white space included.
        callee: Span,
        /// The arguments in order.
        arguments: Vec<Expr>,
        /// True for `f(list...)`.
        spread: bool,
    },
    /// `{elements}`: the operand before is the type of a composite literal.
    Composite {
        /// The type: all text before the brace, white space included.
        kind: Span,
        /// The elements in order.
        elements: Vec<Element>,
    },
}

/// `value` or `key: value` in a composite literal.
#[derive(Clone, Debug)]
pub struct Element {
    /// The key, if there is one.
    pub key: Option<Expr>,
    /// The value.
    pub value: Expr,
}

/// The length of an array type.
#[derive(Clone, Debug)]
pub enum Length {
    /// `[]`
    Slice,
    /// `[...]`
    Counted,
    /// `[n]`
    Given(Box<Expr>),
}

/// The direction of a channel type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `chan T`
    Both,
    /// `chan<- T`
    Send,
    /// `<-chan T`
    Receive,
}

/// The parameters and results of a function type.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// The parameters, those of one type together.
    pub parameters: Vec<Field>,
    /// The results, those of one type together.
    pub results: Vec<Field>,
}

/// Parameters, results or struct fields of one type; without names, one unnamed.
#[derive(Clone, Debug)]
pub struct Field {
    /// The names before the type.
    pub names: Vec<Span>,
    /// The type.
    pub kind: Expr,
}

/// An element of an interface type.
#[derive(Clone, Debug)]
pub enum InterfaceElement {
    /// `Name(...) ...`
    Method(Span, Signature),
    /// An embedded interface or a union of types.
    Embedded(Expr),
}

/// A statement in the body of a function literal, reduced to what it evaluates and declares.
///
/// Control statements become blocks: `if a := f(); a {…}` is a block of a definition, a use of `a`
/// and the block of the body. Labels are left out, because scopes of names do not depend on them.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// Evaluates expressions.
    Use(Vec<Expr>),
    /// Evaluates `values`, then declares each of the `targets` that is a name (`:=`).
    Define {
        /// The left side.
        targets: Vec<Expr>,
        /// The right side.
        values: Vec<Expr>,
    },
    /// Evaluates the type and the values, then declares the names (`var`, `const`).
    Declare {
        /// The names to declare.
        names: Vec<Span>,
        /// The type, if written, and the values.
        uses: Vec<Expr>,
    },
    /// Declares a type, which its own definition may already name.
    Type {
        /// The name to declare.
        name: Span,
        /// Its type parameters.
        parameters: Vec<Field>,
        /// The type on the right side.
        definition: Expr,
    },
    /// Statements in a scope of their own.
    Block(Vec<Stmt>),
}
