//! What this host isolates and limits, and whether `sky-island init` has prepared it.

use common::causes::chain;
use host::exec::{Command, Executor, Shared};
use host::layout::Layout;
use host::net::{Pools, ifconfig};
use host::zfs::{DatasetName, SnapshotName, Zfs};

use crate::backend::{Finding, Options};
use crate::freebsd::environment::HostEnvironment;
use crate::freebsd::{params, rules};

/// How to have the kernel count resources.
const ENABLE: &str = "put kern.racct.enable=1 into /boot/loader.conf and restart the host";
const INIT: &str = "run `sky-island init`";
/// The name of the finding of a pool that is not there.
const POOL: &str = "pool";
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
    let asked = options.jails.as_ref().is_some_and(|jails| jails.vnet);
    findings.push(sight(asked, asked && params::makes_stacks(exec).await));
    findings.push(Finding {
        name: "islands ahead",
        detail: AHEAD.to_owned(),
        remedy: None,
        required: false,
    });
    findings
}

/// What a function without an address sees of the host's network: `asked` is `jails.vnet`, `made`
/// whether the kernel makes network stacks for jails.
fn sight(asked: bool, made: bool) -> Finding {
    const SEEN: &str =
        "functions see the names, hardware addresses and routes of the host's interfaces";
    let (detail, remedy) = match (asked, made) {
        (true, true) => ("functions have network stacks of their own, with nothing in them", None),
        (true, false) => (SEEN, Some("boot a kernel with VIMAGE, which GENERIC has")),
        (false, _) => (SEEN, Some("set jails.vnet, and look what a call takes then")),
    };
    let remedy = remedy.map(str::to_owned);
    Finding { name: "network view", detail: detail.to_owned(), remedy, required: false }
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
    let found = vec![base, snapshot(&zfs, "build jail", layout.build_snapshot()).await];
    if found.iter().all(|finding| finding.remedy.is_none()) {
        return found;
    }
    // Without its pool a host looks as if it had never been prepared.
    missing_pool(&zfs, layout).await.map_or(found, |finding| vec![finding])
}

/// The finding of a host that has ZFS and not the pool of the islands.
async fn missing_pool(zfs: &Zfs, layout: &Layout) -> Option<Finding> {
    let jails = layout.jails();
    let pool = DatasetName::parse(jails.pool()).ok()?;
    let None = zfs.find(&pool).await.ok()? else { return None };
    let remedy = format!(
        "import it with `zpool import {pool}`; a host that has no such pool needs \
         filesystem.zfs_dataset to name another one"
    );
    Some(Finding {
        name: POOL,
        detail: format!("the pool {pool} is not imported, and {jails} lies in it"),
        remedy: Some(remedy),
        required: true,
    })
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
        (
            "terminal limit",
            "rctl pseudoterminals: none",
            "RLIMIT_NPTS: each function can take one pseudo-terminal of the host",
        ),
        (
            "unmapped memory limit",
            "rctl swapuse, at the limit of a process's address space",
            "a function can take all swap space by memory objects that no process maps",
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
    use host::layout::Release;

    #[test]
    fn a_kernel_that_does_not_count_leaves_findings_to_remedy() {
        for (counts, required, bad) in [(true, true, 0), (false, false, 0), (false, true, 6)] {
            let findings = limits(counts, required);
            let found = findings.iter().filter(|f| f.required && f.remedy.is_some()).count();
            assert_eq!(found, bad, "{counts} {required}");
            assert!(findings.iter().all(|f| f.remedy.is_none() == counts));
        }
    }

    #[test]
    fn the_view_of_the_network_is_closed_only_where_it_was_asked_for_and_can_be() {
        for (asked, made, closed) in
            [(true, true, true), (true, false, false), (false, false, false)]
        {
            let finding = sight(asked, made);
            assert_eq!(finding.remedy.is_none(), closed, "{asked} {made}");
            assert!(!finding.required);
        }
    }

    #[tokio::test]
    async fn a_pool_that_is_not_imported_is_not_prepared_again() {
        let layout = Layout::new("tank", None, Release::parse("14.2-RELEASE").unwrap()).unwrap();
        let snapshot = "zfs list -H -o name -t snapshot tank/jails/";
        let pool = "zfs list -H -p -o name,type,used,available,mountpoint,origin \
                    -t filesystem,snapshot tank";
        let absent = |name: &str| format!("cannot open '{name}': dataset does not exist\n");
        let script = |pool_code: i32, pool_stdout: &str| {
            Script::new()
                .expect(&format!("{snapshot}releases/14.2-RELEASE@p1"), 1, "", &absent("a"))
                .expect(&format!("{snapshot}build@p1"), 1, "", &absent("b"))
                .expect(pool, pool_code, pool_stdout, &absent("tank"))
        };
        let found = prepared(&script(1, "").shared(), &layout).await;
        assert_eq!(found.iter().map(|it| it.name).collect::<Vec<_>>(), ["pool"]);
        let remedy = found[0].remedy.as_ref().unwrap();
        assert!(remedy.contains("zpool import tank") && !remedy.contains("init"), "{remedy}");
        let there = "tank\tfilesystem\t1\t1\t/tank\t-\n";
        let found = prepared(&script(0, there).shared(), &layout).await;
        let names: Vec<_> = found.iter().map(|it| (it.name, it.remedy.as_deref())).collect();
        assert_eq!(names, [("base system", Some(INIT)), ("build jail", Some(INIT))]);
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
