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
use std::mem::take;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait, and the most bytes of them.
const LINES: usize = 4096;
const BYTES: usize = 4 << 20;
/// How long the thread gathers lines before it writes them, while others were written lately: to
/// wake it for each line costs a call three per cent. Warnings, and a line after a pause, do not
/// wait.
const GATHER: Duration = Duration::from_millis(20);
/// How long after a line was written the next one is gathered.
const LATELY: Duration = Duration::from_millis(100);
/// How long a flush waits.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// The queue. Clones are the same one.
#[derive(Clone)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes the waits for a flush.
    written: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Vec<u8>>,
    /// Their length together.
    bytes: usize,
    /// Lines that were neither written nor told of.
    dropped: u64,
    /// The thread has lines, or is about to take them.
    is_busy: bool,
    /// A line is a warning, or something waits for a flush.
    is_urgent: bool,
}

impl LogQueue {
    /// A queue whose thread writes into `sink`, as long as the process lives. Fails where no thread
    /// can be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let queue = Self(shared.clone());
        thread::Builder::new().name("log".into()).spawn(move || shared.write(sink))?;
        Ok(queue)
    }

    /// Waits until the lines so far are written, or for [`FLUSH_WAIT`].
    pub(super) fn flush(&self) {
        let until = Instant::now() + FLUSH_WAIT;
        let mut state = self.0.state.lock();
        while state.is_busy && Instant::now() < until {
            state.is_urgent = true;
            self.0.wake.notify_one();
            self.0.written.wait_until(&mut state, until);
        }
    }
}

impl Shared {
    /// Writes lines for ever.
    fn write(&self, mut sink: impl Write) {
        let mut state = self.state.lock();
        let mut written = None::<Instant>;
        loop {
            while state.lines.is_empty() {
                state.is_busy = false;
                state.is_urgent = false;
                self.written.notify_all();
                self.wake.wait(&mut state);
            }
            if !state.is_urgent && written.is_some_and(|at| at.elapsed() < LATELY) {
                self.wake.wait_for(&mut state, GATHER);
            }
            let (lines, dropped) = (take(&mut state.lines), take(&mut state.dropped));
            state.bytes = 0;
            drop(state);
            let lost = write(&mut sink, &lines, dropped);
            written = Some(Instant::now());
            state = self.state.lock();
            state.dropped += lost;
        }
    }

    fn push(&self, line: &[u8], is_urgent: bool) {
        let mut state = self.state.lock();
        if state.lines.len() >= LINES || state.bytes + line.len() > BYTES {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push(line.to_owned());
        state.is_urgent |= is_urgent;
        if !state.is_busy || is_urgent {
            state.is_busy = true;
            drop(state);
            self.wake.notify_one();
        }
    }
}

/// Writes lines, each by one system call, and before them how many were dropped. Returns how many
/// were not written or told of.
fn write(sink: &mut impl Write, lines: &[Vec<u8>], mut dropped: u64) -> u64 {
    for line in lines {
        if dropped > 0 && sink.write_all(&notice(dropped)).is_ok() {
            dropped = 0;
        }
        if sink.write_all(line).is_err() {
            dropped += 1;
        }
    }
    dropped
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

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { queue: &self.0, is_urgent: false }
    }

    fn make_writer_for(&'a self, line: &tracing::Metadata<'_>) -> LineWriter<'a> {
        LineWriter { queue: &self.0, is_urgent: *line.level() <= tracing::Level::WARN }
    }
}

/// Takes whole lines of one level, and never fails.
pub(super) struct LineWriter<'a> {
    queue: &'a Shared,
    is_urgent: bool,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        queue.make_writer().write_all(line.as_bytes()).unwrap();
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
    fn a_line_after_a_pause_and_a_warning_do_not_wait() {
        let sink = Sink::default();
        let queue = LogQueue::start(sink.clone()).unwrap();
        let is_there = |count, wait: Duration| {
            let until = Instant::now() + wait;
            while sink.lines().len() < count && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            sink.lines().len() >= count
        };
        // A machine that is busy may take a while for each, so the best of several tries counts.
        let tried = (0..20).any(|_| {
            let before = sink.lines().len();
            thread::sleep(LATELY);
            say(&queue, "first\n");
            let first = is_there(before + 1, GATHER / 2);
            LineWriter { queue: &queue.0, is_urgent: true }.write_all(b"warning\n").unwrap();
            let warning = is_there(before + 2, GATHER / 2);
            LogQueue::flush(&queue);
            first && warning
        });
        assert!(tried);
    }

    #[test]
    fn a_destination_that_takes_nothing_holds_up_no_caller_and_the_log_says_what_is_lost() {
        // The thread has a queue's worth of lines, and as many wait.
        const SAID: usize = 3 * LINES;
        let sink = Sink::default();
        let queue = LogQueue::start(sink.clone()).unwrap();
        let shut = sink.gate.lock();
        let (sender, done) = mpsc::channel();
        let writer = queue.clone();
        thread::spawn(move || {
            (0..SAID).for_each(|_| say(&writer, "line\n"));
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
        assert_eq!(written + lost as usize, SAID);
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
