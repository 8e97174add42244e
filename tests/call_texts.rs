//! Calls and what is not one, in tables.

use std::fmt::Write;

use goexpr::{Call, CallErrorKind, MAX_DEPTH, MAX_LENGTH};

/// The call, or a panic that says which text was refused and why.
fn call(text: &str) -> Call {
    Call::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// `packages | unqualified`, as the tables write it: `strings:NewReader | Parse Reader`.
fn names(call: &Call) -> String {
    let mut names = String::new();
    for (package, selected) in call.packages() {
        let selected: Vec<&str> = selected.iter().map(String::as_str).collect();
        write!(names, "{package}:{} ", selected.join(",")).expect("memory can be written");
    }
    names.push('|');
    for name in call.unqualified() {
        write!(names, " {name}").expect("memory can be written");
    }
    names
}

#[test]
fn a_call_is_one_expression_that_begins_with_an_exported_name() {
    // The text, the function, its offset, and the package's name before it.
    let table: &[(&str, &str, usize, Option<&str>)] = &[
        ("Encode(100.1, 80.9)", "Encode", 0, None),
        ("geohash.Encode(100.1, 80.9)", "Encode", 8, Some("geohash")),
        ("New(3).Add(New(4)).String()", "New", 0, None),
        ("Map([]int{1,2}, func(x int) int { return 2*x })", "Map", 0, None),
        ("Wait(context.Background(), 2*time.Second)", "Wait", 0, None),
        ("Parse(strings.NewReader(\"a\"))", "Parse", 0, None),
        ("Sum[int](1,2)", "Sum", 0, None),
        ("Convert[int, map[string]*T](1)", "Convert", 0, None),
        ("Version", "Version", 0, None),
        ("Version.String()", "Version", 0, None),
        ("Point{1, 2}.String()", "Point", 0, None),
        ("geo.Point{X: 1}", "Point", 4, Some("geo")),
        ("-Abs(3)", "Abs", 1, None),
        ("(*Buffer).Len(x)", "Buffer", 2, None),
        ("(*bytes.Buffer).Len(x)", "Buffer", 8, Some("bytes")),
        ("<-Ticks", "Ticks", 2, None),
        ("- -(^(A))", "A", 6, None),
        ("A || B", "A", 0, None),
        ("Öl(1)", "Öl", 0, None),
        ("pkg.\n\tEncode(1)", "Encode", 6, Some("pkg")),
        ("Encode(\n1,\n2,\n)", "Encode", 0, None),
        ("A +\nB", "A", 0, None),
        ("Encode(list...)", "Encode", 0, None),
        ("Encode(list...,)", "Encode", 0, None),
        ("Table[1:2:3][:]", "Table", 0, None),
        ("Value.(interface{ M() })", "Value", 0, None),
        ("Lists([][]int{{1, 2}, {3}}, map[P]Q{{1}: {2}})", "Lists", 0, None),
        ("Render(\"{{.Name}}\", `{{end}}`)", "Render", 0, None),
        ("Link(\"http://a/*b*/\", '\"', `//`)", "Link", 0, None),
        ("Raw(`a\n\r\nb`)", "Raw", 0, None),
        ("Numbers(0x1p-2, 1_000, 0b1, 0o7, 017, .5, 1., 08.5, 2i, 0X_f)", "Numbers", 0, None),
        ("Runes('a', '\\'', '\\377', '\\xff', '\\u00e9', '\\U0001F600', '世')", "Runes", 0, None),
        ("Receive(<-chan<- chan int(nil))", "Receive", 0, None),
    ];
    for &(text, function, column, qualifier) in table {
        let call = call(text);
        let found = (call.function(), call.function_column(), call.qualifier());
        assert_eq!(found, (function, column, qualifier), "{text:?}");
        assert_eq!(call.text(), text);
    }
}

#[test]
fn white_space_around_a_call_is_dropped_and_its_begin_is_told() {
    let call = call("\r\n\t Encode( 1 ) \n");
    assert_eq!(call.text(), "Encode( 1 )");
    assert_eq!(call.start(), (2, 3));
    let error = Call::parse(" \n Encode(1))").expect_err("one bracket too many");
    assert_eq!((error.line(), error.column()), (2, 11));
}

#[test]
fn function_literals_have_every_statement_of_go() {
    // The statements are separated by " / ".
    let table = [
        "x := 1 / var y, z int = 2, 3 / const c = iota / type T struct{ a, b int `tag`; *p.Q }",
        "var ( a int; b = 1 ) / const ( c = 1\n d ) / type ( E = int\n F []E )",
        "type T[P any, Q interface{ ~int | *P; m() }] []P / type U [3]int / type V [n * 2]int",
        "type T[P *C,] int / type U[P *[]int] int / type V[P *C | ~int] int / type W[P []int] T",
        "if x == (T{}) { } else if y := f(T{}); y { } else { }",
        "if f(func() { g(T{}) }) { } / if []int{1}[0] == 1 { } / if x == a[T{}.i] { }",
        "for { break } / for x { continue } / for i := 0; i < 3; i++ { } / for ;; { }",
        "for range 10 { } / for i := range f { } / for k, v = range m { } / for range ch { }",
        "L: for { goto L; break L; continue L } / M: N: { } / O:",
        "switch { } / switch x := 1; x { case 1, 2: fallthrough; default: f() }",
        "switch x.(type) { case int, []T, nil: } / switch y := 1; z := x.(type) { default: }",
        "select { case <-c: case v := <-c: case v, ok = <-c: case c <- 1: default: }",
        "go f() / defer func() { recover() }() / c <- v / a++ / b-- / a.b[0], *p = 1, 2 / x &^= 1",
        "return",
        "return func() (a, b int, err error) { return }, struct{}{}, map[K]V{}, chan<- int(nil)",
        "var f func(int, ...string) (x, y p.T) / var g func(a, b [3]int, c ...T[int]) chan int",
        "{ { ; } } / ;",
    ];
    for body in table {
        call(&format!("A(func() {{ {} }})", body.replace(" / ", "; ")));
        call(&format!("A(func() {{\n{}\n}})", body.replace(" / ", "\n")));
    }
}

#[test]
fn what_is_not_one_call_is_refused_with_its_place_and_advice() {
    use CallErrorKind::{Comment, Empty, FirstOperand, Syntax, Token};
    // The text, the kind of the error, the column, and what the message has to say.
    let table = [
        ("", Empty, 1, "the call is empty"),
        (" \t\n", Empty, 1, "the call is empty"),
        ("Encode(1))", Syntax, 10, "unexpected \")\" after the expression: give exactly one"),
        ("Encode(1)); os.Exit(0", Syntax, 10, "unexpected \")\" after the expression"),
        ("Encode(1); os.Exit(0)", Syntax, 10, "unexpected \";\" after the expression"),
        ("Encode(1)\nos.Exit(0)", Syntax, 10, "unexpected new line after the expression"),
        ("Encode(1\n)", Syntax, 9, "the end of the line ends the statement here"),
        ("Encode(1", Syntax, 9, "the call ends too early"),
        ("A, B", Syntax, 2, "unexpected \",\" after the expression"),
        ("A...", Syntax, 2, "unexpected \"...\" after the expression"),
        ("A := 1", Syntax, 3, "unexpected \":=\" after the expression"),
        ("A = 1", Syntax, 3, "unexpected \"=\" after the expression"),
        ("A++", Syntax, 2, "unexpected \"++\" after the expression"),
        ("A: B", Syntax, 2, "unexpected \":\" after the expression"),
        ("Ch <- 1", Syntax, 4, "unexpected \"<-\" after the expression"),
        ("return A", Syntax, 1, "unexpected \"return\""),
        ("if A { }", Syntax, 1, "unexpected \"if\""),
        ("package main", Syntax, 1, "unexpected \"package\""),
        ("{{.Call}}", Syntax, 1, "unexpected \"{\""),
        ("Encode({{.X}})", Syntax, 8, "unexpected \"{\""),
        ("}}", Syntax, 1, "unexpected \"}\""),
        ("Encode(1) // done", Comment, 11, "a comment cannot be in a call"),
        ("Encode(/* one */ 1)", Comment, 8, "a comment cannot be in a call"),
        ("//line x:1\nA", Comment, 1, "a comment cannot be in a call"),
        ("Encode(func() { f() // x\n})", Comment, 21, "a comment cannot be in a call"),
        ("encode(1)", FirstOperand, 1, "\"encode\" is not exported"),
        ("geohash.encode(1)", FirstOperand, 9, "\"encode\" is not exported"),
        ("a.b.C()", FirstOperand, 3, "\"b\" is not exported"),
        ("(strings).ToUpper(x)", FirstOperand, 2, "\"strings\" is not exported"),
        ("_", FirstOperand, 1, "\"_\" is not exported"),
        ("ǅ()", FirstOperand, 1, "is not exported"),
        ("1 + A", FirstOperand, 1, "the call does not begin with an exported name"),
        ("\"a\" + A", FirstOperand, 1, "the call does not begin with an exported name"),
        ("func() { }()", FirstOperand, 1, "the call does not begin with an exported name"),
        ("[]int{}", FirstOperand, 1, "the call does not begin with an exported name"),
        ("[A]int{}", FirstOperand, 1, "the call does not begin with an exported name"),
        ("map[A]B{}", FirstOperand, 1, "the call does not begin with an exported name"),
        ("<-chan A", FirstOperand, 3, "the call does not begin with an exported name"),
        ("x.(type)", Syntax, 4, "belongs in the header of a type switch"),
        ("A.(type)", Syntax, 4, "belongs in the header of a type switch"),
        ("A(x.(type))", Syntax, 6, "belongs in the header of a type switch"),
        ("A(func() { switch x.(type).(type) { } })", Syntax, 22, "belongs in the header"),
        ("A(func() { switch x = y.(type) { } })", Syntax, 32, "a statement instead of"),
        ("A(\"a)", Token, 3, "this string is not finished"),
        ("A(\"a\nb\")", Token, 3, "this string is not finished"),
        ("A(`a)", Token, 3, "this raw string is not finished"),
        ("A('a)", Token, 3, "a rune is one character"),
        ("A('a", Token, 3, "this rune is not finished"),
        ("A('')", Token, 3, "a rune needs a character"),
        ("A(\"\\q\")", Token, 4, "unknown escape sequence"),
        ("A(\"\\'\")", Token, 4, "unknown escape sequence"),
        ("A(\"\\x1\")", Token, 4, "needs 2 digits of base 16"),
        ("A(\"\\u+123\")", Token, 4, "needs 4 digits of base 16"),
        ("A('\\400')", Token, 4, "is no character"),
        ("A('\\ud800')", Token, 4, "is no character"),
        ("A(\"a\0\")", Token, 5, "a NUL byte cannot be in Go source"),
        ("\u{feff}A", Token, 1, "a byte order mark cannot be in a call"),
        ("A(\u{201c}a\u{201d})", Token, 3, "write straight quotes"),
        ("A(1,\u{a0}2)", Token, 5, "separate tokens with ordinary spaces"),
        ("A(@)", Token, 3, "unexpected character '@' (U+0040)"),
        ("A(08)", Token, 4, "this digit is too large"),
        ("A(0b2)", Token, 5, "this digit is too large"),
        ("A(1__0)", Token, 4, "'_' can only stand between two digits"),
        ("A(1_)", Token, 4, "'_' can only stand between two digits"),
        ("A(0x)", Token, 5, "needs a digit"),
        ("A(1e)", Token, 5, "the exponent needs a digit"),
        ("A(1p3)", Token, 4, "a 'p' exponent needs a hexadecimal number"),
        ("A(0b1e3)", Token, 6, "an 'e' exponent needs a decimal number"),
        ("A(0x1.8)", Token, 8, "a hexadecimal fraction needs a 'p' exponent"),
        ("A(0b1.1)", Token, 6, "a binary or octal number has no fraction"),
        ("A(a[1:2:])", Syntax, 9, "an operand is missing"),
        ("A(a[::3])", Syntax, 6, "the middle index of the slice is missing"),
        ("A(a[])", Syntax, 5, "an operand is missing"),
        ("A(b..., c)", Syntax, 9, "a \")\" after the arguments is missing"),
        ("(A){1}", Syntax, 4, "cannot be in parentheses"),
        ("A(func(a int, b) { })", Syntax, 16, "the type of the last parameter is missing"),
        ("A(func(a ...int, b int) { })", Syntax, 23, "only the last parameter can be variadic"),
        ("A(func(a, b ...int) { })", Syntax, 19, "only the last parameter can be variadic"),
        ("A(func[T any](a T) { })", Syntax, 7, "cannot have type parameters"),
        ("A(<-chan<- int)", Syntax, 15, "needs a channel type"),
        ("A(func() { if x == T{} { } })", Syntax, 24, "the end of the statement is missing"),
        ("A(func() { if x := 1 { } })", Syntax, 22, "a statement instead of a condition"),
        ("A(func() { if x: y { } })", Syntax, 16, "is missing"),
        ("A(func() { for a, b, c := range x { } })", Syntax, 27, "at most two values"),
        ("A(func() { select { case a, b, c = <-d: } })", Syntax, 34, "a single send or receive"),
        ("A(func() { go f })", Syntax, 15, "need a function call"),
        ("A(func() { defer (f()) })", Syntax, 18, "need a function call"),
        ("A(func() { import \"os\" })", Syntax, 12, "an operand is missing"),
        ("A(func() { })}; func init() {", Syntax, 14, "unexpected \"}\" after the expression"),
    ];
    for (text, kind, column, message) in table {
        let error = Call::parse(text).expect_err(text);
        assert_eq!((error.kind(), error.column()), (kind, column), "{text:?}: {error}");
        assert!(error.message().contains(message), "{text:?}: {error}");
    }
}

#[test]
fn an_error_is_shown_with_its_line_and_column() {
    let shown = |text: &str| Call::parse(text).expect_err(text).to_string();
    let advice = "give exactly one Go expression, such as Encode(100.1, 80.9)";
    assert_eq!(
        shown("Encode(1)))"),
        format!("call:1:10: unexpected \")\" after the expression: {advice}")
    );
    assert!(shown("Encode(\n1,\n2;\n)").starts_with("call:3:2: "));
}

#[test]
fn names_from_outside_are_told_from_those_of_the_call() {
    let table = [
        ("Encode(1, x)", "| Encode"),
        ("geohash.Encode(1)", "geohash:Encode |"),
        ("Wait(ctx.Background(), 2*time.Second)", "ctx:Background time:Second | Wait"),
        ("A(strings.ToUpper, strings.Index(b, C))", "strings:Index,ToUpper | A C"),
        ("Version.String()", "Version:String | Version"),
        ("A.b.C(d.e.F)", "| A"),
        ("A().B(c().D)", "| A"),
        ("Sum[T, p.Q](nil)", "p:Q | Sum T"),
        ("A(x.(P), y.(*q.R))", "q:R | A P"),
        // Fields before a colon are no names of the package; the keys of maps and arrays are.
        ("Point{X: Y, z.W: V}", "z:W | Point V Y"),
        ("A([]P{{X: 1}}, map[string]P{K: {X: L}})", "| A K L P"),
        ("A([...]int{I: 1}, struct{ X int }{X: J})", "| A I J"),
        // What a function literal declares is its own, in the scope that Go gives to it.
        ("A(func(B int, c C) (D, e E) { return B, c.F, D })", "| A C E"),
        ("A(func(time T) T { return time.Second })", "| A T"),
        ("A(func(x X) { { X := X; _ = X } })", "| A X"),
        ("A(func() { var B = B; B() })", "| A B"),
        ("A(func() { var B int; B() })", "| A"),
        ("A(func() { B := 1; B++ }, B)", "| A B"),
        ("A(func() { b, C := b.C(), C; b.D(); C() })", "b:C | A C"),
        ("A(func() { const b, C = 1, 2; b.D(C) })", "| A"),
        ("A(func() { type T struct{ N *T; u U } ; T{} })", "| A U"),
        ("A(func() { type T[P C[P], q any] map[q]P; P(q.X) })", "q:X | A C P"),
        ("A(func() { for B := range B { B() }; B() })", "| A B"),
        ("A(func() { for b, C := range d.E { b.F(C) } })", "d:E | A"),
        ("A(func() { for B := 0; B < C; B++ { B() } })", "| A C"),
        ("A(func() { if B := C; B { B() } else if D := B; D { B(D) }; D() })", "| A C D"),
        ("A(func() { switch B := C; B { case B: D := 1; D() ; case D: } })", "| A C D"),
        ("A(func() { switch b := c.D.(type) { case E: b.F() }; b.G() })", "b:G c:D | A E"),
        ("A(func() { select { case B := <-C: B() ; case D <- B: } })", "| A B C D"),
        ("A(func() { Loop: for { break Loop; goto Loop } })", "| A"),
        ("A(func(struct{ B int; C; *d.E }, interface{ F(g G) H; I | ~J }))", "d:E | A C G H I J"),
        ("A(func(B) C { return nil })", "| A B C"),
        ("A(_.B, func(_ int) { _.C() })", "| A"),
    ];
    for (text, expected) in table {
        assert_eq!(names(&call(text)), expected, "{text}");
    }
}

#[test]
fn the_length_is_limited() {
    let text = |length: usize| format!("A({})", "1".repeat(length - 3));
    call(&text(MAX_LENGTH));
    let error = Call::parse(&text(MAX_LENGTH + 1)).expect_err("too long");
    assert_eq!(error.kind(), CallErrorKind::Limit);
}

#[test]
fn the_nesting_is_limited_whatever_is_nested() {
    let table = [
        ("A(", "(", "1", ")", ")"),
        ("", "- ", "A", "", ""),
        ("A(", "[]", "int", "", "(nil))"),
        ("A(", "T[", "int", "]", "(nil))"),
        ("A", "{", "", "}", ""),
        ("A(", "1||1&&1==1+1*(", "1", ")", ")"),
        ("A(", "func() { f(", "1", ") }", ")"),
        ("A(func() {", "if a { ", "", "}", "})"),
        ("A(func() {", "L: ", "", "", "})"),
        ("A(", "struct{ a ", "int", "}", "{})"),
        ("A(", "interface{ m(a ", "int", ") }", "(nil))"),
        ("A(", "func(a ", "int", ")", "(nil))"),
        ("A(", "<-chan ", "int", "", "(nil))"),
    ];
    for (before, open, inside, close, after) in table {
        let nested = |depth: usize| {
            format!("{before}{}{inside}{}{after}", open.repeat(depth), close.repeat(depth))
        };
        call(&nested(MAX_DEPTH / 4));
        let longest = (MAX_LENGTH - 32) / (open.len() + close.len());
        for depth in [MAX_DEPTH + 1, longest] {
            let error = Call::parse(&nested(depth)).expect_err(open);
            assert_eq!(error.kind(), CallErrorKind::Limit, "{open}: {error}");
        }
    }
    // As deep as it gets: taking the tree apart recurses as well.
    let deepest = |open: &str, close: &str| {
        (1..)
            .map(|depth| format!("A({}1{})", open.repeat(depth), close.repeat(depth)))
            .map_while(|text| Call::parse(&text).ok())
            .last()
    };
    assert!(deepest("func() { f(", ") }").is_some_and(|call| call.clone().text() == call.text()));
}

#[test]
fn chains_are_no_nesting() {
    let many = 1_000;
    call(&format!("A{}", ".B()".repeat(many)));
    call(&format!("A{}", " + 1*2".repeat(many)));
    call(&format!("A(func() {{ if a {{ }} {} }})", "else if b { }".repeat(many)));
    call(&format!("A({})", "1, ".repeat(many)));
}
