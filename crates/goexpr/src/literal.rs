//! Numbers, runes and strings: each function checks the literal that begins at a byte of the
//! text and returns its length.

use super::error::{Fault, Parsed};
use super::token::Kind;

/// The kind and length of a number, which begins with a digit or with a dot and a digit.
pub(super) fn number(text: &str, at: usize) -> Parsed<(Kind, usize)> {
    let mut number = NumberScanner { bytes: text.as_bytes(), at, base: Base::Decimal };
    let kind = number.read()?;
    if let Some(misplaced) = misplaced_separator(&text[at..number.at]) {
        return Err(Fault::token(at + misplaced, "'_' can only stand between two digits"));
    }
    Ok((kind, number.at - at))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Binary,
    Octal,
    /// Digits after a leading zero: octal if it turns out to be an integer.
    ZeroOctal,
    Decimal,
    Hexadecimal,
}

struct NumberScanner<'t> {
    bytes: &'t [u8],
    at: usize,
    base: Base,
}

impl NumberScanner<'_> {
    fn read(&mut self) -> Parsed<Kind> {
        self.prefix();
        // The zero that makes a number octal is a digit of it; the one in `0x` is not.
        let (whole, too_large) = self.digits();
        let mut any_digit = whole || self.base == Base::ZeroOctal;
        let mut kind = Kind::Integer;
        if self.skip(b".") {
            if matches!(self.base, Base::Binary | Base::Octal) {
                return Err(Fault::token(self.at - 1, "a binary or octal number has no fraction"));
            }
            kind = Kind::Float;
            any_digit |= self.digits().0;
        }
        if !any_digit {
            return Err(Fault::token(self.at, "this number needs a digit here"));
        }
        if self.exponent(kind == Kind::Float)? {
            kind = Kind::Float;
        }
        if self.skip(b"i") {
            kind = Kind::Imaginary;
        }
        match too_large {
            Some(digit) if kind == Kind::Integer => Err(Fault::token(
                digit,
                "this digit is too large for the number's base: octal numbers begin with 0 or 0o, \
                 binary ones with 0b",
            )),
            _ => Ok(kind),
        }
    }

    fn prefix(&mut self) {
        if !self.skip(b"0") {
            return;
        }
        self.base = if self.skip(b"xX") {
            Base::Hexadecimal
        } else if self.skip(b"oO") {
            Base::Octal
        } else if self.skip(b"bB") {
            Base::Binary
        } else {
            Base::ZeroOctal
        };
    }

    /// Skips digits and separators: whether there was a digit, and the first one that is decimal
    /// but too large for the base (which matters for integers only: `08.5` is a number).
    fn digits(&mut self) -> (bool, Option<usize>) {
        let limit = match self.base {
            Base::Binary => b'2',
            Base::Octal | Base::ZeroOctal => b'8',
            Base::Decimal | Base::Hexadecimal => b'g',
        };
        let mut any = false;
        let mut too_large = None;
        while let Some(&byte) = self.bytes.get(self.at) {
            let is_digit = match self.base {
                Base::Hexadecimal => byte.is_ascii_hexdigit(),
                _ => byte.is_ascii_digit(),
            };
            if !is_digit && byte != b'_' {
                break;
            }
            any |= is_digit;
            if is_digit && byte >= limit {
                too_large = too_large.or(Some(self.at));
            }
            self.at += 1;
        }
        (any, too_large)
    }

    /// Skips an exponent and returns whether there was one.
    fn exponent(&mut self, has_fraction: bool) -> Parsed<bool> {
        let hexadecimal = self.base == Base::Hexadecimal;
        let begin = self.at;
        if self.skip(b"eE") {
            if !matches!(self.base, Base::Decimal | Base::ZeroOctal) {
                return Err(Fault::token(begin, "an 'e' exponent needs a decimal number"));
            }
        } else if self.skip(b"pP") {
            if !hexadecimal {
                return Err(Fault::token(begin, "a 'p' exponent needs a hexadecimal number"));
            }
        } else if hexadecimal && has_fraction {
            return Err(Fault::token(begin, "a hexadecimal fraction needs a 'p' exponent"));
        } else {
            return Ok(false);
        }
        self.skip(b"+-");
        let decimal =
            NumberScanner { bytes: self.bytes, at: self.at, base: Base::Decimal }.digits_end();
        match decimal {
            None => Err(Fault::token(self.at, "the exponent needs a digit")),
            Some(end) => {
                self.at = end;
                Ok(true)
            }
        }
    }

    /// Where the digits end, if there is one.
    fn digits_end(mut self) -> Option<usize> {
        self.digits().0.then_some(self.at)
    }

    /// Skips one byte if it is among these.
    fn skip(&mut self, among: &[u8]) -> bool {
        let found = self.bytes.get(self.at).is_some_and(|byte| among.contains(byte));
        self.at += usize::from(found);
        found
    }
}

/// The first '_' that does not stand between two digits; a base's prefix counts as a digit.
fn misplaced_separator(number: &str) -> Option<usize> {
    let bytes = number.as_bytes();
    let prefixed = matches!(bytes, [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]);
    let hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |at: usize| {
        (prefixed && at == 1)
            || bytes.get(at).is_some_and(|byte| match hexadecimal {
                true => byte.is_ascii_hexdigit(),
                false => byte.is_ascii_digit(),
            })
    };
    let between = |at: usize| at > 0 && is_digit(at - 1) && is_digit(at + 1);
    (0..bytes.len()).find(|&at| bytes[at] == b'_' && !between(at))
}

/// The length of a rune literal, quotes included.
pub(super) fn rune(text: &str, at: usize) -> Parsed<usize> {
    let unfinished = || Fault::token(at, "this rune is not finished: end it with '");
    let first = text[at + 1..].chars().next().ok_or_else(unfinished)?;
    let end = match first {
        '\n' => return Err(unfinished()),
        '\'' => return Err(Fault::token(at, "a rune needs a character between its quotes")),
        '\\' => escape(text, at + 1, b'\'')?,
        other => at + 1 + other.len_utf8(),
    };
    match text.as_bytes().get(end) {
        Some(b'\'') => Ok(end + 1 - at),
        Some(b'\n') | None => Err(unfinished()),
        Some(_) => Err(Fault::token(
            at,
            "a rune is one character in single quotes: use \" for longer strings",
        )),
    }
}

/// The length of an interpreted string, quotes included.
pub(super) fn string(text: &str, begin: usize) -> Parsed<usize> {
    let mut at = begin + 1;
    loop {
        match text.as_bytes().get(at) {
            None | Some(b'\n') => {
                return Err(Fault::token(
                    begin,
                    "this string is not finished: end it with \" on the same line",
                ));
            }
            Some(b'"') => return Ok(at + 1 - begin),
            Some(b'\\') => at = escape(text, at, b'"')?,
            Some(_) => at += 1,
        }
    }
}

/// The length of a raw string, quotes included.
pub(super) fn raw_string(text: &str, begin: usize) -> Parsed<usize> {
    match text[begin + 1..].find('`') {
        Some(length) => Ok(length + 2),
        None => Err(Fault::token(begin, "this raw string is not finished: end it with `")),
    }
}

/// Where the escape sequence ends whose backslash is at `begin`.
fn escape(text: &str, begin: usize, quote: u8) -> Parsed<usize> {
    let (digits, base) = match text.as_bytes().get(begin + 1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\') => return Ok(begin + 2),
        Some(&byte) if byte == quote => return Ok(begin + 2),
        Some(b'0'..=b'7') => (begin + 1..begin + 4, 8),
        Some(b'x') => (begin + 2..begin + 4, 16),
        Some(b'u') => (begin + 2..begin + 6, 16),
        Some(b'U') => (begin + 2..begin + 10, 16),
        _ => {
            return Err(Fault::token(
                begin,
                "unknown escape sequence: write \\\\ for a backslash, or use a raw string",
            ));
        }
    };
    let end = digits.end;
    let width = digits.len();
    // Not from_str_radix on its own: it would take a sign.
    let value = text
        .get(digits)
        .filter(|digits| digits.bytes().all(|byte| char::from(byte).is_digit(base)))
        .and_then(|digits| u32::from_str_radix(digits, base).ok())
        .ok_or_else(|| {
            Fault::token(begin, format!("this escape sequence needs {width} digits of base {base}"))
        })?;
    let valid = if base == 8 { value <= 255 } else { char::from_u32(value).is_some() };
    if !valid {
        return Err(Fault::token(begin, "this escape sequence is no character: choose another"));
    }
    Ok(end)
}
