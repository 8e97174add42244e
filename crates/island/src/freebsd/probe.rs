//! What this host isolates and limits, and whether `sky-island init` has prepared it.

use common::causes::chain;
use host::exec::{Command, Executor, Shared};
use host::layout::Layout;
use host::net::{Pools, ifconfig};
use host::zfs::{SnapshotName, Zfs};

use crate::backend::{Finding, Options};
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::{params, rules};

/// How to have the kernel count resources.
const ENABLE: &str = "put kern.racct.enable=1 into /boot/loader.conf and restart the host";
const INIT: &str = "run `sky-island init`";
/// Why islands are not made ahead: all that an island has lies in the root that is its function's.
pub(super) const AHEAD: &str = "limits.islands_ahead has no effect: the root of a jail is a view \
    of its function, and all else of the jail lies in it; islands are kept warm for functions that \
    were called";

/// What `check` reports of a FreeBSD host.
pub(super) async fn findings(environment: &HostEnvironment, options: &Options) -> Vec<Finding> {
    let exec = &*environment.exec;
    let mut findings = vec![privilege(environment.root)];
    match &options.jails {
        Some(jails) => findings.extend(prepared(&environment.exec, &jails.layout).await),
        None => findings.push(Finding {
            name: "datasets",
            detail: "filesystem.zfs_dataset is not set, and islands need a ZFS dataset".into(),
            remedy: Some("set filesystem.zfs_dataset, then run `sky-island init`".into()),
            required: true,
        }),
    }
    findings.push(jails(exec).await);
    let required = options.jails.as_ref().is_some_and(|jails| jails.require_limits);
    findings.extend(limits(rules::enabled(exec).await, required));
    findings.push(Finding {
        name: "islands ahead",
        detail: AHEAD.to_owned(),
        remedy: None,
        required: false,
    });
    findings
}

fn privilege(root: bool) -> Finding {
    let detail = if root { "root can make jails" } else { "only root can make jails" };
    let remedy = (!root).then(|| "run sky-island as root".to_owned());
    Finding { name: "privilege", detail: detail.into(), remedy, required: true }
}

/// Whether `sky-island init` has finished.
async fn prepared(exec: &Shared, layout: &Layout) -> Vec<Finding> {
    let zfs = Zfs::new(exec.clone());
    let base = snapshot(&zfs, "base system", layout.base_snapshot()).await;
    vec![base, snapshot(&zfs, "build jail", layout.build_snapshot()).await]
}

async fn snapshot(zfs: &Zfs, name: &'static str, snapshot: SnapshotName) -> Finding {
    let (detail, remedy) = match zfs.has_snapshot(&snapshot).await {
        Ok(true) => (snapshot.to_string(), None),
        Ok(false) => (
            format!("{snapshot} does not exist, and islands are clones of it"),
            Some(INIT.to_owned()),
        ),
        Err(error) => (chain(&error), Some(format!("load ZFS, then {INIT}"))),
    };
    Finding { name, detail, remedy, required: true }
}

async fn jails(exec: &dyn Executor) -> Finding {
    let (detail, remedy) = match params::permissions(exec).await {
        Ok(known) => {
            (format!("the kernel has {} permissions of jails; islands get none", known.len()), None)
        }
        Err(error) => (chain(&error), Some("run sky-island on a host, not in a jail".to_owned())),
    };
    Finding { name: "jails", detail, remedy, required: true }
}

/// The limits of a kernel that counts resources, and of one that does not.
pub(super) fn limits(counts: bool, required: bool) -> Vec<Finding> {
    let table = [
        (
            "memory limit",
            "RLIMIT_AS for each process; rctl memoryuse for all together, about a second late",
            "RLIMIT_AS for each process; an island's processes together have no limit",
        ),
        (
            "process limit",
            "rctl maxproc and nthr",
            "RLIMIT_NPROC for functions; builds and threads have no limit",
        ),
        (
            "descriptor limit",
            "RLIMIT_NOFILE for each process; rctl openfiles for all together",
            "RLIMIT_NOFILE for each process; an island's processes together have no limit",
        ),
        (
            "processor limit",
            "rctl cputime; a function leaves one processor to the server",
            "a function can use all processors until its deadline",
        ),
    ];
    let finding = |(name, with, without): (&'static str, &str, &str)| Finding {
        name,
        detail: if counts { with } else { without }.to_owned(),
        remedy: (!counts).then(|| ENABLE.to_owned()),
        required,
    };
    table.map(finding).to_vec()
}

/// Whether the interfaces of the address pools exist, and what islands with an address reach; none
/// where no pool is configured.
pub(super) async fn addresses(exec: &dyn Executor, pools: &Pools) -> Option<Finding> {
    let mut interfaces: Vec<_> =
        pools.pools().iter().map(|pool| pool.interface().clone()).collect();
    interfaces.sort();
    interfaces.dedup();
    interfaces.first()?;
    for interface in &interfaces {
        if let Err(error) = ifconfig::addresses(exec, interface).await {
            let detail = format!("islands have no addresses: {}", chain(&error));
            let remedy = Some("correct network.ip4, network.ip6 or network.pools".to_owned());
            return Some(Finding { name: "addresses", detail, remedy, required: false });
        }
    }
    // A jail with an address reaches a service that listens on all addresses of the host through
    // lo0.
    let detail = "islands with an address reach the services of this host and the networks that it routes to";
    let remedy = "to close that, add `block quick on lo0 from POOL to ! POOL` to pf.conf(5), \
         which must not have `set skip on lo0`";
    let remedy = Some(remedy.to_owned());
    Some(Finding { name: "addresses", detail: detail.into(), remedy, required: false })
}

/// Loads the kernel modules that mount(8) needs.
pub(super) async fn load_modules(exec: &dyn Executor) -> Result<(), host::exec::ExecError> {
    for module in ["nullfs", "tmpfs"] {
        let loaded = Command::program("kldstat").args(["-q", "-m", module]);
        if exec.run(&loaded).await?.code == Some(0) {
            continue;
        }
        let load = Command::program("kldload").args(["-n", module]);
        exec.run(&load).await?.success(&load)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    #[test]
    fn a_kernel_that_does_not_count_leaves_findings_to_remedy() {
        for (counts, required, bad) in [(true, true, 0), (false, false, 0), (false, true, 4)] {
            let findings = limits(counts, required);
            let found = findings.iter().filter(|f| f.required && f.remedy.is_some()).count();
            assert_eq!(found, bad, "{counts} {required}");
            assert!(findings.iter().all(|f| f.remedy.is_none() == counts));
        }
    }

    #[tokio::test]
    async fn modules_are_loaded_where_they_are_not() {
        let script = Script::new()
            .quiet("kldstat -q -m nullfs")
            .expect("kldstat -q -m tmpfs", 1, "", "")
            .quiet("kldload -n tmpfs");
        load_modules(&script).await.unwrap();
        assert!(script.left().is_empty());
    }
}
