//! The promises of a sandbox on FreeBSD: the same as on Linux, from the same files, and those of jails besides. It needs
//! a host that `sky-island init` has prepared, and root; `make test-freebsd` runs it. Elsewhere it says why it does not.
//!
//! `SKY_ISLAND_TEST_CONFIG` names the host's configuration where it is not /usr/local/etc/sky-island/config.json, and
//! `SKY_ISLAND_TEST_ADDRESS=INTERFACE,ADDRESS` an address that islands may lease where the configuration has no pool.

#[cfg(target_os = "freebsd")]
mod sandbox {
    mod again;
    mod endings;
    mod files;
    mod freebsd;
    mod host;
    mod kit;
    mod lifecycle;
    mod limits;
    mod offers;
    mod platform;
    mod rights;
    mod standby;
    mod surroundings;
    mod system;
    mod tools;

    #[test]
    fn an_ordinary_user_is_given_the_same_promises() {
        if !again::is_second_user() && kit::kit().is_some() {
            again::run_as_ordinary_user();
        }
    }

    #[test]
    fn islands_that_stand_by_are_held_to_the_same_promises() {
        if !again::is_second_user() && !again::is_on_standbys() && kit::kit().is_some() {
            again::run_on_standbys();
        }
    }
}

#[cfg(not(target_os = "freebsd"))]
#[test]
fn the_promises_of_freebsd() {
    use std::io::Write;
    // Past the capture of a test's output, so that it is seen.
    let _ = writeln!(std::io::stderr(), "skipped: this is no FreeBSD host; see make test-freebsd");
}
