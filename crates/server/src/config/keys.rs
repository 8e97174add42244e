//! All keys of the configuration, read from the definitions of its types: a doc comment says what a
//! key means, attributes beside it the rest.
//!
//! `x-default` says in words what holds where nothing is set, `x-flag` names the option of `serve`,
//! `x-secret` marks what is never shown, and `example` shows a value. What SIGHUP changes is listed
//! in [`super::live`].

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::live;
use crate::config::schema::Config;

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The last part of its path.
    pub name: String,
    /// What it means, from the doc comment.
    pub doc: String,
    /// The form of its value.
    pub form: ValueForm,
    /// What holds where nothing is set, in words; none where the default is a value.
    pub default: Option<String>,
    /// The option of `serve` that sets it, without dashes.
    pub flag: Option<String>,
    /// Whether SIGHUP changes it in a running server.
    pub live: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// A value to show what one looks like.
    pub example: Option<Value>,
}

/// The form of a value.
#[derive(Clone, Debug)]
pub enum ValueForm {
    /// A whole number from 0 to this.
    Whole(u64),
    /// true or false.
    Switch,
    /// A text; its format where there is one: `duration`, `size`.
    Text(Option<String>),
    /// One of these texts.
    Choice(Vec<String>),
    /// A list of such values.
    List(Box<ValueForm>),
    /// An object with these keys.
    Section(Section),
    /// One of several forms.
    Either(Vec<ValueForm>),
}

/// The keys of an object.
#[derive(Clone, Debug)]
pub struct Section {
    /// In the order of their names.
    pub keys: Vec<Key>,
    /// The names of keys without a default.
    pub required: Vec<String>,
}

/// A key that has a value, not a section, and its path.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The path from the root, with dots: `jails.exec_timeout`.
    pub path: String,
    /// The key.
    pub key: &'static Key,
}

impl Section {
    /// The key of a name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// All keys.
pub fn root() -> &'static Section {
    static ROOT: OnceLock<Section> = OnceLock::new();
    ROOT.get_or_init(|| {
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        let generator = settings.with(|it| it.inline_subschemas = true).into_generator();
        section(generator.into_root_schema_for::<Config>().as_value(), "")
    })
}

/// All keys that have values, those in sections included, those in the objects of lists not.
pub fn leaves() -> &'static [Leaf] {
    static LEAVES: OnceLock<Vec<Leaf>> = OnceLock::new();
    LEAVES.get_or_init(|| leaves_of(root(), ""))
}

/// The key of a path.
pub fn leaf(path: &str) -> Option<&'static Leaf> {
    leaves().iter().find(|leaf| leaf.path == path)
}

fn leaves_of(section: &'static Section, prefix: &str) -> Vec<Leaf> {
    let below = |key: &'static Key| {
        let path = format!("{prefix}{}", key.name);
        match &key.form {
            ValueForm::Section(section) => leaves_of(section, &format!("{path}.")),
            _ => vec![Leaf { path, key }],
        }
    };
    section.keys.iter().flat_map(below).collect()
}

/// The keys of an object; `prefix` is its path with a dot behind it, or nothing for the root.
fn section(schema: &Value, prefix: &str) -> Section {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let keys = properties.iter().map(|(name, schema)| key(prefix, name, schema)).collect();
    Section { keys, required: texts(&schema["required"]) }
}

fn key(prefix: &str, name: &str, schema: &Value) -> Key {
    let text = |key: &str| schema[key].as_str().map(str::to_owned);
    let path = format!("{prefix}{name}");
    Key {
        name: name.to_owned(),
        doc: text("description").unwrap_or_default(),
        form: form(schema, &path),
        default: text("x-default"),
        flag: text("x-flag"),
        live: !live::appliers(&path).is_empty(),
        secret: schema["x-secret"] == true,
        example: schema["examples"].get(0).cloned(),
    }
}

/// The form that a JSON schema describes. Null is left out: for every key it means "not set".
fn form(schema: &Value, path: &str) -> ValueForm {
    if let Some(choices) = schema["anyOf"].as_array() {
        let mut forms: Vec<ValueForm> = choices
            .iter()
            .filter(|choice| choice["type"] != "null")
            .map(|it| form(it, path))
            .collect();
        return if forms.len() == 1 { forms.remove(0) } else { ValueForm::Either(forms) };
    }
    let constants = schema["oneOf"].as_array().into_iter().flatten();
    let mut choices: Vec<String> =
        constants.filter_map(|choice| choice["const"].as_str().map(str::to_owned)).collect();
    choices.extend(texts(&schema["enum"]));
    let types = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match types.into_iter().find(|name| *name != "null") {
        Some("object") => ValueForm::Section(section(schema, &format!("{path}."))),
        Some("array") => ValueForm::List(Box::new(form(&schema["items"], &format!("{path}[]")))),
        Some("integer") => ValueForm::Whole(schema["maximum"].as_u64().unwrap_or(u64::MAX)),
        Some("boolean") => ValueForm::Switch,
        _ if !choices.is_empty() => ValueForm::Choice(choices),
        _ => ValueForm::Text(schema["format"].as_str().map(str::to_owned)),
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn form_of(path: &str) -> &'static ValueForm {
        &leaf(path).unwrap_or_else(|| panic!("{path} is no key")).key.form
    }

    #[test]
    fn forms_follow_the_types() {
        assert!(matches!(form_of("http_port"), ValueForm::Whole(65535)));
        assert!(matches!(form_of("go.warm"), ValueForm::Switch));
        assert!(
            matches!(form_of("jails.exec_timeout"), ValueForm::Text(Some(of)) if of == "duration")
        );
        assert!(
            matches!(form_of("jails.address_space"), ValueForm::Text(Some(of)) if of == "size")
        );
        assert!(matches!(form_of("network.ip4.mask"), ValueForm::Text(_)));
        let ValueForm::List(item) = form_of("sources.order") else { panic!() };
        assert!(matches!(&**item, ValueForm::Choice(of) if of == &["git", "proxy"]));
        let ValueForm::List(item) = form_of("network.pools") else { panic!() };
        let ValueForm::Section(section) = &**item else { panic!() };
        assert_eq!(section.required, ["interface", "network"]);
        assert!(matches!(&root().key("network").unwrap().form, ValueForm::Section(_)));
    }

    #[test]
    fn every_key_says_what_it_means() {
        fn look(section: &Section) {
            for key in &section.keys {
                assert!(key.doc.ends_with('.'), "{}: {:?}", key.name, key.doc);
                match &key.form {
                    ValueForm::Section(section) => look(section),
                    ValueForm::List(item) => {
                        if let ValueForm::Section(section) = &**item {
                            look(section);
                        }
                    }
                    _ => {}
                }
            }
        }
        look(root());
        assert!(leaves().len() > 50);
    }

    #[test]
    fn a_key_without_a_default_value_has_one_in_words() {
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for leaf in leaves() {
            let pointer = format!("/{}", leaf.path.replace('.', "/"));
            // A section that is not there has nothing that holds.
            if let Some(value) = defaults.pointer(&pointer) {
                assert!(!value.is_null() || leaf.key.default.is_some(), "{}", leaf.path);
            }
        }
    }

    #[test]
    fn flags_are_unique_and_none_takes_a_secret() {
        let flags: Vec<_> = leaves().iter().filter_map(|it| it.key.flag.as_ref()).collect();
        assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
        assert!(flags.len() >= 5);
        assert!(!leaves().iter().any(|leaf| leaf.key.secret && leaf.key.flag.is_some()));
    }
}
