//! The log: text on a terminal, JSON elsewhere, on stderr or in a file that can be opened again.
//!
//! Invariants: each line is written whole, by one system call; code that logs neither waits for the
//! destination nor fails with it; where a file cannot be opened again, the open one stays in use.

mod queue;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::RwLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::queue::LogQueue;

/// Only the owner may read the file: the log has the names of the packages that are called.
const MODE: u32 = 0o600;

/// The file of the log, if the log has one.
static FILE: OnceLock<LogFile> = OnceLock::new();
/// The lines that are still to be written, if the log has a thread.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Why the log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("the log cannot be written to {}; make its folder writable, or set log.file to another path", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The system has no thread for it.
    #[error("the log has no thread")]
    Thread(#[source] io::Error),
}

/// Starts the log of a server. `level` is the least severe level that is logged where RUST_LOG is
/// not set: `error`, `warn`, `info`, `debug` or `trace`. With a file the log goes there as JSON. A
/// thread writes the lines. A log that was started before stays.
pub fn start(level: &str, file: Option<&Path>) -> Result<(), LogError> {
    let queue = match file {
        Some(path) => {
            let opened = LogFile::open(path)?;
            LogQueue::start(FILE.get_or_init(|| opened))
        }
        None => LogQueue::start(io::stderr()),
    };
    let queue = queue.map_err(LogError::Thread)?;
    let queue = QUEUE.get_or_init(|| queue);
    let is_text = file.is_none() && io::stderr().is_terminal();
    subscribe(level, is_text, queue.clone());
    Ok(())
}

/// Starts the log of a command for people, on stderr. Its lines are written at once.
pub fn start_for_command(level: &str) {
    subscribe(level, io::stderr().is_terminal(), io::stderr);
}

fn subscribe<W>(level: &str, is_text: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // A line that cannot be written must not be complained of on stderr, which may be the reason.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .log_internal_errors(false)
        .with_writer(writer);
    // This fails where a log was started before.
    let _ = match is_text {
        true => log.try_init(),
        false => log.json().flatten_event(true).try_init(),
    };
}

/// Waits a moment for the lines so far to be written, before the process ends or becomes another
/// program.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        LogQueue::flush(queue);
    }
}

/// Has panics logged from now on, by their position in the source. A message that was formatted is
/// left out, for it can quote a request.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let said = panic.payload().downcast_ref::<&str>().copied();
        tracing::error!(place, said, "a part of the server panicked");
    }));
}

/// Opens the file of the log again, after it was moved away. Does nothing for a log without a file.
/// Where that fails, the open file stays in use.
pub fn reopen() -> Result<(), LogError> {
    flush();
    FILE.get().map_or(Ok(()), LogFile::reopen)
}

struct LogFile {
    path: PathBuf,
    file: RwLock<File>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self { path: path.to_owned(), file: RwLock::new(append(path)?) })
    }

    fn reopen(&self) -> Result<(), LogError> {
        let file = append(&self.path)?;
        *self.file.write() = file;
        Ok(())
    }
}

fn append(path: &Path) -> Result<File, LogError> {
    let opened = File::options().create(true).append(true).mode(MODE).open(path);
    opened.map_err(|cause| LogError::File { path: path.to_owned(), cause })
}

impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.file.read()).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn say(log: &LogFile, line: &str) {
        (&mut &*log).write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.0"));
        fs::write(&path, "earlier\n").unwrap();
        let log = LogFile::open(&path).unwrap();
        say(&log, "one\n");
        fs::rename(&path, &old).unwrap();
        say(&log, "two\n");
        log.reopen().unwrap();
        say(&log, "three\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "earlier\none\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        LogFile::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn where_a_file_cannot_be_opened_again_the_open_one_stays_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.0"));
        let log = LogFile::open(&path).unwrap();
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        let error = log.reopen().unwrap_err();
        assert!(error.to_string().contains("log.file"), "{error}");
        say(&log, "still\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "still\n");
    }

    #[test]
    fn lines_of_many_threads_stay_whole_while_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = LogFile::open(&path).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    let line = format!("{}\n", thread.to_string().repeat(100));
                    (0..500).for_each(|_| say(log, &line));
                });
            }
            (0..50).for_each(|_| log.reopen().unwrap());
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2000);
        let whole =
            |line: &str| line.len() == 100 && line.bytes().all(|it| it == line.as_bytes()[0]);
        assert!(text.lines().all(whole));
    }
}
