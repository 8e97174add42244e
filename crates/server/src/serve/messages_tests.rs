//! The messages of the configuration, of init, of listeners and of the start of a server: each has
//! a text, a subject and none of the words that Sky Island does not use any more.

use std::error::Error;
use std::io;
use std::path::Path;

use host::exec::{ExecError, Output};
use host::layout::Release;
use host::zfs::DatasetName;

use super::StartupError;
use crate::config::{Config, ConfigError, Inputs};
use crate::init::{DownloadError, GoVersion, InitError, ManifestError, Mirror, SetName, Sha256};
use crate::listen::{Endpoint, ListenError, Origin, PassedError, Tls};
use crate::log;
use crate::metrics::Target;
use crate::state::StateError;

/// Retired words and phrases, with a dot in each: a test refuses the words themselves in any
/// source.
const RETIRED: [&str; 40] = [
    "be.rth",
    "be.rths",
    "st.andbys",
    "ro.ster",
    "re.sident",
    "re.sidents",
    "ta.lly",
    "sh.elf",
    "es.tate",
    "es.tates",
    "ho.lding",
    "ho.ldings",
    "ch.ore",
    "ch.ores",
    "wo.rkshop",
    "re.cipe",
    "re.cipes",
    "co.mplaint",
    "co.mplaints",
    "fl.ight",
    "fl.ights",
    "la.nded",
    "re.membered",
    "co.urse",
    "hu.rry",
    "hu.rried",
    "wh.oever",
    "no.body",
    "ho.use",
    "st.and by",
    "st.ands by",
    "st.ood by",
    "th.ose that",
    "of. ours",
    "gi.ves back",
    "gi.ve back",
    "gi.ven back",
    "gi.ving back",
    "wh.at is",
    "th.e same as before",
];

/// What is wrong with the wording of a message, if anything is.
fn fault(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    if lower.trim().is_empty() {
        return Some("a message is empty".to_owned());
    }
    if lower.starts_with("it ") || lower.starts_with("it's ") {
        return Some(format!("{message:?} begins with \"it\""));
    }
    let is_edge = |text: Option<char>| text.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let has = |word: &String| {
        lower.match_indices(&**word).any(|(at, found)| {
            let (before, after) = (&lower[..at], &lower[at + found.len()..]);
            is_edge(before.chars().next_back()) && is_edge(after.chars().next())
        })
    };
    let retired = RETIRED.iter().map(|word| word.replace('.', "")).find(has)?;
    Some(format!("{message:?} has {retired:?}"))
}

/// The messages of an error and of its causes.
fn messages(error: &dyn Error) -> Vec<String> {
    let mut all = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        all.push(error.to_string());
        cause = error.source();
    }
    all
}

fn refused() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

fn exec_error() -> ExecError {
    let output = Output { code: Some(1), stdout: String::new(), stderr: "no\n".into() };
    ExecError::Failed { command: "kldload".into(), output }
}

fn init_errors() -> Vec<InitError> {
    let sum = || Sha256::parse(&"0".repeat(64)).unwrap();
    let dataset = || DatasetName::parse("tank/jails").unwrap();
    let url = || "https://mirror.example/x".to_owned();
    let set = || SetName::base();
    let version = || GoVersion::parse("1.26.7").unwrap();
    let names = || "one, two".to_owned();
    vec![
        InitError::NotRoot,
        InitError::Locked("/lock".into()),
        InitError::Served(StateError::InUse { path: "/state".into(), server: None }),
        InitError::Jails { folder: "/jails".into(), names: names() },
        InitError::Listing,
        InitError::NoDataset(dataset()),
        InitError::Space { dataset: dataset(), free: 1, needed: 2 },
        InitError::Full("/base.txz".into()),
        InitError::Module("nullfs", exec_error()),
        InitError::NoUpdates(Release::parse("15.1-STABLE").unwrap()),
        InitError::Foreign(dataset()),
        InitError::Occupied("/jails".into()),
        InitError::Sets { base: dataset(), found: "base".into(), wanted: "base+lib32".into() },
        InitError::Mount { dataset: dataset(), folder: "/jails".into() },
        InitError::Command { what: "the jails cannot be listed", source: exec_error() },
        InitError::Update("no mirrors remaining".into()),
        InitError::File { what: "write", path: "/x".into(), source: refused() },
        InitError::NoManifest(url()),
        InitError::Manifest { at: url(), source: ManifestError::Empty },
        InitError::Manifest { at: url(), source: ManifestError::Line(3) },
        InitError::Manifest {
            at: url(),
            source: ManifestError::Unknown { wanted: set(), known: names() },
        },
        InitError::Sum {
            path: "/x".into(),
            found: sum(),
            expected: sum(),
            remedy: "move the archive",
        },
        InitError::NoArchive(set()),
        InitError::NoSum(version()),
        InitError::Go { archive: "/x".into(), found: "no Go".into(), wanted: version() },
        InitError::Others(names()),
        DownloadError::Status { url: url(), status: 404 }.into(),
        DownloadError::Broken { url: url(), source: refused() }.into(),
        DownloadError::Large { url: url(), limit: 1 }.into(),
        DownloadError::Write { path: "/x".into(), source: refused() }.into(),
        DownloadError::Sum { url: url(), found: sum(), expected: sum() }.into(),
        DownloadError::Stopped { url: url() }.into(),
    ]
}

fn startup_errors() -> Vec<StartupError> {
    let endpoint = || "127.0.0.1:1".parse::<Endpoint>().unwrap();
    let no_file = Path::new("/nonexistent/pem");
    vec![
        StartupError::State(StateError::Unusable("/state".into(), refused())),
        StartupError::Disk(refused()),
        StartupError::Listen(ListenError::Bind(endpoint(), refused())),
        StartupError::Listen(ListenError::NoCertificate(endpoint())),
        StartupError::Passed(PassedError::Environment(refused())),
        StartupError::Passed(PassedError::Kind("http".into())),
        StartupError::Passed(PassedError::Use("http".into(), refused())),
        StartupError::Tls(Tls::load(no_file, no_file).unwrap_err()),
        StartupError::Target("a b".parse::<Target>().unwrap_err()),
        StartupError::HandOver(refused()),
        StartupError::Program(refused()),
    ]
}

/// The problems of configurations in which everything is wrong that can be.
fn problems() -> Vec<String> {
    let files = [
        "",
        "[]",
        r#"{"memroy": 1, "limits": 5, "tls": {"cert": "x", "key": "y"}, "go": {"warm": "perhaps"}}"#,
        r#"{"limits": {"memory": "1KiB", "calls": 0, "output": "much", "tmp": "0", "zebra": 1},
            "jails": {"exec_timeout": "soon", "build_timeout": "0s", "children_max": 3, "monitoring_addr": "a b"},
            "standby": {"per_function": 0}, "state_dir": "here", "listen": [], "http_port": 0, "connections": 0}"#,
        r#"{"listen": ["unix:x", "3281"], "cors_origins": ["here"], "log": {"file": "x", "level": "loud"}}"#,
        r#"{"listen": ["127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:2"], "sources": {"order": [],
            "mirrors": [{"prefix": "/x", "target": "ftp://y"}]}}"#,
        r#"{"admin_api_token": "", "admin_token_header": "a b", "base_packages": ["lib32"],
            "base_sys_pkg_dir": "here", "go_tarball": "/x/go.tar.gz", "filesystem": {"zfs_dataset": "-r"}}"#,
        r#"{"go_version": "lucid", "release_mirror": "http://m.example", "go_sha256": "12", "release": "15"}"#,
        r#"{"network": {"ip4": {"interface": "em0", "start_addr": "10.0.0.20", "mask": "255.0.255.0", "range": 3},
            "pools": [{"interface": "-x", "network": "10.9.0.0", "exclude": ["y"]},
                {"interface": "a", "network": "10.0.0.0/8"}, {"interface": "b", "network": "10.1.0.0/16"},
                {"interface": "c", "network": "fd00::1/64", "gateway": "10.0.0.1"}]}}"#,
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        match (Inputs { file: Some(file.clone()), ..Inputs::default() }).read() {
            Err(ConfigError::Invalid(problems)) => problems,
            other => panic!("{text}: {other:?}"),
        }
    };
    let all: Vec<_> = files.iter().flat_map(|text| read(text)).map(|it| it.text).collect();
    assert!(all.len() > 40, "{}", all.len());
    all
}

#[test]
fn each_message_has_a_text_a_subject_and_no_retired_word() {
    let missing = Config::load(Some(Path::new("/nonexistent/config.json"))).unwrap_err();
    let no_log = log::start("info", Some(Path::new("/nonexistent/log"))).unwrap_err();
    let parse_errors: [Box<dyn Error>; 6] = [
        Box::new("x".parse::<Endpoint>().unwrap_err()),
        Box::new("x".parse::<Origin>().unwrap_err()),
        Box::new(Mirror::parse("x").unwrap_err()),
        Box::new(Sha256::parse("x").unwrap_err()),
        Box::new(SetName::parse("../x").unwrap_err()),
        Box::new(GoVersion::parse("x").unwrap_err()),
    ];
    let mut all = problems();
    all.extend(messages(&missing));
    all.extend(messages(&no_log));
    all.extend(parse_errors.iter().flat_map(|error| messages(&**error)));
    all.extend(init_errors().iter().flat_map(|error| messages(error)));
    all.extend(startup_errors().iter().flat_map(|error| messages(error)));
    let faults: Vec<_> = all.iter().filter_map(|message| fault(message)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The texts of errors and log lines in a source: the first string literal behind each of these.
fn literals(source: &str) -> Vec<String> {
    let begins = ["#[error(", "tracing::error!(", "tracing::warn!(", "tracing::info!("];
    let after = begins.iter().flat_map(|begin| source.split(begin).skip(1));
    let literal = |rest: &str| {
        let code = rest.split(");").next()?.split(")]").next()?;
        let (_, text) = code.split_once('"')?;
        text.split_once('"').map(|(text, _)| text.to_owned())
    };
    after.filter_map(literal).collect()
}

#[test]
fn each_error_and_log_line_in_the_source_has_a_subject_and_no_retired_word() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut count = 0;
    for part in ["config", "init", "listen", "metrics", "serve"] {
        for entry in std::fs::read_dir(src.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            if path.ends_with("messages_tests.rs") {
                continue;
            }
            for text in literals(&source) {
                count += 1;
                assert_eq!(fault(&text), None, "{}", path.display());
            }
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn a_fault_of_a_message_is_found() {
    for bad in ["", " ", "it failed", "It failed"] {
        assert!(fault(bad).is_some(), "{bad:?}");
    }
    for word in RETIRED.map(|word| word.replace('.', "")) {
        for bad in [word.clone(), format!("the {word}: x"), word.to_uppercase()] {
            assert!(fault(&bad).is_some(), "{bad:?}");
        }
    }
    for good in ["the item failed", "italics", "a housekeeper", "limits.memory is too small"] {
        assert_eq!(fault(good), None);
    }
}
