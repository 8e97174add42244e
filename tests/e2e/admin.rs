//! The admin API of a real server: every answer as it is written down, who is let in, and what
//! becomes of calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answers::same;
use crate::client::Answer;
use crate::leftovers::stop_without_a_trace;
use crate::logs;
use crate::operate;
use crate::problem::Problem;
use crate::server::{POLL, Server, Setup};
use crate::snapshot::Snapshot;
use crate::world::{fixture, folder};

pub(crate) const TOKEN: &str = "asdfasdfasdfasdf";
const HEADER: &str = "X-Sky-Island-Token";
const ADMIN: &str = "/api/v1/admin";
const HELLO: &str = "example.test/hello";
/// How long something may take to be seen.
const SEEN_WAIT: Duration = Duration::from_secs(240);

/// The server of these tests, one of which has it at a time: what one ends or lets go of others may
/// need.
type Shared = Arc<Mutex<Option<Operated>>>;

/// The tests, and the ones that come after them.
pub(crate) fn trials() -> [Vec<Trial>; 2] {
    let shared = Shared::default();
    let trial = |name: &str, test: fn(&Operated) -> Result<(), String>| {
        let shared = shared.clone();
        let run = move || {
            let mut operated = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if operated.is_none() {
                *operated = Some(Operated::start(Setup::new(&["git"]).token(TOKEN))?);
            }
            test(operated.as_ref().ok_or("there is no server")?)
        };
        Trial::test(format!("admin: {name}"), move || run().map_err(Failed::from))
    };
    let mut tests = vec![
        trial("every answer is as it is written down", every_answer),
        trial("a call whose island an operator ends answers 409 killed", killed),
        trial("an operator ends all islands, and the server goes on", all_killed),
        trial("what is let go of in the caches is fetched and built anew", forgotten),
        trial("a function that was warmed answers from a warm island", warmed),
        Trial::test("admin: a server without a configured token makes one, and keeps it", || {
            own_token().map_err(Failed::from)
        }),
    ];
    tests.extend(operate::TESTS.map(|(name, test)| trial(name, test)));
    let end = move || match &*shared.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(operated) => stop_without_a_trace(&operated.server).map_err(Failed::from),
        // The one test that has its own server was all that was asked for.
        None => Ok(()),
    };
    [tests, vec![Trial::test("admin: the server ends with status 0 and leaves nothing", end)]]
}

/// A server whose operator is this test.
pub(crate) struct Operated {
    pub server: Server,
    pub folder: TempDir,
}

impl Operated {
    fn start(setup: Setup) -> Result<Self, String> {
        let folder = folder()?;
        let repositories = folder.path().join("repositories");
        for name in ["hello", "faulty"] {
            fixture(&repositories, name)?;
        }
        // A bridge of no one, so that the host's network stays as it is; the pool can be looked at and
        // steered all the same.
        let pool = json!({"interface": "lo", "network": "10.83.0.0/29", "gateway": "10.83.0.1"});
        let setup = setup.mirror("example.test", repositories.to_string_lossy());
        let setup = setup.network(json!({"pools": [pool]}));
        let server = Server::start(folder.path(), &setup)?;
        Ok(Self { server, folder })
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        let path = format!("{ADMIN}{path}");
        self.server.client.send_with(method, &path, &[(HEADER, TOKEN)], body.as_bytes())
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let answer = self.ask("GET", path, "")?;
        same(answer.status, 200).map_err(|e| format!("{e}: {answer}"))?;
        answer.json()
    }

    pub(crate) fn call(&self, package: &str, call: &str) -> Result<Answer, String> {
        self.server.client.call(&json!({"url": format!("example.test/{package}"), "call": call}))
    }

    /// Compares an answer of the admin API with the one that is written down.
    fn see(&self, name: &str, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        let answer = self.ask(method, path, body)?;
        let request = format!("{method} {ADMIN}{path} {body}");
        self.compare(name, request.trim_end(), &answer)?;
        Ok(answer)
    }

    fn compare(&self, name: &str, request: &str, answer: &Answer) -> Result<(), String> {
        let name = &format!("admin_{name}");
        let folder = self.folder.path();
        Snapshot { name, request, answer, folder, own_words: false }.compare()
    }

    /// The islands that run this package's functions, once there are so many.
    pub(crate) fn running(&self, package: &str, count: usize) -> Result<Vec<Value>, String> {
        let begin = Instant::now();
        while begin.elapsed() < SEEN_WAIT {
            let listed = self.get("/jails")?;
            let runs = |it: &&Value| {
                it["state"] == "running" && it["purpose"] == "function" && it["module"] == package
            };
            let all = listed["jails"].as_array().into_iter().flatten().filter(runs);
            let found: Vec<_> = all.cloned().collect();
            if found.len() == count {
                return Ok(found);
            }
            thread::sleep(POLL);
        }
        Err(format!("no island of {package} was seen running: {}", self.get("/jails")?))
    }
}

fn every_answer(operated: &Operated) -> Result<(), String> {
    operated.call("hello", "Which()")?.data()?;
    refused(operated)?;
    operated.see("api_stats", "GET", "/api-stats", "")?;
    let config = operated.see("config", "GET", "/config", "")?;
    if String::from_utf8_lossy(&config.body).contains(TOKEN) {
        return Err("the configuration shows the token".to_owned());
    }
    jails(operated)?;
    ips(operated)?;
    caches(operated)?;
    warm(operated)?;
    let described = operated.server.client.get("/api/v1/openapi.json")?;
    let committed = include_str!("../../docs/openapi.json");
    same(String::from_utf8_lossy(&described.body) == committed, true)?;
    same(described.header("content-type")?, "application/json")?;
    Ok(())
}

fn refused(operated: &Operated) -> Result<(), String> {
    let client = &operated.server.client;
    let wrong: [&[(&str, &str)]; 3] = [&[], &[(HEADER, "")], &[(HEADER, "asdfasdfasdfasdg")]];
    // Whatever is asked for: who is not let in does not learn what there is either.
    for (method, path) in
        [("GET", "/jails"), ("DELETE", "/jails"), ("POST", "/jails"), ("GET", "/no/such")]
    {
        for headers in wrong {
            let answer = client.send_with(method, &format!("{ADMIN}{path}"), headers, b"")?;
            operated.compare("forbidden", "whatever is asked for without the token", &answer)?;
            same(String::from_utf8_lossy(&answer.body).as_ref(), r#"{"error":"Forbidden"}"#)?;
        }
    }
    operated.see("no_such_resource", "GET", "/no/such", "")?;
    operated.see("no_such_method", "POST", "/jails", "")?;
    operated.see("no_such_parameter", "GET", "/jails?all=1", "").map(drop)
}

fn jails(operated: &Operated) -> Result<(), String> {
    thread::scope(|scope| {
        let call = scope.spawn(|| operated.call("faulty", "Sleep(4*time.Second)"));
        let running = operated.running("example.test/faulty", 1)?.remove(0);
        let mut listed = operated.ask("GET", "/jails", "")?;
        let mut body = listed.json()?;
        // Preforked and warm islands differ from host to host.
        let jails = body["jails"].as_array_mut().ok_or("there are no jails")?;
        jails.retain(|it| it["jid"] == running["jid"]);
        listed.body = body.to_string().into_bytes();
        operated.compare("jails", &format!("GET {ADMIN}/jails"), &listed)?;
        let path = format!("/jail/{}", running["jid"]);
        let shown = operated.ask("GET", &path, "")?;
        operated.compare("jail", &format!("GET {ADMIN}/jail/ID"), &shown)?;
        let deleted = operated.ask("DELETE", &path, "")?;
        operated.compare("jail_deleted", &format!("DELETE {ADMIN}/jail/ID"), &deleted)?;
        let answer = call.join().map_err(|_| "a client panicked")??;
        operated.compare("killed", "POST /api/v1/function, whose island is ended", &answer)
    })?;
    for (name, method, path) in [
        ("jail_unknown", "GET", "/jail/1"),
        ("jail_unknown_deleted", "DELETE", "/jail/1"),
        ("jail_no_number", "GET", "/jail/init"),
        ("jail_no_number_deleted", "DELETE", "/jail/-1"),
        ("jails_deleted", "DELETE", "/jails"),
    ] {
        operated.see(name, method, path, "")?;
    }
    Ok(())
}

fn ips(operated: &Operated) -> Result<(), String> {
    let unavailable = r#"{"ip": "10.83.0.3", "state": "unavailable"}"#;
    for (name, method, path, body) in [
        ("ips", "GET", "/ips", ""),
        ("ips_available", "GET", "/ips?state=available", ""),
        ("ip_unavailable", "PUT", "/ips", unavailable),
        ("ips_unavailable", "GET", "/ips?state=unavailable", ""),
        ("ips_2017", "GET", "/network/ips?state=unavailable", ""),
        ("ip_available_2017", "PUT", "/network/ip", r#"{"ip": "10.83.0.3", "state": 0}"#),
        ("ips_none_unavailable", "GET", "/ips?state=unavailable", ""),
        ("ips_no_state", "GET", "/ips?state=free", ""),
        ("ips_no_parameter", "GET", "/ips?pool=1", ""),
        ("ip_unknown", "PUT", "/ips", r#"{"ip": "10.84.0.3", "state": 1}"#),
        ("ip_no_address", "PUT", "/ips", r#"{"ip": "10.83.0.300", "state": 1}"#),
        ("ip_no_state", "PUT", "/ips", r#"{"ip": "10.83.0.3", "state": 2}"#),
        ("ip_no_json", "PUT", "/ips", "ip=10.83.0.3"),
        ("ip_unknown_field", "PUT", "/ips", r#"{"ip": "10.83.0.3", "state": 1, "why": "x"}"#),
    ] {
        operated.see(name, method, path, body)?;
    }
    let long = format!(r#"{{"ip": "{}", "state": 1}}"#, "1".repeat(65 * 1024));
    let answer = operated.ask("PUT", "/ips", &long)?;
    operated.compare("ip_too_large", &format!("PUT {ADMIN}/ips, 65 KiB"), &answer)
}

fn caches(operated: &Operated) -> Result<(), String> {
    operated.see("cache_cleared_first", "DELETE", "/cache", "")?;
    operated.see("cache_empty", "GET", "/cache", "")?;
    operated.call("hello", "Which()")?.data()?;
    let cache = operated.see("cache", "GET", "/cache", "")?.json()?;
    let id = cache["artifacts"][0]["id"].as_str().ok_or("no artifact")?;
    let answer = operated.ask("DELETE", &format!("/cache/{id}"), "")?;
    same(answer.json()?, json!({"deleted": id}))?;
    let gone = operated.ask("DELETE", &format!("/cache/{id}"), "")?;
    same((gone.status, Problem::read(&gone)?.code.as_str()), (404, "not_found"))?;
    operated.see("cache_unknown", "DELETE", "/cache/0123456789abcdef", "")?;
    operated.see("cache_no_id", "DELETE", "/cache/..%2f..", "").map(drop)
}

fn warm(operated: &Operated) -> Result<(), String> {
    for (name, body) in [
        ("warm", r#"{"url": "example.test/hello", "call": "Greet(\"\")"}"#),
        ("warm_no_json", "{"),
        ("warm_unknown_field", r#"{"url": "example.test/hello", "call": "Which()", "n": 2}"#),
        ("warm_no_url", r#"{"url": "hello", "call": "Which()"}"#),
        ("warm_no_function", r#"{"url": "example.test/hello", "call": "Nope()"}"#),
    ] {
        operated.see(name, "POST", "/warm", body)?;
    }
    Ok(())
}

fn killed(operated: &Operated) -> Result<(), String> {
    thread::scope(|scope| {
        let call = scope.spawn(|| operated.call("faulty", "Sleep(4*time.Second)"));
        let island = operated.running("example.test/faulty", 1)?.remove(0);
        same(operated.ask("DELETE", &format!("/jail/{}", island["jid"]), "")?.status, 200)?;
        let answer = call.join().map_err(|_| "a client panicked")??;
        let problem = Problem::read(&answer)?;
        same((answer.status, problem.code.as_str()), (409, "killed"))?;
        same(island["call_id"].as_str(), Some(problem.call_id.as_str()))?;
        let gone = operated.ask("GET", &format!("/jail/{}", island["jid"]), "")?;
        same(gone.status, 404)?;
        // Who did it, and what it was, are in the log, and what let him in is not.
        let noted = format!("ends island {}", island["jid"]);
        let line = logs::line(|| operated.server.log(), &noted)?.to_string();
        let log = operated.server.log();
        same((line.contains("127.0.0.1:"), log.contains(TOKEN)), (true, false))
    })?;
    // The same function runs again.
    let again = operated.call("faulty", "Sleep(time.Millisecond)")?.data()?;
    same(again, json!({"data": "slept"}))?;
    Ok(())
}

fn all_killed(operated: &Operated) -> Result<(), String> {
    thread::scope(|scope| {
        let call = |text: &'static str| scope.spawn(|| operated.call("faulty", text));
        let calls = [call("Sleep(4*time.Second)"), call("Sleep(4*time.Second)")];
        operated.running("example.test/faulty", 2)?;
        let deleted = operated.ask("DELETE", "/jails", "")?.json()?;
        same(deleted["deleted"].as_array().is_some_and(|all| all.len() >= 2), true)?;
        for call in calls {
            let answer = call.join().map_err(|_| "a client panicked")??;
            same((answer.status, Problem::read(&answer)?.code.as_str()), (409, "killed"))?;
        }
        Ok::<_, String>(())
    })?;
    for _ in 0..3 {
        operated.call("faulty", "Fine()")?.data()?;
        operated.call("hello", "Which()")?.data()?;
    }
    same(operated.ask("DELETE", "/jails", "")?.status, 200)?;
    operated.call("hello", "Which()")?.data()?;
    Ok(())
}

fn own_token() -> Result<(), String> {
    let operated = Operated::start(Setup::new(&["git"]))?;
    let path: PathBuf = operated.server.state().join("admin-token");
    let token = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let mode = path.metadata().map_err(|e| e.to_string())?.permissions().mode();
    same((mode & 0o777, token.trim().len()), (0o600, 64))?;
    logs::line(|| operated.server.log(), "admin-token")?;
    same(operated.server.log().contains(token.trim()), false)?;
    let stats = format!("{ADMIN}/api-stats");
    let client = &operated.server.client;
    same(client.get(&stats)?.status, 403)?;
    same(client.send_with("GET", &stats, &[(HEADER, token.trim())], b"")?.status, 200)?;
    operate::own_token(&operated)?;
    stop_without_a_trace(&operated.server)?;
    operate::no_server(&operated)?;
    let setup = Setup::new(&["git"]);
    let server = Server::start(operated.folder.path(), &setup)?;
    same(server.client.send_with("GET", &stats, &[(HEADER, token.trim())], b"")?.status, 200)?;
    stop_without_a_trace(&server)
}

fn forgotten(operated: &Operated) -> Result<(), String> {
    same(operated.ask("DELETE", "/cache", "")?.status, 200)?;
    operated.call("hello", "Which()")?.data()?;
    let known = operated.get("/cache")?;
    let package = &known["checkouts"][0]["package"];
    same((package, &known["artifacts"][0]["call"]), (&HELLO.into(), &"Which".into()))?;
    let cleared = operated.ask("DELETE", "/cache", "")?.json()?;
    same(cleared["deleted"].as_u64(), Some(2))?;
    let empty = operated.get("/cache")?;
    same((&empty["checkouts"], &empty["artifacts"]), (&json!([]), &json!([])))?;
    operated.call("hello", "Which()")?.data()?;
    let anew = operated.get("/cache")?;
    same(anew["artifacts"][0]["hits"].as_u64(), Some(0))?;
    operated.call("hello", "Which()")?.data()?;
    same(operated.get("/cache")?["artifacts"][0]["hits"].as_u64() > Some(0), true)?;
    Ok(())
}

fn warmed(operated: &Operated) -> Result<(), String> {
    let call = json!({"url": HELLO, "call": "Greet(\"Ada\")"});
    let warm = operated.ask("POST", "/warm", &call.to_string())?;
    let ready = warm.json()?;
    same((warm.status, ready["islands"].as_u64() > Some(0)), (200, true))?;
    let standing = operated.get("/jails")?;
    let mut standing = standing["jails"].as_array().into_iter().flatten();
    let stands = standing.any(|it| it["state"] == "standby" && it["module"] == HELLO);
    same(stands, true).map_err(|e| format!("none is warm: {e}"))?;
    let answer = operated.server.client.post(call.to_string().as_bytes())?;
    same(answer.data()?, json!({"data": "Hello, Ada!"}))?;
    same(answer.header("x-revision")?, ready["revision"].as_str().unwrap_or_default())?;
    Ok(())
}
