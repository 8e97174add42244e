//! A configuration that can be used, with what set each key; what it looks like, and what another one would change.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::check::Places;
use super::keys::{self, Leaf};
use super::problem::{ConfigError, SetBy, redacted};
use crate::config::Config;
use crate::config::inputs::Inputs;

/// What is shown of a secret.
const MASK: &str = "********";

/// A valid configuration, and where it comes from.
#[derive(Clone)]
pub struct Settings {
    config: Config,
    /// The same as JSON.
    tree: Value,
    places: Places,
    inputs: Inputs,
    warnings: Vec<String>,
}

/// One key as it is in force. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The way to it, `jails.exec_timeout`.
    pub key: &'static str,
    /// Its value; null where it has none, and [`keys::Key::default`] says what holds then.
    pub value: Value,
    /// What set it: `default`, `config.json:12`, `environment SKY_ISLAND_…`, `flag --…`.
    pub source: String,
}

/// A key that differs between two configurations. It shows no secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The way to it.
    pub key: &'static str,
    /// What it was, as JSON.
    pub from: String,
    /// What it is to be.
    pub to: String,
    /// Whether a running server takes it up.
    pub live: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl Settings {
    pub(super) fn new(
        config: Config,
        places: Places,
        inputs: Inputs,
        warnings: Vec<String>,
    ) -> Self {
        let tree = serde_json::to_value(&config).unwrap_or_default();
        Self { config, tree, places, inputs, warnings }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is odd about where it comes from, without being wrong.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The configuration file.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.inputs.file.as_deref()
    }

    /// Reads the same file, environment and flags again.
    pub fn read_again(&self) -> Result<Self, ConfigError> {
        self.inputs.read()
    }

    /// All keys.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |leaf: &'static Leaf| Entry {
            key: &leaf.path,
            value: masked(leaf, self.in_force(leaf)),
            source: self.places.of_key(&leaf.path).to_string(),
        };
        keys::leaves().iter().map(entry).collect()
    }

    /// What another configuration would change.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let differs = |leaf: &&Leaf| self.value(leaf) != other.value(leaf);
        let change = |leaf: &'static Leaf| Change {
            key: &leaf.path,
            from: masked(leaf, self.value(leaf).clone()).to_string(),
            to: masked(leaf, other.value(leaf).clone()).to_string(),
            live: leaf.key.live,
        };
        keys::leaves().iter().filter(differs).map(change).collect()
    }

    /// The same with those values of another one that a running server takes up.
    pub fn updated(&self, other: &Self) -> Self {
        let (mut tree, mut places) = (self.tree.clone(), self.places.clone());
        for leaf in keys::leaves().iter().filter(|leaf| leaf.key.live) {
            if let Some(value) = tree.pointer_mut(&pointer(leaf)) {
                *value = other.value(leaf).clone();
                places.set(&leaf.path, other.places.of_key(&leaf.path));
            }
        }
        let config = serde_json::from_value(tree.clone()).unwrap_or_else(|_| self.config.clone());
        Self { config, tree, places, inputs: self.inputs.clone(), warnings: Vec::new() }
    }

    /// The value, or where none is set, the one that this host makes of it.
    fn in_force(&self, leaf: &Leaf) -> Value {
        match (self.value(leaf), leaf.path.as_str()) {
            (Value::Null, "state_dir") => self.config.state_dir().display().to_string().into(),
            (Value::Null, "listen") => {
                self.config.places().iter().map(|place| place.to_string()).collect()
            }
            (value, _) => value.clone(),
        }
    }

    fn value(&self, leaf: &Leaf) -> &Value {
        self.tree.pointer(&pointer(leaf)).unwrap_or(&Value::Null)
    }
}

fn pointer(leaf: &Leaf) -> String {
    format!("/{}", leaf.path.replace('.', "/"))
}

fn masked(leaf: &Leaf, value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if leaf.key.secret => MASK.into(),
        value => without_users(value),
    }
}

/// Addresses may have a user and a password in them.
fn without_users(value: Value) -> Value {
    match value {
        Value::String(text) => redacted(&text).into(),
        Value::Array(values) => values.into_iter().map(without_users).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(name, value)| (name, without_users(value))).collect()
        }
        value => value,
    }
}

impl Places {
    /// What set a key itself: a value that is not in its section has its default, whatever wrote the section.
    fn of_key(&self, path: &str) -> SetBy {
        self.0.get(path).cloned().unwrap_or(SetBy::Default)
    }
}
