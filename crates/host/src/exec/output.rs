//! What a command printed, and how it ended.

/// How much of a command's own error message goes into an error's text, in characters.
const MAX_MESSAGE: usize = 1000;

/// What a command printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit status; none after a signal.
    pub code: Option<i32>,
    /// The text on stdout; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// The text on stderr.
    pub stderr: String,
}

impl Output {
    pub(super) fn ending(&self) -> String {
        self.code.map_or("a signal".to_owned(), |code| format!("status {code}"))
    }

    /// The command's own error message, on one line.
    pub(super) fn message(&self) -> String {
        let text = [&self.stderr, &self.stdout].into_iter().find(|text| !text.trim().is_empty());
        let Some(text) = text else { return "no error message was printed".to_owned() };
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join("; ").chars().take(MAX_MESSAGE).collect()
    }
}
