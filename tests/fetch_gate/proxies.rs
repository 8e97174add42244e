//! A gate that connects through the proxy of the operator's environment.

use server::source::{Place, Proxies, Reach};

use super::lab::{Lab, Witness, host};

fn through(address: std::net::SocketAddr) -> Proxies {
    Proxies::of(move |name| match name {
        "HTTPS_PROXY" | "HTTP_PROXY" => Some(format!("http://me:pass%40word@{address}")),
        "NO_PROXY" => Some("direct.test".to_owned()),
        _ => None,
    })
}

#[test]
fn strangers_hosts_are_asked_for_at_the_proxy_with_its_credentials() {
    let (address, heard) = host("HTTP/1.1 200 OK\r\nX: y\r\n\r\nearly");
    let lab = Lab::open(Reach::default(), through(address), &[]);
    // The proxy resolves the name, and what it sends at once is not lost.
    let answer = lab.ask("CONNECT github.com:443 HTTP/1.1\r\nProxy-Authorization: mine\r\n\r\n");
    assert_eq!(answer, "HTTP/1.1 200 Connected\r\n\r\nearly");
    assert_eq!(
        heard.recv().unwrap(),
        "CONNECT github.com:443 HTTP/1.1\r\nHost: github.com:443\r\n\
         Proxy-Authorization: Basic bWU6cGFzc0B3b3Jk\r\n\r\n"
    );
    for special in ["127.1:443", "10.0.0.1:443", "localhost:443", "[::1]:443", "github.com:22"] {
        let answer = lab.ask(&format!("CONNECT {special} HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{special}: {answer}");
    }
    assert!(heard.try_recv().is_err(), "the proxy was asked for a special address");
}

#[test]
fn a_url_is_asked_for_at_the_proxy_as_it_is() {
    let (address, heard) = host("HTTP/1.1 200 OK\r\n\r\nlist");
    let places = vec![Place::of_url("http://athens.test:3000").unwrap()];
    let lab = Lab::open(Reach { places, ..Reach::default() }, through(address), &[]);
    let answer = lab.ask("GET http://athens.test:3000/a/@v/list HTTP/1.1\r\n\r\n");
    assert!(answer.ends_with("list"), "{answer}");
    let head = heard.recv().unwrap();
    assert!(head.starts_with("GET http://athens.test:3000/a/@v/list HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6cGFzc0B3b3Jk\r\n"), "{head}");
}

#[test]
fn this_machine_and_excepted_hosts_are_asked_without_the_proxy() {
    let witness = Witness::open();
    let (address, heard) = host("HTTP/1.1 200 OK\r\n\r\nhere");
    let at = format!("127.0.0.1:{}", address.port());
    let places = vec![Place::of_authority(&at).unwrap()];
    let private = vec!["direct.test".parse().unwrap()];
    let proxy = ([127, 0, 0, 1], witness.port()).into();
    let reach = Reach { places, private, ..Reach::default() };
    let lab = Lab::open(reach, through(proxy), &[("direct.test", address)]);
    for target in [at.as_str(), "direct.test:443"] {
        let answer = lab.ask(&format!("CONNECT {target} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
        assert!(answer.ends_with("here"), "{target}: {answer}");
        assert_eq!(heard.recv().unwrap(), "GET / HTTP/1.1\r\n\r\n");
    }
    witness.was_not_reached();
}

#[test]
fn a_proxy_that_refuses_is_no_connection() {
    let (address, _heard) = host("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let lab = Lab::open(Reach::default(), through(address), &[]);
    let answer = lab.ask("CONNECT github.com:443 HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502 ") && !answer.contains("407"), "{answer}");
}
