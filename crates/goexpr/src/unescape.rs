//! The values of string and rune literals. The lexer has checked the literals: a malformed one has
//! no value here.

/// The bytes of a string literal, quotes and all; they need not be text.
pub fn string(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        // Go leaves carriage returns out of raw strings.
        return Some(raw.strip_suffix('`')?.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, remaining) = unit(rest)?;
        match unit {
            Unit::Byte(byte) => bytes.push(byte),
            Unit::Character(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = remaining;
    }
    Some(bytes)
}

/// The code of a rune literal, quotes and all.
pub(super) fn rune(literal: &str) -> Option<u32> {
    let inside = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    match unit(inside)? {
        (Unit::Byte(byte), "") => Some(byte.into()),
        (Unit::Character(c), "") => Some(c.into()),
        _ => None,
    }
}

enum Unit {
    /// By its number, in octal or as `\x`.
    Byte(u8),
    Character(char),
}

/// The first character or escape sequence, and the text after it.
fn unit(text: &str) -> Option<(Unit, &str)> {
    let Some(escape) = text.strip_prefix('\\') else {
        let c = text.chars().next()?;
        return Some((Unit::Character(c), &text[c.len_utf8()..]));
    };
    let first = escape.chars().next()?;
    let simple = match first {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        '\\' | '\'' | '"' => Some(first),
        _ => None,
    };
    if let Some(c) = simple {
        return Some((Unit::Character(c), &escape[1..]));
    }
    let (begin, width, base) = match first {
        '0'..='7' => (0, 3, 8),
        'x' => (1, 2, 16),
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        _ => return None,
    };
    let (digits, remaining) = escape.split_at_checked(begin + width)?;
    let value = u32::from_str_radix(&digits[begin..], base).ok()?;
    let unit = match first {
        'u' | 'U' => Unit::Character(char::from_u32(value)?),
        _ => Unit::Byte(u8::try_from(value).ok()?),
    };
    Some((unit, remaining))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_the_bytes_that_go_makes_of_them() {
        let table: [(&str, &[u8]); 10] = [
            (r#""""#, b""),
            (r#""plain""#, b"plain"),
            (r#""\a\b\f\n\r\t\v\\\"""#, b"\x07\x08\x0c\n\r\t\x0b\\\""),
            (r#""\000\177\377\x00\xfF""#, b"\0\x7f\xff\0\xff"),
            (r#""\u00e9\U0001F600""#, "é😀".as_bytes()),
            (r#""\u65e5本\U00008a9e""#, "日本語".as_bytes()),
            (r#""\xe9é""#, b"\xe9\xc3\xa9"),
            ("`a\\n\r\nb`", b"a\\n\nb"),
            ("`\"`", b"\""),
            (r#""'""#, b"'"),
        ];
        for (literal, expected) in table {
            assert_eq!(string(literal).as_deref(), Some(expected), "{literal}");
        }
    }

    #[test]
    fn runes_are_the_codes_that_go_makes_of_them() {
        let table = [
            ("'a'", 97),
            ("'é'", 0xe9),
            ("'😀'", 0x1f600),
            (r"'\n'", 10),
            (r"'\''", 39),
            (r"'\000'", 0),
            (r"'\377'", 255),
            (r"'\x80'", 128),
            (r"'\u12e4'", 0x12e4),
            (r"'\U00101234'", 0x0010_1234),
            ("'\"'", 34),
        ];
        for (literal, expected) in table {
            assert_eq!(rune(literal), Some(expected), "{literal}");
        }
    }
}
