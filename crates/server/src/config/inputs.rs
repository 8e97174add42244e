//! What a configuration is put together from: flags over the environment over the file over the defaults.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::check::{Places, check, is_within};
use super::file::{self, Document};
use super::keys::{self, Leaf};
use super::problem::{ConfigError, Problem, SetBy, redacted};
use super::settings::Settings;
use super::validate::split;
use super::{Config, environment};

/// Where values come from. It can be read again at any time, for the file may have changed.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// The variables whose names are ours, and their texts.
    pub environment: Vec<(String, String)>,
    /// Paths of keys, and the texts that their flags were given with, each of them once or more.
    pub flags: Vec<(String, Vec<String>)>,
}

/// What is known so far.
#[derive(Default)]
struct Layers {
    tree: Map<String, Value>,
    places: Places,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Inputs {
    /// The file, or the one that the environment names; the environment of this process; and these flags.
    pub fn of_process(file: Option<&Path>, flags: Vec<(String, Vec<String>)>) -> Self {
        let environment = environment::of_process();
        let named =
            environment.iter().find(|(name, path)| name == environment::FILE && !path.is_empty());
        let file = file.map(Into::into).or_else(|| named.map(|(_, path)| path.into()));
        Self { file, environment, flags }
    }

    /// Reads them, and finds every problem.
    pub fn read(&self) -> Result<Settings, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.file {
            let text = file::read(path).map_err(|error| ConfigError::Read(path.clone(), error))?;
            layers.add_file(path, &text);
        }
        layers.add_environment(&self.environment);
        layers.add_flags(&self.flags);
        let Layers { tree, mut places, mut problems, warnings } = layers;
        problems.extend(check(&tree, &places));
        let mut nulls = Vec::new();
        note_nulls(&tree, "", &mut nulls);
        let config = put_together(tree, &places, &mut problems);
        match config.filter(|_| problems.is_empty()) {
            Some(config) => {
                places.0.retain(|path, _| !nulls.contains(path));
                Ok(Settings::new(config, places, self.clone(), warnings))
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

/// The configuration, and the problems that lie between values that have none themselves.
fn put_together(
    mut tree: Map<String, Value>,
    places: &Places,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut dropped: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    for path in &dropped {
        remove(&mut tree, path);
    }
    tree = pruned(tree);
    let config: Config = loop {
        let error = match serde_path_to_error::deserialize(Value::Object(tree.clone())) {
            Ok(config) => break config,
            Err(error) => error,
        };
        // What is incomplete because of what was dropped goes too.
        let path = error.path().to_string();
        if !dropped.iter().any(|other| is_within(other, &path)) {
            let (set_by, text) = (places.of(&path), error.inner().to_string());
            problems.push(Problem { key: path.clone(), set_by, text: redacted(&text) });
        }
        if !remove(&mut tree, &path) {
            return None;
        }
        dropped.push(path);
    };
    for text in config.problems() {
        let (key, text) = split(&text);
        // It may be there only because another value is not.
        let echo = |path: &String| is_within(key, path) || is_within(path, key);
        if key.is_empty() || !dropped.iter().any(echo) {
            let (key, set_by) = (key.to_owned(), places.of(key));
            problems.push(Problem { key, set_by, text: redacted(text) });
        }
    }
    Some(config)
}

impl Layers {
    fn add_file(&mut self, path: &Path, text: &str) {
        let mut add = |key: &str, place, text: &str| {
            let (key, set_by) = (key.to_owned(), SetBy::File(path.into(), place));
            self.problems.push(Problem { key, set_by, text: text.to_owned() });
        };
        let start = file::Position { line: 1, column: 1 };
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(garbled) => {
                return add("", garbled.place, &format!("is not JSON: {}", garbled.text));
            }
        };
        let Value::Object(tree) = document.value else {
            return add("", start, "must be a JSON object");
        };
        for (key, place) in document.places {
            if let Some(SetBy::File(_, first)) = self.places.0.get(&key) {
                let line = first.line;
                add(&key, place, &format!("is given twice, first in line {line}; remove one"));
            } else {
                self.places.0.insert(key, SetBy::File(path.into(), place));
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
        // In one source an address wins over a port; a port wins over the address of a weaker source.
        if sets("http_port") && !sets("listen") {
            self.tree.remove("listen");
            self.places.0.remove("listen");
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
            // Something else in its place is the file's mistake, which is found there.
            let Value::Object(inner) = inner else { return };
            map = inner;
        }
        map.insert(name.to_owned(), value);
        self.places.set(path, set_by);
    }
}

/// The paths of keys that are null, which set nothing.
fn note_nulls(map: &Map<String, Value>, prefix: &str, nulls: &mut Vec<String>) {
    for (name, value) in map {
        match value {
            Value::Null => nulls.push(format!("{prefix}{name}")),
            Value::Object(map) => note_nulls(map, &format!("{prefix}{name}."), nulls),
            _ => {}
        }
    }
}

/// Without what is not set: nulls, and objects that have nothing else in them.
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

/// Takes a key out, or the list that leads to it. Says whether there was one.
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

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
