//! Which names a call takes from outside: packages, and exported names of the package that is
//! called. Names that the call's function literals declare are their own.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::ast::{Element, Expr, Field, InterfaceElement, Length, Signature, Stmt, Suffix};
use super::span::Span;
use super::unicode::is_exported;

/// The names that a call takes from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub packages: BTreeMap<String, BTreeSet<String>>,
    pub unqualified: BTreeSet<String>,
}

/// The names that an expression of this text takes from outside.
pub(super) fn names(text: &str, expression: &Expr) -> Names {
    let mut walk = NameCollector { text, names: Names::default(), scopes: Vec::new() };
    walk.expression(expression);
    walk.names
}

struct NameCollector<'t> {
    text: &'t str,
    names: Names,
    /// The names that are declared so far, innermost scope last.
    scopes: Vec<HashSet<&'t str>>,
}

impl<'t> NameCollector<'t> {
    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        self.scopes.push(HashSet::new());
        inside(self);
        self.scopes.pop();
    }

    fn declare(&mut self, name: Span) {
        let text = self.text;
        if let Some(innermost) = self.scopes.last_mut() {
            innermost.insert(name.of(text));
        }
    }

    fn is_declared(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains(name))
    }

    /// A name by itself, or before a selector.
    fn name(&mut self, name: Span, selector: Option<Span>) {
        let text = self.text;
        let (name, selected) = (name.of(text), selector.map(|selector| selector.of(text)));
        if name == "_" || self.is_declared(name) {
            return;
        }
        if is_exported(name) {
            self.names.unqualified.insert(name.to_owned());
        }
        if let Some(selected) = selected.filter(|selected| is_exported(selected)) {
            let package = self.names.packages.entry(name.to_owned()).or_default();
            package.insert(selected.to_owned());
        }
    }

    fn expressions<'e>(&mut self, list: impl IntoIterator<Item = &'e Expr>) {
        for expression in list {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Name(name) => self.name(*name, None),
            Expr::Literal(..) => {}
            Expr::Function(signature, body) => self.function(signature, body),
            Expr::Paren(inside) | Expr::Unary(_, inside) => self.expression(inside),
            Expr::Channel(_, inside) | Expr::Variadic(inside) => self.expression(inside),
            Expr::Binary(first, rest) => {
                self.expression(first);
                self.expressions(rest.iter().map(|(_, operand)| operand));
            }
            Expr::Primary(operand, suffixes) => self.primary(operand, suffixes),
            Expr::Elided(elements) => self.elements(elements, false),
            Expr::Array(length, element) => {
                if let Length::Given(length) = length {
                    self.expression(length);
                }
                self.expression(element);
            }
            Expr::Map(key, value) => self.expressions([&**key, &**value]),
            Expr::Signature(signature) => self.signature(signature),
            Expr::Struct(fields) => self.fields(fields),
            Expr::Interface(elements) => elements.iter().for_each(|element| match element {
                InterfaceElement::Method(_, signature) => self.signature(signature),
                InterfaceElement::Embedded(kind) => self.expression(kind),
            }),
            Expr::Union(terms) => self.expressions(terms),
        }
    }

    fn primary(&mut self, operand: &Expr, suffixes: &[Suffix]) {
        match (operand, suffixes.first()) {
            (Expr::Name(name), Some(Suffix::Selector(selector))) => {
                self.name(*name, Some(*selector));
            }
            _ => self.expression(operand),
        }
        // In a map or array literal whose type is written, a name before a colon is a value; in
        // others it may be a field.
        let keyed = matches!(operand, Expr::Map(..) | Expr::Array(..));
        for (at, suffix) in suffixes.iter().enumerate() {
            match suffix {
                Suffix::Selector(_) | Suffix::Assertion(None) => {}
                Suffix::Assertion(Some(kind)) => self.expression(kind),
                Suffix::Index(list) | Suffix::Slice(list) => self.expressions(list),
                Suffix::Call { arguments, .. } => self.expressions(arguments),
                Suffix::Composite { elements, .. } => self.elements(elements, keyed && at == 0),
            }
        }
    }

    fn elements(&mut self, elements: &[Element], keyed: bool) {
        for Element { key, value } in elements {
            match key {
                Some(Expr::Name(_)) if !keyed => {}
                Some(key) => self.expression(key),
                None => {}
            }
            self.expression(value);
        }
    }

    fn signature(&mut self, signature: &Signature) {
        self.fields(&signature.parameters);
        self.fields(&signature.results);
    }

    /// The types of fields, parameters or results; the names are not operands.
    fn fields(&mut self, fields: &[Field]) {
        self.expressions(fields.iter().map(|field| &field.kind));
    }

    fn declare_all(&mut self, fields: &[Field]) {
        for name in fields.iter().flat_map(|field| &field.names) {
            self.declare(*name);
        }
    }

    /// Parameters and results are declared in the body, not yet in their own types.
    fn function(&mut self, signature: &Signature, body: &[Stmt]) {
        self.signature(signature);
        self.scoped(|walk| {
            walk.declare_all(&signature.parameters);
            walk.declare_all(&signature.results);
            walk.statements(body);
        });
    }

    fn statements(&mut self, statements: &[Stmt]) {
        for stmt in statements {
            self.statement(stmt);
        }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Use(list) => self.expressions(list),
            Stmt::Define { targets, values } => {
                self.expressions(values);
                // The compiler refuses other targets.
                for target in targets {
                    if let Expr::Name(name) = target {
                        self.declare(*name);
                    }
                }
            }
            Stmt::Declare { names, uses } => {
                self.expressions(uses);
                names.iter().for_each(|name| self.declare(*name));
            }
            Stmt::Type { name, parameters, definition } => {
                self.declare(*name);
                self.scoped(|walk| {
                    walk.declare_all(parameters);
                    walk.fields(parameters);
                    walk.expression(definition);
                });
            }
            Stmt::Block(statements) => self.scoped(|walk| walk.statements(statements)),
        }
    }
}
