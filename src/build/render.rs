//! main.go: a call laid into a template, with the imports that it needs.
//!
//! What must always hold: only parsed values are laid in (a [`Call`], [`ImportPath`]s, a checked package name), each at
//! one place and once, so that nothing in them is taken for a part of the template.

use crate::call::Call;
use crate::source::{Checkout, ImportPath};

use super::stdlib;

/// How the results of a call are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// They are printed.
    Values,
    /// There are none.
    Statement,
}

const VALUES: &str = include_str!("../../templates/main.go.values");
/// What decides how main.go looks, for the keys of artifacts.
pub(super) const TEMPLATES: &str = concat!(
    include_str!("../../templates/main.go.values"),
    include_str!("../../templates/main.go.statement"),
);
const STATEMENT: &str = include_str!("../../templates/main.go.statement");

/// The text of main.go, in the language of Go 1.`minor` whatever older one the module asks for. `imports` settles which
/// package a name means.
pub(super) fn main_go(
    checkout: &Checkout,
    call: &Call,
    imports: &[ImportPath],
    form: Form,
    minor: u32,
) -> String {
    let target = Target { path: checkout.import_path().as_str(), name: checkout.package_name() };
    render(&target, call, imports, form, minor)
}

struct Target<'a> {
    path: &'a str,
    name: &'a str,
}

fn render(
    target: &Target<'_>,
    call: &Call,
    imports: &[ImportPath],
    form: Form,
    minor: u32,
) -> String {
    let template = match form {
        Form::Values => VALUES,
        Form::Statement => STATEMENT,
    };
    let specs = import_specs(target, call, imports);
    let lines: String = specs.iter().map(|spec| format!("\t{spec}\n")).collect();
    let (line, column) = call.start();
    let (start, minor) = (format!("{line}:{column}"), minor.to_string());
    let mut text = String::with_capacity(template.len() + lines.len() + call.text().len());
    let mut rest = template;
    let values = [
        ("{{go}}", minor.as_str()),
        ("{{imports}}", &lines),
        ("{{start}}", &start),
        ("{{call}}", call.text()),
    ];
    for (marker, value) in values {
        // A marker is looked for in the template alone, so what was laid in is never read again.
        let (before, after) = rest.split_once(marker).unwrap_or((rest, ""));
        text.extend([before, value]);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The import specifications, in the order in which they are written.
fn import_specs(target: &Target<'_>, call: &Call, imports: &[ImportPath]) -> Vec<String> {
    let mut specs = Vec::new();
    if !call.unqualified().is_empty() {
        specs.push(format!(". \"{}\"", target.path));
    }
    let mut settled: Vec<&str> = Vec::new();
    for path in imports.iter().filter(|path| path.as_str() != target.path) {
        specs.push(format!("\"{path}\""));
        settled.push(guess_name(path.as_str()));
    }
    for (name, selected) in call.packages() {
        if settled.contains(&name.as_str()) {
            continue;
        }
        if name == target.name {
            specs.push(format!("{name} \"{}\"", target.path));
        } else if let Some(path) = stdlib::find(name, selected) {
            specs.push(format!("\"{path}\""));
        }
    }
    specs
}

/// What a package at a path is probably called; for the standard library it is known.
fn guess_name(path: &str) -> &str {
    if let Some(name) = stdlib::name_of(path) {
        return name;
    }
    let mut elements = path.rsplit('/');
    let last = elements.next().unwrap_or(path);
    let major =
        last.strip_prefix('v').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if major { elements.next().unwrap_or(last) } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOHASH: Target<'_> = Target { path: "github.com/mmcloughlin/geohash", name: "geohash" };

    fn specs(call: &str, imports: &[&str]) -> Vec<String> {
        let imports: Vec<_> =
            imports.iter().map(|path| ImportPath::parse_import(path).unwrap()).collect();
        import_specs(&GEOHASH, &Call::parse(call).unwrap(), &imports)
    }

    #[test]
    fn each_call_imports_what_it_names_and_nothing_else() {
        let dot = ". \"github.com/mmcloughlin/geohash\"";
        let named = "geohash \"github.com/mmcloughlin/geohash\"";
        let table: [(&str, &[&str], &[&str]); 6] = [
            ("Encode(1, 2)", &[], &[dot]),
            ("geohash.Encode(1, 2)", &[], &[named]),
            ("Encode(geohash.X, 2)", &[], &[dot, named]),
            ("Wait(context.Background(), 2*time.Second)", &[], &[dot, "\"context\"", "\"time\""]),
            ("F(rand.Int())", &["math/rand/v2"], &[dot, "\"math/rand/v2\""]),
            (
                "F(sub.X)",
                &["github.com/mmcloughlin/geohash/sub"],
                &[dot, "\"github.com/mmcloughlin/geohash/sub\""],
            ),
        ];
        for (call, imports, expected) in table {
            assert_eq!(specs(call, imports), expected, "{call}");
        }
    }

    #[test]
    fn what_looks_like_a_template_in_a_call_stays_text() {
        let call = Call::parse("Encode(\"{{imports}} {{call}}\")").unwrap();
        let text = render(&GEOHASH, &call, &[], Form::Values, 26);
        assert_eq!(text.matches("{{imports}} {{call}}").count(), 1);
        assert_eq!(text.matches("geohash").count(), 1);
    }
}
