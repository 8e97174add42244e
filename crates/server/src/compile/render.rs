//! main.go: a template filled with a call and the imports that the call needs.
//!
//! Invariants: only parsed values are filled in (a [`Call`], [`ImportPath`]s, a checked package
//! name), each once, so that nothing in a value is taken for a part of the template.

use goexpr::{Call, FunctionForm};

use super::shape::Shape;
use super::stdlib;
use crate::source::Checkout;
use crate::source::ImportPath;

/// Whether a call has results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResultForm {
    /// There are results, which are printed.
    Values,
    /// There are none; the call is a statement.
    Statement,
}

const VALUES: &str = include_str!("../../../../templates/main.go.values");
const STATEMENT: &str = include_str!("../../../../templates/main.go.statement");
const FUNCTION: &str = include_str!("../../../../templates/main.go.function");
/// All templates, for the keys of artifacts.
pub(super) const TEMPLATES: &str = concat!(
    include_str!("../../../../templates/main.go.values"),
    include_str!("../../../../templates/main.go.statement"),
    include_str!("../../../../templates/main.go.function"),
);

/// The called package.
pub(super) struct Target<'a> {
    path: &'a str,
    name: &'a str,
}

impl<'a> Target<'a> {
    /// The package of a checkout.
    pub(super) fn of(checkout: &'a Checkout) -> Self {
        Self { path: checkout.import_path().as_str(), name: checkout.package_name() }
    }
}

/// The text of main.go, in the language of Go 1.`minor` even if the module asks for an older one.
/// `imports` decides which package a name means.
pub(super) fn main_go(
    target: &Target<'_>,
    call: &Call,
    imports: &[ImportPath],
    form: ResultForm,
    minor: u32,
) -> String {
    let template = match form {
        ResultForm::Values => VALUES,
        ResultForm::Statement => STATEMENT,
    };
    let (line, column) = call.start();
    fill(
        template,
        &[
            ("{{go}}", &minor.to_string()),
            ("{{imports}}", &import_lines(target, call, imports)),
            ("{{start}}", &format!("{line}:{column}")),
            ("{{call}}", call.text()),
        ],
    )
}

/// The text of a main.go that receives the arguments of a call at run time, for a function of this
/// shape.
pub(super) fn function_go(
    target: &Target<'_>,
    call: &Call,
    function: &FunctionForm,
    imports: &[ImportPath],
    shape: &Shape,
    minor: u32,
) -> String {
    let (line, callee) = (function.line().to_string(), function.callee());
    let types: Vec<String> =
        function.types().iter().map(|kind| format!("(*{kind})(nil)")).collect();
    let names = list(shape.parameters, |n| format!("sky_island_a{n}"));
    let variables = if names.is_empty() { String::new() } else { format!("{names} := ") };
    let spread = if shape.variadic { "..." } else { "" };
    // Without results nothing is printed, and an unused import would not compile.
    let (library, print, close) = match shape.results {
        0 => ("", "", ""),
        _ => ("\tsky_island_fmt \"fmt\"\n", "sky_island_fmt.Print(", ")"),
    };
    fill(
        FUNCTION,
        &[
            ("{{go}}", &minor.to_string()),
            ("{{fmt}}", library),
            ("{{imports}}", &import_lines(target, call, imports)),
            ("{{shape}}", &shape_go(shape)),
            ("{{types}}", &types.join(", ")),
            ("{{variables}}", &variables),
            ("{{line}}", &line),
            ("{{callee}}", callee),
            ("{{print}}", print),
            ("{{line}}", &line),
            ("{{callee}}", callee),
            ("{{arguments}}", &format!("({names}{spread}){close}")),
        ],
    )
}

/// The function whose type parameters the compiler infers from a function of this shape.
fn shape_go(shape: &Shape) -> String {
    let Shape { parameters, variadic, results } = *shape;
    let last = |n: usize| variadic && n + 1 == parameters;
    let kinds = list(parameters, |n| format!("sky_island_A{n}"));
    let given = list(results, |n| format!("sky_island_R{n}"));
    let both = [kinds.as_str(), &given].into_iter().filter(|names| !names.is_empty());
    let both = both.collect::<Vec<_>>().join(", ");
    let generic = if both.is_empty() { String::new() } else { format!("[{both} any]") };
    let taken =
        list(parameters, |n| format!("{}sky_island_A{n}", if last(n) { "..." } else { "" }));
    let variables =
        list(parameters, |n| format!("a{n} {}sky_island_A{n}", if last(n) { "[]" } else { "" }));
    let pointers: String = (0..parameters).map(|n| format!(", &a{n}")).collect();
    format!(
        "func sky_island_shape{generic}(in sky_island.Input, _ func({taken}) ({given})) ({variables}) {{\n\
         \tsky_island.Arguments(in, {variadic}{pointers})\n\treturn\n}}"
    )
}

fn list(length: usize, element: impl Fn(usize) -> String) -> String {
    (0..length).map(element).collect::<Vec<_>>().join(", ")
}

/// Fills values into a template, which has their markers in the same order.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    for (marker, value) in values {
        // A marker is searched in the rest of the template alone, so a filled-in value is never
        // searched.
        let (before, after) = rest.split_once(marker).unwrap_or((rest, ""));
        text.extend([before, value]);
        rest = after;
    }
    text.push_str(rest);
    text
}

fn import_lines(target: &Target<'_>, call: &Call, imports: &[ImportPath]) -> String {
    let specs = import_specs(target, call, imports);
    specs.iter().map(|spec| format!("\t{spec}\n")).collect()
}

/// The import specifications, in the order in which they are written.
fn import_specs(target: &Target<'_>, call: &Call, imports: &[ImportPath]) -> Vec<String> {
    let mut specs = Vec::new();
    if !call.unqualified().is_empty() {
        specs.push(format!(". \"{}\"", target.path));
    }
    let mut decided: Vec<&str> = Vec::new();
    for path in imports.iter().filter(|path| path.as_str() != target.path) {
        specs.push(format!("\"{path}\""));
        decided.push(guess_name(path.as_str()));
    }
    for (name, selected) in call.packages() {
        if decided.contains(&name.as_str()) {
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

/// The probable name of the package at a path; names of the standard library are known.
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
    fn each_call_imports_the_packages_that_it_names_and_no_others() {
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
    fn template_markers_in_a_call_stay_text() {
        let call = Call::parse("Encode(\"{{imports}} {{call}}\")").unwrap();
        let text = main_go(&GEOHASH, &call, &[], ResultForm::Values, 26);
        assert_eq!(text.matches("{{imports}} {{call}}").count(), 1);
        assert_eq!(text.matches("geohash").count(), 1);
    }

    #[test]
    fn a_function_is_called_in_its_shape() {
        let call = Call::parse("\nStore(\"{{callee}}\", []T{{1}}, &sub.T{}, T{}, T{})").unwrap();
        let function = call.function_form().unwrap();
        let text = |parameters, variadic, results| {
            let shape = Shape { parameters, variadic, results };
            function_go(&GEOHASH, &call, &function, &[], &shape, 26)
        };
        let variadic = text(2, true, 2);
        for part in [
            "\tsky_island_fmt \"fmt\"\n\tsky_island \"sky_island\"\n\t. \"github.com/mmcloughlin/geohash\"\n)",
            "func sky_island_shape[sky_island_A0, sky_island_A1, sky_island_R0, sky_island_R1 any](in sky_island.Input, \
             _ func(sky_island_A0, ...sky_island_A1) (sky_island_R0, sky_island_R1)) \
             (a0 sky_island_A0, a1 []sky_island_A1) {\n\tsky_island.Arguments(in, true, &a0, &a1)\n",
            "sky_island.Wait((*[]T)(nil), (*sub.T)(nil), (*T)(nil))",
            "sky_island_a0, sky_island_a1 := sky_island_shape(sky_island_input,\n/*line /call:2:1*/Store)",
            "sky_island_fmt.Print(\n/*line /call:2:1*/Store(sky_island_a0, sky_island_a1...))\n",
        ] {
            assert!(variadic.contains(part), "{part}\n{variadic}");
        }
        let nothing = text(0, false, 0);
        for part in [
            "func sky_island_shape(in sky_island.Input, _ func() ()) () {\n\tsky_island.Arguments(in, false)\n",
            "\tsky_island_shape(sky_island_input,\n",
            "\n/*line /call:2:1*/Store()\n",
        ] {
            assert!(nothing.contains(part), "{part}\n{nothing}");
        }
        assert!(!nothing.contains("fmt") && !nothing.contains("{{"), "{nothing}");
    }
}
