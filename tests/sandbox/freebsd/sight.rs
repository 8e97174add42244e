//! What of the host a function finds by asking its kernel, and whether a program of the base system
//! raises it.

use std::collections::BTreeMap;
use std::ffi::CString;

use serde::Deserialize;

use super::super::host::{eventually, not_given, promise};
use super::super::{platform, system};

#[test]
fn a_function_sees_no_process_but_its_own() {
    #[derive(Deserialize)]
    struct Processes {
        own: u32,
        found: Vec<u32>,
        error: String,
    }
    promise(|host| {
        let found: Processes = host.ask(&["see-processes"]);
        assert_eq!((found.found, found.error.as_str()), (vec![found.own], "done"));
    });
}

#[test]
fn a_function_sees_no_interface_of_the_hosts_where_it_has_a_stack_of_its_own() {
    #[derive(Debug, Deserialize)]
    struct Network {
        names: Vec<String>,
        hardware: Vec<String>,
        sockets: BTreeMap<String, String>,
    }
    promise(|host| {
        let found: Network = host.ask(&["see-network"]);
        assert_eq!(found.sockets.len(), 2, "{found:?}");
        if !platform::prepared().config.jails.vnet {
            return not_given("a host whose interfaces are hidden", "jails.vnet is off");
        }
        assert!(found.names.iter().all(|name| name == "lo0"), "{found:?}");
        assert!(found.hardware.is_empty(), "{found:?}");
    });
}

#[test]
fn a_setuid_program_does_not_raise_a_function() {
    promise(|host| {
        let found: BTreeMap<String, String> = host.ask(&["run", "/usr/bin/su", "-m", "root"]);
        if found["error"].contains("no such file") {
            return not_given("setuid programs that do not raise", "the base system has no su(1)");
        }
        assert_ne!(found["error"], "done");
        assert!(found["output"].contains("not running setuid"), "{found:?}");
    });
}

/// A named memory object of the host, which everybody on the host may open.
struct Shared(CString);

impl Shared {
    fn make() -> Self {
        let name = CString::new(format!("/sky-island-suite-{}", std::process::id())).unwrap();
        // SAFETY: the name ends with a zero byte; the descriptor is not used.
        let fd = unsafe { libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o666) };
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor was just opened here.
        unsafe { libc::close(fd) };
        Self(name)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the name ends with a zero byte.
        unsafe { libc::shm_unlink(self.0.as_ptr()) };
    }
}

#[test]
fn a_function_finds_no_memory_of_the_hosts() {
    promise(|host| {
        let shared = Shared::make();
        let name = shared.0.to_str().unwrap();
        let found: BTreeMap<String, String> = host.ask(&["open-memory", name]);
        assert_eq!(found[name], "ENOENT");
    });
}

#[test]
fn memory_that_a_function_gave_a_name_goes_with_its_jail() {
    promise(|host| {
        assert_eq!(host.ask::<String>(&["leave-memory"]), "done");
        eventually("no memory object of an island is left", || {
            system::Traces::of(system::own()).memory.is_empty()
        });
    });
}
