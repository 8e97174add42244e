//! The messages between the server and its launchers: what is read can be written, and is read the
//! same again.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use island::wire::{Event, ExecRequest, Incoming, Request, pair, send};
use serde_json::Value;

/// The most bytes of an input that a socket is given, so that a write never waits for a reader.
const MOST: usize = 64 * 1024;

/// Reads the bytes as a stream of messages of each kind. The first byte tells whether the rest is
/// the stream, or one message whose length is put before it.
pub fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let rest = &rest[..rest.len().min(MOST)];
    let stream = match kind % 2 {
        0 => rest.to_vec(),
        _ => {
            let length = u32::try_from(rest.len()).expect("at most MOST");
            [&length.to_ne_bytes()[..], &[0; 4], rest].concat()
        }
    };
    messages::<Request<Value>>(&stream);
    messages::<Event>(&stream);
    messages::<ExecRequest>(&stream);
    requests(&stream);
}

fn messages<T: serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug>(stream: &[u8]) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    (&near).write_all(stream).expect("the buffer has room");
    drop(near);
    let mut incoming = Incoming::default();
    // Each message has a head, so there cannot be more.
    for _ in 0..=stream.len() / 8 {
        match incoming.next::<T>(far.as_raw_fd()) {
            Ok(Some((message, fds))) => {
                assert!(fds.is_empty(), "no descriptor was sent");
                is_read_again(&message);
            }
            Ok(None) => return,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return,
            Err(_) => return,
        }
    }
}

/// A launcher's loop ends at the end of the stream, whatever came.
fn requests(stream: &[u8]) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    (&near).write_all(stream).expect("the buffer has room");
    let mut incoming = Incoming::default();
    let mut count = 0;
    incoming.take_requests::<Value>(far.as_raw_fd(), |_, fds| {
        assert!(fds.is_empty());
        count += 1;
    });
    assert!(count <= stream.len() / 8);
}

fn is_read_again<T: serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug>(message: &T) {
    let (near, far) = pair().expect("a pair of sockets");
    send(near.as_raw_fd(), message, &[]).expect("what was read can be sent");
    let read = Incoming::default().next::<T>(far.as_raw_fd());
    let (again, _) = read.expect("what was sent can be read").expect("a message");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}
