//! What init says while it works: lines, and on a terminal a bar for what takes long.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Says what is being done.
pub struct Teller {
    out: Mutex<Box<dyn Write + Send>>,
    bars: bool,
}

/// A bar for something that takes long; it goes with this value.
#[derive(Clone)]
pub(super) struct Bar(ProgressBar);

impl Teller {
    /// One that speaks on stdout, with bars where stderr is a terminal.
    pub fn of_process() -> Self {
        Self::new(std::io::stdout(), std::io::stderr().is_terminal())
    }

    /// One that speaks here, with bars on stderr or without.
    pub fn new(out: impl Write + Send + 'static, bars: bool) -> Self {
        Self { out: Mutex::new(Box::new(out)), bars }
    }

    /// Says a line. Nobody listening is no failure.
    pub(super) fn say(&self, line: &str) {
        let mut out = self.out.lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// Begins something of so many bytes.
    pub(super) fn bar(&self, what: &str, total: u64) -> Bar {
        if !self.bars {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(total);
        let template = "  {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Bar(bar)
    }
}

impl Bar {
    /// So many bytes are through.
    pub(super) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// It will be so many, as is known now.
    pub(super) fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    /// It is done; the bar goes.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_there_are_lines_and_no_bars() {
        let page = Page::default();
        let teller = Teller::new(page.clone(), false);
        teller.say("one");
        let bar = teller.bar("two", 10);
        bar.at(5);
        bar.end();
        teller.say("three");
        assert_eq!(*page.0.lock(), b"one\nthree\n");
    }
}
