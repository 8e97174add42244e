//! Scripts for the admin API: who is let in, islands ended, addresses looked at and steered.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::{Host, POLL, TOKEN};
use crate::page::{JAIL, in_order};
use crate::request::hello;
use crate::{Test, same};

pub(crate) const TESTS: &[Test] = &[
    ("without the token the answer is that of 2017 byte for byte", forbidden),
    ("a script sees one island, ends it, and reads its number", jail),
    ("a script ends all islands, and the server goes on", all_jails),
    ("an island that is not there answers 404 with an error", no_jail),
    ("the addresses are listed by their state", by_state),
    ("the whole pool is a list with the state of each address", pool),
    ("a state is a number of one byte or a word", steered),
    ("an address that cannot be steered answers with an error", not_steered),
    ("parameters that there are not answer 400 with an error", parameters),
    ("there is no page at the root", root),
];

/// An address of the example's range.
const ADDRESS: &str = "192.168.0.77";
/// How long something may take to be seen.
const SEEN_WAIT: Duration = Duration::from_secs(60);

/// The number of an island that runs a function, once there is one.
pub(crate) fn running(host: &Host) -> Result<u64, String> {
    let begin = Instant::now();
    while begin.elapsed() < SEEN_WAIT {
        let body = host.admin("GET", "/jails", "")?.json(200)?;
        let runs = |jail: &&Value| jail["state"] == "running" && jail["purpose"] == "function";
        let found = body["jails"].as_array().into_iter().flatten().find(runs);
        if let Some(number) = found.and_then(|jail| jail["jid"].as_u64()) {
            return Ok(number);
        }
        sleep(POLL);
    }
    Err("no island was seen running".to_owned())
}

fn sleeping() -> String {
    hello("Sleep(4*time.Second)").replace("hello", "faulty")
}

fn forbidden(host: &Host) -> Result<(), String> {
    let wrong: [&[&str]; 4] = [
        &[],
        &["X-Sky-Island-Token:"],
        &["X-Sky-Island-Token: asdf"],
        &["Authorization: Bearer asdfasdfasdfasdf"],
    ];
    for headers in wrong {
        for (method, path) in [("GET", "api-stats"), ("GET", "jails"), ("DELETE", "jails")] {
            let answer = host.ask(method, &format!("/api/v1/admin/{path}"), headers, "")?;
            answer.json(403)?;
            same(answer.body.as_str(), r#"{"error":"Forbidden"}"#)?;
        }
    }
    // Headers have no case.
    let small = TOKEN.replace("X-Sky-Island-Token", "x-sky-island-token");
    host.ask("GET", "/api/v1/admin/jails", &[&small], "")?.json(200).map(drop)
}

fn jail(host: &Host) -> Result<(), String> {
    thread::scope(|scope| {
        let call = scope.spawn(|| host.function(&sleeping()));
        let number = running(host)?;
        let details = host.admin("GET", &format!("/jail/{number}"), "")?;
        same(details.json(200)?["details"]["jid"].as_u64(), Some(number))?;
        in_order(&details.body, JAIL.into_iter())?;
        let deleted = host.admin("DELETE", &format!("/jail/{number}"), "")?;
        deleted.json(200)?;
        same(deleted.body, format!(r#"{{"deleted":{number}}}"#))?;
        // Its caller learns of it.
        let answer = call.join().map_err(|_| "a client panicked")??;
        answer.error(409).map(drop)
    })
}

fn all_jails(host: &Host) -> Result<(), String> {
    thread::scope(|scope| {
        let call = scope.spawn(|| host.function(&sleeping()));
        let number = running(host)?;
        // In 2017 there was nothing in the body; who reads none does not notice.
        let deleted = host.admin("DELETE", "/jails", "")?.json(200)?;
        let deleted = deleted["deleted"].as_array().ok_or("no list")?;
        same(deleted.contains(&json!(number)), true)?;
        call.join().map_err(|_| "a client panicked")??.error(409)?;
        same(host.function(&hello("Which()"))?.data()?.as_str(), "first edition")
    })
}

fn no_jail(host: &Host) -> Result<(), String> {
    for method in ["GET", "DELETE"] {
        host.admin(method, "/jail/1", "")?.error(404)?;
        host.admin(method, "/jail/init", "")?.error(400)?;
    }
    Ok(())
}

fn steer(host: &Host, state: &Value) -> Result<(), String> {
    let body = json!({"ip": ADDRESS, "state": state}).to_string();
    let done = host.admin("PUT", "/network/ip", &body)?.json(200)?;
    same(done["ip"].as_str(), Some(ADDRESS))
}

/// The addresses with this state, and whether ours is among them.
fn listed(host: &Host, state: &str) -> Result<(usize, bool), String> {
    let body = host.admin("GET", &format!("/network/ips?state={state}"), "")?.json(200)?;
    same(body.as_object().map(|body| body.len()), Some(1))?;
    let all = body[state].as_array().ok_or_else(|| format!("no list of {state}: {body}"))?;
    same(all.iter().all(Value::is_string), true)?;
    Ok((all.len(), all.contains(&ADDRESS.into())))
}

fn by_state(host: &Host) -> Result<(), String> {
    let ((free, is_free), (taken, is_taken)) =
        (listed(host, "available")?, listed(host, "unavailable")?);
    // From .20 to the last octet that the example calls its range.
    same((free + taken, is_free, is_taken), (201, true, false))?;
    // The README of 2017 had another path than its server.
    let body = host.admin("GET", "/ips?state=available", "")?.json(200)?;
    same(body["available"].as_array().map(Vec::len), Some(free))?;
    host.admin("GET", "/network/ips?state=free", "")?.error(400).map(drop)
}

fn pool(host: &Host) -> Result<(), String> {
    let body = host.admin("GET", "/network/ips", "")?.json(200)?;
    let all = body["ips"].as_array().ok_or("no list")?;
    let ours = all.iter().find(|it| it["ip"] == ADDRESS).ok_or("it is not there")?;
    same((all.len(), ours["state"].as_str()), (201, Some("available")))?;
    same((ours["island"].is_null(), ours["since"].is_u64()), (true, true))
}

fn steered(host: &Host) -> Result<(), String> {
    for (off, on) in [(json!(1), json!(0)), (json!("unavailable"), json!("available"))] {
        steer(host, &off)?;
        same((listed(host, "available")?.1, listed(host, "unavailable")?.1), (false, true))?;
        steer(host, &on)?;
        same((listed(host, "available")?.1, listed(host, "unavailable")?.1), (true, false))?;
    }
    Ok(())
}

fn not_steered(host: &Host) -> Result<(), String> {
    for (body, status) in [
        (r#"{"ip": "10.1.2.3", "state": 0}"#, 404),
        (r#"{"ip": "192.168.0.300", "state": 0}"#, 400),
        (r#"{"ip": "192.168.0.77", "state": 2}"#, 400),
        (r#"{"ip": "192.168.0.77", "state": 256}"#, 400),
        (r#"{"ip": "192.168.0.77"}"#, 400),
        ("ip=192.168.0.77", 400),
    ] {
        let answer = host.admin("PUT", "/network/ip", body)?;
        answer.error(status).map_err(|e| format!("{body}: {e}"))?;
    }
    Ok(())
}

fn parameters(host: &Host) -> Result<(), String> {
    for path in ["/jails?_=1513717061", "/network/ips?state=available&state=unavailable"] {
        host.admin("GET", path, "")?.error(400).map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(())
}

fn root(host: &Host) -> Result<(), String> {
    for path in ["/", "/index.html", "/script.js"] {
        host.ask("GET", path, &[], "")?.error(404)?;
    }
    Ok(())
}
