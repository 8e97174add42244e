//! What signatures promise: errors that have a type, and results that are returned.

use syn::visit::{self, Visit};

use super::sources::{self, Source};
use super::syntax;

/// The folders whose errors are counted.
const BACKENDS: &[&str] = &["crates/island/src/linux/", "crates/island/src/freebsd/"];
/// The most results there whose error is a `String`.
const MAX_STRING_ERRORS: usize = 11;
/// Types that a function returns, and does not fill in for its caller.
const RETURNED: &[&str] = &["CallTrace", "Times"];

#[derive(Default)]
struct Signatures {
    string_errors: usize,
    out_parameters: Vec<String>,
}

impl Signatures {
    fn of(source: &Source) -> Self {
        let mut found = Self::default();
        let parsed = syn::parse_file(&source.text);
        found.visit_file(&parsed.unwrap_or_else(|error| panic!("{}: {error}", source.path)));
        found
    }
}

impl<'ast> Visit<'ast> for Signatures {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !syntax::is_test(syntax::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        for input in &signature.inputs {
            let syn::FnArg::Typed(input) = input else { continue };
            let syn::Type::Reference(reference) = &*input.ty else { continue };
            if reference.mutability.is_some() && RETURNED.contains(&last(&reference.elem).as_str())
            {
                self.out_parameters.push(signature.ident.to_string());
            }
        }
        visit::visit_signature(self, signature);
    }

    fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
        if let syn::PathArguments::AngleBracketed(generics) = &segment.arguments
            && segment.ident == "Result"
            && let Some(syn::GenericArgument::Type(error)) = generics.args.iter().nth(1)
            && last(error) == "String"
        {
            self.string_errors += 1;
        }
        visit::visit_path_segment(self, segment);
    }
}

/// The last name of a type's path; empty for what is no path.
fn last(kind: &syn::Type) -> String {
    match kind {
        syn::Type::Path(path) => {
            path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[test]
fn errors_of_the_backends_have_types() {
    let mut counts = Vec::new();
    for source in sources::rust() {
        let test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        if BACKENDS.iter().any(|folder| source.path.starts_with(folder)) && !test {
            counts.push((Signatures::of(&source).string_errors, source.path));
        }
    }
    let total: usize = counts.iter().map(|(count, _)| count).sum();
    counts.retain(|(count, _)| *count > 0);
    assert!(
        total <= MAX_STRING_ERRORS,
        "{total} results have a String for an error; at most {MAX_STRING_ERRORS} may: {counts:#?}"
    );
}

#[test]
fn what_a_function_finds_it_returns() {
    let mut found = Vec::new();
    for source in sources::rust() {
        let names = Signatures::of(&source).out_parameters;
        found.extend(names.into_iter().map(|name| format!("{}: {name}", source.path)));
    }
    assert!(found.is_empty(), "a &mut parameter of {RETURNED:?}: {found:#?}");
}

#[test]
fn a_string_error_and_an_out_parameter_are_found() {
    let text = "
        fn a(trace: &mut calls::CallTrace) -> Result<Vec<Result<u8, String>>, std::string::String> {}
        fn b(times: &Times, other: &mut Vec<Times>) -> Result<String, Error> {}
        #[cfg(test)] fn c(times: &mut Times) -> Result<(), String> {}
        impl Times { fn d(&mut self) {} fn e(times: &mut Times) {} }";
    let found = Signatures::of(&Source { path: "a.rs".to_owned(), text: text.to_owned() });
    assert_eq!(found.string_errors, 2);
    assert_eq!(found.out_parameters, ["a", "e"]);
}
