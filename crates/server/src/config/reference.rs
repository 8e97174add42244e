//! The reference of all keys, docs/configuration.md, made from their definitions.

use std::fmt::Write;

use serde_json::Value;

use super::keys::{self, Key, Section, ValueForm};
use crate::config::environment::variable;
use crate::config::ranges::RANGES;
use crate::config::schema::Config;

/// The text before the tables.
const INTRODUCTION: &str = include_str!("reference.md");

/// The whole text.
pub fn text() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = INTRODUCTION.to_owned();
    let flags = keys::leaves().iter().filter_map(|leaf| {
        let flag = leaf.key.flag.as_ref()?;
        Some(format!("| `--{flag}` | `{}` | `{}` |\n", leaf.path, variable(&leaf.path)))
    });
    text.push_str("\n## Flags of `serve`\n\n| flag | key | variable |\n|---|---|---|\n");
    text.extend(flags);
    text.push_str("\n## At the top\n\n");
    text + &table(keys::root(), "", &defaults) + &sections(keys::root(), "", &defaults)
}

/// The sections within a section, and sections that its lists hold.
fn sections(section: &Section, prefix: &str, defaults: &Value) -> String {
    let mut text = String::new();
    for key in &section.keys {
        let (inner, path) = match &key.form {
            ValueForm::Section(inner) => (inner, format!("{prefix}{}", key.name)),
            ValueForm::List(item) => match &**item {
                ValueForm::Section(inner) => (inner, format!("{prefix}{}[]", key.name)),
                _ => continue,
            },
            _ => continue,
        };
        let defaults = &defaults[&key.name];
        let _ = write!(text, "\n## `{path}`\n\n{}\n\n", key.doc);
        text.push_str(&table(inner, &format!("{path}."), defaults));
        text.push_str(&sections(inner, &format!("{path}."), defaults));
    }
    text
}

fn table(section: &Section, prefix: &str, defaults: &Value) -> String {
    let mut text = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in section.keys.iter().filter(|key| !matches!(key.form, ValueForm::Section(_))) {
        let required = section.required.contains(&key.name);
        let default = match &key.default {
            _ if required => "none; required".to_owned(),
            Some(words) => words.clone(),
            None => match defaults.get(&key.name) {
                Some(value) => format!("`{value}`"),
                None => "`[]`".to_owned(),
            },
        };
        let path = format!("{prefix}{}", key.name);
        let mut form = form(&key.form);
        if let Some(range) = RANGES.iter().find(|range| range.key == path) {
            let _ = write!(form, " {range}");
        }
        let _ = writeln!(text, "| `{path}` | {form} | {default} | {} |", meaning(key));
    }
    text
}

fn meaning(key: &Key) -> String {
    let mut text = key.doc.replace('\n', " ");
    if let Some(example) = &key.example {
        let _ = write!(text, " Example: `{example}`.");
    }
    if key.secret {
        text.push_str(" Never shown.");
    }
    if key.live {
        text.push_str(" ↻");
    }
    text.replace('|', "\\|")
}

fn form(form: &ValueForm) -> String {
    match form {
        ValueForm::Whole(u64::MAX) => "number".into(),
        ValueForm::Whole(most) => format!("number up to {most}"),
        ValueForm::Switch => "true or false".into(),
        ValueForm::Text(of) => match of.as_deref() {
            Some(of @ ("duration" | "size")) => of.into(),
            _ => "text".into(),
        },
        ValueForm::Choice(choices) => {
            choices.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" or ")
        }
        ValueForm::List(item) => match &**item {
            ValueForm::Choice(_) => format!("list of {}", self::form(item)),
            item => format!("list of {}s", self::form(item)),
        },
        ValueForm::Section(_) => "object".into(),
        ValueForm::Either(forms) => forms.iter().map(self::form).collect::<Vec<_>>().join(" or "),
    }
}
