//! The example and the reference have every key, and say what the definitions say.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use server::config::{Config, keys, reference};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    tree.pointer(&format!("/{}", path.replace('.', "/")))
}

#[test]
fn the_example_is_valid_and_has_every_key_with_its_default() {
    let path = file("config.example.json");
    let read = Config::load(Some(&path)).unwrap_or_else(|error| panic!("{error}"));
    let example: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    for leaf in keys::leaves() {
        let path = &leaf.path;
        let value =
            at(&example, path).unwrap_or_else(|| panic!("config.example.json has no {path}"));
        let default = at(&defaults, path).unwrap_or(&Value::Null);
        // What follows the host has no value that is right everywhere.
        let expected = if leaf.key.default.is_some() { &Value::Null } else { default };
        assert!(value == expected, "{path} is {value} in config.example.json, not {expected}");
    }
    assert_eq!(serde_json::to_value(read).unwrap(), defaults);
}

#[test]
fn the_reference_is_what_the_definitions_say() {
    let written = fs::read_to_string(file("docs/configuration.md")).unwrap();
    assert!(
        written == reference::text(),
        "docs/configuration.md is old; write it with `make docs`"
    );
    for leaf in keys::leaves() {
        assert!(written.contains(&format!("| `{}` |", leaf.path)), "{}", leaf.path);
        assert!(written.contains(&leaf.key.doc.replace('\n', " ")), "{}", leaf.key.doc);
    }
}
