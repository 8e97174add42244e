//! A gate that is asked directly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use fetch_job::NO_CONNECTION;
use server::source::{Place, Proxies, Reach};

use super::lab::{Lab, Witness, host};

fn none() -> Proxies {
    Proxies::of(|_| None)
}

fn place(text: &str) -> Place {
    Place::of_authority(text).unwrap()
}

#[test]
fn no_spelling_and_no_name_leads_to_what_the_operator_has_not_named() {
    let witness = Witness::open();
    let port = witness.port();
    let at = |ip: &str| std::net::SocketAddr::new(ip.parse().unwrap(), port);
    let names = [
        ("nine.test", at("127.0.0.9")),
        ("six.test", at("::1")),
        ("mapped.test", at("::ffff:127.0.0.1")),
        ("zero.test", at("0.0.0.0")),
        ("private.test", at("10.0.0.1")),
        ("metadata.test", at("169.254.169.254")),
        ("closed.test", std::net::SocketAddr::from(([127, 0, 0, 1], 1))),
    ];
    // The port is one that the operator has named, so that the address alone decides.
    let allow = ["*.test", "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "10.0.0.1"];
    let allow = allow.iter().map(|host| format!("{host}:{port}").parse().unwrap()).collect();
    let reach = Reach { places: vec![place("closed.test:443")], allow, ..Reach::default() };
    let lab = Lab::open(reach, none(), &names);
    let refusal =
        format!("HTTP/1.1 502 {NO_CONNECTION}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "nine.test",
        "six.test",
        "mapped.test",
        "zero.test",
        "private.test",
        "metadata.test",
        "unknown.test",
        "other.example",
    ] {
        let begin = Instant::now();
        let answer = lab.ask(&format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"));
        assert_eq!(answer, refusal, "{host}");
        assert!(begin.elapsed() >= Duration::from_millis(200), "{host} was refused too soon");
        let answer = lab.ask(&format!("GET http://{host}:{port}/ HTTP/1.1\r\n\r\n"));
        assert_eq!(answer, refusal, "{host}");
    }
    // Nor is a host that does not answer told from one that is not permitted.
    assert_eq!(lab.ask("CONNECT closed.test:443 HTTP/1.1\r\n\r\n"), refusal);
    witness.was_not_reached();
}

#[test]
fn what_is_no_request_to_a_proxy_is_refused_and_connects_to_nothing() {
    let witness = Witness::open();
    let port = witness.port();
    let reach = Reach { places: vec![place(&format!("127.0.0.1:{port}"))], ..Reach::default() };
    let lab = Lab::open(reach, none(), &[]);
    for request in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("CONNECT u:p@127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT http://127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("GET http://u:p@127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"),
        format!("CONNECT 127.0.0.1:{port}\r\n\r\n"),
        format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(9000)),
        "\x16\x03\x01".to_owned(),
    ] {
        let mut stream = lab.connect();
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
    }
    witness.was_not_reached();
}

#[test]
fn a_named_place_is_reached_by_a_tunnel_and_by_its_url() {
    let (address, heard) = host("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let port = address.port();
    let places = vec![place(&format!("127.0.0.1:{port}")), place("athens.test:80")];
    let lab = Lab::open(Reach { places, ..Reach::default() }, none(), &[("athens.test", address)]);
    let tunnel = format!("CONNECT 127.1:{port} HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n");
    let answer = lab.ask(&tunnel);
    assert!(answer.starts_with("HTTP/1.1 200 Connected\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(heard.recv().unwrap(), "GET /x HTTP/1.1\r\n\r\n");
    let answer = lab.ask("GET http://Athens.test/a/@v/list HTTP/1.1\r\nHost: evil\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    assert_eq!(
        heard.recv().unwrap(),
        "GET /a/@v/list HTTP/1.1\r\nHost: athens.test\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn the_end_of_a_gate_ends_its_connections_and_frees_its_socket() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let reach = Reach { places: vec![place(&at.to_string())], ..Reach::default() };
    let mut lab = Lab::open(reach, none(), &[]);
    let mut stream = lab.connect();
    stream.write_all(format!("CONNECT {at} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let mut head = [0; "HTTP/1.1 200 Connected\r\n\r\n".len()];
    stream.read_exact(&mut head).unwrap();
    lab.close();
    far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(std::os::unix::net::UnixStream::connect(lab.socket()).is_err());
}
