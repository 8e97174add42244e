//! The promises of a sandbox on Linux, one test each. A stranger's program, compiled from `fixtures/hostile`, tries to
//! break them. All of it runs four times where the suite is root: as root and as an ordinary user, and each again on
//! islands that stand by. What a host or a user
//! cannot be given is printed, and never passed over in silence. `sandbox_freebsd.rs` holds the same for FreeBSD.

#[cfg(not(target_os = "freebsd"))]
mod sandbox {
    #[cfg(target_os = "linux")]
    mod addresses;
    mod again;
    mod endings;
    mod files;
    mod host;
    mod kit;
    mod lifecycle;
    mod limits;
    mod linux;
    mod offers;
    mod platform;
    mod rights;
    mod standby;
    mod surroundings;
    mod system;
    mod tools;
    #[cfg(target_os = "linux")]
    mod zygotes;

    #[test]
    fn an_ordinary_user_is_given_the_same_promises() {
        if again::is_second_user() || !nix::unistd::geteuid().is_root() {
            return;
        }
        if !again::is_on_standbys() && kit::kit().is_some() {
            again::run_as_ordinary_user();
        }
    }

    #[test]
    fn islands_that_stand_by_are_held_to_the_same_promises() {
        if !again::is_second_user() && !again::is_on_standbys() && kit::kit().is_some() {
            again::run_on_standbys();
        }
    }

    #[test]
    fn freebsd_is_held_to_the_same_promises() {
        let modules = |text: &'static str| {
            let lines =
                text.lines().filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';'));
            lines
                .filter(|name| !["linux", "freebsd", "addresses", "zygotes"].contains(name))
                .collect::<Vec<_>>()
        };
        let (own, freebsd) = (include_str!("sandbox.rs"), include_str!("sandbox_freebsd.rs"));
        assert!(modules(own).len() > 10);
        assert_eq!(modules(own), modules(freebsd));
    }
}

#[cfg(target_os = "freebsd")]
#[test]
fn the_promises_of_linux() {
    use std::io::Write;
    // Past the capture of a test's output, so that it is seen.
    let _ = writeln!(std::io::stderr(), "skipped: this is a FreeBSD host; see make test-freebsd");
}
