//! A valid configuration with the source of each key: how it is shown, and how it differs from
//! another one.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::check::KeySources;
use super::keys::{self, Leaf};
use super::live::{self, Applier};
use super::problem::{SetBy, redacted};
use crate::config::schema::Config;

/// Shown instead of a secret.
const MASK: &str = "********";

/// A valid configuration, and where each value comes from.
#[derive(Clone)]
pub struct Settings {
    config: Config,
    /// The configuration as JSON.
    tree: Value,
    sources: KeySources,
    /// The configuration file.
    file: Option<PathBuf>,
    warnings: Vec<String>,
}

/// A key with its value. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The path of the key, `jails.exec_timeout`.
    pub key: &'static str,
    /// The value; null where the key is not set, and [`keys::Key::default`] says what holds then.
    pub value: Value,
    /// The source that set the key: `default`, `config.json:12`, `environment SKY_ISLAND_…`, `flag
    /// --…`.
    pub source: String,
}

/// A key whose value differs between two configurations. Secrets are masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The path of the key.
    pub key: &'static str,
    /// The value in the one configuration, as JSON.
    pub from: String,
    /// The value in the other one.
    pub to: String,
    /// The parts of a running server that apply the key; none where it needs a restart.
    pub appliers: &'static [Applier],
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl Settings {
    pub(super) fn new(
        config: Config,
        sources: KeySources,
        file: Option<PathBuf>,
        warnings: Vec<String>,
    ) -> Self {
        let tree = serde_json::to_value(&config).unwrap_or_default();
        Self { config, tree, sources, file, warnings }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is odd about the sources of the configuration without being a problem.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The configuration file.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// All keys.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |leaf: &'static Leaf| Entry {
            key: &leaf.path,
            value: masked(leaf, self.in_force(leaf)),
            source: self.sources.of_key(&leaf.path).to_string(),
        };
        keys::leaves().iter().map(entry).collect()
    }

    /// The keys whose values differ in another configuration.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let differs = |leaf: &&Leaf| self.value(leaf) != other.value(leaf);
        let change = |leaf: &'static Leaf| Change {
            key: &leaf.path,
            from: masked(leaf, self.value(leaf).clone()).to_string(),
            to: masked(leaf, other.value(leaf).clone()).to_string(),
            appliers: live::appliers(&leaf.path),
        };
        keys::leaves().iter().filter(differs).map(change).collect()
    }

    /// These settings with the values that another configuration has for these keys; none where
    /// they make no configuration.
    pub fn with(&self, other: &Self, keys: &[&str]) -> Option<Self> {
        let (mut tree, mut sources) = (self.tree.clone(), self.sources.clone());
        for leaf in keys::leaves().iter().filter(|leaf| keys.contains(&&*leaf.path)) {
            *tree.pointer_mut(&pointer(leaf))? = other.value(leaf).clone();
            sources.set(&leaf.path, other.sources.of_key(&leaf.path));
        }
        let config = serde_json::from_value(tree.clone()).ok()?;
        Some(Self { config, tree, sources, file: self.file.clone(), warnings: Vec::new() })
    }

    /// The value, or where the key is not set, the one that holds on this host.
    fn in_force(&self, leaf: &Leaf) -> Value {
        match (self.value(leaf), leaf.path.as_str()) {
            (Value::Null, "state_dir") => self.config.state_dir().display().to_string().into(),
            (Value::Null, "listen") => {
                self.config.endpoints().iter().map(ToString::to_string).collect()
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

/// The value without the users and passwords of the URLs in it.
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

impl KeySources {
    /// The source of a key itself: a key that is not in its section has its default, whichever
    /// source has the section.
    fn of_key(&self, path: &str) -> SetBy {
        self.0.get(path).cloned().unwrap_or(SetBy::Default)
    }
}
