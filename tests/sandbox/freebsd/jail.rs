//! What a function's jail is like, looked at from the host while the function runs, and from
//! inside.

use std::collections::{BTreeMap, BTreeSet};

use island::IslandId;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::host::{Host, limits, not_given, promise};
use super::super::{platform, system};
use super::{Running, while_it_runs};

fn while_a_function_runs(host: &Host, look: impl FnOnce(&Running)) {
    while_it_runs(host, host.function(&["sleep", "600000"]), look);
}

#[test]
fn a_functions_jail_has_the_parameters_that_were_promised() {
    promise(|host| {
        while_a_function_runs(host, |running| {
            let jail = &running.jail;
            let mut promised = vec![
                ("children.max", "0"),
                ("enforce_statfs", "2"),
                ("securelevel", "3"),
                ("sysvmsg", "disable"),
                ("sysvsem", "disable"),
                ("sysvshm", "disable"),
                ("parent", "0"),
                ("dying", "false"),
            ];
            promised.extend(match platform::prepared().config.jails.vnet {
                true => vec![("vnet", "new")],
                false => vec![("vnet", "inherit"), ("ip4", "disable"), ("ip6", "disable")],
            });
            for (parameter, value) in promised {
                assert_eq!(jail.get(parameter).as_deref(), Some(value), "{parameter}");
            }
            assert!(jail.addresses().is_empty(), "{jail:?}");
            let ruleset: u32 = jail.get("devfs_ruleset").unwrap().parse().unwrap();
            // The rulesets of the base system show more than a function needs.
            const OF_THE_BASE_SYSTEM: u32 = 5;
            assert!(ruleset > OF_THE_BASE_SYSTEM, "{ruleset}");
            let layout = &platform::prepared().layout;
            let run = layout.folder_of(&layout.run()).unwrap();
            let path = jail.get("path").unwrap();
            assert!(path.starts_with(&format!("{}/", run.display())), "{path}");
            assert!(IslandId::parse(&jail.name()).is_some(), "{jail:?}");
        });
    });
}

#[test]
fn a_functions_jail_allows_nothing() {
    promise(|host| {
        while_a_function_runs(host, |running| {
            let parameters = running.jail.0.keys().filter(|name| name.starts_with("allow."));
            let mut allowed: BTreeSet<_> = parameters.clone().map(String::as_str).collect();
            // Each kernel has its own list, and the jail's is as long.
            let listed = system::permissions();
            let missing: Vec<_> =
                listed.iter().filter(|name| !allowed.contains(name.as_str())).collect();
            assert!(listed.len() > 10 && missing.is_empty(), "{missing:?} of {listed:?}");
            allowed.retain(|name| running.jail.get(name).as_deref() != Some("false"));
            // Without it no process inside could become the function's user, who then gains nothing by
            // it.
            if allowed.remove("allow.suser") {
                not_given("a jail without a superuser", "its first process has to become a user");
            }
            assert!(allowed.is_empty(), "{allowed:?}");
        });
    });
}

#[test]
fn a_functions_process_has_a_user_of_the_islands_own() {
    promise(|host| {
        while_a_function_runs(host, |running| {
            let user = running.process.user;
            assert!(platform::is_unprivileged(user), "{user}");
            let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(user));
            assert!(known.is_ok_and(|user| user.is_none()), "user {user} is one of the host's");
            let others = system::processes().into_iter().filter(|process| process.user == user);
            assert!(others.into_iter().all(|process| process.jail == running.process.jail));
        });
    });
}

#[test]
fn only_what_a_function_needs_is_mounted_for_it() {
    promise(|host| {
        while_a_function_runs(host, |running| {
            let root = running.jail.get("path").unwrap();
            let below = |on: &str| on == root || on.starts_with(&format!("{root}/"));
            let mounts: Vec<_> = system::mounts().into_iter().filter(|it| below(&it.on)).collect();
            let kind = |on: &str| {
                let mount = mounts.iter().find(|mount| mount.on == format!("{root}{on}"));
                mount.unwrap_or_else(|| panic!("{on}: {mounts:?}"))
            };
            let has = |on: &str, option: &str| kind(on).options.iter().any(|it| it == option);
            assert_eq!((&*kind("").kind, &*kind("/dev").kind), ("nullfs", "devfs"));
            assert_eq!(kind("/tmp").kind, "tmpfs");
            assert!(has("", "ro") && has("", "nosuid"), "{mounts:?}");
            assert!(has("/tmp", "nosuid") && has("/tmp", "noexec"), "{mounts:?}");
            for mount in &mounts {
                assert!(["devfs", "tmpfs", "nullfs"].contains(&&*mount.kind), "{mount:?}");
                let own = [format!("{root}/dev"), format!("{root}/tmp")].contains(&mount.on);
                assert!(own || mount.options.iter().any(|it| it == "ro"), "{mount:?}");
            }
        });
    });
}

#[test]
fn a_function_sees_no_mount_but_its_own_root() {
    #[derive(Deserialize)]
    struct Mounts {
        seen: Vec<String>,
        flags: BTreeMap<String, Vec<String>>,
        error: String,
    }
    promise(|host| {
        let found: Mounts = host.ask(&["see-mounts"]);
        assert_eq!((found.seen, found.error.as_str()), (vec!["/".to_owned()], "done"));
        assert_eq!(found.flags["/"], ["nullfs", "ro", "nosuid"]);
        assert_eq!(found.flags["/tmp"], ["tmpfs", "noexec", "nosuid"]);
        assert_eq!(found.flags["/dev"][0], "devfs");
    });
}

#[test]
fn a_function_can_make_nothing_that_another_island_of_its_program_finds() {
    promise(|host| {
        let tried: BTreeMap<String, String> = host.ask(&["share-files"]);
        assert!(tried.len() > 10, "{tried:?}");
        let made: Vec<_> = tried.iter().filter(|(_, said)| *said == "done").collect();
        assert!(made.is_empty(), "{made:?}");
    });
}

#[test]
fn a_functions_limits_are_rules_for_its_jail() {
    promise(|host| {
        while_a_function_runs(host, |running| {
            let name = running.jail.name();
            let rules: Vec<_> = system::rules().into_iter().filter(|it| it.jail == name).collect();
            let amount = |resource: &str, action: &str| {
                let mut rules = rules.iter();
                let rule = rules.find(|rule| rule.resource == resource && rule.action == action);
                rule.unwrap_or_else(|| panic!("{resource}: {rules:?}")).amount
            };
            assert!(amount("maxproc", "deny") <= limits().resources.processes);
            assert!(amount("nthr", "deny") <= limits().resources.processes);
            let memory = limits().resources.memory;
            assert!((memory..=memory * 2).contains(&amount("memoryuse", "sigkill")), "{rules:?}");
            assert!(amount("openfiles", "deny") < 100_000, "{rules:?}");
            assert!(amount("cputime", "sigkill") > 0, "{rules:?}");
        });
    });
}

#[test]
fn a_function_does_not_learn_which_host_it_is_on() {
    promise(|host| {
        let settings = ["kern.hostname", "kern.domainname", "kern.hostuuid"];
        let deed: Vec<&str> = ["see-settings"].into_iter().chain(settings).collect();
        let found: BTreeMap<String, String> = host.ask(&deed);
        for setting in settings {
            let own = system::setting(setting);
            let says_nothing = own.bytes().all(|byte| matches!(byte, b'0' | b'-'));
            assert!(says_nothing || found[setting] != own, "{setting} is {own}");
        }
    });
}

#[test]
fn what_a_function_reads_of_the_system_is_the_bases_and_not_the_hosts() {
    promise(|host| {
        let paths = [
            "/etc/passwd",
            "/etc/master.passwd",
            "/etc/spwd.db",
            "/etc/group",
            "/etc/rc.conf",
            "/etc/resolv.conf",
            "/etc/hosts",
            "/etc/hostid",
            "/etc/machine-id",
            "/etc/ssh/ssh_host_ed25519_key",
            "/boot/loader.conf",
            "/var/run/dmesg.boot",
            "/var/log/messages",
            "/var/log/auth.log",
        ];
        let deed: Vec<&str> = ["digest"].into_iter().chain(paths).collect();
        let found: BTreeMap<String, String> = host.ask(&deed);
        let layout = &platform::prepared().layout;
        let base = layout.folder_of(&layout.base()).unwrap();
        for path in paths {
            let text = std::fs::read(base.join(path.trim_start_matches('/')));
            let expected =
                text.map_or("absent".into(), |text| format!("{:x}", Sha256::digest(text)));
            let seen = &found[path];
            assert!(*seen == expected || seen == "hidden" || seen == "absent", "{path}");
        }
        for secret in ["/etc/master.passwd", "/etc/spwd.db"] {
            assert!(["hidden", "absent"].contains(&&*found[secret]), "{secret}");
        }
    });
}
