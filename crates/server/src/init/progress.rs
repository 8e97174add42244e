//! The output of `init` while it works: lines, and on a terminal bars for long steps.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Prints what `init` does.
pub struct Progress {
    out: Mutex<Box<dyn Write + Send>>,
    bars: bool,
}

/// The bar of a long step; it disappears when this value is dropped.
#[derive(Clone)]
pub(super) struct Bar(ProgressBar);

impl Progress {
    /// Prints on stdout, with bars where stderr is a terminal.
    pub fn of_process() -> Self {
        Self::new(std::io::stdout(), std::io::stderr().is_terminal())
    }

    /// Prints to `out`, with or without bars on stderr.
    pub fn new(out: impl Write + Send + 'static, bars: bool) -> Self {
        Self { out: Mutex::new(Box::new(out)), bars }
    }

    /// Prints a line. A reader that has gone is no failure.
    pub(super) fn say(&self, line: &str) {
        let mut out = self.out.lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// Shows the bar of a step that handles `total` bytes.
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
    /// `bytes` bytes are done.
    pub(super) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// The step turns out to have `bytes` bytes.
    pub(super) fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    /// Removes the bar.
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
        let progress = Progress::new(page.clone(), false);
        progress.say("one");
        let bar = progress.bar("two", 10);
        bar.at(5);
        bar.end();
        progress.say("three");
        assert_eq!(*page.0.lock(), b"one\nthree\n");
    }
}
