//! The status page: what jQuery asks for from a browser, once a minute, and what the page reads of
//! the answers.

use std::thread;

use serde_json::Value;

use crate::host::{Host, ORIGIN, TOKEN};
use crate::request::hello;
use crate::scripts::running;
use crate::wire::{Answer, Wire};
use crate::{Test, same};

pub(crate) const TESTS: &[Test] = &[
    ("the page is told that the server is well by an empty 200", healthcheck),
    ("the page polls all three resources on one connection", polling),
    ("the numbers have the thirteen keys of 2017 in their types", numbers),
    ("the page sees an island with the eight keys of 2017", jails),
    ("a page of another origin may ask where it is allowed to", elsewhere),
];

/// The keys of api-stats in their order, and what each is: `n` a whole number, `f` a number, `t` a
/// text, `o` numbers by status.
const STATS: [(&str, char); 13] = [
    ("pid", 'n'),
    ("uptime", 't'),
    ("uptime_sec", 'f'),
    ("time", 't'),
    ("unixtime", 'n'),
    ("status_code_count", 'o'),
    ("total_status_code_count", 'o'),
    ("count", 'n'),
    ("total_count", 'n'),
    ("total_response_time", 't'),
    ("total_response_time_sec", 'f'),
    ("average_response_time", 't'),
    ("average_response_time_sec", 'f'),
];
/// The keys of an island in their order; `jid` is a number, the others are texts.
pub(crate) const JAIL: [&str; 8] =
    ["host", "ip4", "ip6", "jid", "name", "OSRelease", "path", "hostname"];

/// A GET as a browser sends it for jQuery.
fn get(host: &Host, path: &str, more: &str) -> String {
    let port = host.port;
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\nAccept: */*\r\n{more}\
         X-Requested-With: XMLHttpRequest\r\nUser-Agent: Mozilla/5.0 (X11; FreeBSD amd64; rv:57.0)\r\n\
         Referer: http://127.0.0.1:{port}/\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
    )
}

fn poll(host: &Host, wire: &mut Wire, path: &str) -> Result<Answer, String> {
    let token = if path.contains("/admin/") { format!("{TOKEN}\r\n") } else { String::new() };
    wire.send(get(host, path, &token).as_bytes())?;
    wire.answer()
}

fn healthcheck(host: &Host) -> Result<(), String> {
    let answer = poll(host, &mut Wire::connect(host.port)?, "/healthcheck")?;
    same((answer.status, &*answer.body, answer.header("content-length")?), (200, "", "0"))?;
    // jQuery would try to make something of a type.
    same(answer.header("content-type").is_err(), true)
}

fn polling(host: &Host) -> Result<(), String> {
    let mut wire = Wire::connect(host.port)?;
    for _ in 0..3 {
        same(poll(host, &mut wire, "/healthcheck")?.status, 200)?;
        poll(host, &mut wire, "/api/v1/admin/api-stats")?.json(200)?;
        let jails = poll(host, &mut wire, "/api/v1/admin/jails")?.json(200)?;
        same(jails["jails"].is_array(), true)?;
    }
    Ok(())
}

fn numbers(host: &Host) -> Result<(), String> {
    host.function(&hello("Which()"))?.data()?;
    host.ask("GET", "/api/v1/admin/jails", &[], "")?.error(403)?;
    let mut wire = Wire::connect(host.port)?;
    let answer = poll(host, &mut wire, "/api/v1/admin/api-stats")?;
    let body = answer.json(200)?;
    for (key, kind) in STATS {
        let value = &body[key];
        let right = match kind {
            'n' => value.is_u64(),
            'f' => value.is_f64(),
            't' => value.is_string(),
            _ => value.as_object().is_some_and(|counts| {
                counts.iter().all(|(code, n)| code.parse::<u16>().is_ok() && n.is_u64())
            }),
        };
        same((key, right), (key, true)).map_err(|e| format!("{e}: {value}"))?;
    }
    in_order(&answer.body, STATS.iter().map(|(key, _)| *key))?;
    for key in ["uptime", "total_response_time", "average_response_time"] {
        let (text, number) = (body[key].as_str(), body[format!("{key}_sec")].as_f64());
        let read = text.and_then(seconds).ok_or_else(|| format!("{key}: Go reads no {text:?}"))?;
        same((key, (read - number.unwrap_or(-1.0)).abs() < 1e-6), (key, true))?;
    }
    let time = body["time"].as_str().unwrap_or_default();
    let parts: Vec<_> = time.split(' ').collect();
    same((parts.len(), &parts[2..4]), (5, &["+0000", "UTC"][..]))
        .map_err(|e| format!("{e}: {time}"))?;
    same(parts[4].starts_with("m=+"), true)?;
    let counts = body["total_status_code_count"].as_object().ok_or("no counts")?;
    same(counts.contains_key("200") && counts.contains_key("403"), true)?;
    same(counts.values().filter_map(Value::as_u64).sum(), body["total_count"].as_u64().unwrap_or(0))
}

fn jails(host: &Host) -> Result<(), String> {
    thread::scope(|scope| {
        let call = hello("Sleep(2*time.Second)").replace("hello", "faulty");
        let call = scope.spawn(move || host.function(&call));
        running(host)?;
        let answer = poll(host, &mut Wire::connect(host.port)?, "/api/v1/admin/jails")?;
        let body = answer.json(200)?;
        let jails = body["jails"].as_array().filter(|jails| !jails.is_empty());
        for jail in jails.ok_or("there are none")? {
            for key in JAIL {
                let right = if key == "jid" { jail[key].is_u64() } else { jail[key].is_string() };
                same((key, right), (key, true)).map_err(|e| format!("{e}: {jail}"))?;
            }
        }
        in_order(&answer.body, JAIL.into_iter())?;
        let answer = call.join().map_err(|_| "a client panicked")??;
        same(answer.data()?.as_str(), "slept")
    })
}

fn elsewhere(host: &Host) -> Result<(), String> {
    let origin = format!("Origin: {ORIGIN}");
    let stats = "/api/v1/admin/api-stats";
    let asked = "Access-Control-Request-Method: GET";
    let header = "Access-Control-Request-Headers: x-sky-island-token";
    let allowed = host.ask("OPTIONS", stats, &[&origin, asked, header], "")?;
    same((allowed.status, allowed.header("access-control-allow-origin")?), (200, ORIGIN))?;
    let may = |name: &str, what: &str| {
        let list = allowed.header(name)?.to_ascii_lowercase();
        same((list.contains(what), name), (true, name)).map_err(|e| format!("{e}: {list}"))
    };
    may("access-control-allow-headers", "x-sky-island-token")?;
    may("access-control-allow-methods", "get")?;
    let answer = host.ask("GET", stats, &[&origin, TOKEN], "")?;
    answer.json(200)?;
    same(answer.header("access-control-allow-origin")?, ORIGIN)?;
    let other = host.ask("OPTIONS", stats, &["Origin: http://evil.example", asked, header], "")?;
    same(other.header("access-control-allow-origin").is_err(), true)
}

/// Fails unless a text has these keys one behind the other.
pub(crate) fn in_order<'a>(text: &str, keys: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut rest = text;
    for key in keys {
        let at =
            rest.find(&format!("\"{key}\":")).ok_or_else(|| format!("{key} is late: {text}"))?;
        rest = &rest[at + 1..];
    }
    Ok(())
}

/// Reads a span as Go's `time.ParseDuration` does.
fn seconds(text: &str) -> Option<f64> {
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| c != '.' && !c.is_ascii_digit())?);
        let (unit, next) =
            behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        let size = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * size;
        rest = next;
    }
    Some(sum)
}
