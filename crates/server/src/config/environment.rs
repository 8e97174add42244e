//! Keys as variables of the environment: their names, their values, and warnings about unknown
//! names.

use serde_json::Value;

use super::check::nearest;
use super::keys::{self, Leaf, ValueForm};

/// The beginning of the name of each variable.
const PREFIX: &str = "SKY_ISLAND_";
/// The variable that names the configuration file.
pub(super) const FILE: &str = "SKY_ISLAND_CONFIG";
/// The variable that names the server that subcommands ask.
pub const SERVER: &str = "SKY_ISLAND_SERVER";
/// Beginnings of names that set no key: variables of tests and benchmarks.
const OTHERS: [&str; 6] = [
    "SKY_ISLAND_BIN",
    "SKY_ISLAND_OFFLINE",
    "SKY_ISLAND_STRICT",
    "SKY_ISLAND_SUITE_",
    "SKY_ISLAND_TEST_",
    "SKY_ISLAND_WRITE_",
];

/// The variable of a key: `SKY_ISLAND_JAILS_EXEC_TIMEOUT` of `jails.exec_timeout`.
pub fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// The variables of this process whose names begin as those of keys do.
pub(super) fn of_process() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut ours: Vec<_> = all.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    ours
}

/// The key that a variable sets, if any.
pub(super) fn leaf(name: &str) -> Option<&'static Leaf> {
    keys::leaves().iter().find(|leaf| variable(&leaf.path) == name)
}

/// The warning about a variable that sets no key; none where that is no mistake.
pub(super) fn warning(name: &str) -> Option<String> {
    if name == FILE || name == SERVER || OTHERS.iter().any(|other| name.starts_with(other)) {
        return None;
    }
    let names: Vec<String> = keys::leaves().iter().map(|leaf| variable(&leaf.path)).collect();
    let meant = nearest(name, names.iter().map(String::as_str));
    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Some(format!("the variable {name} sets no key of the configuration{meant}"))
}

/// The value of a key of this form that a text stands for. Another text is returned as it is: the
/// check of the value reports it then.
pub(super) fn value(text: &str, form: &ValueForm) -> Value {
    let as_text = || Value::String(text.to_owned());
    match form {
        ValueForm::Whole(_) => text.trim().parse::<u64>().map_or_else(|_| as_text(), Value::from),
        ValueForm::Switch => match text.trim() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => as_text(),
        },
        ValueForm::Text(_) | ValueForm::Choice(_) => as_text(),
        ValueForm::List(item) => json(text, Value::is_array).unwrap_or_else(|| match &**item {
            ValueForm::Section(_) | ValueForm::List(_) => as_text(),
            item => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| value(part, item)).collect())
            }
        }),
        ValueForm::Section(_) => json(text, Value::is_object).unwrap_or_else(as_text),
        ValueForm::Either(forms) => {
            let list = forms.iter().find(|form| matches!(form, ValueForm::List(_)));
            let one = forms.iter().find(|form| !matches!(form, ValueForm::List(_)));
            match (list, one) {
                (Some(list), _) if text.contains(',') || text.starts_with("[\"") => {
                    value(text, list)
                }
                (_, Some(one)) | (Some(one), None) => value(text, one),
                (None, None) => as_text(),
            }
        }
    }
}

fn json(text: &str, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    serde_json::from_str(text).ok().filter(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn each_key_has_a_variable_of_its_own() {
        let names: BTreeSet<_> = keys::leaves().iter().map(|it| variable(&it.path)).collect();
        assert_eq!(names.len(), keys::leaves().len());
        assert_eq!(leaf("SKY_ISLAND_JAILS_EXEC_TIMEOUT").unwrap().path, "jails.exec_timeout");
        assert!(names.iter().all(|name| warning(name).is_some() && name != FILE && name != SERVER));
    }

    #[test]
    fn texts_stand_for_values_of_the_form_of_their_key() {
        let table = [
            ("limits.calls", "12", json!(12)),
            ("limits.calls", "many", json!("many")),
            ("go.warm", "0", json!(false)),
            ("go.warm", "perhaps", json!("perhaps")),
            ("jails.exec_timeout", "10s", json!("10s")),
            ("release", "15", json!("15")),
            ("sources.order", "git, proxy", json!(["git", "proxy"])),
            ("sources.order", r#"["git"]"#, json!(["git"])),
            ("network.pools", r#"[{"interface": "a"}]"#, json!([{"interface": "a"}])),
            ("network.pools", "em0,em1", json!("em0,em1")),
        ];
        for (path, text, expected) in table {
            assert_eq!(value(text, &keys::leaf(path).unwrap().key.form), expected, "{path} {text}");
        }
    }

    #[test]
    fn one_text_and_a_list_are_told_apart() {
        let either = ValueForm::Either(vec![
            ValueForm::Text(None),
            ValueForm::List(Box::new(ValueForm::Text(None))),
        ]);
        for (text, expected) in [
            ("[::1]:80", json!("[::1]:80")),
            ("[::1]:80,127.0.0.1:80", json!(["[::1]:80", "127.0.0.1:80"])),
            (r#"["unix:/x"]"#, json!(["unix:/x"])),
        ] {
            assert_eq!(value(text, &either), expected, "{text}");
        }
    }

    #[test]
    fn a_warning_about_an_unknown_variable_names_the_nearest_known_one() {
        let warned = warning("SKY_ISLAND_JAIL_EXEC_TIMEOUT").unwrap();
        assert!(warned.contains("did you mean SKY_ISLAND_JAILS_EXEC_TIMEOUT?"), "{warned}");
        for other in [FILE, SERVER, "SKY_ISLAND_BIN", "SKY_ISLAND_STRICT", "SKY_ISLAND_TEST_POOL"] {
            assert_eq!(warning(other), None);
        }
    }
}
