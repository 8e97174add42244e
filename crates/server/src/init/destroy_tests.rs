//! What goes, in which order, and what stops it.

use host::layout::Release;
use host::zfs::DatasetKind;

use super::*;

fn layout() -> Layout {
    Layout::new("z", Some(Path::new("/nowhere/jails")), Release::parse("15.1-RELEASE").unwrap())
        .unwrap()
}

fn entry(name: &str, origin: Option<&str>) -> Dataset {
    let kind = match SnapshotName::parse(name) {
        Ok(snapshot) => DatasetKind::Snapshot(snapshot),
        Err(_) => DatasetKind::Filesystem(DatasetName::parse(name).unwrap()),
    };
    let origin = origin.map(|origin| SnapshotName::parse(origin).unwrap());
    Dataset { kind, used: 0, available: None, mountpoint: None, origin }
}

const BASE: &str = "z/jails/releases/15.1-RELEASE";

/// A host in use: name and origin.
fn host() -> Vec<(&'static str, Option<&'static str>)> {
    vec![
        ("z", None),
        ("z/home", None),
        ("z/jails", None),
        ("z/jails/artifacts", None),
        ("z/jails/artifacts/k1", Some("z/jails/releases/15.1-RELEASE@p1")),
        ("z/jails/artifacts/k1@ready", None),
        ("z/jails/build", Some("z/jails/releases/15.1-RELEASE@p1")),
        ("z/jails/build@p1", None),
        ("z/jails/releases", None),
        (BASE, None),
        ("z/jails/releases/15.1-RELEASE@p1", None),
        ("z/jails/run", None),
        ("z/jails/run/si_1", Some("z/jails/artifacts/k1@ready")),
        ("z/jails/run/si_2", Some("z/jails/build@p1")),
    ]
}

fn planned(more: &[(&'static str, Option<&'static str>)]) -> Result<Vec<String>, Vec<String>> {
    let mut names = host();
    names.extend_from_slice(more);
    let all: Vec<_> = names
        .iter()
        .filter(|(name, _)| !name.contains(' ') && !name.contains('#'))
        .map(|(name, origin)| entry(name, *origin))
        .collect();
    let marked = [
        ("z/jails", "jails"),
        ("z/jails/artifacts", "artifacts"),
        ("z/jails/run", "run"),
        ("z/jails/releases", "releases"),
        ("z/jails/build", "build:ready:1.26.7"),
        (BASE, "base:ready:base"),
        // What others made inherits the marks.
        ("z/jails/mine", "jails"),
        ("z/jails/releases/mine", "releases"),
        ("z/jails/build/x", "build:ready:1.26.7"),
    ];
    let marks = marked
        .iter()
        .map(|(name, mark)| (DatasetName::parse(name).unwrap(), Mark::parse(mark).unwrap()))
        .collect();
    let listed: String = names
        .iter()
        .filter(|(name, _)| name.starts_with("z/jails"))
        .map(|(name, _)| format!("{name}\n"))
        .collect();
    plan(&layout(), &listed, &all, &marks).map(|removals| {
        removals.iter().map(|removal| removal.to_string()[9..].to_owned()).collect()
    })
}

#[test]
fn all_that_is_ours_goes_and_clones_go_before_their_origins() {
    let order = planned(&[]).unwrap();
    let expected = [
        "z/jails/run/si_1",
        "z/jails/run/si_2",
        "z/jails/artifacts/k1@ready",
        "z/jails/artifacts/k1",
        "z/jails/build@p1",
        "z/jails/build",
        "z/jails/releases/15.1-RELEASE@p1",
        BASE,
        "z/jails/artifacts",
        "z/jails/releases",
        "z/jails/run",
        "z/jails",
    ];
    assert_eq!(order, expected);
}

#[test]
fn our_snapshots_and_bookmarks_go_with_them() {
    let order = planned(&[("z/jails@daily", None), ("z/jails/run#mark", None)]).unwrap();
    let at = |name: &str| order.iter().position(|removal| removal == name).unwrap();
    assert!(at("z/jails@daily") < at("z/jails"));
}

#[test]
fn what_somebody_else_made_stops_it_by_its_name() {
    let table: [(&[(&str, Option<&str>)], &str); 8] = [
        (&[("z/jails/mine", None)], "z/jails/mine"),
        (&[("z/jails/releases/mine", None)], "z/jails/releases/mine"),
        (&[("z/jails/run/mine", None)], "z/jails/run/mine"),
        (&[("z/jails/run/theirs", Some("z/home@x"))], "z/jails/run/theirs"),
        (&[("z/jails/run/si_1/deep", Some("z/jails/build@p1"))], "z/jails/run/si_1/deep"),
        (&[("z/jails/run/my data", None)], "z/jails/run/my data"),
        (&[("z/jails/build/x", None)], "z/jails/build/x"),
        (&[("z/copy", Some("z/jails/build@p1"))], "z/copy (a clone of z/jails/build@p1)"),
    ];
    for (more, expected) in table {
        assert_eq!(planned(more), Err(vec![expected.to_owned()]), "{more:?}");
    }
}

#[test]
fn a_jails_dataset_without_a_mark_is_somebody_elses() {
    let all = [entry("z", None), entry("z/jails", None)];
    let others = plan(&layout(), "z/jails\n", &all, &HashMap::new()).unwrap_err();
    assert_eq!(others, ["z/jails"]);
}

#[test]
fn jails_are_found_by_where_their_roots_lie() {
    // As jls answers; most parameters left out.
    let text = r#"{"__version": "2", "jail-information": {"jail": [
        {"devfs_ruleset":"0","dying":false,"jid":"14","name":"si_a","path":"/zroot/jails/run/a","persist":true},
        {"devfs_ruleset":"4","dying":false,"jid":"15","name":"www","path":"/zroot/jails2/www"}]}}"#;
    assert_eq!(jails_below(text, Path::new("/zroot/jails")).unwrap(), ["si_a"]);
    let none = r#"{"__version": "2", "jail-information": {"jail": []}}"#;
    assert_eq!(jails_below(none, Path::new("/zroot/jails")).unwrap(), [""; 0]);
    for bad in ["", "{}", r#"{"jail-information": {}}"#, "jls: not found"] {
        assert_eq!(jails_below(bad, Path::new("/zroot/jails")), None, "{bad}");
    }
}
