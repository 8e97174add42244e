//! The numbers of a real run: what docs/metrics.md lists, what a StatsD listener hears and what
//! /metrics shows are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::answers::same;
use crate::leftovers::stop_without_a_trace;
use crate::server::{POLL, Server, Setup};
use crate::world::{fixture, folder};

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";
/// How long a listener hears nothing before everything has come; numbers are sent each second.
const SILENCE: Duration = Duration::from_secs(3);
/// How long islands may take to be gone, including the warm ones.
const REST_WAIT: Duration = Duration::from_secs(30);
/// How long a call runs while another one finds no turn, and then that one has begun.
const HELD: &str = "Sleep(3 * time.Second)";
const HEAD_START: Duration = Duration::from_secs(1);
/// What no test but that of addresses brings about.
const ADDRESSES: &str = "sky_island.address.";

pub(crate) fn trials() -> Vec<Trial> {
    let everything = || everything().map_err(Failed::from);
    let mut trials = vec![Trial::test(
        "numbers: what is listed, what StatsD hears and what /metrics shows are the same",
        everything,
    )];
    #[cfg(target_os = "linux")]
    trials.push(Trial::test("numbers: leases of addresses are sent and shown", || {
        crate::lab::in_own_network(addresses).map_err(Failed::from)
    }));
    let absent = || no_collector().map_err(Failed::from);
    trials.push(Trial::test("numbers: a StatsD server that is not there changes nothing", absent));
    trials
}

/// A StatsD server.
struct Ears(UdpSocket);

/// What was heard under one name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    kind: String,
    /// The sum of a counter, the number of a timer's spans, the last level of a gauge.
    value: f64,
}

impl Ears {
    fn open() -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(SILENCE)).map_err(|e| e.to_string())?;
        Ok(Self(socket))
    }

    fn address(&self) -> String {
        self.0.local_addr().map(|it| it.to_string()).unwrap_or_default()
    }

    /// All that comes until nothing comes any more.
    fn hear(&self, heard: &mut BTreeMap<String, Heard>) -> Result<(), String> {
        let mut packet = [0; 4096];
        while let Ok(length) = self.0.recv(&mut packet) {
            let text = std::str::from_utf8(&packet[..length]).map_err(|e| e.to_string())?;
            for line in text.lines() {
                let read = read(line).ok_or_else(|| format!("{line:?} is no StatsD"))?;
                let (name, kind, value) = read;
                let known = heard.entry(name).or_default();
                known.value = if kind == "g" { value } else { known.value + value };
                known.kind = kind;
            }
        }
        Ok(())
    }
}

/// The name, the type and what to add of one line.
fn read(line: &str) -> Option<(String, String, f64)> {
    let (name, rest) = line.split_once(':')?;
    let mut parts = rest.split('|');
    let value: f64 = parts.next()?.parse().ok()?;
    let kind = parts.next()?;
    let rate: f64 = parts.next().map_or(Some(1.0), |rate| rate.strip_prefix('@')?.parse().ok())?;
    let value = if kind == "ms" { 1.0 / rate } else { value };
    Some((name.to_owned(), kind.to_owned(), value))
}

/// The list of the documentation.
struct List {
    families: Vec<Family>,
    labels: BTreeMap<String, BTreeSet<String>>,
}

struct Family {
    name: String,
    kind: String,
    label: Option<String>,
    prometheus: String,
    prometheus_kind: String,
}

impl List {
    fn read() -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let mut list = Self { families: Vec::new(), labels: BTreeMap::new() };
        for line in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            match cells[..] {
                ["", statsd, kind, prometheus, prometheus_kind, _, _, ""] => {
                    let statsd = plain(statsd);
                    let (name, label) = match statsd.split_once(".<") {
                        Some((name, label)) => (name, Some(label.trim_end_matches('>'))),
                        None => (statsd.as_str(), None),
                    };
                    let kind = kind.split_once('(').map(|(_, it)| it.trim_end_matches(')'));
                    let prometheus = plain(prometheus);
                    list.families.push(Family {
                        name: name.to_owned(),
                        kind: kind.unwrap_or_default().to_owned(),
                        label: label.map(str::to_owned),
                        prometheus: prometheus.split('{').next().unwrap_or_default().to_owned(),
                        prometheus_kind: prometheus_kind.to_owned(),
                    });
                }
                ["", label, values, ""] => {
                    let values = values.split(", ").map(plain);
                    list.labels.entry(plain(label)).or_default().extend(values);
                }
                _ => {}
            }
        }
        if list.families.is_empty() { Err("the list is empty".to_owned()) } else { Ok(list) }
    }

    /// What a name that StatsD heard means, and the name under which /metrics shows it.
    fn find(&self, name: &str) -> Option<(&Family, String)> {
        self.families.iter().find_map(|family| {
            let count = if family.kind == "ms" { "_count" } else { "" };
            let shown = format!("{}{count}", family.prometheus);
            let Some(label) = &family.label else {
                return (family.name == name).then_some((family, shown));
            };
            let value = name.strip_prefix(&family.name)?.strip_prefix('.')?;
            let known = match label.as_str() {
                "status" => value.len() == 3 && value.parse::<u16>().is_ok(),
                label => self.labels.get(label)?.contains(value),
            };
            known.then(|| (family, format!("{shown}{{{label}=\"{value}\"}}")))
        })
    }
}

/// What /metrics shows.
struct Shown {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Shown {
    fn ask(server: &Server) -> Result<Self, String> {
        let answer = server.client.get("/metrics")?;
        same(answer.status, 200)?;
        same(answer.header("content-type")?, "text/plain; version=0.0.4")?;
        let text = String::from_utf8(answer.body).map_err(|e| e.to_string())?;
        let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
            {
                types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').ok_or_else(|| format!("bad: {line}"))?;
                let value = value.parse().map_err(|e| format!("{line}: {e}"))?;
                values.insert(name.to_owned(), value);
            }
        }
        Ok(Self { types, values })
    }

    fn sum(&self, family: &str) -> f64 {
        let of = |(name, _): &(&String, &f64)| name.split('{').next() == Some(family);
        self.values.iter().filter(of).map(|(_, value)| value).sum()
    }

    /// Waits until every island that was created is gone.
    fn at_rest(server: &Server) -> Result<Self, String> {
        let began = Instant::now();
        loop {
            let shown = Self::ask(server)?;
            let all = ["created", "removed"]
                .map(|it| shown.sum(&format!("sky_island_island_{it}_total")));
            if all[0] > 0.0 && all[0] == all[1] {
                return Ok(shown);
            }
            if began.elapsed() > REST_WAIT {
                return Err(format!("of {} islands {} are removed", all[0], all[1]));
            }
            thread::sleep(POLL);
        }
    }
}

/// Compares what StatsD heard with the list and with what is shown.
fn compare(list: &List, heard: &BTreeMap<String, Heard>, shown: &Shown) -> Result<(), String> {
    for (name, heard) in heard {
        let (family, key) = list.find(name).ok_or_else(|| format!("{name} is not listed"))?;
        same((name, &heard.kind), (name, &family.kind))?;
        // To look is a request too.
        if !name.starts_with("sky_island.http.") {
            same((&key, shown.values.get(&key)), (&key, Some(&heard.value)))?;
        }
    }
    let listed = list.families.iter().map(|it| (it.prometheus.clone(), it.prometheus_kind.clone()));
    same(shown.types.clone(), listed.collect())
}

fn everything() -> Result<(), String> {
    let (ears, list) = (Ears::open()?, List::read()?);
    let server = Started::new(&ears.address(), &["hello", "faulty"], &[])?;
    let client = &server.server.client;
    let ask = |url: &str, call: &str| {
        client.post(json!({"url": url, "call": call}).to_string().as_bytes())
    };
    // The third call finds a warm island.
    for _ in 0..3 {
        same(ask(HELLO, "Which()")?.status, 200)?;
        thread::sleep(Duration::from_millis(300));
    }
    same(client.post(b"{")?.status, 400)?;
    same(client.get("/nowhere")?.status, 404)?;
    for (call, status) in [("Print()", 422), (HELD, 200), ("Sleep(time.Hour)", 504)] {
        same((call, ask(FAULTY, call)?.status), (call, status))?;
    }
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(FAULTY, HELD));
        thread::sleep(HEAD_START);
        same(ask(HELLO, "Which()")?.status, 503)?;
        same(first.join().map_err(|_| "the client panicked")??.status, 200)
    })?;
    let mut heard = BTreeMap::new();
    Shown::at_rest(&server.server)?;
    ears.hear(&mut heard)?;
    let shown = Shown::at_rest(&server.server)?;
    ears.hear(&mut heard)?;
    compare(&list, &heard, &shown)?;
    for family in &list.families {
        let mine = |name: &&String| list.find(name).is_some_and(|(it, _)| it.name == family.name);
        if !family.name.starts_with(ADDRESSES) && !heard.keys().any(|name| mine(&name)) {
            return Err(format!("{} is listed, but was not sent: {heard:?}", family.name));
        }
    }
    let count = |name: &str| heard.get(name).map_or(0.0, |it| it.value);
    for (name, expected) in [
        ("sky_island.calls.ok", 5.0),
        ("sky_island.calls.malformed", 1.0),
        ("sky_island.calls.deadline", 1.0),
        ("sky_island.calls.busy", 1.0),
        ("sky_island.refusals.request", 1.0),
        ("sky_island.refusals.busy", 1.0),
        ("sky_island.call.run", 8.0),
        ("sky_island.fetch", 2.0),
        ("sky_island.island.created.fetch", 2.0),
        ("sky_island.cache.misses.checkouts", 2.0),
        ("sky_island.island.killed.deadline", 1.0),
        ("sky_island.island.killed.output", 1.0),
        ("sky_island.http.requests.404", 1.0),
        ("sky_island.http.requests.503", 1.0),
    ] {
        same((name, count(name)), (name, expected))?;
    }
    if count("sky_island.cache.hits.standby") < 1.0 {
        return Err(format!("no call found a warm island: {heard:?}"));
    }
    stop_without_a_trace(&server.server)
}

/// A server that sends its numbers somewhere.
struct Started {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Started {
    fn new(
        statsd: &str,
        names: &[&str],
        sections: &[(&'static str, Value)],
    ) -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        for name in names {
            fixture(&repositories, name)?;
        }
        let limits = json!({"concurrency": 1, "queue_wait": "1s"});
        let mut setup = Setup::new(&["git"]).limits(limits);
        setup = setup.mirror("example.test", repositories.to_string_lossy());
        setup = setup.section("jails", json!({"monitoring_addr": statsd}));
        for (name, keys) in sections {
            setup = setup.section(name, keys.clone());
        }
        let server = Server::start(folder.path(), &setup)?;
        Ok(Self { server, _folder: folder })
    }
}

/// Two addresses are lent in turn, and a third call finds none.
#[cfg(target_os = "linux")]
fn addresses() -> Result<(), String> {
    let (ears, list) = (Ears::open()?, List::read()?);
    let pool = json!({"interface": "lend0", "network": "10.83.0.0/30", "gateway": "10.83.0.1"});
    let limits = json!({"concurrency": 2, "per_client": {"concurrency": 2}});
    let sections = [("network", json!({"pools": [pool]})), ("limits", limits)];
    let server = Started::new(&ears.address(), &["faulty"], &sections)?;
    let client = &server.server.client;
    let call = json!({"url": FAULTY, "call": HELD, "ip4": true}).to_string();
    same(client.post(call.as_bytes())?.status, 200)?;
    let busy = |shown: &Shown| shown.values.get("sky_island_address_busy").copied();
    thread::scope(|scope| {
        let first = scope.spawn(|| client.post(call.as_bytes()));
        thread::sleep(HEAD_START);
        same(busy(&Shown::ask(&server.server)?), Some(1.0))?;
        same(client.post(call.as_bytes())?.status, 503)?;
        same(first.join().map_err(|_| "the client panicked")??.status, 200)
    })?;
    let mut heard = BTreeMap::new();
    crate::lab::no_cable_stays()?;
    Shown::at_rest(&server.server)?;
    ears.hear(&mut heard)?;
    let shown = Shown::at_rest(&server.server)?;
    ears.hear(&mut heard)?;
    compare(&list, &heard, &shown)?;
    for (name, kind, value) in [("granted", "c", 2.0), ("refused", "c", 1.0), ("busy", "g", 0.0)] {
        let expected = Heard { kind: kind.to_owned(), value };
        same((name, heard.get(&format!("{ADDRESSES}{name}"))), (name, Some(&expected)))?;
    }
    stop_without_a_trace(&server.server)
}

/// Neither an unknown name nor a port without a listener keeps a server from anything.
fn no_collector() -> Result<(), String> {
    for statsd in ["no-such-host.invalid", "127.0.0.1:1"] {
        let server = Started::new(statsd, &["hello"], &[])?;
        let call = json!({"url": HELLO, "call": "Which()"});
        same(server.server.client.call(&call)?.status, 200)?;
        // A call is counted behind its answer.
        let began = std::time::Instant::now();
        let mut counted = None;
        while counted != Some(1.0) && began.elapsed() < SILENCE {
            let shown = Shown::ask(&server.server)?;
            counted = shown.values.get("sky_island_calls_total{code=\"ok\"}").copied();
        }
        same(counted, Some(1.0))?;
        server.server.stop_well()?;
    }
    Ok(())
}
