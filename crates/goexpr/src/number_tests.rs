//! Numbers in every notation, with the values that Go computes for them.

use super::*;

const MAX: u64 = u64::MAX;

fn number(text: &str) -> Option<Number> {
    let kind = match text.as_bytes() {
        [.., b'i'] => LiteralKind::Imaginary,
        bytes if text.starts_with("0x") => match bytes.contains(&b'p') {
            true => LiteralKind::Float,
            false => LiteralKind::Integer,
        },
        bytes if bytes.iter().any(|byte| b".eE".contains(byte)) => LiteralKind::Float,
        _ => LiteralKind::Integer,
    };
    Number::read(kind, text)
}

#[test]
fn integers_are_known_in_every_notation() {
    let table = [
        ("0", Some(0)),
        ("42", Some(42)),
        ("1_000_000", Some(1_000_000)),
        ("0x_1F", Some(31)),
        ("0XfF", Some(255)),
        ("0b1_01", Some(5)),
        ("0B11", Some(3)),
        ("0o17", Some(15)),
        ("0O17", Some(15)),
        ("017", Some(15)),
        ("0_17", Some(15)),
        ("00", Some(0)),
        ("18446744073709551615", Some(MAX)),
        ("18446744073709551616", None),
        ("0xffffffffffffffff", Some(MAX)),
        ("0x10000000000000000", None),
        ("1.0", Some(1)),
        ("1e3", Some(1000)),
        ("1E+3", Some(1000)),
        ("1.5e1", Some(15)),
        ("1500e-2", Some(15)),
        ("1.5", None),
        ("1e-3", None),
        ("1e19", Some(10_000_000_000_000_000_000)),
        ("1e20", None),
        ("018.0", Some(18)),
        ("0x1p4", Some(16)),
        ("0x1.8p1", Some(3)),
        ("0x1.8p0", None),
        ("0x10p-4", Some(1)),
        ("0x.8p1", Some(1)),
        ("0x1p63", Some(1 << 63)),
        ("0x1p64", None),
        ("0e99999", Some(0)),
        ("2i", Some(2)),
        ("0i", Some(0)),
        ("010i", Some(10)),
        ("0x10i", Some(16)),
        ("0b1i", Some(1)),
        ("0o17i", Some(15)),
        ("1e2i", Some(100)),
    ];
    for (text, expected) in table {
        assert_eq!(number(text).unwrap().integer, expected, "{text}");
    }
}

#[test]
fn floats_are_rounded_once() {
    let table = [
        ("0.1", 0.1, 0.1),
        ("100.1", 100.1, 100.1),
        (".5", 0.5, 0.5),
        ("1.", 1.0, 1.0),
        ("16777217", 16_777_217.0, 16_777_216.0),
        // Halfway between two floats of 32 bits, but for a bit that 64 bits lose: rounding twice
        // would go down.
        ("1.000000059604644775390626", 1.000_000_059_604_644_8, 1.000_000_1),
        ("0x1.000001000000001p0", 1.000_000_059_604_644_8, 1.000_000_1),
        ("0x1.000001p0", 1.000_000_059_604_644_8, 1.0),
        ("0x1.000003p0", 1.000_000_178_813_934_3, 1.000_000_2),
        ("9007199254740993", 9_007_199_254_740_992.0, 9_007_199_254_740_992.0),
        ("0x20000000000003", 9_007_199_254_740_996.0, 9_007_199_254_740_992.0),
        ("0x1p-1074", 5e-324, 0.0),
        ("0x1p-1075", 0.0, 0.0),
        ("0x1.8p-1075", 5e-324, 0.0),
        ("0x1p-149", 1.401_298_464_324_817e-45, 1e-45),
        ("0x1p-1022", f64::MIN_POSITIVE, 0.0),
        ("0x0.fffffffffffffp-1022", 2.225_073_858_507_201e-308, 0.0),
        ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE, 0.0),
        ("1e-400", 0.0, 0.0),
        ("4.9e-324", 5e-324, 0.0),
        ("0x1.fffffep127", f64::from(f32::MAX), f32::MAX),
    ];
    for (text, double, single) in table {
        let number = number(text).unwrap();
        let bits = (number.double.map(f64::to_bits), number.single.map(f32::to_bits));
        assert_eq!(bits, (Some(double.to_bits()), Some(single.to_bits())), "{text}");
    }
}

#[test]
fn what_no_float_holds_has_none() {
    let table = [
        ("1e39", true, false),
        ("3.4028234e38", true, true),
        // Half a unit above the largest one, and just below that.
        ("0x1.ffffffp127", true, false),
        ("0x1.fffffefffp127", true, true),
        ("1e309", false, false),
        ("1.7976931348623157e308", true, false),
        ("0x1.fffffffffffff7p1023", true, false),
        ("0x1.fffffffffffff8p1023", false, false),
        ("0x1p1024", false, false),
    ];
    for (text, double, single) in table {
        let number = number(text).unwrap();
        assert_eq!((number.double.is_some(), number.single.is_some()), (double, single), "{text}");
    }
}

#[test]
fn what_cannot_be_computed_exactly_is_no_number() {
    let long = format!("0.{}1", "1".repeat(400));
    let wide = format!("1{}", "0".repeat(155));
    let hexadecimal = format!("0x{}", "f".repeat(40));
    for text in ["1e5000", "1e-5000", "0x1p99999", "1e99999999999", &long, &wide, &hexadecimal] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn there_is_one_zero_and_two_signs_are_none() {
    for text in ["0", "0.0", "0x0p0", "0i", "1e-400"] {
        let negated = number(text).unwrap().negated();
        assert_eq!(negated.double.unwrap().to_bits(), 0, "{text}");
        assert_eq!(negated.single.unwrap().to_bits(), 0, "{text}");
        assert_eq!(negated.negative, text == "1e-400", "{text}");
    }
    let one = number("1.5").unwrap();
    assert_eq!((one.negated().negative, one.negated().double), (true, Some(-1.5)));
    assert_eq!(one.negated().negated(), one);
}

proptest::proptest! {
    #[test]
    fn binary_rounding_agrees_with_the_processor(mantissa: u128, small in 0u32..128) {
        // What the processor converts from integers it rounds to even as well.
        let mantissa = mantissa >> small;
        let number = Number::of_binary(LiteralKind::Integer, mantissa, 0).unwrap();
        proptest::prop_assert_eq!(number.double, Some(mantissa as f64));
        let single = Some(mantissa as f32).filter(|value| value.is_finite());
        proptest::prop_assert_eq!(number.single, single);
    }

    #[test]
    fn every_float_is_read_back_from_its_decimal_text(bits: u64) {
        let value = f64::from_bits(bits).abs();
        proptest::prop_assume!(value.is_finite());
        let number = Number::read(LiteralKind::Float, &format!("{value:e}")).unwrap();
        proptest::prop_assert_eq!(number.double, Some(value));
    }
}
