//! The problems of a configuration, each with its place: a line of the file, a variable or a flag.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::file::Position;

/// The source that set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// No source: the key has its default.
    Default,
    /// The configuration file.
    File(PathBuf, Position),
    /// A variable of the environment.
    Variable(String),
    /// An option of the command line, with its dashes.
    Flag(String),
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, at) => write!(f, "{}:{}", path.display(), at.line),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, `jails.exec_timeout` or `network.pools[0].network`; empty for the file
    /// as a whole.
    pub key: String,
    /// The source that set the key.
    pub set_by: SetBy,
    /// What is wrong and what to do, without secrets.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set_by {
            SetBy::Default => {}
            SetBy::File(path, at) => write!(f, "{}:{}:{}: ", path.display(), at.line, at.column)?,
            SetBy::Variable(name) | SetBy::Flag(name) => write!(f, "{name}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// `{key, source, problem}`, and `line` and `column` where the file set the key.
impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Problem", 5)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("source", &self.set_by.to_string())?;
        if let SetBy::File(_, at) = &self.set_by {
            fields.serialize_field("line", &at.line)?;
            fields.serialize_field("column", &at.column)?;
        }
        fields.serialize_field("problem", &self.text)?;
        fields.end()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {0} cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// All problems.
    #[error("the configuration has problems:{}", .0.iter().map(|it| format!("\n  {it}")).collect::<String>())]
    Invalid(Vec<Problem>),
}

/// The text without the users and passwords of the URLs in it.
pub(super) fn redacted(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ends = |c: char| c == '/' || c == '"' || c == ',' || c.is_whitespace();
        let authority = &part[..part.find(ends).unwrap_or(part.len())];
        let rest = match authority.rfind('@') {
            Some(at) => format!("***{}", &part[at..]),
            None => part.to_owned(),
        };
        clean.push_str("://");
        clean.push_str(&rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_of_urls_are_not_shown() {
        let table = [
            (
                "https://me:word@h.example/x, then http://h/a@b",
                "https://***@h.example/x, then http://h/a@b",
            ),
            ("https://a,https://k@b,direct", "https://a,https://***@b,direct"),
            ("me@h.example", "me@h.example"),
        ];
        for (text, clean) in table {
            assert_eq!(redacted(text), clean);
        }
    }
}
