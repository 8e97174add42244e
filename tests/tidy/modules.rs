//! The modules of one crate and what each of them names, tests left out.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use super::{sources, syntax};

/// How often a name may be followed from one `use` to the next.
const MAX_STEPS: usize = 16;

/// A module, which is a file or a part of one.
#[derive(Default)]
pub struct Module {
    /// The file, relative to the repository.
    pub file: String,
    /// The names from the crate's root to here.
    pub path: Vec<String>,
    /// What the module names: the paths of its imports, and the paths in its code.
    pub uses: Vec<Vec<String>>,
    children: BTreeMap<String, usize>,
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    items: BTreeSet<String>,
}

/// The modules of one crate; the first one is its root.
#[derive(Default)]
pub struct Crate {
    /// All modules, inline ones included.
    pub modules: Vec<Module>,
}

type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Crate {
    /// The crate whose root is the file `root`.
    pub fn load(root: &str) -> Self {
        Self::parse(root, &sources::read)
    }

    /// The crate whose root is the file `root`, read through `read`.
    pub fn parse(root: &str, read: Read) -> Self {
        let mut loaded = Self::default();
        let (folder, _) = root.rsplit_once('/').unwrap();
        loaded.file(root, folder, Vec::new(), read);
        loaded
    }

    fn file(&mut self, file: &str, folder: &str, path: Vec<String>, read: Read) -> usize {
        let text = read(file).unwrap_or_else(|| panic!("{file} is declared and does not exist"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.module(file, folder, path, &parsed.items, read)
    }

    fn module(
        &mut self,
        file: &str,
        folder: &str,
        path: Vec<String>,
        items: &[syn::Item],
        read: Read,
    ) -> usize {
        let index = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), path, ..Module::default() });
        let mut collector = Collector { index, folder: folder.to_owned(), all: self, read };
        for item in items {
            if let Some(name) = syntax::defined(item) {
                collector.own().items.insert(name);
            }
            collector.visit_item(item);
        }
        index
    }

    /// The module that defines what `path` names in the module `from`, re-exports followed to their
    /// end. `None` for a path that leaves the crate.
    pub fn definition(&self, from: usize, path: &[String]) -> Option<usize> {
        self.follow(from, path, MAX_STEPS)
    }

    /// The module that `path` names in the module `from` by the names of modules alone, re-exports
    /// not followed.
    pub fn named(&self, from: usize, path: &[String]) -> Option<usize> {
        let (mut at, mut rest) = self.start(from, path)?;
        while let [head, tail @ ..] = rest {
            let Some(child) = self.modules[at].children.get(head) else { break };
            (at, rest) = (*child, tail);
        }
        Some(at)
    }

    /// `path` with its first name replaced by what the module `from` imported under that name.
    pub fn spelled(&self, from: usize, path: &[String]) -> Vec<String> {
        match self.modules[from].imports.get(&path[0]) {
            Some(import) => [import, &path[1..]].concat(),
            None => path.to_vec(),
        }
    }

    fn follow(&self, from: usize, path: &[String], steps: usize) -> Option<usize> {
        let (mut at, mut rest) = self.start(from, path)?;
        while let [head, tail @ ..] = rest {
            let module = &self.modules[at];
            if let Some(child) = module.children.get(head) {
                (at, rest) = (*child, tail);
            } else if let Some(import) = module.imports.get(head).filter(|i| i[0] != *head) {
                let steps = steps.checked_sub(1)?;
                let beyond = self.follow(at, &[import, tail].concat(), steps);
                return beyond.or((at != from).then_some(at));
            } else if let Some(source) = self.glob_source(at, head, steps) {
                at = source;
            } else {
                break;
            }
        }
        Some(at)
    }

    /// Where a path begins, and the names that are left of it.
    fn start<'p>(&self, from: usize, path: &'p [String]) -> Option<(usize, &'p [String])> {
        let module = &self.modules[from];
        match path[0].as_str() {
            "crate" => Some((0, &path[1..])),
            "self" => Some((from, &path[1..])),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let parent = &module.path[..module.path.len().checked_sub(ups)?];
                let at = self.modules.iter().position(|module| module.path == parent)?;
                Some((at, &path[ups..]))
            }
            head if module.children.contains_key(head) || module.imports.contains_key(head) => {
                Some((from, path))
            }
            _ => None,
        }
    }

    /// The module that gives `name` to the module `at` by a star.
    fn glob_source(&self, at: usize, name: &str, steps: usize) -> Option<usize> {
        let steps = steps.checked_sub(1)?;
        self.modules[at].globs.iter().find_map(|glob| {
            let source = self.follow(at, glob, steps).filter(|source| *source != at)?;
            let module = &self.modules[source];
            let has = module.items.contains(name)
                || module.imports.contains_key(name)
                || module.children.contains_key(name);
            has.then_some(source)
        })
    }
}

/// Reads the items of one module.
struct Collector<'a> {
    index: usize,
    /// Where the files of the module's children lie.
    folder: String,
    all: &'a mut Crate,
    read: Read<'a>,
}

impl Collector<'_> {
    fn own(&mut self) -> &mut Module {
        &mut self.all.modules[self.index]
    }

    fn child(&mut self, item: &syn::ItemMod) -> usize {
        let name = item.ident.to_string();
        let Module { file, path, .. } = self.own();
        let (file, mut path) = (file.clone(), path.clone());
        path.push(name.clone());
        let folder = format!("{}/{name}", self.folder);
        if let Some((_, items)) = &item.content {
            return self.all.module(&file, &folder, path, items, self.read);
        }
        let elsewhere = item.attrs.iter().find_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
        if let Some(elsewhere) = elsewhere {
            let (near, _) = file.rsplit_once('/').unwrap();
            return self.all.file(&format!("{near}/{elsewhere}"), near, path, self.read);
        }
        let beside = format!("{folder}.rs");
        if (self.read)(&beside).is_some() {
            return self.all.file(&beside, &folder, path, self.read);
        }
        self.all.file(&format!("{folder}/mod.rs"), &folder, path, self.read)
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !syntax::is_test(syntax::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !syntax::is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let child = self.child(item);
        self.own().children.insert(item.ident.to_string(), child);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let facade = !matches!(item.vis, syn::Visibility::Inherited);
        for import in syntax::imports(&item.tree) {
            let own = self.own();
            if import.glob {
                own.globs.push(import.path.clone());
            }
            if let Some(name) = import.name {
                own.imports.insert(name, import.path.clone());
            }
            // A re-export needs nothing from the file that it names.
            if !facade {
                own.uses.push(import.path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // One small name alone may be a variable that is called like a module.
        let named = names.len() > 1 || names[0].starts_with(char::is_uppercase);
        if named && path.leading_colon.is_none() {
            self.own().uses.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.own().uses.extend(syntax::paths(call.tokens.clone()));
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
