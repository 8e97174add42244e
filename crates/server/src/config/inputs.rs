//! The inputs of a configuration: flags take precedence over the environment, that over the file,
//! that over the defaults.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::check::{KeySources, check, is_within};
use super::environment;
use super::file::{self, Document};
use super::keys::{self, Leaf};
use super::problem::{ConfigError, Problem, SetBy, redacted};
use super::settings::Settings;
use super::validate::split;
use crate::config::schema::Config;

/// Where values come from. The inputs can be read again at any time, for the file may have changed.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// The variables that begin with `SKY_ISLAND_`, and their texts.
    pub environment: Vec<(String, String)>,
    /// Paths of keys, each with the texts that its flag was given.
    pub flags: Vec<(String, Vec<String>)>,
}

/// The layers that have been read so far, on top of each other.
#[derive(Default)]
struct Layers {
    tree: Map<String, Value>,
    sources: KeySources,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Inputs {
    /// The inputs of this process: the file, or the one that the environment names; the
    /// environment; and these flags.
    pub fn of_process(file: Option<&Path>, flags: Vec<(String, Vec<String>)>) -> Self {
        let environment = environment::of_process();
        let named =
            environment.iter().find(|(name, path)| name == environment::FILE && !path.is_empty());
        let file = file.map(Into::into).or_else(|| named.map(|(_, path)| path.into()));
        Self { file, environment, flags }
    }

    /// Reads the inputs, and finds every problem.
    pub fn read(&self) -> Result<Settings, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.file {
            let text = file::read(path).map_err(|error| ConfigError::Read(path.clone(), error))?;
            layers.add_file(path, &text);
        }
        layers.add_environment(&self.environment);
        layers.add_flags(&self.flags);
        let Layers { tree, mut sources, mut problems, warnings } = layers;
        problems.extend(check(&tree, &sources));
        let nulls = nulls(&tree, "");
        let dropped = problems.iter().map(|problem| problem.key.clone()).collect();
        let (config, more) = put_together(tree, &sources, dropped);
        problems.extend(more);
        match config.filter(|_| problems.is_empty()) {
            Some(config) => {
                sources.0.retain(|path, _| !nulls.contains(path));
                Ok(Settings::new(config, sources, self.file.clone(), warnings))
            }
            None => {
                problems.sort_by_key(|problem| match &problem.set_by {
                    SetBy::File(_, at) => (0, at.line, at.column),
                    _ => (1, 0, 0),
                });
                Err(ConfigError::Invalid(problems))
            }
        }
    }
}

/// The configuration without the keys in `dropped`, which have problems of their own, and the
/// problems of values that are good by themselves.
fn put_together(
    mut tree: Map<String, Value>,
    sources: &KeySources,
    mut dropped: Vec<String>,
) -> (Option<Config>, Vec<Problem>) {
    let mut problems = Vec::new();
    for path in &dropped {
        remove(&mut tree, path);
    }
    tree = pruned(tree);
    let config: Config = loop {
        let error = match serde_path_to_error::deserialize(Value::Object(tree.clone())) {
            Ok(config) => break config,
            Err(error) => error,
        };
        // An object that lacks a dropped key cannot be read either: it is dropped without a problem
        // of its own.
        let path = error.path().to_string();
        if !dropped.iter().any(|other| is_within(other, &path)) {
            let (set_by, text) = (sources.of(&path), error.inner().to_string());
            problems.push(Problem { key: path.clone(), set_by, text: redacted(&text) });
        }
        if !remove(&mut tree, &path) {
            return (None, problems);
        }
        dropped.push(path);
    };
    for text in config.problems() {
        let (key, text) = split(&text);
        // The problem may come from a value that was dropped.
        let echo = |path: &String| is_within(key, path) || is_within(path, key);
        if key.is_empty() || !dropped.iter().any(echo) {
            let (key, set_by) = (key.to_owned(), sources.of(key));
            problems.push(Problem { key, set_by, text: redacted(text) });
        }
    }
    (Some(config), problems)
}

impl Layers {
    fn add_file(&mut self, path: &Path, text: &str) {
        let mut add = |key: &str, position, text: &str| {
            let (key, set_by) = (key.to_owned(), SetBy::File(path.into(), position));
            self.problems.push(Problem { key, set_by, text: text.to_owned() });
        };
        let start = file::Position { line: 1, column: 1 };
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(invalid) => {
                return add(
                    "",
                    invalid.position,
                    &format!("the file is not JSON: {}", invalid.text),
                );
            }
        };
        let Value::Object(tree) = document.value else {
            return add("", start, "the file must be a JSON object");
        };
        for (key, position) in document.positions {
            if let Some(SetBy::File(_, first)) = self.sources.0.get(&key) {
                let line = first.line;
                add(&key, position, &format!("is given twice, first in line {line}; remove one"));
            } else {
                self.sources.0.insert(key, SetBy::File(path.into(), position));
            }
        }
        self.tree = tree;
    }

    fn add_environment(&mut self, variables: &[(String, String)]) {
        let mut values = Vec::new();
        for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
            match environment::leaf(name) {
                Some(leaf) => {
                    let value = environment::value(text, &leaf.key.form);
                    values.push((leaf, value, SetBy::Variable(name.clone())));
                }
                None => self.warnings.extend(environment::warning(name)),
            }
        }
        self.add_layer(values);
    }

    fn add_flags(&mut self, flags: &[(String, Vec<String>)]) {
        let mut values = Vec::new();
        for (path, texts) in flags {
            let Some(leaf) = keys::leaf(path) else { continue };
            let value = environment::value(&texts.join(","), &leaf.key.form);
            let name = leaf.key.flag.as_deref().unwrap_or(path);
            values.push((leaf, value, SetBy::Flag(format!("--{name}"))));
        }
        self.add_layer(values);
    }

    fn add_layer(&mut self, values: Vec<(&'static Leaf, Value, SetBy)>) {
        let sets = |path: &str| values.iter().any(|(leaf, ..)| leaf.path == path);
        // In one source `listen` takes precedence over `http_port`; a port takes precedence over
        // `listen` of a weaker source.
        if sets("http_port") && !sets("listen") {
            self.tree.remove("listen");
            self.sources.0.remove("listen");
        }
        for (leaf, value, set_by) in values {
            self.set(&leaf.path, value, set_by);
        }
    }

    fn set(&mut self, path: &str, value: Value, set_by: SetBy) {
        let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
        let mut map = &mut self.tree;
        for section in sections.split('.').filter(|name| !name.is_empty()) {
            let inner = map.entry(section).or_insert(Value::Null);
            if inner.is_null() {
                *inner = Value::Object(Map::new());
            }
            // Another value in place of the section is a problem of the file, which is reported for
            // the file.
            let Value::Object(inner) = inner else { return };
            map = inner;
        }
        map.insert(name.to_owned(), value);
        self.sources.set(path, set_by);
    }
}

/// The paths of the keys that are null, and so not set.
fn nulls(map: &Map<String, Value>, prefix: &str) -> Vec<String> {
    let below = |(name, value): (&String, &Value)| match value {
        Value::Null => vec![format!("{prefix}{name}")],
        Value::Object(map) => nulls(map, &format!("{prefix}{name}.")),
        _ => Vec::new(),
    };
    map.iter().flat_map(below).collect()
}

/// The tree without nulls, and without objects that have only nulls in them.
fn pruned(map: Map<String, Value>) -> Map<String, Value> {
    let prune = |(name, value)| match value {
        Value::Null => None,
        Value::Object(map) => {
            let map = pruned(map);
            (!map.is_empty()).then_some((name, Value::Object(map)))
        }
        Value::Array(values) => {
            let values = values.into_iter().map(|value| match value {
                Value::Object(map) => Value::Object(pruned(map)),
                value => value,
            });
            Some((name, Value::Array(values.collect())))
        }
        value => Some((name, value)),
    };
    map.into_iter().filter_map(prune).collect()
}

/// Removes a key, or the list that the key is in. Returns whether there was one.
fn remove(tree: &mut Map<String, Value>, path: &str) -> bool {
    let path = path.split('[').next().unwrap_or(path);
    let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut map = tree;
    for section in sections.split('.').filter(|name| !name.is_empty()) {
        let Some(Value::Object(inner)) = map.get_mut(section) else { return false };
        map = inner;
    }
    map.remove(name).is_some()
}

impl Config {
    /// Reads and validates a file, without flags and environment; without a file, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let inputs = Inputs { file: path.map(Into::into), ..Inputs::default() };
        Ok(inputs.read()?.config().clone())
    }
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
