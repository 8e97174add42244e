//! The log: for people on a terminal, as JSON elsewhere, on stderr or in a file that can be opened anew.
//!
//! What must always hold: each line is written whole, by one system call and before what comes after it, so that a crash
//! loses none; a file that cannot be opened anew leaves the old one in use.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parking_lot::RwLock;
use tracing_subscriber::EnvFilter;

/// Who may read the file: the log has the packages that are called.
const MODE: u32 = 0o600;

/// The file that the log goes to, if it goes to one.
static FILE: OnceLock<LogFile> = OnceLock::new();

/// The log's file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be written to {}; see that its folder is there and may be written, or set another log.file", .path.display())]
pub struct LogError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Starts the log. `level` is how much it says where RUST_LOG does not say so: `error`, `warn`, `info`, `debug` or `trace`.
/// With a file, that has it, as JSON. A log that was started before stays.
pub fn start(level: &str, file: Option<&Path>) -> Result<(), LogError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // An error is that of a log that was started before.
    if let Some(path) = file {
        let opened = LogFile::open(path)?;
        let file = FILE.get_or_init(|| opened);
        let _ = log.json().flatten_event(true).with_writer(move || file).try_init();
    } else if io::stderr().is_terminal() {
        let _ = log.with_writer(io::stderr).try_init();
    } else {
        let _ = log.json().flatten_event(true).with_writer(io::stderr).try_init();
    }
    Ok(())
}

/// Has panics logged from now on, by their place. What they say is left out where it was made up at that moment, for it can
/// quote a request.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let said = panic.payload().downcast_ref::<&str>().copied();
        tracing::error!(place, said, "a part of the server panicked");
    }));
}

/// Opens the log's file anew, after somebody has moved it away. Without a file there is nothing to do. When it cannot be
/// opened, the one that was open stays in use.
pub fn reopen() -> Result<(), LogError> {
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
    opened.map_err(|cause| LogError { path: path.to_owned(), cause })
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
    fn a_file_that_was_moved_away_is_opened_anew_and_what_was_there_stays() {
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
    fn only_its_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        LogFile::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_leaves_the_old_one_in_use() {
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
    fn lines_of_many_threads_stay_whole_while_the_file_is_opened_anew() {
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
