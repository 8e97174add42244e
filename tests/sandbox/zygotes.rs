//! That islands of which one process is the parent, one after the other, are as apart as if each
//! had its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use island::{Ending, Program, StartError};

use super::host::{Host, alone, alone_without_backend, eventually, here, read};
use super::system;

type Found = BTreeMap<String, String>;

/// What one island may try to leave for the next.
const LEFT: [&str; 12] = [
    "nothing",
    "files",
    "dates",
    "marks",
    "sockets",
    "settings",
    "locks",
    "labels",
    "nameless files",
    "nameless sockets",
    "groups",
    "signals",
];

macro_rules! alone {
    ($name:ident, |$host:ident| $body:block) => {
        #[test]
        fn $name() {
            alone(concat!(module_path!(), "::", stringify!($name)), 0, |$host: &Host| $body);
        }
    };
}

/// What islands see that are started at one time, so that each idle zygote has one of them.
fn seen_everywhere(host: &Host) -> Vec<Found> {
    let spec = host.function(&["traces"]);
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (islands, spec) = (host.islands.clone(), spec.clone());
            host.runtime.spawn(async move { islands.run(&spec).await })
        })
        .collect();
    runs.into_iter().map(|run| read(&host.runtime.block_on(run).unwrap().unwrap())).collect()
}

alone!(an_island_finds_nothing_of_the_one_before_it, |host| {
    let first: Found = host.ask(&["traces"]);
    assert!(first.len() > 15, "{first:?}");
    for left in LEFT.iter().cycle().take(LEFT.len() * 10) {
        let _: Found = host.ask(&["leave", left]);
        for found in seen_everywhere(host) {
            assert_eq!(found, first, "after {left}");
        }
    }
});

alone!(islands_one_after_the_other_share_a_zygote, |host| {
    const ISLANDS: usize = 50;
    let mut zygotes = BTreeSet::new();
    for left in ["nothing", "files", "dates", "settings", "signals"].iter().cycle().take(ISLANDS) {
        let _: Found = host.ask(&["leave", left]);
        zygotes.extend(system::zygotes());
    }
    // The user of an island that has just ended may not be free yet, and another user means another
    // zygote.
    assert!((1..ISLANDS / 10).contains(&zygotes.len()), "{zygotes:?}");
});

alone!(a_killed_zygote_is_replaced_and_its_island_reported, |host| {
    for _ in 0..5 {
        let (islands, spec) = (host.islands.clone(), host.function(&["sleep", "60000"]));
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || system::functions().len() == 1);
        let island = system::functions()[0];
        // The one that it has is among them; the others are idle.
        system::zygotes().into_iter().for_each(system::kill);
        let outcome = host.runtime.block_on(run).unwrap();
        assert!(
            match &outcome {
                Ok(outcome) => outcome.ending == Ending::Signaled(libc::SIGKILL),
                Err(error) => matches!(error, StartError::Refused(_)),
            },
            "{outcome:?}"
        );
        assert!(!system::is_alive(island), "it was reported as ended");
        let outcome = host.run(&host.function(&["exit", "0"]));
        assert_eq!(outcome.ending, Ending::Exited(0), "the next one");
        // One that waits for an island is replaced as well.
        system::zygotes().into_iter().for_each(system::kill);
        eventually("the idle one has ended", || system::zygotes().is_empty());
        assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0));
        eventually("its groups are gone", system::is_rid_of_islands);
    }
});

/// What a function has of its zygote: the zygote's pid, the function's cgroups, and, where this
/// process may open them, its namespaces, which stay in existence while they are open.
struct Parts {
    zygote: u32,
    groups: String,
    namespaces: Vec<(&'static str, fs::File)>,
}

impl Parts {
    /// Those of a function that runs now and is ended then.
    fn of_one_call(host: &Host) -> Self {
        const NAMESPACES: [&str; 6] = ["user", "mnt", "net", "ipc", "uts", "cgroup"];
        let spec = host.function(&["sleep", "60000"]);
        let islands = host.islands.clone();
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || system::functions().len() == 1);
        let function = system::functions()[0];
        let of_function = |name: &&'static str| {
            Some((*name, fs::File::open(format!("/proc/{function}/ns/{name}")).ok()?))
        };
        let parts = Self {
            zygote: system::parent(function).expect("the zygote"),
            groups: fs::read_to_string(format!("/proc/{function}/cgroup")).expect("its groups"),
            namespaces: NAMESPACES.iter().filter_map(of_function).collect(),
        };
        // Not every kernel lets an ordinary user open them.
        if nix::unistd::geteuid().is_root() {
            assert_eq!(parts.namespaces.len(), NAMESPACES.len());
        }
        host.runtime.block_on(async {
            run.abort();
            let _ = run.await;
        });
        // Islands made ahead are on both lists.
        eventually("the function has ended", || {
            host.backend.list().len() <= host.backend.aside().len()
        });
        parts
    }

    /// The names of the namespaces that both have.
    fn shared_namespaces(&self, other: &Self) -> Vec<&'static str> {
        let identity = |file: &fs::File| file.metadata().expect("a namespace").ino();
        let both = self.namespaces.iter().zip(&other.namespaces);
        let same = both.filter(|((_, one), (_, two))| identity(one) == identity(two));
        same.map(|((name, _), _)| *name).collect()
    }
}

/// A call that ends by itself, so that a zygote may serve another.
fn warm_up(host: &Host) {
    assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0));
}

alone!(by_default_a_zygote_serves_another_island_after_a_clean_one, |host| {
    warm_up(host);
    let idle = system::zygotes();
    assert_eq!(idle.len(), 1, "the zygote waits for another island");
    let (one, two) = (Parts::of_one_call(host), Parts::of_one_call(host));
    assert_eq!([one.zygote, two.zygote], [idle[0]; 2]);
    assert_eq!(one.groups, two.groups);
    assert_eq!(one.shared_namespaces(&two).len(), one.namespaces.len());
});

#[test]
fn without_reuse_each_island_has_a_zygote_of_its_own_and_what_that_keeps() {
    let name = concat!(
        module_path!(),
        "::without_reuse_each_island_has_a_zygote_of_its_own_and_what_that_keeps"
    );
    alone_without_backend(name, || {
        for ahead in [0, 1] {
            let Some(host) = Host::start_without_reuse(ahead) else { return };
            let mut all = Vec::new();
            for _ in 0..3 {
                warm_up(&host);
                // One that is made ahead has its zygote already.
                eventually("no zygote waits for another island", || {
                    system::zygotes().len() <= ahead
                });
                all.push(Parts::of_one_call(&host));
            }
            for (index, one) in all.iter().enumerate() {
                for other in &all[..index] {
                    assert_ne!(one.zygote, other.zygote);
                    assert_eq!(one.shared_namespaces(other), [""; 0]);
                    if host.lacks("memory limit").is_none() {
                        assert_ne!(one.groups, other.groups);
                    }
                }
            }
            host.close();
        }
    });
}

/// The stranger's program with another word in what it says of a deed that it does not know.
fn another_program(host: &Host, folder: &Path) -> Arc<fs::File> {
    let mut bytes = fs::read(format!("/proc/self/fd/{}", host.program().as_raw_fd())).unwrap();
    let (this, that) = (b"this platform has no deed", b"that platform has no deed");
    let found: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(this)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at..at + that.len()].copy_from_slice(that));
    let path = folder.join("program");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Arc::new(fs::File::open(path).unwrap())
}

alone!(a_zygote_runs_one_program_after_the_other_whatever_is_left_between_them, |host| {
    let folder = tempfile::tempdir().unwrap();
    let (this, that) = (host.program(), another_program(host, folder.path()));
    let mut zygotes = BTreeSet::new();
    let kinds = [("this ", &this), ("that ", &that), ("that ", &that), ("this ", &this)];
    for (round, (word, program)) in kinds.iter().cycle().take(24).enumerate() {
        let with = |deed: &[&str]| {
            let mut spec = host.function(deed);
            spec.program = Program::File((*program).clone());
            host.run(&spec)
        };
        // This leaves nothing.
        let said = with(&["none"]).stderr;
        assert!(said.starts_with(word.as_bytes()), "{word}: {}", String::from_utf8_lossy(&said));
        if round % 3 == 0 {
            // What this leaves has the next one find another /tmp.
            let made: BTreeMap<String, String> = read(&with(&["write", "/tmp/left"]));
            assert_eq!(made["/tmp/left"], "done");
        }
        zygotes.extend(system::zygotes());
    }
    assert!(zygotes.len() < 8, "{zygotes:?}");
});

alone!(a_program_that_is_none_is_refused_with_the_reason, |host| {
    refuse_what_is_no_program(host);
});

#[test]
fn an_island_made_ahead_refuses_a_program_that_is_none() {
    alone(
        concat!(module_path!(), "::an_island_made_ahead_refuses_a_program_that_is_none"),
        1,
        refuse_what_is_no_program,
    );
}

fn refuse_what_is_no_program(host: &Host) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    fs::write(&path, "no program").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let program = Arc::new(fs::File::open(&path).unwrap());
    for _ in 0..4 {
        let mut spec = host.function(&["exit", "0"]);
        spec.program = Program::File(program.clone());
        let outcome = host.runtime.block_on(host.islands.run(&spec));
        let Err(StartError::Refused(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("exec function"), "{reason}");
        assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0), "the next");
    }
}

alone!(an_island_is_killed_whatever_its_zygote_does, |host| {
    for microseconds in (0..4000).step_by(100) {
        let spec = host.function(&["sleep", "60000"]);
        host.runtime.block_on(async {
            let time = Duration::from_micros(microseconds);
            let run = tokio::time::timeout(time, host.islands.run(&spec));
            assert!(run.await.is_err());
        });
    }
    eventually("all of them have ended", || host.backend.list().is_empty());
    eventually("nothing is left of them", system::is_rid_of_islands);
    assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0));
});

alone!(many_islands_at_once_have_zygotes_that_end_when_they_are_idle, |host| {
    const MANY: usize = 32;
    let asleep = here(Duration::from_secs(5)).as_millis().to_string();
    host.runtime.block_on(async {
        let runs: Vec<_> = (0..MANY)
            .map(|_| {
                let (islands, spec) = (host.islands.clone(), host.function(&["sleep", &asleep]));
                tokio::spawn(async move { islands.run(&spec).await })
            })
            .collect();
        let most = async {
            let mut most = 0;
            while most < MANY {
                tokio::time::sleep(Duration::from_millis(50)).await;
                most = most.max(system::functions().len());
            }
        };
        let all = tokio::time::timeout(here(Duration::from_secs(20)), most).await;
        assert!(all.is_ok(), "not all of them ran at one time");
        for run in runs {
            assert_eq!(run.await.unwrap().unwrap().ending, Ending::Exited(0));
        }
    });
    assert!(!system::zygotes().is_empty());
    eventually("idle zygotes have ended, and their groups are gone", || {
        system::zygotes().is_empty() && system::is_rid_of_islands()
    });
});
