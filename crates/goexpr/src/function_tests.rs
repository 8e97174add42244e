//! Which calls are a function and literals, and what is made of them.

use super::*;

fn form(call: &str) -> Option<FunctionForm> {
    Call::parse(call).unwrap().function_form()
}

#[test]
fn a_call_of_literals_is_a_function_and_its_arguments() {
    let table: [(&str, &str, usize, bool, &[&str]); 16] = [
        ("Encode(48.8, 2.2)", "Encode", 2, false, &[]),
        ("geohash.Encode (+1, -(2))", "geohash.Encode", 2, false, &[]),
        ("Now()", "Now", 0, false, &[]),
        ("Default.Logger.Print(`a`, 'b', \"c\",)", "Default.Logger.Print", 3, false, &[]),
        ("Zero[int]()", "Zero[int]", 0, false, &[]),
        ("Pair[[]string, map[K]*V](nil, nil)", "Pair[[]string, map[K]*V]", 2, false, &[]),
        ("Handlers[\"a\"](true)", "Handlers[\"a\"]", 1, false, &[]),
        ("Sum([]int{1, 2}...)", "Sum", 1, true, &["[]int"]),
        ("F([...]int{1, 2}, [...]int{3})", "F", 2, false, &["[2]int", "[1]int"]),
        ("F(T{}, &T{A: 1}, []T{{1}, {}})", "F", 3, false, &["T", "[]T"]),
        ("F(&(sub.T{}), []*T{{1}}, Set[int] {})", "F", 3, false, &["sub.T", "[]*T", "Set[int]"]),
        ("F(map[string][]int{\"a\": {1}, \"b\": nil})", "F", 1, false, &["map[string][]int"]),
        ("F([]any{[]int{}, T{}, []int{1}})", "F", 1, false, &["[]any", "[]int", "T"]),
        ("F(struct{ A int `x:\"y\"` }{1})", "F", 1, false, &["struct{ A int `x:\"y\"` }"]),
        ("F(([]int{1}), -0x1p-2, 3i)", "F", 3, false, &["[]int"]),
        ("F(map[bool]int{true: 1, (false): 2})", "F", 1, false, &["map[bool]int"]),
    ];
    for (call, callee, count, spread, types) in table {
        let form = form(call).unwrap_or_else(|| panic!("{call}"));
        assert_eq!(form.callee(), callee, "{call}");
        assert_eq!((form.argument_count(), form.is_spread()), (count, spread), "{call}");
        assert_eq!(form.types(), types, "{call}");
    }
}

#[test]
fn what_has_to_run_for_its_arguments_is_none() {
    for call in [
        "F",
        "F + 1",
        "F(1)(2)",
        "F(1).G",
        "F(1).G(2)",
        "(F(1))",
        "(F)(1)",
        "-F(1)",
        "F(X)",
        "F(1 + 2)",
        "F(1 << 3)",
        "F(1 + 2i)",
        "F(!true)",
        "F(^1)",
        "F(-\"a\")",
        "F(&X)",
        "F(&[]int{1}[0])",
        "F(G(1))",
        "F(int(1))",
        "F([]byte(\"a\"))",
        "F(func() {})",
        "F([]int{X})",
        "F([]int{X: 1, G(): 2})",
        "F([...]int{3: 1})",
        "F([]int{1}[:])",
        "F(T{}.M)",
        "F(1, G()...)",
        "T{1}",
        "T{}.F(1)",
        "Table[G()](1)",
        "Table[1:2](1)",
        "F(1e5000)",
    ] {
        assert_eq!(form(call), None, "{call}");
    }
}

#[test]
fn equal_arguments_are_encoded_equally_however_they_are_written() {
    for (one, other) in [
        ("F(10, -1, 'a')", "F( (0xA), -(+(1)), '\\x61', )"),
        ("F(1.5, \"a\\tb\")", "F(15e-1, `a\tb`)"),
        ("F([...]int{1, 2})", "F([2]int{1, 2})"),
        ("F(-0.0)", "F(0.0)"),
        ("F(T{A: nil})", "F(T {\n\tA: (nil),\n})"),
    ] {
        assert_eq!(form(one).unwrap(), form(other).unwrap(), "{one} {other}");
    }
}

#[test]
fn different_arguments_are_encoded_differently() {
    let calls = [
        "F(1)",
        "F(-1)",
        "F(1.0)",
        "F('\\x01')",
        "F(1i)",
        "F(\"1\")",
        "F(\"\\x01\")",
        "F(true)",
        "F(false)",
        "F(nil)",
        "F(1, 1)",
        "F()",
        "F(T{})",
        "F(&T{})",
        "F(T{1})",
        "F(T{A: 1})",
        "F(T{0: 1})",
        "F(T{1: 1})",
        "F(T{{}})",
        "F(T{T{}})",
        "F(T{}...)",
        "F(0.1)",
        "F(0.2)",
        "F(18446744073709551616)",
        "F(18446744073709551615)",
    ];
    let encoded: std::collections::BTreeSet<_> =
        calls.iter().map(|call| form(call).unwrap().encode()).collect();
    assert_eq!(encoded.len(), calls.len());
}

#[test]
fn the_line_in_which_the_call_begins_is_known() {
    assert_eq!(form("\n\n Caller(1)").unwrap().line(), 3);
    assert_eq!(form("Caller(\n1)").unwrap().line(), 1);
}

#[test]
fn an_encoding_is_what_the_program_reads() {
    let table: [(&str, &[u8]); 6] = [
        ("F()", &[0, 0]),
        ("F(nil, true, false, \"é\")", b"\x00\x04NTFs\x02\xc3\xa9"),
        ("F([]int{}...)", b"\x01\x01c\x00\x00\x00"),
        ("F(&T{A: true})", b"\x00\x01&\x00\x00\x01f\x01AT"),
        ("F([]T{2: {}})", b"\x00\x01c\x00\x03\x01vi\x0d\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\0\0\x40e\x00\x00"),
        ("F(M{100000: nil})", b"\x00\x01c\x00\x00\x01vi\x0d\xa0\x86\x01\0\0\0\0\0\0\0\0\0\0\x6a\xf8\x40\0\x50\xc3\x47N"),
    ];
    for (call, expected) in table {
        assert_eq!(form(call).unwrap().encode(), expected, "{call}");
    }
}
