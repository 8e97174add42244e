//! What a function could share with the host and with other functions by files that both can open,
//! by commands of system calls, and by memory that no limit counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use island::{Ending, Outcome, Spec};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, setrlimit};

use super::host::{Host, alone_without_backend, eventually, here, promise, read};

type Found = BTreeMap<String, String>;

/// The files that a function can open besides those of its /tmp, and its input.
const FILES: [&str; 8] =
    ["stdin", "/", "/dev", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/tmp"];

fn files(host: &Host) -> Vec<&'static str> {
    let zones = host.has_zones().then_some("/zoneinfo.zip");
    FILES.into_iter().chain(zones).collect()
}

/// A time for a deed, as long as it has to be on this machine.
fn milliseconds(count: u64) -> String {
    here(Duration::from_millis(count)).as_millis().to_string()
}

/// Whether the server of these islands is an ordinary user's, who may not make device files.
fn is_ordinary() -> bool {
    !nix::unistd::geteuid().is_root()
}

/// Runs two functions at one time.
fn both(host: &Host, deed: &[&str]) -> [Outcome; 2] {
    let (one, two) = (host.function(deed), host.function(deed));
    let both = async { tokio::join!(host.islands.run(&one), host.islands.run(&two)) };
    let (one, two) = host.runtime.block_on(both);
    [one.unwrap(), two.unwrap()]
}

#[test]
fn locks_of_one_function_are_no_other_ones_and_not_the_hosts() {
    promise(|host| {
        // Its input is the same file as its /dev/null, and a lock is of one descriptor.
        let files: Vec<_> = files(host).into_iter().filter(|path| *path != "stdin").collect();
        for files in [&files[..], &["stdin"]] {
            let (time, islands) = (milliseconds(700), host.islands.clone());
            let deed = |time| [&["lock", time], files].concat();
            let lock = host.function(&deed(&time));
            let first = host.runtime.spawn(async move { islands.run(&lock).await });
            std::thread::sleep(here(Duration::from_millis(300)));
            for device in ["/dev/null", "/dev/zero"] {
                let file = File::open(device).unwrap();
                let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
                assert!(locked.is_ok(), "{device} of the host: {:?}", locked.map(drop).err());
            }
            let second: Found = host.ask(&deed("0"));
            let first: Found = read(&host.runtime.block_on(first).unwrap().unwrap());
            for found in [first, second] {
                assert_eq!(found.len(), files.len());
                assert!(found.values().all(|said| said == "done"), "{found:?}");
            }
        }
    });
}

#[test]
fn a_lock_of_a_function_means_something_where_its_files_are_its_own() {
    promise(|host| {
        let found: Found = host.ask(&["lock-twice"]);
        assert_eq!(found["first"], "done");
        let second = if is_ordinary() { "done" } else { "resource temporarily unavailable" };
        assert_eq!(found["second"], second);
    });
}

#[test]
fn locks_on_parts_of_files_succeed_and_take_no_memory_of_the_kernel() {
    promise(|host| {
        for path in ["/dev/null", "/tmp/records"] {
            let spec = host.function(&["lock-records", path, "16000", &milliseconds(600)]);
            let islands = host.islands.clone();
            let run = host.runtime.spawn(async move { islands.run(&spec).await });
            std::thread::sleep(here(Duration::from_millis(400)));
            let held = fs::read_to_string("/proc/locks").unwrap();
            assert!(held.lines().count() < 1000, "{path}: {} locks", held.lines().count());
            let taken: u64 = read(&host.runtime.block_on(run).unwrap().unwrap());
            assert_eq!(taken, 16_000, "{path}");
        }
    });
}

#[test]
fn no_two_functions_open_the_same_file_and_none_opens_one_of_the_host() {
    promise(|host| {
        let mut deed = vec!["inodes"];
        deed.extend(files(host));
        let found = both(host, &deed).map(|outcome| read::<Found>(&outcome));
        for path in files(host) {
            // An ordinary user may not make devices; their locks have no effect.
            if is_ordinary() && (path.starts_with("/dev") || path == "stdin") {
                continue;
            }
            assert_ne!(found[0][path], found[1][path], "{path}");
            if let Ok(at) = fs::metadata(path) {
                let own = format!("{} {}", at.dev(), at.ino());
                assert!(found.iter().all(|found| found[path] != own), "{path} is the host's");
            }
        }
    });
}

#[test]
fn commands_that_reach_beyond_a_function_are_refused() {
    promise(|host| {
        let found: Found = host.ask(&["commands"]);
        assert!(found.len() > 70, "{}", found.len());
        let open: Vec<_> = found.iter().filter(|(_, answer)| *answer != "ENOSYS").collect();
        assert!(open.is_empty(), "{open:?}");
    });
}

#[test]
fn memory_that_processes_share_is_counted_or_cannot_be_had() {
    promise(|host| {
        let mut spec: Spec = host.function(&["take-uncounted", "400"]);
        spec.setup.resources.memory = 192 << 20;
        let outcome = host.run(&spec);
        match host.lacks("memory limit") {
            None => assert_eq!(outcome.ending, Ending::Memory),
            Some(_) => assert_eq!(read::<Vec<String>>(&outcome), [""; 0]),
        }
    });
}

#[test]
fn a_functions_descriptors_on_their_way_keep_no_other_function_from_running() {
    const NAME: &str = concat!(
        module_path!(),
        "::a_functions_descriptors_on_their_way_keep_no_other_function_from_running"
    );
    alone_without_backend(NAME, || {
        // The kernel lets a user have as many descriptors on their way as a process may have open.
        const FILES: u64 = 1024;
        setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES).unwrap();
        let Some(host) = Host::start(0) else { return };
        let spec = host.function(&["hold-descriptors", &milliseconds(3000)]);
        let islands = host.islands.clone();
        let run = host.runtime.spawn(async move { islands.run(&spec).await });
        eventually("the function runs", || !host.backend.list().is_empty());
        std::thread::sleep(here(Duration::from_millis(500)));
        for _ in 0..5 {
            assert_eq!(host.run(&host.function(&["exit", "0"])).ending, Ending::Exited(0));
        }
        run.abort();
        host.close();
    });
}
