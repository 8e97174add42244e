//! What FreeBSD alone promises: of jails, rules, addresses and what a crash leaves. Each of these
//! modules looks at the host with its own commands while an island runs, or after it.

mod addresses;
mod jail;
mod killed;
mod memory;
mod processor;
mod sight;

use std::sync::atomic::{AtomicU32, Ordering};

use island::Spec;

use super::host::{Host, eventually};
use super::system;
use super::system::tables::{Jail, Process};

/// A program while it runs on an island.
struct Running {
    process: Process,
    jail: Jail,
}

/// Starts an island whose program stays, has it looked at, and ends it.
fn while_it_runs(host: &Host, mut spec: Spec, look: impl FnOnce(&Running)) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other tests have islands of their own at this time.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mark = format!("mark-{}-{number}", std::process::id());
    spec.args.push(mark.clone());
    let islands = host.islands.clone();
    let run = host.runtime.spawn(async move { islands.run(&spec).await });
    let mut found = None;
    eventually("the program runs", || {
        found = marked(&mark);
        found.is_some() || run.is_finished()
    });
    let Some(running) = found else { panic!("{:?}", host.runtime.block_on(run)) };
    look(&running);
    run.abort();
}

fn marked(mark: &str) -> Option<Running> {
    let mut processes = system::processes().into_iter();
    let process = processes.find(|process| process.jail != 0 && process.has_argument(mark))?;
    let jail = system::jails().into_iter().find(|jail| jail.number() == process.jail)?;
    Some(Running { process, jail })
}
