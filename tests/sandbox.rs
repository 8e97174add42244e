//! The promises of a sandbox, one test each, for whatever backend this host has. A stranger's program, compiled from
//! `fixtures/hostile`, tries to break them. All of it runs twice where the suite is root: as root and as an ordinary
//! user. What a host or a user cannot be given is printed, and never passed over in silence.

mod sandbox {
    mod again;
    mod endings;
    mod files;
    mod host;
    mod lifecycle;
    mod limits;
    mod rights;
    mod surroundings;
    mod system;
    mod tools;

    #[test]
    fn an_ordinary_user_is_given_the_same_promises() {
        if again::is_second_user() || !nix::unistd::geteuid().is_root() {
            return;
        }
        if host::kit().is_some() {
            again::run_as_ordinary_user();
        }
    }
}
