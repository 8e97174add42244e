//! The gate of a fetch, with real sockets: what it connects to and what it refuses, asked directly
//! and by the fetch worker. Nothing here needs a network.

mod support;

mod fetch_gate {
    mod asked;
    mod lab;
    mod proxies;
    mod worker;
}
