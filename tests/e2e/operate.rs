//! The subcommands that operate a server: what they print, what they end with, and what they say to
//! do next.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::admin::{Operated, TOKEN};
use crate::answers::same;
use crate::cli::{Left, SOMEBODY, finish, says};
use crate::problem::Problem;
use crate::server::{binary, free_port};
use crate::skip;
use crate::world::folder;

const HELLO: &str = "example.test/hello";
const FAULTY: &str = "example.test/faulty";

/// The tests of a server with a configured token.
pub(crate) const TESTS: [(&str, fn(&Operated) -> Result<(), String>); 6] = [
    ("sky-island ps lists the islands, and kill ends them", islands),
    ("sky-island ips lists the addresses, and takes one out", addresses),
    ("sky-island cache lists the caches, and deletes entries", caches),
    ("sky-island warm keeps islands warm, and stats counts", warm_and_stats),
    ("sky-island says what to do about a server or a token that is wrong", wrong),
    ("sky-island finds a server by flag, variable and state directory", found),
];

/// The program in an environment without our variables, with these.
fn ask(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Left, String> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SKY_ISLAND_") {
            command.env_remove(name);
        }
    }
    finish({
        command.args(arguments).envs(variables.iter().copied());
        command
    })
}

fn configuration(operated: &Operated) -> String {
    operated.folder.path().join("config.json").display().to_string()
}

/// What a subcommand prints that goes well.
fn said(operated: &Operated, arguments: &[&str]) -> Result<String, String> {
    let config = configuration(operated);
    let left = ask(&[arguments, &["-c", &config]].concat(), &[])?;
    same((left.status, left.stderr.as_str()), (Some(0), ""))
        .map_err(|e| format!("{e}: {left:?}"))?;
    Ok(left.stdout)
}

/// The same as JSON.
fn json(operated: &Operated, arguments: &[&str]) -> Result<Value, String> {
    let text = said(operated, &[arguments, &["--json"]].concat())?;
    serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
}

/// A subcommand that is refused ends so and says this, and nothing on stdout.
fn refused(left: &Left, status: i32, what: &[&str]) -> Result<(), String> {
    let found = (left.status, left.stdout.as_str());
    same(found, (Some(status), "")).map_err(|e| format!("{e}: {left:?}"))?;
    what.iter().try_for_each(|what| says(left, what))
}

/// The columns of the line that has this.
fn line<'a>(table: &'a str, what: &str) -> Result<Vec<&'a str>, String> {
    let line = table.lines().find(|line| line.contains(what));
    let line = line.ok_or_else(|| format!("no {what} in {table}"))?;
    Ok(line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
}

fn head(table: &str) -> String {
    table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn islands(operated: &Operated) -> Result<(), String> {
    thread::scope(|scope| {
        let calls = [
            scope.spawn(|| operated.call("faulty", "Sleep(4*time.Second)")),
            scope.spawn(|| operated.call("faulty", "Sleep(4*time.Second)")),
        ];
        let running = operated.running(FAULTY, 2)?;
        let table = said(operated, &["ps"])?;
        same(head(&table).as_str(), "ID STATE PURPOSE MODULE CALL AGE MEMORY CPU ADDRESS")?;
        let (id, call) = (running[0]["jid"].to_string(), running[0]["call_id"].as_str());
        let cells = line(&table, call.ok_or("no call")?)?;
        same(&cells[..4], &[&id, "running", "function", FAULTY])?;
        same((cells.len(), cells[8]), (9, "-"))?;
        let listed = json(operated, &["ps"])?;
        let mut ids = listed["jails"].as_array().into_iter().flatten().map(|it| &it["jid"]);
        same(ids.any(|it| *it == running[0]["jid"]), true)?;
        // One that there is not keeps none of the others from being ended.
        let other = running[1]["jid"].to_string();
        let left = ask(&["kill", "1", &id, &other, "-c", &configuration(operated)], &[])?;
        same(left.stdout.as_str(), format!("ended {id}\nended {other}\n").as_str())?;
        same(left.status, Some(2))?;
        says(&left, "this server has no island 1")?;
        says(&left, "sky-island ps")?;
        for call in calls {
            let answer = call.join().map_err(|_| "a client panicked")??;
            same(Problem::read(&answer)?.code.as_str(), "killed")?;
        }
        Ok::<_, String>(())
    })?;
    thread::scope(|scope| {
        let call = scope.spawn(|| operated.call("faulty", "Sleep(4*time.Second)"));
        let id = operated.running(FAULTY, 1)?[0]["jid"].clone();
        let ended = json(operated, &["kill", "--all"])?;
        same(ended["deleted"].as_array().is_some_and(|all| all.contains(&id)), true)?;
        let answer = call.join().map_err(|_| "a client panicked")??;
        same(Problem::read(&answer)?.code.as_str(), "killed")
    })?;
    refused(&ask(&["kill", "init"], &[])?, 2, &["'init'"])?;
    refused(&ask(&["kill", "0"], &[])?, 2, &["0"])?;
    refused(&ask(&["kill"], &[])?, 2, &["Usage"])?;
    refused(&ask(&["kill", "--all", "7"], &[])?, 2, &["Usage"])
}

fn addresses(operated: &Operated) -> Result<(), String> {
    let table = said(operated, &["ips"])?;
    same(head(&table).as_str(), "ADDRESS STATE USE SINCE ISLAND CALL NETWORK INTERFACE")?;
    same(&line(&table, "10.83.0.4 ")?[..3], &["10.83.0.4", "available", "free"])?;
    let done = said(operated, &["ips", "set", "10.83.0.4", "unavailable"])?;
    same(done.as_str(), "10.83.0.4 is unavailable\n")?;
    let table = said(operated, &["ips"])?;
    same(&line(&table, "10.83.0.4 ")?[..3], &["10.83.0.4", "unavailable", "withdrawn"])?;
    let done = json(operated, &["ips", "set", "10.83.0.4", "available"])?;
    same(done, json!({"ip": "10.83.0.4", "state": "available"}))?;
    same(json(operated, &["ips"])?["ips"].as_array().map(Vec::len), Some(5))?;
    let config = configuration(operated);
    let set = |ip: &str, state: &str| ask(&["ips", "set", ip, state, "-c", &config], &[]);
    refused(&set("10.84.0.4", "available")?, 2, &["10.84.0.4 is in no pool", "sky-island ips"])?;
    refused(&set("10.83.0.400", "available")?, 2, &["10.83.0.400", "IP address"])?;
    refused(&set("10.83.0.4", "free")?, 2, &["[possible values: available, unavailable]"])
}

fn caches(operated: &Operated) -> Result<(), String> {
    said(operated, &["cache", "clear"])?;
    let none = said(operated, &["cache"])?;
    same(none.lines().last(), Some("0 entries, 0 B"))?;
    operated.call("hello", "Which()")?.data()?;
    let table = said(operated, &["cache"])?;
    same(head(&table).as_str(), "ID KIND PACKAGE CALL REVISION SIZE AGE IDLE HITS")?;
    let (checkout, program) = (line(&table, "checkout")?, line(&table, "program")?);
    same(&checkout[1..4], &["checkout", HELLO, "-"])?;
    same(&program[1..4], &["program", HELLO, "Which"])?;
    same(checkout[5].ends_with('B') && program[8] == "0", true)?;
    let listed = json(operated, &["cache"])?;
    same(listed["artifacts"][0]["id"].as_str(), Some(program[0]))?;
    let config = configuration(operated);
    let clear = |id: &str| ask(&["cache", "clear", id, "-c", &config], &[]);
    // Both ids begin with the empty text.
    refused(&clear("")?, 2, &["2 ids", "more of the id"])?;
    let begin = &program[0][..8];
    let done = said(operated, &["cache", "clear", begin])?;
    same(done, format!("deleted {}\n", program[0]))?;
    refused(&clear(program[0])?, 2, &["no entry", "`sky-island cache`"])?;
    refused(&clear("../jails")?, 2, &["is not the id", "`sky-island cache`"])?;
    let done = said(operated, &["cache", "clear"])?;
    same(done.starts_with("deleted 1 entry, "), true).map_err(|e| format!("{e}: {done}"))
}

fn warm_and_stats(operated: &Operated) -> Result<(), String> {
    let done = said(operated, &["warm", HELLO, r#"Greet("Ada")"#])?;
    let ready = format!("{HELLO} is ready at ");
    same(done.starts_with(&ready) && done.contains(" (fetch "), true)
        .map_err(|e| format!("{e}: {done}"))?;
    let again = json(operated, &["warm", HELLO, r#"Greet("Ada")"#])?;
    let revision = again["revision"].as_str().unwrap_or_default();
    same(done.starts_with(&format!("{ready}{revision}: ")), true)?;
    let config = configuration(operated);
    let warm = |url: &str, call: &str| ask(&["warm", url, call, "-c", &config], &[]);
    refused(&warm("hello", "Which()")?, 2, &["Bad url"])?;
    refused(&warm(HELLO, "Nope()")?, 1, &["Nope"])?;
    let none = ask(&["warm", HELLO, "Which()", "--version", "v9.9.9", "-c", &config], &[])?;
    refused(&none, 1, &["v9.9.9"])?;
    let text = said(operated, &["stats"])?;
    for what in ["server ", "answers ", "islands ", "addresses  0 of 5 leased", "checkouts "] {
        same(text.contains(what), true).map_err(|e| format!("{e}: no {what:?} in {text}"))?;
    }
    let (names, build) = (line(&text, "STAGE")?, line(&text, "build ")?);
    same(&names[..], &["STAGE", "COUNT", "P50", "P90", "P99", "MAX"])?;
    same((build[0], build.len()), ("build", 6))?;
    let stats = json(operated, &["stats"])?;
    same(stats["pid"].as_u64(), Some(operated.server.pid().into()))
}

fn wrong(operated: &Operated) -> Result<(), String> {
    let (config, url) = (configuration(operated), operated.server.url());
    let file = |name: &str, text: &str| -> Result<String, String> {
        let path = operated.folder.path().join(name);
        fs::write(&path, text).map_err(|e| e.to_string())?;
        Ok(path.display().to_string())
    };
    let (other, empty) = (file("other-token", "asdfasdfasdfasdg\n")?, file("empty-token", "\n")?);
    let state = operated.folder.path().join("none");
    let variables = [("SKY_ISLAND_STATE_DIR", state.to_str().ok_or("no text")?)];
    let closed = format!("127.0.0.1:{}", free_port().map_err(|e| e.to_string())?);
    let socket = format!("unix:{}", operated.folder.path().join("none.sock").display());
    let start = ["does not answer", "`sky-island serve`", "--server"];
    for (arguments, status, what) in [
        (&["ps", "-c", &config, "--token-file", &other][..], 2, &["refuses", &other][..]),
        (&["ps", "-c", &config, "--token-file", &empty], 2, &["no token", &empty]),
        (&["ps", "-c", &config, "--token-file", "/nonexistent/token"], 3, &["/nonexistent/token"]),
        (&["ps", "--server", &url], 2, &["--token-file", "SKY_ISLAND_ADMIN_API_TOKEN"]),
        (&["ps", "--server", "203.0.113.7:3281"], 2, &["203.0.113.7", "--token-file"]),
        (&["ps"], 3, &["no server runs", "`sky-island serve`", "--server"]),
        (&["ps", "-c", &config, "--server", &closed], 3, &start),
        (&["ps", "-c", &config, "--server", &socket], 3, &start),
        (&["ps", "--server", "ftp://127.0.0.1"], 2, &["unix:/PATH"]),
        (&["ps", "-c", "/nonexistent/config.json"], 3, &["/nonexistent/config.json"]),
    ] {
        let configured = arguments.contains(&"-c");
        refused(&ask(arguments, if configured { &[] } else { &variables })?, status, what)?;
    }
    for name in ["ps", "ips", "cache", "stats"] {
        let left = ask(&[name, "-c", &config], &[("SKY_ISLAND_ADMIN_API_TOKEN", "asdfasdfasdf")])?;
        refused(&left, 2, &["SKY_ISLAND_ADMIN_API_TOKEN", "--token-file", "admin-token"])?;
        same(left.stderr.contains(TOKEN) || left.stderr.contains("asdfasdfasdf"), false)?;
    }
    Ok(())
}

fn found(operated: &Operated) -> Result<(), String> {
    let url = operated.server.url();
    let token = operated.folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).map_err(|e| e.to_string())?;
    let (token, state) =
        (token.display().to_string(), operated.server.state().display().to_string());
    let (by_port, by_variable) =
        (url.trim_start_matches("http://"), [("SKY_ISLAND_SERVER", &*url)]);
    let elsewhere = [("SKY_ISLAND_SERVER", "127.0.0.1:1"), ("SKY_ISLAND_ADMIN_API_TOKEN", TOKEN)];
    let in_state = [("SKY_ISLAND_STATE_DIR", &*state), ("SKY_ISLAND_ADMIN_API_TOKEN", TOKEN)];
    for (arguments, variables) in [
        (&["stats", "--json", "--server", &url, "--token-file", &token][..], &[][..]),
        (&["stats", "--json", "--server", by_port, "--token-file", &token], &[]),
        (&["stats", "--json", "--token-file", &token], &by_variable),
        (&["stats", "--json", "--server", &url], &elsewhere),
        (&["stats", "--json"], &in_state),
    ] {
        let left = ask(arguments, variables)?;
        let stats: Value =
            serde_json::from_str(&left.stdout).map_err(|e| format!("{e}: {left:?}"))?;
        same(stats["pid"].as_u64(), Some(operated.server.pid().into()))?;
        // None of our variables is warned about.
        same(left.stderr.as_str(), "")?;
    }
    let left = ask(&["call", HELLO, "Which()"], &by_variable)?;
    same((left.status, left.stdout.trim()), (Some(0), "first edition"))?;
    let left = ask(&["ps"], &[("SKY_ISLAND_SERVER", "ftp://x")])?;
    refused(&left, 2, &["SKY_ISLAND_SERVER", "unix:/PATH"])
}

/// A server that has made its own token is found with it by who may read it; others learn what to
/// do.
pub(crate) fn own_token(operated: &Operated) -> Result<(), String> {
    same(head(&said(operated, &["ps"])?).starts_with("ID STATE"), true)?;
    let config = configuration(operated);
    let by_url = ask(&["ps", "-c", &config, "--server", &operated.server.url()], &[])?;
    same(by_url.status, Some(0)).map_err(|e| format!("{e}: {by_url:?}"))?;
    if let Err(why) = skip::root() {
        skip::skip("another user's use of the server's token", &why);
        return Ok(());
    }
    let folder = folder()?;
    let program = folder.path().join("sky-island");
    fs::copy(binary()?, &program).map_err(|e| e.to_string())?;
    let by_somebody = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.uid(SOMEBODY).gid(SOMEBODY).current_dir("/").args(arguments);
        finish(command)
    };
    let left = by_somebody(&["ps", "-c", &config])?;
    refused(&left, 3, &["cannot be read", "as root", "--server", "--token-file"])?;
    let left = by_somebody(&["ps", "-c", &config, "--server", &operated.server.url()])?;
    refused(&left, 3, &["token of this host's server", "as root", "--token-file"])
}

/// After a server has ended no server is found, and the lock that it left behind has no holder.
pub(crate) fn no_server(operated: &Operated) -> Result<(), String> {
    let lock: PathBuf = operated.server.state().join("lock");
    // As a crash leaves it.
    fs::write(&lock, operated.server.url()).map_err(|e| e.to_string())?;
    let left = ask(&["ps", "-c", &configuration(operated)], &[])?;
    let state: &Path = operated.server.state();
    refused(&left, 3, &["no server runs", &state.display().to_string(), "`sky-island serve`"])
}
