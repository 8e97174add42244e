//! Calls against Go's own parser, over generated texts.
//!
//! Two directions are held. Safety: what we accept, Go reads as exactly one expression in the
//! place where it is put, with the same function and the same outer names. Completeness: what Go
//! reads so, we accept, with the exceptions that `excused` lists.
//!
//! `CALL_SEED` varies the texts and `CALL_TEXTS` their number; a failure prints the seed.

mod call_support;
#[path = "support/skip.rs"]
mod skip;

use goexpr::{Call, CallError, CallErrorKind, MAX_DEPTH};

use call_support::oracle::{Answer, Oracle};
use call_support::{Random, generate, mutate, soup};

const DEFAULT_SEED: u64 = 20_170_101;
const DEFAULT_TEXTS: usize = 40_000;
const WHITE: &[char] = &[' ', '\t', '\r', '\n'];

fn setting(name: &str, default: u64) -> u64 {
    let parse = |text: String| text.parse().expect("a number");
    std::env::var(name).map_or(default, parse)
}

#[test]
fn calls_are_what_gos_parser_takes_as_one_expression() {
    let Some(oracle) = Oracle::build("call-oracle") else { return };
    let seed = setting("CALL_SEED", DEFAULT_SEED);
    let count = setting("CALL_TEXTS", DEFAULT_TEXTS as u64) as usize;
    let mut random = Random::new(seed);
    let texts: Vec<String> = (0..count).map(|_| text(&mut random)).collect();
    let mut accepted = 0;
    let mut disagreements = Vec::new();
    for (text, answer) in texts.iter().zip(oracle.ask(&texts)) {
        let ours = Call::parse(text);
        accepted += usize::from(ours.is_ok());
        if let Err(reason) = compare(text, &ours, &answer) {
            disagreements.push((text.len(), format!("{reason}\n  {text:?}\n  {answer:?}")));
        }
    }
    println!("{count} texts of seed {seed}: {accepted} calls, {} others", count - accepted);
    disagreements.sort();
    let shown: Vec<&str> = disagreements.iter().take(10).map(|(_, shown)| &**shown).collect();
    assert!(
        disagreements.is_empty(),
        "CALL_SEED={seed}: {} disagreements, the shortest are\n{}",
        disagreements.len(),
        shown.join("\n")
    );
    assert!(accepted > count / 5, "only {accepted} of {count} texts are calls: too few");
    assert!(accepted < count * 3 / 4, "{accepted} of {count} texts are calls: too many");
}

/// Two of three texts are valid calls that were harmed more or less, the others are mostly wrong.
fn text(random: &mut Random) -> String {
    let text = if random.percent(67) {
        let tokens = generate::call(random);
        mutate::text(random, tokens)
    } else {
        soup::text(random)
    };
    text.trim_matches(WHITE).to_owned()
}

/// What Go takes under the rules of a call: one expression in both places, begun by an exported
/// identifier, without comments and without `.(type)` outside type switches.
fn is_call(answer: &Answer) -> bool {
    let one = answer.expression && answer.argument;
    one && !answer.function.is_empty() && !answer.comment && !answer.guard
}

fn compare(text: &str, ours: &Result<Call, CallError>, answer: &Answer) -> Result<(), String> {
    let call = match ours {
        Err(error) if is_call(answer) && !excused(text, error) => {
            return Err(format!("incomplete: refused with {error}"));
        }
        Err(error) => return position_is_within(text, error),
        Ok(call) => call,
    };
    if !is_call(answer) {
        return Err("unsafe: accepted".to_owned());
    }
    // As a statement Go refuses a leading '~', which is no way out of the expression either.
    if !answer.statement && !text.starts_with('~') {
        return Err("unsafe as a statement: accepted".to_owned());
    }
    let found = (call.function(), call.qualifier().unwrap_or(""), call.function_column());
    let expected = (&*answer.function, &*answer.qualifier, answer.column);
    if found != expected {
        return Err(format!("first operand: {found:?} instead of {expected:?}"));
    }
    let join = |set: &std::collections::BTreeSet<String>| {
        set.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    };
    let packages: Vec<String> =
        call.packages().iter().map(|(name, set)| format!("{name}:{}", join(set))).collect();
    let found = (packages.join(";"), join(call.unqualified()));
    let expected = (answer.packages.clone(), answer.names.clone());
    if answer.names != "?" && found != expected {
        return Err(format!("names: {found:?} instead of {expected:?}"));
    }
    Ok(())
}

/// The one exception to completeness: Go has no limit on the nesting that matters here.
fn excused(text: &str, error: &CallError) -> bool {
    let nesting = text.chars().filter(|c| "([{+-!^*&<~|".contains(*c)).count();
    error.kind() == CallErrorKind::Limit && nesting > MAX_DEPTH / 2
}

fn position_is_within(text: &str, error: &CallError) -> Result<(), String> {
    let line = text.split('\n').nth(error.line() - 1);
    match line {
        Some(line) if error.column() >= 1 && error.column() <= line.len() + 1 => Ok(()),
        _ => Err(format!("position outside of the text: {error}")),
    }
}

/// Whether some character is of a class, by the ranges that Go gives.
fn contains(ranges: &[(u32, u32)], c: char) -> bool {
    ranges.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)))
}

#[test]
fn identifiers_consist_of_the_characters_that_go_takes() {
    let Some(oracle) = Oracle::build("call-classes") else { return };
    let (version, classes) = oracle.classes();
    if version != "15.0.0" {
        let why = format_args!("this Go has Unicode {version}, the tables are of 15.0.0");
        return skip::skip("a comparison with Go's identifiers", &skip::Reason::fixable(why));
    }
    let [letters, digits, upper] = &classes[..] else { panic!("three classes") };
    // The planes between have no characters yet, and those behind are for private use.
    let planes = ('\u{80}'..'\u{40000}').chain('\u{e0000}'..'\u{f0000}');
    for c in planes.filter(|&c| c != '\u{feff}') {
        let letter = contains(letters, c);
        let in_name = Call::parse(&format!("A{c}")).is_ok();
        assert_eq!(in_name, letter || contains(digits, c), "{c:?} in a name");
        if letter || c.is_uppercase() {
            let begins = Call::parse(&format!("{c}x")).is_ok();
            assert_eq!(begins, contains(upper, c), "{c:?} at the beginning of an exported name");
        }
    }
}
