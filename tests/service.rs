//! The server as a service: what is installed for it, what its rc.d script would run, how it hears
//! and tells its manager. FreeBSD's parts are tested wherever there is a shell; a tool that this
//! host lacks is printed.

#[path = "support/skip.rs"]
mod skip;

mod service {
    mod host;
    mod install;
    mod manager;
    mod manual;
    mod rc;
    mod scripts;
}
