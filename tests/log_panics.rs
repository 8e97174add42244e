//! What the log has of panics: their place, and nothing that can quote a request. The hook is the
//! whole process's, so the test has one of its own.

use std::panic::catch_unwind;

use serde_json::Value;

#[test]
fn a_panic_is_one_line_with_its_place_and_without_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    server::log::start("info", Some(&path)).unwrap();
    server::log::panics();
    let secret = String::from("hunter2");
    catch_unwind(|| panic!("the body is {secret}")).unwrap_err();
    catch_unwind(|| panic!("this cannot be")).unwrap_err();
    server::log::flush();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&secret), "{text}");
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert!(line["place"].as_str().unwrap().starts_with("tests/log_panics.rs:"), "{line}");
        assert_eq!(line["level"], "ERROR");
    }
    assert_eq!(lines[0].get("said"), None);
    assert_eq!(lines[1]["said"], "this cannot be");
}
