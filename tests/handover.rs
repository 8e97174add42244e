//! A server's doors: where it listens, how it ends, and how another takes over under load without
//! one failed request.

#[path = "support/git_repo.rs"]
#[allow(dead_code)]
mod git_repo;

mod handover {
    mod client;
    mod doors;
    mod end;
    mod host;
    mod load;
    mod take_over;
    mod tls;
}
