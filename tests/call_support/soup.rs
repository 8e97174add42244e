//! Calls with a stretch of random tokens in one place of the grammar, out of the few tokens that
//! matter there: what no one would think of writing, and what is nearly right.

use super::Random;

/// Where the tokens go, which ones, and how many at most.
struct Soup {
    before: &'static str,
    tokens: &'static str,
    after: &'static str,
    most: usize,
    spaced: bool,
}

const fn soup(before: &'static str, tokens: &'static str, after: &'static str) -> Soup {
    Soup { before, tokens, after, most: 8, spaced: true }
}

const fn letters(before: &'static str, tokens: &'static str, after: &'static str) -> Soup {
    Soup { before, tokens, after, most: 9, spaced: false }
}

const SOUPS: &[Soup] = &[
    soup("A(", "a B , ... ( ) [ ] { } : . - <- chan int 1 ( )", ")"),
    soup("A", "a B , ... ( ) [ ] { } : . - <- == type", ""),
    soup("", "A b . ( ) * & <- - ~ [ ] chan int {} func()", "A(1)"),
    soup("", "A b . ( ) * & <- - ~ [ ] , := = ; ++ : {} ...", ""),
    soup("", "A [ ] int {} ( ) map chan struct{} 1", "(A)"),
    soup("A(<-chan", "<- chan <- chan int ( )", ")"),
    soup("A(x[", "a : ] [ , int", "])"),
    soup("A[", "a B , : 1 [ ] int . ( ) * \n", "]"),
    soup("A(<-", "chan <- int ( ) [ ] * a . <- chan", ")"),
    soup("A{", "a : , { } B 1 \n [] T{ }", "}"),
    soup("A(func(", "a B , ... int [ ] * . \n ( ) chan 3 ~ | func", "){})"),
    soup("A(func() (", "a B , ... int [ ] * . \n ( )", "){})"),
    soup("A(func() ", "a B int [ ] * . ( ) chan <- func struct {} interface {} { } map", " {})"),
    soup("A(struct{", "a B , int [ ] * . \n ; ( ) \"t\" `t` 3 func ...", "}{})"),
    soup("A(interface{", "m B , int [ ] * . \n ; ( ) ~ | func() a", "}(nil))"),
    soup("A(func() { type T", "P Q [ ] * ( ) | ~ , int = . 3 + []int any \n ; interface{}", " })"),
    soup("A(func() { type T[P", "P Q [ ] * ( ) | ~ , int . 3 + []int ...", "] int })"),
    soup("A(func() { type (", "T = int ; \n [ ] P any , ( )", ") })"),
    soup("A(func() { type T[P", "* E | ~ , ( ) []int", "] int })"),
    soup("A(func() { type T[P *E |", "* E | ~ []int + , -", "] int })"),
    soup("A(func(a [", "3 , ] int", "int) {})"),
    soup("A(struct{ a [", "3 , ] int", "int }{})"),
    soup("A(func() { var ", "a b , = int 1 ( ) ; \n [] *", " })"),
    soup("A(func() { const ", "a b , = int 1 ( ) ; \n iota", " })"),
    soup("A(func() { if ", "a T { } ; := 1 == ( ) \n x() [] , struct{}{} else if !", " { } })"),
    soup("A(func() { if a { } ", "else if a { } ; \n x := 1 (", " })"),
    soup("A(func() { for ", "a b , := = range T { } ; \n 1 ++ <- ( ) []int{1} < x()", " { } })"),
    soup("A(func() { switch ", "a x := .(type) . ( type ) ; \n T { } = , f()", " { } })"),
    soup("A(func() { switch a { ", "case default : a , int 1 ; \n { } x := .(type) break", " } })"),
    soup("A(func() { switch x.(type) { ", "case default : a , int []int \n { } chan <- *", " } })"),
    soup("A(func() { switch x", ".(type) . ( type ) y := =", " { } })"),
    soup("A(func() { for x", ": ; a := range y ,", " { } })"),
    soup("A(func() { if x", ": ; a :=", " { } })"),
    soup("A(func() { select { case a", ", b := = <- c", ": } })"),
    soup("A(func() { select { ", "case default : a , := = <- c ; \n x() { }", " } })"),
    soup("A(func() { ", "a b , := = ++ -- <- += ; \n : { } ( ) 1 x() L: go defer return", " })"),
    soup("A(func() { ", "L : goto break continue fallthrough ; \n return { } a", " })"),
    soup("A(func() { ", "go defer a ( ) . ; func(){} [ ] int \n", " })"),
    soup("A(func() { for ", "func(){} ( ) T{} { } ; struct {} []T{} a == map[T]U{} [ ]", " {} })"),
    soup("A(x", ". ( type ) int * [ ] func B", ")"),
    soup("A", " ; \n \r ) ( // /* */ ' \" ` {{ }} B .", ""),
    letters("A(", "0 1 7 8 9 _ x X o b e p + - . i f", ")"),
    letters("A(0", "0 1 7 8 9 _ x X O B E P + - . i f a", ")"),
    letters("A(\"", "\\ x u U 0 1 3 7 8 f D n ' \" d", "\")"),
    letters("A('", "\\ x u U 0 1 3 7 8 f D n ' \" d \n é", "')"),
    letters("A('\\", "x u U 0 0 0 1 1 7 3 f D 8", "')"),
    letters("A(\"\\", "x u U 0 0 0 0 0 1 1 7 3 f D 8", "\")"),
    letters("A(", "+ - * / % & | ^ < > = ! . : ~ a", "b)"),
];

/// A call with random tokens in it.
pub fn text(random: &mut Random) -> String {
    let soup = &SOUPS[random.below(SOUPS.len())];
    // Line ends are tokens here, so the list is split at spaces alone.
    let tokens: Vec<&str> = soup.tokens.split(' ').filter(|token| !token.is_empty()).collect();
    let mut text = soup.before.to_owned();
    for _ in 0..random.below(soup.most + 1) {
        text.push_str(random.pick(&tokens));
        if soup.spaced {
            text.push(' ');
        }
    }
    text.push_str(soup.after);
    text
}
