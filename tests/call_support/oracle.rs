//! Go's own parser, asked about many texts at once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::skip;

/// What Go's parser says of one text; the fields are those of the oracle's type answer.
#[derive(Debug)]
pub struct Answer {
    pub expression: bool,
    pub argument: bool,
    pub statement: bool,
    pub comment: bool,
    pub guard: bool,
    pub qualifier: String,
    pub function: String,
    pub column: usize,
    pub packages: String,
    pub names: String,
}

/// The built oracle, in a directory of its own that goes with it.
pub struct Oracle {
    directory: PathBuf,
}

impl Oracle {
    /// Builds it; `None`, and the test is skipped, where there is no Go.
    pub fn build(name: &str) -> Option<Self> {
        if let Err(error) = Command::new("go").arg("version").output() {
            let why = format_args!("the go command cannot be run ({error})");
            skip::skip("a comparison with Go's parser", &skip::Reason::fixable(why));
            return None;
        }
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory can be made");
        let oracle = Self { directory };
        let status = Command::new("go")
            .args(["build", "-o"])
            .arg(oracle.program())
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle"))
            .env("GOWORK", "off")
            .env("GOFLAGS", "")
            .env("GOTOOLCHAIN", "local")
            .status()
            .expect("go build runs");
        assert!(status.success(), "the oracle builds");
        Some(oracle)
    }

    fn program(&self) -> PathBuf {
        self.directory.join("oracle")
    }

    /// An answer for each text.
    pub fn ask(&self, texts: &[String]) -> Vec<Answer> {
        let path = self.directory.join("texts");
        let mut bytes = Vec::new();
        for text in texts {
            writeln!(bytes, "{}", text.len()).expect("memory can be written");
            bytes.extend_from_slice(text.as_bytes());
        }
        fs::write(&path, bytes).expect("the texts can be written");
        let input = File::open(&path).expect("the texts can be read");
        let output = self.run(&[], Stdio::from(input));
        let answers: Vec<Answer> = output.lines().map(answer).collect();
        assert_eq!(answers.len(), texts.len(), "the oracle answers every text");
        answers
    }

    /// The version of Unicode, and the ranges of Go's letters, digits and upper-case letters.
    pub fn classes(&self) -> (String, Vec<Vec<(u32, u32)>>) {
        let number = |text: &str| text.parse().expect("a number");
        let range = |text: &str| {
            let (first, last) = text.split_once('-').expect("a range");
            (number(first), number(last))
        };
        let output = self.run(&["classes"], Stdio::null());
        let (version, ranges) = output.split_once('\n').expect("a version and ranges");
        let line = |line: &str| line.split_whitespace().map(range).collect();
        (version.to_owned(), ranges.lines().map(line).collect())
    }

    fn run(&self, arguments: &[&str], input: Stdio) -> String {
        let output = Command::new(self.program())
            .args(arguments)
            .stdin(input)
            .stderr(Stdio::inherit())
            .output()
            .expect("the oracle runs");
        assert!(output.status.success(), "the oracle succeeds");
        String::from_utf8(output.stdout).expect("the oracle writes UTF-8")
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn answer(line: &str) -> Answer {
    let fields: Vec<&str> = line.split('\t').collect();
    let yes = |at: usize| fields[at] == "true";
    let text = |at: usize| fields[at].to_owned();
    Answer {
        expression: yes(0),
        argument: yes(1),
        statement: yes(2),
        comment: yes(3),
        guard: yes(4),
        qualifier: text(5),
        function: text(6),
        column: fields[7].parse().expect("a column"),
        packages: text(8),
        names: text(9),
    }
}
