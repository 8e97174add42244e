//! Call expressions: an accepted text stays one expression wherever it is put.

use goexpr::Call;

/// Parses the bytes as a call.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(call) = Call::parse(text) else { return };
    let inner = call.text();
    assert!(text.contains(inner), "the call's text is a part of what was sent");
    assert!(call.function().starts_with(char::is_uppercase), "{:?}", call.function());
    assert_eq!(&inner[call.function_column()..][..call.function().len()], call.function());
    let again = Call::parse(inner).expect("what was accepted is accepted again");
    assert_eq!(again.text(), inner);
    assert_eq!(format!("{:?}", again.expression()), format!("{:?}", call.expression()));
    assert_eq!(again.packages(), call.packages());
    assert_eq!(again.unqualified(), call.unqualified());
    stays_one(inner);
    let Some(form) = call.function_form() else { return };
    assert!(inner.starts_with(form.callee()), "{:?}", form.callee());
    assert!(!form.encode().is_empty());
    let other = again.function_form().expect("the same call has the same form");
    assert_eq!((other.encode(), other.types()), (form.encode(), form.types()));
}

/// The text is put between parentheses and after other text in generated source. So as an argument
/// and between parentheses it must still be one expression, and two of them must not be one call.
fn stays_one(text: &str) {
    for (before, after) in [("F(", ")"), ("F((", "))"), ("F(1, ", ", 2)"), ("F([]any{", "})")] {
        let longer = format!("{before}{text}{after}");
        if let Err(error) = Call::parse(&longer) {
            // A call near the limits of length or depth exceeds them with more around it.
            let kind = error.kind();
            assert!(kind == goexpr::CallErrorKind::Limit, "{longer:?}: {error}");
        }
    }
    for joint in ["; ", "\n", " F", "\"x\" "] {
        let two = format!("{text}{joint}F()");
        // A line end after an operator does not end an expression, and no accepted text ends in
        // one.
        assert!(Call::parse(&two).is_err(), "{two:?}");
    }
}
