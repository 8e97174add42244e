//! Checks each key and value by itself: the key is known, the value has its form and can be read.
//! All problems are found.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::keys::{self, Section, ValueForm};
use super::problem::{Problem, SetBy, redacted};
use crate::config::schema::Config;

/// How much of a value a problem shows, in characters.
const SHOWN: usize = 60;

/// The source that set each key, by the key's path.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySources(pub(super) BTreeMap<String, SetBy>);

impl KeySources {
    /// The source that set a key, or else the section or list that the key is in.
    pub(super) fn of(&self, path: &str) -> SetBy {
        let mut path = path;
        loop {
            if let Some(set_by) = self.0.get(path) {
                return set_by.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return SetBy::Default,
            }
        }
    }

    /// Notes that a source has set a key and everything in it.
    pub(super) fn set(&mut self, path: &str, set_by: SetBy) {
        self.0.retain(|other, _| !is_within(other, path));
        self.0.insert(path.to_owned(), set_by);
    }
}

/// Whether a path is another one or begins with it.
pub(super) fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The name that is most like this one, where one is alike.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let near = names.map(|it| (strsim::damerau_levenshtein(&name, &plain(it)), it));
    let most = (name.chars().count() / 3).max(2);
    near.filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|it| it.1)
}

/// Checks all keys of a configuration.
pub(super) fn check(tree: &Map<String, Value>, sources: &KeySources) -> Vec<Problem> {
    let mut checker = Checker { sources, problems: Vec::new() };
    checker.section(keys::root(), tree, "");
    checker.problems
}

struct Checker<'a> {
    sources: &'a KeySources,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn add(&mut self, path: &str, text: &str) {
        let (key, set_by) = (path.to_owned(), self.sources.of(path));
        self.problems.push(Problem { key, set_by, text: redacted(text) });
    }

    fn section(&mut self, section: &Section, map: &Map<String, Value>, path: &str) {
        let below =
            |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
        for (name, value) in map {
            match section.key(name) {
                Some(_) if value.is_null() => {}
                Some(key) => self.value(&key.form, value, &below(name), key.secret),
                None => self.add(&below(name), &unknown(section, name)),
            }
        }
        let missing = |name: &&String| map.get(*name).is_none_or(Value::is_null);
        // A section without a value counts as not set.
        let is_set = path.ends_with(']') || map.values().any(|value| !value.is_null());
        for name in section.required.iter().filter(missing).filter(|_| is_set) {
            self.add(&below(name), "must be set");
        }
    }

    fn value(&mut self, form: &ValueForm, value: &Value, path: &str, secret: bool) {
        match (form, value) {
            (ValueForm::Section(section), Value::Object(map)) => self.section(section, map, path),
            (ValueForm::List(item), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(item, value, &format!("{path}[{index}]"), secret);
                }
            }
            (ValueForm::Either(forms), value) if forms.iter().any(|form| fits(form, value)) => {
                for form in forms.iter().filter(|form| fits(form, value)) {
                    self.value(form, value, path, secret);
                }
            }
            (form, value) if !fits(form, value) => {
                let not = if secret { String::new() } else { format!(", not {}", shown(value)) };
                self.add(path, &format!("must be {}{not}{}", expected(form), meant(form, value)));
            }
            _ => {
                if let Some(refusal) = refusal(path, value) {
                    let shown = shown(value);
                    match refusal {
                        _ if secret => self.add(path, "has a value that cannot be used"),
                        text if text.contains(&shown) => self.add(path, &text),
                        text => self.add(path, &format!("{shown}: {text}")),
                    }
                }
            }
        }
    }
}

/// The error of the key's own type for a value.
fn refusal(path: &str, value: &Value) -> Option<String> {
    let (mut whole, mut expected) = (value.clone(), String::new());
    let mut wrap = |name: &str| {
        let (name, list) = match name.split_once('[') {
            Some((name, _)) => (name, true),
            None => (name, false),
        };
        let inner = whole.take();
        let inner = if list { Value::Array(vec![inner]) } else { inner };
        whole = Value::Object(Map::from_iter([(name.to_owned(), inner)]));
        let (index, dot) =
            (if list { "[0]" } else { "" }, if expected.is_empty() { "" } else { "." });
        expected = format!("{name}{index}{dot}{expected}");
    };
    path.rsplit('.').for_each(&mut wrap);
    let error = serde_path_to_error::deserialize::<_, Config>(whole).err()?;
    // Other errors come from keys that are missing in this document of one key.
    is_within(&error.path().to_string(), &expected).then(|| error.inner().to_string())
}

fn unknown(section: &Section, name: &str) -> String {
    let here = section.keys.iter().map(|key| key.name.as_str());
    if let Some(meant) = nearest(name, here.clone()) {
        return format!("is not known; did you mean {meant}?");
    }
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let elsewhere = keys::leaves().iter().map(|leaf| last(&leaf.path));
    if let Some(meant) = nearest(name, elsewhere)
        && let Some(leaf) = keys::leaves().iter().find(|leaf| last(&leaf.path) == meant)
    {
        return format!("is not known; did you mean {}?", leaf.path);
    }
    format!("is not known; the keys here are: {}", here.collect::<Vec<_>>().join(", "))
}

fn fits(form: &ValueForm, value: &Value) -> bool {
    match form {
        ValueForm::Whole(most) => value.as_u64().is_some_and(|number| number <= *most),
        ValueForm::Switch => value.is_boolean(),
        ValueForm::Text(_) => value.is_string(),
        ValueForm::Choice(choices) => {
            value.as_str().is_some_and(|it| choices.iter().any(|c| c == it))
        }
        ValueForm::List(_) => value.is_array(),
        ValueForm::Section(_) => value.is_object(),
        ValueForm::Either(forms) => forms.iter().any(|form| fits(form, value)),
    }
}

fn expected(form: &ValueForm) -> String {
    let quoted = |choices: &[String]| {
        choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(" or ")
    };
    match form {
        ValueForm::Whole(u64::MAX) => "a whole number".into(),
        ValueForm::Whole(most) => format!("a whole number up to {most}"),
        ValueForm::Switch => "true or false".into(),
        ValueForm::Text(of) => match of.as_deref() {
            Some("duration") => r#"a duration such as "10s" or "8h""#.into(),
            Some("size") => r#"a size such as "64MiB""#.into(),
            _ => "a text".into(),
        },
        ValueForm::Choice(choices) => quoted(choices),
        ValueForm::List(_) => "a list".into(),
        ValueForm::Section(_) => "an object".into(),
        ValueForm::Either(forms) => forms.iter().map(expected).collect::<Vec<_>>().join(" or "),
    }
}

fn meant(form: &ValueForm, value: &Value) -> String {
    let (ValueForm::Choice(choices), Value::String(text)) = (form, value) else {
        return String::new();
    };
    let meant = nearest(text, choices.iter().map(String::as_str));
    meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
