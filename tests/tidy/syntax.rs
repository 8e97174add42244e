//! What the rules need of Rust's syntax: use trees, paths in macros, and what is compiled for tests
//! alone.

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token, UseTree};

/// One name that a `use` item brings in.
#[derive(Debug, PartialEq)]
pub struct Import {
    /// The path, without a last `self` and without a star.
    pub path: Vec<String>,
    /// The name in the importing module; `None` for a star and for `as _`.
    pub name: Option<String>,
    /// The import ends in a star.
    pub glob: bool,
}

/// The names that a use tree brings in.
pub fn imports(tree: &UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

fn walk(tree: &UseTree, prefix: &[String], found: &mut Vec<Import>) {
    let joined = |ident: &syn::Ident| {
        let mut path = prefix.to_vec();
        if ident != "self" || path.is_empty() {
            path.push(ident.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => walk(&path.tree, &joined(&path.ident), found),
        UseTree::Name(name) => {
            let path = joined(&name.ident);
            found.push(Import { name: path.last().cloned(), path, glob: false });
        }
        UseTree::Rename(rename) => {
            let name = Some(rename.rename.to_string()).filter(|name| name != "_");
            found.push(Import { path: joined(&rename.ident), name, glob: false });
        }
        UseTree::Glob(_) => found.push(Import { path: prefix.to_vec(), name: None, glob: true }),
        UseTree::Group(group) => {
            for tree in &group.items {
                walk(tree, prefix, found);
            }
        }
    }
}

/// The paths of two or more segments among the tokens of a macro call.
pub fn paths(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    let end = |path: &mut Vec<String>, found: &mut Vec<Vec<String>>| {
        if path.len() > 1 {
            found.push(std::mem::take(path));
        }
        path.clear();
    };
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    end(&mut path, &mut found);
                }
                path.push(ident.to_string());
                colons = 0;
            }
            other => {
                end(&mut path, &mut found);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    found.extend(paths(group.stream()));
                }
            }
        }
    }
    end(&mut path, &mut found);
    found
}

/// The item is compiled for tests alone.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        _ => false,
    }
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines in its module.
pub fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

#[test]
fn a_use_tree_is_taken_apart() {
    let item: syn::ItemUse =
        syn::parse_str("use super::{a::{self, B as C}, d::*, E as _};").unwrap();
    let import = |path: &str, name: Option<&str>, glob| Import {
        path: path.split("::").map(str::to_owned).collect(),
        name: name.map(str::to_owned),
        glob,
    };
    assert_eq!(
        imports(&item.tree),
        [
            import("super::a", Some("a"), false),
            import("super::a::B", Some("C"), false),
            import("super::d", None, true),
            import("super::E", None, false),
        ]
    );
}

#[test]
fn paths_in_macros_are_seen() {
    let tokens = "\"{}\", f(crate::a::b(), x: c::D), [super::e::<crate::F>()], g".parse().unwrap();
    let found: Vec<_> = paths(tokens).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a::b", "c::D", "super::e", "crate::F"]);
}

#[test]
fn only_what_needs_test_is_a_test() {
    let is = |text: &str| is_test(attributes(&syn::parse_str(text).unwrap()));
    assert!(is("#[test] fn a() {}"));
    assert!(is("#[cfg(test)] mod tests {}"));
    assert!(is("#[cfg(all(test, unix))] use a::B;"));
    assert!(!is("#[cfg(not(test))] mod real {}"));
    assert!(!is("#[cfg(any(test, unix))] mod both {}"));
    assert!(!is("#[cfg(unix)] mod both {}"));
}
