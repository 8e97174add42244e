//! Harm done to valid calls: to their tokens, their white space and their bytes.

use super::Random;

/// What is put among the tokens, besides copies of the text's own.
const TOKENS: &[&str] = &[
    ")",
    "(",
    "]",
    "[",
    "}",
    "{",
    ";",
    ",",
    "\n",
    "...",
    ".",
    ":",
    "=",
    ":=",
    "==",
    "++",
    "--",
    "<-",
    "~",
    "|",
    "*",
    "&",
    "!",
    "chan",
    "map",
    "func",
    "struct",
    "interface",
    "type",
    "var",
    "const",
    "if",
    "else",
    "for",
    "range",
    "switch",
    "select",
    "case",
    "default",
    "go",
    "defer",
    "return",
    "break",
    "continue",
    "goto",
    "fallthrough",
    "import",
    "package",
    "x",
    "A",
    "_",
    "1",
    "1.",
    "0x",
    "\"s\"",
    "'r'",
    "`raw`",
    "//",
    "/*",
    "*/",
    "/* c */",
    "// c\n",
    "\r",
    "\t",
    "{{",
    "}}",
    "\"",
    "'",
    "`",
    "\\",
    "\u{0}",
    "\u{feff}",
    "é",
    "²",
    "٣",
    "“",
    "\u{a0}",
    "(type)",
    ".(type)",
    "//line x:1",
    "/*line x:1:1*/",
    "; os.Exit(0)",
    ")); os.Exit(0",
    "int",
    "nil",
    "$",
    "#",
    "@",
    "?",
    "\u{2028}",
    "%",
    "/",
    "\u{fffd}",
    "ǅ",
    "Ⅷ",
    "Ⓐ",
];

/// What is put among the bytes.
const CHARACTERS: &[&str] = &[
    "0", "1", "9", "_", "e", "E", "p", "x", "X", "o", "b", "i", "f", "+", "-", ".", "\\", "\"",
    "'", "`", "\n", "\r", " ", "/", "*", "n", "u", "U", "{", "}", "(", ")", "[", "]", ",", ";",
    ":", "=", "<", ">", "&", "|", "^", "~", "!", "%", "A", "a", "é", "世", "\u{0}", "\u{feff}",
];

/// The text of these tokens after some harm, or none.
pub fn text(random: &mut Random, mut tokens: Vec<String>) -> String {
    let harm = [0, 0, 0, 0, 1, 1, 1, 1, 2, 3][random.below(10)];
    for _ in 0..harm {
        harm_tokens(random, &mut tokens);
    }
    let mut text = join(random, &tokens);
    if random.percent(15) {
        for _ in 0..1 + random.below(2) {
            harm_bytes(random, &mut text);
        }
    }
    text
}

fn harm_tokens(random: &mut Random, tokens: &mut Vec<String>) {
    let at = random.below(tokens.len() + 1);
    let other = random.below(tokens.len() + 1);
    match random.below(6) {
        0 if at < tokens.len() => {
            tokens.remove(at);
        }
        1 if at < tokens.len() => tokens.insert(other, tokens[at].clone()),
        2 if at < tokens.len() && other < tokens.len() => tokens.swap(at, other),
        3 if at < tokens.len() => tokens[at] = random.pick(TOKENS).to_owned(),
        4 if at + 1 < tokens.len() => {
            // A stretch of tokens: from half a bracket to whole statements.
            let end = at + 1 + random.below((tokens.len() - at).min(6));
            tokens.drain(at..end.min(tokens.len()));
        }
        _ => tokens.insert(at, random.pick(TOKENS).to_owned()),
    }
}

/// Puts tokens together so that most of them stay apart.
fn join(random: &mut Random, tokens: &[String]) -> String {
    let dense = random.percent(30);
    let mut text = String::new();
    for token in tokens {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let clash = text.ends_with(is_word) && token.starts_with(is_word);
        let space = match random.below(200) {
            0 => "\n",
            1 => "\t",
            2 => "\r\n",
            3 => "",
            _ if dense && !clash => "",
            _ => " ",
        };
        text.push_str(space);
        text.push_str(token);
    }
    text
}

fn harm_bytes(random: &mut Random, text: &mut String) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    if places.is_empty() {
        return;
    }
    let at = places[random.below(places.len())];
    match random.below(3) {
        0 => {
            text.remove(at);
        }
        1 => text.insert_str(at, random.pick(CHARACTERS)),
        _ => {
            text.remove(at);
            text.insert_str(at, random.pick(CHARACTERS));
        }
    }
}
