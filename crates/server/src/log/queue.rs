//! The lines of the log that are still to be written: a bounded queue and the thread that empties
//! it.
//!
//! A destination can be full, closed, or a pipe that nothing reads. None of these may hold up or
//! end the server, so a line that finds the queue full is dropped, and the next line that is
//! written has one before it that says how many were.
//!
//! tracing-appender has such a queue too, but it cannot be flushed while it goes on, and does not
//! say in the log what it has dropped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The most lines that wait.
const LINES: usize = 4096;
/// How long a flush waits.
const FLUSH_WAIT: Duration = Duration::from_secs(1);
/// How often a flush looks for room in a full queue.
const FLUSH_LOOK: Duration = Duration::from_millis(5);

/// The queue. Clones are the same one.
#[derive(Clone)]
pub(super) struct LogQueue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl LogQueue {
    /// A queue whose thread writes into `sink`. Fails where no thread can be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(LINES);
        let dropped = Arc::<AtomicU64>::default();
        let lost = dropped.clone();
        thread::Builder::new().name("log".into()).spawn(move || write(&receiver, &lost, sink))?;
        Ok(Self { sender, dropped })
    }

    /// Waits until the lines so far are written, or for [`FLUSH_WAIT`].
    pub(super) fn flush(&self) {
        let until = Instant::now() + FLUSH_WAIT;
        let (done, wait) = sync_channel(1);
        while self.sender.try_send(Message::Flush(done.clone())).is_err() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(FLUSH_LOOK);
        }
        let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Writes the lines until the last handle of the queue is dropped.
fn write(receiver: &Receiver<Message>, dropped: &AtomicU64, mut sink: impl Write) {
    for message in receiver {
        match message {
            Message::Line(line) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                let told = if lost > 0 { sink.write_all(&notice(lost)) } else { Ok(()) };
                if told.is_err() {
                    dropped.fetch_add(lost, Ordering::Relaxed);
                }
                if sink.write_all(&line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

/// The line that says how many lines were dropped, as JSON: a terminal does not drop any.
fn notice(lost: u64) -> Vec<u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = serde_json::json!({
        "unixtime": since.as_secs(),
        "level": "WARN",
        "message": "lines of the log were dropped: they could not be written, or not fast enough",
        "dropped": lost,
    });
    format!("{line}\n").into_bytes()
}

/// Takes whole lines, and never fails.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_owned())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::mpsc;

    /// A destination that fails or waits as it is told.
    #[derive(Clone, Default)]
    struct Sink {
        text: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
        is_full: Arc<Mutex<bool>>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock();
            if *self.is_full.lock() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn lines(&self) -> Vec<String> {
            let text = self.text.lock();
            String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
        }
    }

    fn say(queue: &LogQueue, line: &str) {
        queue.clone().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let sink = Sink::default();
        let queue = LogQueue::start(sink.clone()).unwrap();
        (0..100).for_each(|number| say(&queue, &format!("{number}\n")));
        LogQueue::flush(&queue);
        let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(sink.lines(), expected);
    }

    #[test]
    fn a_destination_that_takes_nothing_holds_up_no_caller_and_the_log_says_what_is_lost() {
        let sink = Sink::default();
        let queue = LogQueue::start(sink.clone()).unwrap();
        let shut = sink.gate.lock();
        let (sender, done) = mpsc::channel();
        let writer = queue.clone();
        thread::spawn(move || {
            (0..LINES + 50).for_each(|_| say(&writer, "line\n"));
            sender.send(()).unwrap();
        });
        done.recv_timeout(Duration::from_secs(10)).expect("the lines do not wait");
        drop(shut);
        LogQueue::flush(&queue);
        say(&queue, "later\n");
        LogQueue::flush(&queue);
        let lines = sink.lines();
        let notices: Vec<serde_json::Value> =
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let lost: u64 = notices.iter().map(|notice| notice["dropped"].as_u64().unwrap()).sum();
        let written = lines.iter().filter(|line| *line == "line").count();
        assert!(lost > 0);
        assert_eq!(written as u64 + lost, LINES as u64 + 50);
        assert_eq!(lines.last().unwrap(), "later");
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let sink = Sink::default();
        let queue = LogQueue::start(sink.clone()).unwrap();
        *sink.is_full.lock() = true;
        (0..3).for_each(|_| say(&queue, "lost\n"));
        LogQueue::flush(&queue);
        *sink.is_full.lock() = false;
        say(&queue, "here\n");
        LogQueue::flush(&queue);
        let lines = sink.lines();
        let notice: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((notice["dropped"].as_u64(), &lines[1..]), (Some(3), &["here".to_owned()][..]));
    }
}
