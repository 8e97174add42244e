//! Numeric constants: the exact value of a literal with its signs, as Go computes it.
//!
//! Invariants: a [`Number`] is exact. Its integer is the literal's value, and each float
//! is that value rounded once, as Go rounds a constant to the type that it is used as. What cannot
//! be computed exactly here, and what Go's compiler may refuse for its size, is no [`Number`].

use super::token::LiteralKind;

/// The most significant digits of a decimal literal.
const MAX_DIGITS: usize = 300;
/// The largest decimal exponent after the last significant digit, either way.
const MAX_EXPONENT: i32 = 600;
/// The largest binary exponent, either way.
const MAX_BINARY_EXPONENT: i32 = 3000;
/// The most digits of a decimal integer. Go refuses integers of more than 512 bits.
const MAX_INTEGER_DIGITS: usize = 150;

/// An untyped numeric constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// The notation, which decides the default type.
    pub kind: LiteralKind,
    /// Whether the number is below zero; constants have no negative zero.
    pub negative: bool,
    /// The magnitude, if the number is an integer that fits.
    pub integer: Option<u64>,
    /// The value rounded to 64 bits, if that is finite.
    pub double: Option<f64>,
    /// The value rounded to 32 bits, if that is finite.
    pub single: Option<f32>,
}

impl Number {
    /// A number or rune whose text the lexer has checked. The value of an imaginary one is its
    /// imaginary part.
    pub fn read(kind: LiteralKind, text: &str) -> Option<Self> {
        let text = text.replace('_', "").to_ascii_lowercase();
        let digits = if kind == LiteralKind::Imaginary { text.strip_suffix('i')? } else { &text };
        let (prefix, rest) = digits.split_at_checked(2).unwrap_or(("", ""));
        match prefix {
            "0x" => hexadecimal(kind, rest),
            "0o" => Self::of_binary(kind, u128::from_str_radix(rest, 8).ok()?, 0),
            "0b" => Self::of_binary(kind, u128::from_str_radix(rest, 2).ok()?, 0),
            // An imaginary number with a leading zero is decimal.
            _ if kind == LiteralKind::Integer && digits.starts_with('0') => {
                Self::of_binary(kind, u128::from_str_radix(digits, 8).ok()?, 0)
            }
            _ => decimal(kind, digits),
        }
    }

    /// A character's code.
    pub fn of_rune(code: u32) -> Option<Self> {
        Self::of_binary(LiteralKind::Rune, u128::from(code), 0)
    }

    /// The same number with the other sign.
    pub fn negated(self) -> Self {
        Self {
            negative: !self.negative && self.integer != Some(0),
            // A constant that is rounded to zero is the one zero that there is.
            double: self.double.map(|value| if value == 0.0 { 0.0 } else { -value }),
            single: self.single.map(|value| if value == 0.0 { 0.0 } else { -value }),
            ..self
        }
    }

    /// `mantissa * 2^exponent`
    fn of_binary(kind: LiteralKind, mantissa: u128, exponent: i32) -> Option<Self> {
        let double = round(mantissa, exponent, &DOUBLE)?;
        let single = round(mantissa, exponent, &SINGLE)?;
        Some(Self {
            kind,
            negative: false,
            integer: whole(mantissa, exponent),
            double: double.map(f64::from_bits),
            single: single.map(|bits| f32::from_bits(bits as u32)),
        })
    }
}

/// `mantissa * 2^exponent`, if it is an integer of 64 bits.
fn whole(mantissa: u128, exponent: i32) -> Option<u64> {
    if mantissa == 0 {
        return Some(0);
    }
    let zeros = mantissa.trailing_zeros() as i32;
    let (odd, exponent) = (mantissa >> zeros, exponent + zeros);
    let shift = u32::try_from(exponent).ok().filter(|shift| *shift < 64)?;
    u64::try_from(odd.checked_mul(1 << shift)?).ok()
}

fn hexadecimal(kind: LiteralKind, text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.split_once('p') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa = u128::from_str_radix(&format!("0{before}{after}"), 16).ok()?;
    let fraction_bits = i32::try_from(after.len()).ok()?.checked_mul(4)?;
    let exponent = exponent.checked_sub(fraction_bits)?;
    if exponent.abs() > MAX_BINARY_EXPONENT {
        return None;
    }
    Number::of_binary(kind, mantissa, exponent)
}

fn decimal(kind: LiteralKind, text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}");
    let digits = digits.trim_start_matches('0');
    if kind == LiteralKind::Integer && digits.len() > MAX_INTEGER_DIGITS {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let zeros = i32::try_from(digits.len() - significant.len()).ok()?;
    let fraction_digits = i32::try_from(after.len()).ok()?;
    let exponent = exponent.checked_sub(fraction_digits)?.checked_add(zeros)?;
    if significant.is_empty() {
        return Number::of_binary(kind, 0, 0);
    }
    if significant.len() > MAX_DIGITS || exponent.abs() > MAX_EXPONENT {
        return None;
    }
    let power = u32::try_from(exponent).ok().and_then(|power| 10u64.checked_pow(power));
    let integer = power.and_then(|power| significant.parse::<u64>().ok()?.checked_mul(power));
    // The standard library rounds decimal text of any length once, and correctly.
    let text = format!("{significant}e{exponent}");
    let double = text.parse::<f64>().ok()?;
    let single = text.parse::<f32>().ok()?;
    Some(Number {
        kind,
        negative: false,
        integer,
        double: double.is_finite().then_some(double),
        single: single.is_finite().then_some(single),
    })
}

/// A binary floating-point format.
struct Format {
    /// Bits of the fraction, without the leading one.
    fraction: u32,
    /// The exponent of the smallest number above zero.
    smallest: i32,
    /// The bias of the stored exponents.
    bias: i32,
}

const DOUBLE: Format = Format { fraction: 52, smallest: -1074, bias: 1023 };
const SINGLE: Format = Format { fraction: 23, smallest: -149, bias: 127 };

/// The bits of `mantissa * 2^exponent`, rounded to the nearest, to even between two: the inner
/// value is none beyond the largest number, the outer one where this cannot tell.
fn round(mantissa: u128, exponent: i32, format: &Format) -> Option<Option<u64>> {
    if mantissa == 0 {
        return Some(Some(0));
    }
    let bits = 128 - mantissa.leading_zeros() as i32;
    let highest = exponent + bits - 1;
    let mut lowest = (highest - format.fraction as i32).max(format.smallest);
    let shift = lowest - exponent;
    let mut kept = match shift {
        ..=0 => mantissa << -shift,
        1..=127 => {
            let (kept, half) = (mantissa >> shift, 1u128 << (shift - 1));
            let rest = mantissa - (kept << shift);
            let up = rest > half || rest == half && kept % 2 == 1;
            kept + u128::from(up)
        }
        // Less than half of the smallest.
        _ if shift > bits => return Some(Some(0)),
        _ => return None,
    };
    let one = 1u128 << format.fraction;
    if kept == one << 1 {
        (kept, lowest) = (one, lowest + 1);
    }
    let stored = match kept < one {
        true => 0,
        false => lowest + format.fraction as i32 + format.bias,
    };
    if stored > 2 * format.bias {
        return Some(None);
    }
    let fraction = (kept % one) as u64;
    Some(Some(((stored as u64) << format.fraction) | fraction))
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
