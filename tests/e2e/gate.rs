//! A fetch reaches what its gate lets through, and nothing else: hosts of loopback that are no
//! mirror, hosts that drip, and module proxies of the operator's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::answers::same;
use crate::calls::GEOHASH;
use crate::client::fields;
use crate::leftovers::stop_without_a_trace;
use crate::modules;
use crate::server::{Server, Setup};
use crate::skip::{self, Reason, skip};
use crate::world::folder;

/// How long a fetch from a host that drips may take, beside the limit.
const LATE: Duration = Duration::from_secs(8);

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("gate: {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("no redirect leads to a host of loopback that is no mirror", redirects),
        trial("a host that drips is bounded by the time of a fetch", drips),
        trial("a denied host is asked nothing", denied),
        trial("module proxies on loopback and on the network are asked", proxies),
    ]
}

/// Serves each path by a function, one thread a connection; the port.
fn site(
    address: &str,
    answer: impl Fn(&str, &mut TcpStream) + Clone + Send + 'static,
) -> Result<u16, String> {
    let listener = TcpListener::bind(address).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut first = String::new();
                let mut line = String::new();
                let _ = reader.read_line(&mut first);
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    line.clear();
                }
                answer(first.split(' ').nth(1).unwrap_or_default(), &mut stream);
            });
        }
    });
    Ok(port)
}

fn redirects() -> Result<(), String> {
    let witness = TcpListener::bind("0.0.0.0:0").map_err(|e| e.to_string())?;
    witness.set_nonblocking(true).map_err(|e| e.to_string())?;
    let port = witness.local_addr().map_err(|e| e.to_string())?.port();
    let hosts = [
        "127.0.0.1",
        "127.0.0.9",
        "127.1",
        "2130706433",
        "0x7f.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ];
    let targets: Vec<String> = hosts
        .iter()
        .flat_map(|host| ["http", "https"].map(|scheme| format!("{scheme}://{host}:{port}/x.git")))
        .collect();
    let shown = targets.clone();
    let mirror = site("127.0.0.1:0", move |path, stream| {
        let number = path.trim_start_matches('/').split('.').next().unwrap_or_default();
        let target = number.parse::<usize>().ok().and_then(|number| shown.get(number));
        let target = target.cloned().unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: {target}/info/refs?service=git-upload-pack\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes());
    })?;
    let folder = folder()?;
    let setup = Setup::new(&["git"]).mirror("redirects.test", format!("http://127.0.0.1:{mirror}"));
    let server = Server::start(folder.path(), &setup)?;
    let mut details = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        let call = json!({"url": format!("redirects.test/{number}"), "call": "F()"});
        let answer = server.client.call(&call)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        same(answer.status, 502).map_err(|e| format!("{target}: {e}: {text}"))?;
        let (_, sentence) = text.split_once(" cannot be reached: ").ok_or(text.clone())?;
        let sentence = sentence.split('"').next().unwrap_or_default();
        details.push(sentence.to_owned());
    }
    details.dedup();
    same(details.len(), 1).map_err(|e| format!("{e}: {details:?}"))?;
    if let Ok((_, from)) = witness.accept() {
        return Err(format!("{from} has connected"));
    }
    stop_without_a_trace(&server)
}

fn drips() -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(2);
    let mirror = site("127.0.0.1:0", |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\
                    Content-Length: 1000000\r\n\r\n001e# service=git-upload-pack\n00000fff";
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sleep(Duration::from_millis(100));
            sent = stream.write_all(b"0");
        }
    })?;
    let folder = folder()?;
    let setup = Setup::new(&["git"])
        .mirror("drips.test", format!("http://127.0.0.1:{mirror}"))
        .limits(json!({"queue_wait": "60s", "fetch_timeout": "2s"}));
    let server = Server::start(folder.path(), &setup)?;
    let begin = Instant::now();
    let answer = server.client.call(&json!({"url": "drips.test/a", "call": "F()"}))?;
    same(answer.status, 504)?;
    if begin.elapsed() > LIMIT + LATE {
        return Err(format!("the fetch took {:?}", begin.elapsed()));
    }
    stop_without_a_trace(&server)
}

fn denied() -> Result<(), String> {
    let mirror = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    mirror.set_nonblocking(true).map_err(|e| e.to_string())?;
    let port = mirror.local_addr().map_err(|e| e.to_string())?.port();
    let folder = folder()?;
    let setup = Setup::new(&["git"])
        .mirror("denied.test", format!("http://127.0.0.1:{port}"))
        .section("sources", json!({"deny": [format!("127.1:{port}")]}));
    let server = Server::start(folder.path(), &setup)?;
    let answer = server.client.call(&json!({"url": "denied.test/a", "call": "F()"}))?;
    same(answer.status, 502)?;
    if mirror.accept().is_ok() {
        return Err("the host was asked".to_owned());
    }
    stop_without_a_trace(&server)
}

/// An address of this host that is not loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn proxies() -> Result<(), String> {
    if let Err(why) = skip::network() {
        skip("module proxies of the operator's own", &why);
        return Ok(());
    }
    // What the go command has downloaded lies as a module proxy serves it.
    let root = modules::downloaded(GEOHASH, "v0.10.0")?;
    let port = site("0.0.0.0:0", move |path, stream| {
        let file = Path::new(&root).join(path.trim_start_matches('/'));
        let (status, body) = match fs::read(&file) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        // The client closes the connection first, or the answer may be lost.
        let _ = stream.read(&mut [0]);
    })?;
    let mut hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    match own_address() {
        Some(address) => hosts.push(address.to_string()),
        None => skip("a module proxy on the network", &Reason::impossible("no network interface")),
    }
    for host in hosts {
        let folder = folder()?;
        let proxy = format!("http://{host}:{port}");
        let setup = Setup::new(&["proxy"]).section("go", json!({"proxy": proxy, "sumdb": "off"}));
        let server = Server::start(folder.path(), &setup)?;
        let mut call = fields(&crate::case::case(
            GEOHASH,
            "Encode(100.1, 80.9)",
            crate::case::text("jbcs8zmd6shp"),
        ));
        call["version"] = "v0.10.0".into();
        let answer = server.client.call(&call)?;
        same(answer.data()?, json!({"data": "jbcs8zmd6shp"}))
            .map_err(|e| format!("{host}: {e}"))?;
        stop_without_a_trace(&server)?;
    }
    Ok(())
}
