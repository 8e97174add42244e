//! Packages whose functions take parameters of random types, and calls of them with random
//! literals.

use std::fmt::Write;

#[path = "../call_support/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod call_support;

use call_support::Random;

const FUNCTIONS: usize = 16;
const CALLS: usize = 16;
/// Of a hundred constants, the ones that are of any kind instead of one that fits.
const WRONG: usize = 4;

#[derive(Clone)]
enum Kind {
    Signed(u32, String),
    Unsigned(u32, String),
    Float(&'static str),
    Complex(&'static str),
    Text(&'static str),
    Bool(&'static str),
    Any,
    Function,
    Slice(Box<Kind>),
    Array(usize, Box<Kind>),
    Map(Box<Kind>, Box<Kind>),
    Struct(String, Vec<(String, Kind)>),
    Pointer(String, Vec<(String, Kind)>),
}

/// The source of a package of functions, and calls.
pub fn package(seed: u64) -> (String, Vec<String>) {
    let mut random = Random::new(seed);
    let mut source =
        "package random\n\ntype Text string\ntype Truth bool\ntype Number float64\n\n".to_owned();
    let mut calls = Vec::new();
    for number in 0..FUNCTIONS {
        let mut structs = Vec::new();
        let count = 1 + random.below(3);
        let kinds: Vec<Kind> =
            (0..count).map(|_| kind(&mut random, 3, &mut structs, number)).collect();
        let variadic = random.percent(25);
        for (name, fields) in structs {
            let fields: String =
                fields.iter().map(|(name, kind)| format!("\t{name} {}\n", text(kind))).collect();
            let _ = writeln!(source, "type {name} struct {{\n{fields}}}\n");
        }
        let last = kinds.len() - 1;
        let dots = |at: usize| if variadic && at == last { "..." } else { "" };
        let parameters: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| format!("a{at} {}{}", dots(at), text(kind)))
            .collect();
        let names: Vec<_> = (0..kinds.len()).map(|at| format!("a{at}")).collect();
        let _ = writeln!(
            source,
            "func F{number}({}) string {{ return Dump({}) }}\n",
            parameters.join(", "),
            names.join(", ")
        );
        for _ in 0..CALLS {
            let mut arguments: Vec<_> =
                kinds.iter().map(|kind| value(&mut random, kind, false)).collect();
            if variadic {
                let more = random.below(3);
                arguments.extend((0..more).map(|_| value(&mut random, &kinds[last], false)));
                if random.percent(20) {
                    arguments.truncate(last);
                    let list = Kind::Slice(Box::new(kinds[last].clone()));
                    arguments.push(format!("{}...", value(&mut random, &list, false)));
                }
            }
            calls.push(format!("F{number}({})", arguments.join(", ")));
        }
    }
    (source, calls)
}

fn kind(
    random: &mut Random,
    depth: usize,
    structs: &mut Vec<(String, Vec<(String, Kind)>)>,
    number: usize,
) -> Kind {
    let composite = depth > 0 && random.percent(55);
    if !composite {
        let bits = [8, 16, 32, 64][random.below(4)];
        return match random.below(10) {
            0 => Kind::Signed(64, "int".into()),
            1 => Kind::Signed(bits, format!("int{bits}")),
            2 | 3 => Kind::Unsigned(bits, format!("uint{bits}")),
            4 => Kind::Float(random.pick(&["float32", "float64", "Number"]).to_owned().leak()),
            5 => Kind::Complex(["complex64", "complex128"][random.below(2)]),
            6 | 7 => Kind::Text(["string", "Text"][random.below(2)]),
            8 => Kind::Bool(["bool", "Truth"][random.below(2)]),
            _ if random.percent(80) => Kind::Any,
            _ => Kind::Function,
        };
    }
    let mut inner = |random: &mut Random| kind(random, depth - 1, structs, number);
    match random.below(5) {
        0 => Kind::Slice(Box::new(inner(random))),
        1 => Kind::Array(1 + random.below(3), Box::new(inner(random))),
        2 => {
            let key = match random.below(3) {
                0 => Kind::Text("string"),
                1 => Kind::Array(2, Box::new(Kind::Unsigned(8, "uint8".into()))),
                _ => Kind::Signed(16, "int16".into()),
            };
            Kind::Map(Box::new(key), Box::new(inner(random)))
        }
        which => {
            let count = random.below(4);
            let fields: Vec<_> = (0..count).map(|at| (format!("A{at}"), inner(random))).collect();
            let name = format!("S{number}x{}", structs.len());
            structs.push((name.clone(), fields.clone()));
            if which == 3 { Kind::Struct(name, fields) } else { Kind::Pointer(name, fields) }
        }
    }
}

fn text(kind: &Kind) -> String {
    match kind {
        Kind::Signed(_, name) | Kind::Unsigned(_, name) | Kind::Struct(name, _) => name.clone(),
        Kind::Float(name) | Kind::Complex(name) | Kind::Text(name) | Kind::Bool(name) => {
            (*name).to_owned()
        }
        Kind::Any => "any".into(),
        Kind::Function => "func(int) bool".into(),
        Kind::Slice(element) => format!("[]{}", text(element)),
        Kind::Array(length, element) => format!("[{length}]{}", text(element)),
        Kind::Map(key, value) => format!("map[{}]{}", text(key), text(value)),
        Kind::Pointer(name, _) => format!("*{name}"),
    }
}

/// A literal for a parameter or an element, whose type may be left out.
fn value(random: &mut Random, kind: &Kind, element: bool) -> String {
    let elided = element && random.percent(70);
    match kind {
        _ if random.percent(WRONG) => constant(random),
        Kind::Signed(bits, _) => {
            let limit = 1i128 << (bits - 1);
            let value = (i128::from(random.next()) % (2 * limit)) - limit;
            let value = [value, limit - 1, -limit, value % 100, 0][random.below(5)];
            integer(random, value)
        }
        Kind::Unsigned(bits, _) => {
            let limit = 1i128 << bits;
            let value = i128::from(random.next()) % limit;
            let value = [value, limit - 1, value % 100, 0][random.below(4)];
            integer(random, value)
        }
        Kind::Float("float32") => float(random, 38),
        Kind::Float(_) => float(random, 308),
        Kind::Complex(name) => {
            let float = float(random, if *name == "complex64" { 38 } else { 308 });
            let imaginary = random.percent(50) && !float.contains(['x', '\'']);
            if imaginary { format!("{float}i") } else { float }
        }
        Kind::Text(_) => string(random),
        Kind::Bool(_) => random.pick(&["true", "false"]).to_owned(),
        Kind::Any if random.percent(30) => {
            let inner = Kind::Slice(Box::new(Kind::Any));
            value(random, &inner, false)
        }
        Kind::Any => constant(random),
        Kind::Function => "nil".into(),
        Kind::Slice(_) | Kind::Map(..) if !elided && random.percent(15) => "nil".into(),
        Kind::Slice(inner) => {
            let count = random.below(4);
            let elements = elements(random, inner, count);
            format!("{}{{{elements}}}", if elided { String::new() } else { text(kind) })
        }
        Kind::Array(length, inner) => {
            let count = random.below(length + 1);
            let elements = elements(random, inner, count);
            let counted = !elided && count == *length && random.percent(30);
            let name = if elided { String::new() } else { text(kind) };
            let name = if counted { name.replacen(&length.to_string(), "...", 1) } else { name };
            format!("{name}{{{elements}}}")
        }
        Kind::Map(key, inner) => {
            let count = random.below(4);
            let entries: Vec<_> = (0..count)
                .map(|_| format!("{}: {}", value(random, key, true), value(random, inner, true)))
                .collect();
            format!("{}{{{}}}", if elided { String::new() } else { text(kind) }, entries.join(", "))
        }
        Kind::Pointer(..) if random.percent(15) => "nil".into(),
        Kind::Struct(name, fields) | Kind::Pointer(name, fields) => {
            let named = random.percent(60);
            let mut parts = Vec::new();
            for (name, kind) in fields {
                if !named {
                    parts.push(value(random, kind, false));
                } else if random.percent(60) {
                    parts.push(format!("{name}: {}", value(random, kind, false)));
                }
            }
            let address = if matches!(kind, Kind::Pointer(..)) { "&" } else { "" };
            let kind = if elided { String::new() } else { format!("{address}{name}") };
            format!("{kind}{{{}}}", parts.join(", "))
        }
    }
}

fn elements(random: &mut Random, kind: &Kind, count: usize) -> String {
    let mut parts = Vec::new();
    for at in 0..count {
        let key = if random.percent(10) { format!("{at}: ") } else { String::new() };
        parts.push(format!("{key}{}", value(random, kind, true)));
    }
    parts.join(", ")
}

/// An integer in one of its notations.
fn integer(random: &mut Random, value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    match random.below(9) {
        0 => format!("{sign}0x{size:x}"),
        1 => format!("{sign}0b{size:b}"),
        2 => format!("{sign}0{size:o}"),
        3 => format!("{sign}{size}.0"),
        4 => format!("{sign}{size}0e-1"),
        5 => format!("{sign}(0x{size:X}p0)"),
        6 if size < 0xd800 => format!("{sign}'\\u{size:04x}'"),
        7 => format!("-(-({sign}{size}))"),
        _ => format!("{sign}{size}"),
    }
}

/// A number that floats of so many decimal digits before the point mostly hold.
fn float(random: &mut Random, largest: usize) -> String {
    let sign = random.pick(&["", "", "-"]).to_owned();
    let bits = random.next();
    match random.below(8) {
        0 => format!("{sign}{}", bits % 1000),
        1 => format!("{sign}{}.{}", bits % 1000, random.below(1_000_000)),
        2 => format!("{sign}{}e{}", bits % 100, random.below(largest)),
        3 => format!("{sign}{}.{}e-{}", bits % 10, bits, random.below(largest + 20)),
        4 => format!("{sign}0x{:x}.{:x}p{}", bits % 16, bits, random.below(120) as i64 - 60),
        5 => format!("{sign}0x1.{:013x}p-{}", bits >> 12, 1010 + random.below(70)),
        6 => format!("{sign}{bits}{}", random.next()),
        _ => format!("{sign}.{bits}"),
    }
}

fn string(random: &mut Random) -> String {
    let parts = [
        "a",
        "é",
        "日",
        "\\n",
        "\\x00",
        "\\xff",
        "\\377",
        "\\u00e9",
        "\\U0001F600",
        "\\\"",
        "\\\\",
        " ",
        "%d",
    ];
    let count = random.below(5);
    if random.percent(20) {
        return ["``", "`a\nb`", "`\\n\"`", "`é`"][random.below(4)].to_owned();
    }
    format!("\"{}\"", (0..count).map(|_| random.pick(&parts)).collect::<String>())
}

/// A constant of any kind.
fn constant(random: &mut Random) -> String {
    match random.below(8) {
        0 => string(random),
        1 => random.pick(&["true", "false"]).to_owned(),
        2 => "nil".into(),
        3 => float(random, 308),
        4 => format!("{}i", random.below(100)),
        5 => random.pick(&["'a'", "'\\n'", "'世'", "-'b'"]).to_owned(),
        _ => {
            let value = i128::from(random.next() as i32);
            integer(random, value)
        }
    }
}
