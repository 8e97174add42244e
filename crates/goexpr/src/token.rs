//! The tokens of Go: what the lexer makes and the parser reads.

use super::span::Span;

/// The notation of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// `12`, `0x1F`, `0b1`, `0o7`, `1_000`
    Integer,
    /// `1.5`, `1e3`, `0x1p-2`
    Float,
    /// `2i`
    Imaginary,
    /// `'a'`
    Rune,
    /// `"a"`, or raw in back quotes
    String,
}

/// One token and where it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

macro_rules! kinds {
    (
        classes { $($class:ident),* $(,)? }
        keywords { $($keyword:ident $word:literal),* $(,)? }
        operators { $($operator:ident $sign:literal),* $(,)? }
    ) => {
        /// What a token is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Kind {
            $($class,)* $($keyword,)* $($operator,)*
        }

        impl Kind {
            /// The keyword that is spelled like this, or `Name`.
            pub fn of_word(word: &str) -> Kind {
                match word {
                    $($word => Kind::$keyword,)*
                    _ => Kind::Name,
                }
            }

            /// The longest operator that `rest` begins with, and its spelling.
            pub fn of_operator(rest: &str) -> Option<(Kind, &'static str)> {
                const OPERATORS: &[(Kind, &str)] = &[$((Kind::$operator, $sign)),*];
                OPERATORS
                    .iter()
                    .filter(|(_, sign)| rest.starts_with(sign))
                    .max_by_key(|(_, sign)| sign.len())
                    .copied()
            }
        }
    };
}

kinds! {
    classes {
        Name, Integer, Float, Imaginary, Rune, String,
        // A line end that ends a statement by Go's automatic semicolon rule.
        Newline,
        // The end of the text.
        End,
    }
    keywords {
        Break "break", Case "case", Chan "chan", Const "const", Continue "continue",
        Default "default", Defer "defer", Else "else", Fallthrough "fallthrough", For "for",
        Func "func", Go "go", Goto "goto", If "if", Import "import", Interface "interface",
        Map "map", Package "package", Range "range", Return "return", Select "select",
        Struct "struct", Switch "switch", Type "type", Var "var",
    }
    operators {
        Plus "+", Minus "-", Star "*", Slash "/", Percent "%",
        And "&", Or "|", Caret "^", ShiftLeft "<<", ShiftRight ">>", AndNot "&^",
        PlusAssign "+=", MinusAssign "-=", StarAssign "*=", SlashAssign "/=", PercentAssign "%=",
        AndAssign "&=", OrAssign "|=", CaretAssign "^=", ShiftLeftAssign "<<=",
        ShiftRightAssign ">>=", AndNotAssign "&^=",
        AndAnd "&&", OrOr "||", Arrow "<-", Increment "++", Decrement "--",
        Equal "==", Less "<", Greater ">", Assign "=", Not "!", Tilde "~",
        NotEqual "!=", LessEqual "<=", GreaterEqual ">=", Define ":=", Ellipsis "...",
        LeftParen "(", LeftBracket "[", LeftBrace "{",
        RightParen ")", RightBracket "]", RightBrace "}",
        Comma ",", Dot ".", Semicolon ";", Colon ":",
    }
}

impl Kind {
    /// True if a line that ends after this token ends the statement.
    pub fn ends_statement(self) -> bool {
        use Kind::*;
        matches!(self, Name | Break | Continue | Fallthrough | Return | Increment | Decrement)
            || matches!(self, RightParen | RightBracket | RightBrace)
            || self.literal().is_some()
    }

    /// The notation, for numbers, runes and strings.
    pub fn literal(self) -> Option<LiteralKind> {
        match self {
            Kind::Integer => Some(LiteralKind::Integer),
            Kind::Float => Some(LiteralKind::Float),
            Kind::Imaginary => Some(LiteralKind::Imaginary),
            Kind::Rune => Some(LiteralKind::Rune),
            Kind::String => Some(LiteralKind::String),
            _ => None,
        }
    }

    /// True for the operators that may stand before an operand.
    pub fn is_unary(self) -> bool {
        use Kind::*;
        matches!(self, Plus | Minus | Not | Caret | And | Tilde | Star | Arrow)
    }

    /// How tightly a binary operator binds, from 1 (`||`) to 5 (`*`).
    pub fn precedence(self) -> Option<u8> {
        use Kind::*;
        match self {
            OrOr => Some(1),
            AndAnd => Some(2),
            Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual => Some(3),
            Plus | Minus | Or | Caret => Some(4),
            Star | Slash | Percent | ShiftLeft | ShiftRight | And | AndNot => Some(5),
            _ => None,
        }
    }

    /// True for `=`, `:=` and the assigning operators.
    pub fn is_assignment(self) -> bool {
        use Kind::*;
        matches!(self, Define | Assign | PlusAssign | MinusAssign | StarAssign | SlashAssign)
            || matches!(self, PercentAssign | AndAssign | OrAssign | CaretAssign)
            || matches!(self, ShiftLeftAssign | ShiftRightAssign | AndNotAssign)
    }
}
