//! tcpdrop(8): the TCP connections that keep a jail dying.
//!
//! A jail that had connections keeps its address and its root until the last one is closed. Where
//! the peer never closes, that takes the kernel many minutes.
//!
//! Invariants: only connections from the given address are dropped; as long as the peer may still
//! lack a part of what the island sent, a connection has [`GRACE`] to deliver it.

use std::net::IpAddr;
use std::time::Duration;

use host::exec::{Command, ExecError, Executor};

/// How long connections may go on after the end of their island.
const GRACE: Duration = Duration::from_secs(5);
/// The states of a connection whose peer has all that the island sent, and the end of it.
const DELIVERED: [&str; 2] = ["FIN_WAIT_2", "TIME_WAIT"];
/// The most connections that one attempt drops; the next attempt drops others.
const AT_ONCE: usize = 256;

/// Drops the connections from an address which no process has any more. `age` is how long ago the
/// last process ended.
pub async fn drop_from(
    exec: &dyn Executor,
    address: IpAddr,
    age: Duration,
) -> Result<(), ExecError> {
    let mut found = Vec::new();
    for list in lists(age) {
        found.extend(read(&exec.run(&list).await?.success(&list)?, address));
    }
    for connection in found.into_iter().take(AT_ONCE) {
        let command = Command::program("tcpdrop").args(connection);
        let output = exec.run(&command).await?;
        // The peer has closed it meanwhile.
        if !output.stderr.contains("No such process") {
            output.success(&command)?;
        }
    }
    Ok(())
}

/// The commands that list what may be dropped.
fn lists(age: Duration) -> Vec<Command> {
    let list = || Command::program("tcpdrop").arg("-l");
    if age > GRACE {
        return vec![list().arg("-a")];
    }
    DELIVERED.map(|state| list().args(["-s", state])).to_vec()
}

/// The connections from an address. A line is `tcpdrop ADDRESS PORT ADDRESS PORT`, the local end
/// first.
fn read(text: &str, address: IpAddr) -> Vec<[String; 4]> {
    let ends = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let [command, ends @ ..] = &words[..] else { return None };
        (command == "tcpdrop").then(|| <[String; 4]>::try_from(ends.to_vec()).ok())?
    };
    let own = |ends: &[String; 4]| ends[0].parse() == Ok(address);
    text.lines().filter_map(ends).filter(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    const LISTED: &str = "tcpdrop 10.0.2.15 22 10.0.2.2 54321\n\
        tcpdrop 10.9.0.7 40001 192.0.2.1 7\n\
        tcpdrop 10.9.0.77 40001 192.0.2.1 7\n\
        tcpdrop 192.0.2.1 7 10.9.0.7 40001\n\
        tcpdrop 10.9.0.7 40002 192.0.2.1 80\n\
        tcpdrop fd00::7 40003 fd00::1 80\n";
    const LATE: Duration = Duration::from_secs(6);

    #[tokio::test]
    async fn only_connections_from_the_address_are_dropped() {
        let script = Script::new()
            .expect("tcpdrop -l -a", 0, LISTED, "")
            .expect("tcpdrop 10.9.0.7 40001 192.0.2.1 7", 0, "10.9.0.7 ...: dropped\n", "")
            .quiet("tcpdrop 10.9.0.7 40002 192.0.2.1 80");
        drop_from(&script, "10.9.0.7".parse().unwrap(), LATE).await.unwrap();
        assert!(script.left().is_empty(), "{:?}", script.left());
        let script = Script::new()
            .expect("tcpdrop -l -a", 0, LISTED, "")
            .quiet("tcpdrop fd00::7 40003 fd00::1 80");
        drop_from(&script, "fd00:0::7".parse().unwrap(), LATE).await.unwrap();
        assert!(script.left().is_empty(), "{:?}", script.left());
    }

    #[tokio::test]
    async fn at_first_only_what_was_delivered_is_dropped() {
        let script = Script::new()
            .expect("tcpdrop -l -s FIN_WAIT_2", 0, "tcpdrop 10.9.0.7 40001 192.0.2.1 7\n", "")
            .expect("tcpdrop -l -s TIME_WAIT", 0, "", "")
            .quiet("tcpdrop 10.9.0.7 40001 192.0.2.1 7");
        drop_from(&script, "10.9.0.7".parse().unwrap(), Duration::ZERO).await.unwrap();
        assert!(script.left().is_empty(), "{:?}", script.left());
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_is_no_failure_and_another_failure_is_one() {
        let gone = "tcpdrop: 10.9.0.7 40001 192.0.2.1 7: No such process\n";
        let denied = "tcpdrop: 10.9.0.7 40001 192.0.2.1 7: Operation not permitted\n";
        for (said, good) in [(gone, true), (denied, false)] {
            let script = Script::new()
                .expect("tcpdrop -l -a", 0, "tcpdrop 10.9.0.7 40001 192.0.2.1 7\n", "")
                .expect("tcpdrop 10.9.0.7 40001 192.0.2.1 7", 1, "", said);
            let dropped = drop_from(&script, "10.9.0.7".parse().unwrap(), LATE).await;
            assert_eq!(dropped.is_ok(), good, "{said}");
        }
    }

    #[test]
    fn lines_of_another_form_are_no_connections() {
        let address = "10.9.0.7".parse().unwrap();
        for text in ["", "tcpdrop", "tcpdrop 10.9.0.7 1 10.9.0.8", "drop 10.9.0.7 1 10.9.0.8 2"] {
            assert!(read(text, address).is_empty(), "{text}");
        }
    }
}
