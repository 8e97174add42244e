//! What FreeBSD's commands print, read: ps(1), jls(8), mount(8), rctl(8), ifconfig(8),
//! posixshmcontrol(1).

use serde::Deserialize;
use serde_json::{Map, Value};

/// One line of `ps -axww -o pid,ppid,jid,uid,state,command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The number of its jail; 0 on the host.
    pub jail: u32,
    pub user: u32,
    /// It has ended, and was not waited for.
    pub is_zombie: bool,
    pub command: String,
}

impl Process {
    pub fn first_argument(&self) -> &str {
        self.command.split(' ').next().unwrap_or_default()
    }

    pub fn has_argument(&self, argument: &str) -> bool {
        self.command.split(' ').any(|word| word == argument)
    }
}

pub fn processes(text: &str) -> Vec<Process> {
    text.lines().skip(1).map(|line| process(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

fn process(line: &str) -> Option<Process> {
    let mut rest = line.trim_start();
    let mut field = || {
        let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after.trim_start();
        field
    };
    let mut number = || field().parse().ok();
    let (pid, parent, jail, user) = (number()?, number()?, number()?, number()?);
    let is_zombie = field().starts_with('Z');
    Some(Process { pid, parent, jail, user, is_zombie, command: rest.trim_end().to_owned() })
}

/// A jail as `jls --libxo=json -n` tells of it: all numbers are strings there.
#[derive(Clone, Debug, PartialEq)]
pub struct Jail(pub Map<String, Value>);

impl Jail {
    /// A parameter's text; "true" or "false" for the ones that are one or the other.
    pub fn get(&self, parameter: &str) -> Option<String> {
        match self.0.get(parameter)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    pub fn number(&self) -> u32 {
        self.get("jid").and_then(|text| text.parse().ok()).expect("a jail has a number")
    }

    pub fn name(&self) -> String {
        self.get("name").expect("a jail has a name")
    }

    /// Its IPv4 addresses.
    pub fn addresses(&self) -> Vec<String> {
        let listed = self.0.get("ip4.addr").and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(|address| address.as_str().map(str::to_owned)).collect()
    }
}

pub fn jails(text: &str) -> Vec<Jail> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "jail-information")]
        information: Information,
    }
    #[derive(Deserialize)]
    struct Information {
        #[serde(default)]
        jail: Vec<Map<String, Value>>,
    }
    let answer: Answer = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    answer.information.jail.into_iter().map(Jail).collect()
}

/// One line of `mount -p`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    pub from: String,
    pub on: String,
    pub kind: String,
    pub options: Vec<String>,
}

pub fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split_whitespace().map(str::to_owned);
        let (from, on, kind) = (fields.next()?, fields.next()?, fields.next()?);
        let options = fields.next()?.split(',').map(str::to_owned).collect();
        Some(Mount { from, on, kind, options })
    };
    text.lines().map(|line| mount(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

/// One line of `rctl`: `jail:NAME:RESOURCE:ACTION=AMOUNT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub jail: String,
    pub resource: String,
    pub action: String,
    pub amount: u64,
}

/// The rules about jails.
pub fn rules(text: &str) -> Vec<Rule> {
    let rule = |line: &str| {
        let mut parts = line.strip_prefix("jail:")?.split(':').map(str::to_owned);
        let (jail, resource, last) = (parts.next()?, parts.next()?, parts.next()?);
        let (action, amount) = last.split_once('=')?;
        // `deny=20/jail` says whose 20 they are.
        let amount = amount.split('/').next()?.parse().ok()?;
        Some(Rule { jail, resource, action: action.to_owned(), amount })
    };
    text.lines().filter_map(rule).collect()
}

/// The addresses in what `ifconfig -f inet:cidr INTERFACE inet` prints, without their prefix
/// lengths.
pub fn addresses(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("inet "));
    lines.filter_map(|line| Some(line.split(['/', ' ']).next()?.to_owned())).collect()
}

/// The last fields of the lines that hold `text`: the paths that `posixshmcontrol ls` prints.
pub fn paths_with(text: &str, listing: &str) -> Vec<String> {
    let last = listing.lines().filter_map(|line| line.split_whitespace().last());
    last.filter(|path| path.contains(text)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // What a FreeBSD 15 host printed, the columns of ps put together from two of its listings.

    #[test]
    fn processes_are_read_with_their_whole_commands() {
        let text = "  PID  PPID JID   UID STAT COMMAND\n 1398     1   0     0 S    sh /tmp/rec.sh\n\
                    1671  1668  18 65534 I+   /usr/bin/hostile sleep 60\n 1700  1398   0     0 Z    <defunct>\n";
        let found = processes(text);
        assert_eq!(found.len(), 3);
        let inside = &found[1];
        assert_eq!((inside.pid, inside.parent, inside.jail, inside.user), (1671, 1668, 18, 65534));
        assert_eq!(inside.first_argument(), "/usr/bin/hostile");
        assert!(inside.has_argument("60") && !inside.has_argument("6") && !inside.is_zombie);
        assert!(found[2].is_zombie);
    }

    #[test]
    fn jails_are_read_with_their_parameters() {
        let text = r#"{"__version": "2", "jail-information": {"jail": [{"devfs_ruleset":"0","dying":false,
            "enforce_statfs":"2","jid":"14","name":"si_a","allow.suser":true, "ip4.addr": ["10.0.2.77"]}]}}"#;
        let [jail] = &jails(text)[..] else { panic!("{text}") };
        assert_eq!((jail.number(), jail.name()), (14, "si_a".into()));
        assert_eq!(jail.get("allow.suser").as_deref(), Some("true"));
        assert_eq!(jail.get("enforce_statfs").as_deref(), Some("2"));
        assert_eq!((jail.get("nosuch"), jail.addresses()), (None, vec!["10.0.2.77".to_owned()]));
        assert!(jails(r#"{"__version": "2", "jail-information": {"jail": []}}"#).is_empty());
        assert!(jails(r#"{"__version": "2", "jail-information": {}}"#).is_empty());
    }

    #[test]
    fn mounts_are_read_with_their_options() {
        let text = "/dev/vtbd0\t\t/\t\t\tufs\trw\t\t1 1\n\
                    zroot/jails/run/a\t/zroot/jails/run/a\tzfs\trw,noatime,nfsv4acls \t0 0\n";
        let found = mounts(text);
        assert_eq!((found[0].on.as_str(), found[0].kind.as_str()), ("/", "ufs"));
        assert_eq!(found[1].options, ["rw", "noatime", "nfsv4acls"]);
    }

    #[test]
    fn rules_about_jails_are_read() {
        let text = "jail:si_r:memoryuse:sigkill=67108864\nuser:www:nthr:deny=5\njail:si_r:maxproc:deny=20/jail\n";
        let found = rules(text);
        let short = |rule: &Rule| (rule.resource.clone(), rule.action.clone(), rule.amount);
        let expected = [
            ("memoryuse".into(), "sigkill".into(), 67_108_864),
            ("maxproc".into(), "deny".into(), 20),
        ];
        assert_eq!(found.iter().map(short).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn addresses_are_read_without_their_prefix_lengths() {
        let text = "vtnet0: flags=1008843<UP> metric 0 mtu 1500\n\toptions=880028<VLAN_MTU>\n\
                    \tinet 10.0.2.15/24 broadcast 10.0.2.255\n\tinet 10.0.2.77/32 broadcast 10.0.2.77\n";
        assert_eq!(addresses(text), ["10.0.2.15", "10.0.2.77"]);
    }

    #[test]
    fn only_lines_with_the_text_give_a_path() {
        let text = "MODE\tOWNER\tGROUP\tSIZE\tPATH\nrw-rw-rw-\t0\t0\t4096\t/run/si_1_1/x\nrw-------\t0\t0\t1\t/other\n";
        assert_eq!(paths_with("si_1_", text), ["/run/si_1_1/x"]);
    }
}
