//! The Go build cache in layers, laid over each other by the kernel and by the program that a go
//! command asks: both must make the same of the same, and neither may change a layer below.

mod harness;
mod releases;
mod slow_disk;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use libtest_mimic::{Arguments, Trial};
use server::compile::BuildError;
use sha2::{Digest, Sha256};

use harness::{Setup, Site, Way};
use support::skip::{self, Reason, SAID, skip};

const WAYS: [Way; 2] = [Way::Mount, Way::Program];
/// A user id without a user.
const THROWAWAY: u32 = 61_358;
/// A build may leave this many bytes where that is what is tried: less than the package needs.
const LITTLE: u64 = 1 << 20;
const ONCE: &str = "what an earlier call compiled is not compiled again";
const REPLAY: &str = "functions of a known module are compiled without the go command";
const TESTS: [(&str, fn(&Site)); 16] = [
    ("the same calls are the same programs both ways", same),
    (ONCE, once),
    (REPLAY, replay),
    ("a function is compiled once for all its arguments", function),
    ("a function is called in the shape that it has", shapes),
    ("a call that does not compile is compiled once", refused),
    ("layers made one way serve the other", other_way),
    ("a build changes nothing in the layers below its own", unchanged),
    ("a damaged layer is compiled again", damaged),
    ("many new calls at once share the layers", crowd),
    ("a build that fills the disk leaves an empty layer", full),
    ("a cache program that fails is an internal error", broken),
    ("replayed programs of the last three Go releases are the go command's", releases::replayed),
    ("without go.replay the go command makes every program", releases::not_replayed),
    ("a look-up that waits for the disk holds up no other task", slow_disk::look_up),
    ("an ordinary user's second build finds the first one's work as well", as_another),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Made by the first test, for a filter may leave none.
    let site = Arc::new(OnceLock::new());
    let trial = |(name, test): (&'static str, fn(&Site))| {
        let site = site.clone();
        Trial::test(name, move || {
            match able(site.get_or_init(Site::prepare)) {
                Ok(site) => test(site),
                Err(why) => skip(name, &why),
            }
            Ok(())
        })
    };
    let conclusion = libtest_mimic::run(&arguments, TESTS.map(trial).into());
    if let Some(Ok(site)) = site.get() {
        site.close();
    }
    conclusion.exit_code()
}

/// The site, or why it cannot be used.
fn able(site: &Result<Site, String>) -> Result<&Site, Reason> {
    site.as_ref().map_err(skip::islands)
}

/// A call that has to be compiled after `Add(1, 1)`, for its arguments are no literals.
const OTHER: &str = "Add(1, 1+1)";

/// A call for each form of main.go, and for packages of the library that no other layer has.
const CALLS: [(&str, &str); 5] = [
    ("Add(20*2, 2)", "42"),
    ("Add(40, 2)", "42"),
    ("Quiet()", "said"),
    ("Encoded(\"<\")", "\"\\u003c\""),
    ("m.Add(strings.Count(\"cheese\", \"e\"), 0)", "3"),
];

fn same(site: &Site) {
    let (by_mount, by_program) = (site.harness(Way::Mount), site.harness(Way::Program));
    for (call, answer) in CALLS {
        let (one, other) = (by_mount.build(call), by_program.build(call));
        assert_eq!(by_mount.run(&one), answer, "{call}");
        assert_eq!(by_program.run(&other), answer, "{call}");
        assert!(harness::bytes(&one) == harness::bytes(&other), "{call}: the programs differ");
    }
}

fn once(site: &Site) {
    for way in WAYS {
        let harness = site.harness(way);
        harness.build("Add(1, 1)");
        let first = harness.compiled();
        for package in ["main", "example.com/m", "encoding/json"] {
            assert!(first.iter().any(|name| name == package), "{way:?} {package}: {first:?}");
        }
        assert!(!first.iter().any(|name| name == "fmt"), "{way:?}: the base layer has fmt");
        harness.build(OTHER);
        assert_eq!(harness.compiled(), ["main"], "{way:?}");
    }
}

fn replay(site: &Site) {
    for way in WAYS {
        let harness = site.harness(way);
        harness.build("Add(1, 1)");
        // Where layers lie elsewhere when they are sealed, it takes another build to learn.
        harness.build(OTHER);
        harness.compiled();
        let shape = harness.build("Sum(1, 2)");
        assert_eq!(harness.compiled_by(), (0, main_alone(2)), "{way:?}");
        assert_eq!(harness.run(&shape), "3 2");
        for (call, answer) in [("Encoded(\"b\")", "\"b\""), ("Add(2, 2+1)", "5")] {
            let built = harness.build(call);
            assert_eq!(harness.compiled_by(), (0, main_alone(1)), "{way:?} {call}");
            assert_eq!(harness.run(&built), answer);
        }
        let error = harness.try_build("Nothing(1+1)").err().expect("there is nothing of that name");
        assert!(error.to_string().contains("call:1:1: undefined: Nothing"), "{error}");
        assert_eq!(harness.compiled_by(), (0, main_alone(1)), "{way:?}");
        // Another package of the library is another list of imports.
        harness.build("m.Add(strings.Count(\"cheese\", \"e\"), 0)");
        assert_eq!(harness.compiled_by().0, 1, "{way:?}");
    }
}

fn main_alone(times: usize) -> Vec<String> {
    vec!["main".to_owned(); times]
}

fn function(site: &Site) {
    let harness = site.harness(Way::Mount);
    let first = harness.build("Add(1, 1)");
    harness.compiled();
    for (call, answer) in [("Add(0x14, 2e1)", "40"), ("Add('a',-1)", "96"), ("Add(1, 1)", "2")] {
        let built = harness.build(call);
        assert_eq!(harness.run(&built), answer, "{call}");
        assert_eq!(built.artifact.id(), first.artifact.id(), "{call}");
    }
    assert_eq!(harness.compiled(), [""; 0]);
    let anew = harness.find("Add(1, 1)", true).expect("an artifact");
    assert_ne!(anew.artifact.id(), first.artifact.id());
    harness.compiled();
    // A program that cannot represent the arguments is not asked again.
    assert!(!harness.build("Add(1, \"a\")").arguments.is_empty());
    harness.find_exact("Add(1, \"a\")").err().expect("Go refuses a string for an int");
    harness.try_build("Add(1, \"a\")").err().expect("the refusal is kept");
    assert_eq!(harness.compiled(), ["main"]);
}

fn shapes(site: &Site) {
    let harness = site.harness(Way::Mount);
    harness.build("Add(1, 1)");
    harness.compiled();
    for (call, compiles, answer) in [
        ("Quiet()", 2, "said"),
        ("m.Quiet()", 2, "said"),
        ("Quiet()", 0, "said"),
        ("Sum()", 2, "0 0"),
        ("Sum(1, 2, 3)", 0, "6 3"),
        ("Sum([]int{1, 2}...)", 1, "3 2"),
        ("Encoded(\"a\")", 1, "\"a\""),
    ] {
        let built = harness.build(call);
        assert!(!built.arguments.is_empty(), "{call}");
        assert_eq!(harness.run(&built), answer, "{call}");
        assert_eq!(harness.compiled().len(), compiles, "{call}");
    }
}

fn refused(site: &Site) {
    let harness = site.harness(Way::Mount);
    harness.build("Add(1, 1)");
    harness.compiled();
    for (call, compiles, message) in [
        ("Nothing(1)", 2, "call:1:1: undefined: Nothing"),
        ("Add(1, 2, 3)", 1, "call:1:11: too many arguments in call to Add"),
        ("Add(1, 1+\"a\")", 1, "call:1:8: invalid operation"),
        ("n.Add(1)", 0, "the call begins with n"),
    ] {
        for attempt in [compiles, 0] {
            let error = harness.try_build(call).err().expect("it does not compile");
            assert!(error.to_string().contains(message), "{call}: {error}");
            assert_eq!(harness.compiled().len(), attempt, "{call}");
        }
        harness.find(call, true).err().expect("it does not compile");
        assert_eq!(harness.compiled().len(), compiles, "{call} looked at anew");
    }
}

fn other_way(site: &Site) {
    for (first, second) in [(Way::Mount, Way::Program), (Way::Program, Way::Mount)] {
        let harness = site.harness(first);
        harness.build("Add(1, 1)");
        let harness = harness.reopened(second);
        let artifact = harness.build(OTHER);
        assert_eq!(harness.compiled(), ["main"], "{first:?} and then {second:?}");
        assert_eq!(harness.run(&artifact), "3");
    }
}

fn unchanged(site: &Site) {
    for way in WAYS {
        let harness = site.harness(way);
        let base = listing(&harness.state("gocache"));
        assert!(base.len() > 100, "{way:?}: {} files", base.len());
        harness.build("Add(1, 1)");
        assert!(listing(&harness.state("gocache")) == base, "{way:?}: the first build");
        let own = listing(&harness.state("checkouts"));
        harness.build(OTHER);
        assert!(listing(&harness.state("gocache")) == base, "{way:?}: the second build");
        assert!(listing(&harness.state("checkouts")) == own, "{way:?}: the checkout's own layer");
    }
}

fn damaged(site: &Site) {
    let damages: [(&str, fn(&Path)); 3] = [
        ("entries cut short", |file| {
            if file.to_str().unwrap().ends_with("-a") {
                fs::write(file, "v1 ").unwrap();
            }
        }),
        ("outputs cut short", |file| {
            if file.to_str().unwrap().ends_with("-d") {
                fs::write(file, "").unwrap();
            }
        }),
        ("no files at all", |file| fs::remove_file(file).unwrap()),
    ];
    for (what, damage) in damages {
        let harness = site.harness(Way::Program);
        harness.build("Add(1, 1)");
        let layer = harness.state("gocache");
        listing(&layer).keys().filter(|file| is_cached(file)).for_each(|file| damage(file));
        harness.compiled();
        let artifact = harness.build(OTHER);
        let compiled = harness.compiled();
        assert!(compiled.iter().any(|name| name == "fmt"), "{what}: {compiled:?}");
        assert_eq!(harness.run(&artifact), "3", "{what}");
    }
}

fn crowd(site: &Site) {
    let harness = site.harness(Way::Program);
    let calls: Vec<String> = (0..6).map(|n| format!("Add({n}+0, 100)")).collect();
    for (n, artifact) in harness.build_all(&calls).into_iter().enumerate() {
        assert_eq!(harness.run(&artifact), format!("{}", n + 100));
    }
    let compiled = harness.compiled();
    let packages = compiled.iter().filter(|name| *name == "example.com/m").count();
    assert_eq!(packages, 1, "{compiled:?}");
}

fn full(site: &Site) {
    for way in WAYS {
        let harness = site.furnish(Setup { size: LITTLE, ..site.setup(way) });
        let error = harness.try_build("Add(1, 1)").err().expect("a megabyte is too little");
        assert!(matches!(*error, BuildError::Size(_)), "{way:?}: {error:?}");
        let mut left = listing(&harness.state("checkouts"));
        left.retain(|file, _| is_cached(file));
        assert!(left.is_empty(), "{way:?}: {:?}", left.keys());
        let harness = harness.reopened(way);
        let artifact = harness.build("Add(1, 1)");
        assert_eq!(harness.run(&artifact), "2");
    }
}

fn broken(site: &Site) {
    for program in ["/usr/bin/false", "/bin/cat", "/etc/passwd"] {
        let harness = site.furnish(Setup { program: program.into(), ..site.setup(Way::Program) });
        let error = harness.try_build("Add(1, 1)").err().expect("there is no cache");
        assert!(matches!(*error, BuildError::Broke(_)), "{program}: {error:?}");
    }
}

fn as_another(site: &Site) {
    if let Err(why) = skip::root() {
        return skip("a build of another user", &why);
    }
    let (suite, program) = (site.adopt(&std::env::current_exe().unwrap()), site.program());
    let mut command = Command::new(suite);
    command.args(["--exact", ONCE]).env("SKY_ISLAND_BIN", program);
    // What the environment says of our own home is nothing to that user.
    command.env_remove("HOME").env_remove("TMPDIR").current_dir("/");
    let output = command.uid(THROWAWAY).gid(THROWAWAY).output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    text.lines().filter(|line| line.starts_with(SAID)).for_each(|line| eprintln!("{line}"));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_cached(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with("-a") || name.ends_with("-d")
}

/// The files below a folder: what is in each, when it was written, and what may be done with it.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, metadata) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
            if path.ends_with("cache/work") {
                // What the kernel keeps there is no layer.
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                let hash = Sha256::digest(fs::read(&path).unwrap()).to_vec();
                let written = metadata.modified().unwrap();
                found.insert(path, (hash, written, metadata.permissions().mode()));
            } else {
                panic!("{} is no file", path.display());
            }
        }
    }
    found
}
