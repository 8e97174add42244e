//! The build trace: the commands by which the go command compiled and linked a program, read from
//! what `go build -x` prints. Replayed for another main.go with the same imports, two processes do
//! the work, in two thirds of the time that the go command takes.
//!
//! Invariants: a trace is replayed only for the checkout and the layers that it was read with; a
//! text that is not wholly understood gives no trace. The text comes from an island where untrusted
//! source was compiled, so a trace is replayed only on such an island.

use goexpr::unquote;
use serde::{Deserialize, Serialize};

use super::diagnostics;

/// Where the go command keeps what it makes, as it prints it.
const WORK: &str = "$WORK";
/// Where a replay keeps it.
const FOLDER: &str = "/tmp/work";
/// The folder in there of the program that is made.
const MAIN: &str = "/b001";
/// Begins and ends a file that the go command writes.
const FILE: (&str, &str, &str) = ("cat >", " << 'EOF' # internal", "EOF");
/// How the other commands begin that the go command prints.
const COMMANDS: [&str; 10] = [
    "WORK=",
    "GOROOT=",
    "mkdir -p ",
    "cd ",
    "cp ",
    "mv ",
    "rm -rf ",
    "ln ",
    "go tool ",
    "echo '# import config' > ",
];
/// The longest trace that is kept, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// What a replay does, one step after the other, until one fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildTrace {
    /// Files that are written first: path and content.
    pub(super) files: Vec<(String, String)>,
    /// Then the compiler and the linker.
    pub(super) steps: Vec<Step>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// Added to the worker's own environment.
    pub(super) env: Vec<(String, String)>,
    pub(super) command: Vec<String>,
}

impl BuildTrace {
    /// Reads a trace for a program that is to lie at `program`. `kept` says that packages compiled
    /// in the same run stay in the cache; without it, a run that compiled a package gives no trace.
    pub(super) fn read(printed: &str, program: &str, kept: bool) -> Option<Self> {
        let files =
            vec![imports(printed, "importcfg", kept)?, imports(printed, "importcfg.link", kept)?];
        let own = format!(" -o {WORK}{MAIN}/");
        let mut steps = Vec::new();
        for (tool, made) in [("compile", "_pkg_.a"), ("link", "exe/a.out")] {
            let tool_and_output = format!("/{tool}{own}{made} ");
            let mut lines = printed.lines().filter(|line| line.contains(&tool_and_output));
            let (Some(line), None) = (lines.next(), lines.next()) else { return None };
            let mut step = step(line)?;
            if tool == "link" {
                let output = step.command.iter().position(|word| word == "-o")? + 1;
                program.clone_into(step.command.get_mut(output)?);
            }
            steps.push(step);
        }
        let trace = Self { files, steps };
        (trace.size() <= MOST_BYTES).then_some(trace)
    }

    fn size(&self) -> usize {
        let files = self.files.iter().map(|(_, text)| text.len());
        let words = self.steps.iter().flat_map(|step| &step.command).map(String::len);
        files.chain(words).sum()
    }
}

/// One of the main package's lists of imports: its path and its content. A package that was
/// compiled in the same run is taken from where the go command has cached it.
fn imports(printed: &str, name: &str, kept: bool) -> Option<(String, String)> {
    let (begin, end, last) = FILE;
    let (before, after) = printed.split_once(&format!("{MAIN}/{name}{end}\n"))?;
    let work = before.lines().last()?.strip_prefix(begin)?;
    let (lines, _) = after.split_once(&format!("\n{last}\n"))?;
    let mut text = String::new();
    for line in lines.lines() {
        let made = line
            .strip_prefix("packagefile ")
            .and_then(|it| it.split_once('='))
            .and_then(|(package, file)| Some((package, file.strip_prefix(work)?)));
        match made {
            Some((package, file)) if file.starts_with(MAIN) => {
                text.push_str(&format!("packagefile {package}={FOLDER}{file}"));
            }
            Some(_) if !kept => return None,
            Some((package, file)) => {
                let (_, cached) = printed.split_once(&format!("\ncp {WORK}{file} "))?;
                let (cached, _) = cached.split_once(" # internal\n")?;
                text.push_str(&format!("packagefile {package}={cached}"));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Some((format!("{FOLDER}{MAIN}/{name}"), text))
}

/// A command with the variables before it, from the line in which they are printed.
fn step(line: &str) -> Option<Step> {
    let mut words = words(line)?;
    let is_variable =
        |word: &String| word.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
    let first = words.iter().position(|word| !is_variable(word))?;
    let command = words.split_off(first);
    let variable = |word: String| {
        let (name, value) = word.split_once('=')?;
        let value = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).unwrap_or(value);
        Some((name.to_owned(), value.to_owned()))
    };
    Some(Step { env: words.into_iter().map(variable).collect::<Option<_>>()?, command })
}

/// Words are separated by spaces; a word with special characters is a Go string.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut rest) = (Vec::new(), line.trim_end());
    while !rest.is_empty() {
        let length = if rest.starts_with('"') {
            quoted(rest)?
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        let (word, behind) = rest.split_at(length);
        let word = match word.starts_with('"') {
            true => String::from_utf8(unquote(word)?).ok()?,
            false => word.to_owned(),
        };
        words.push(word.replace(WORK, FOLDER));
        match behind.strip_prefix(' ') {
            Some(next) => rest = next,
            None if behind.is_empty() => rest = behind,
            None => return None,
        }
    }
    Some(words)
}

/// The length of the Go string that a text begins with.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return Some(at + 1),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

/// The go command's output without the commands that it prints.
pub(super) fn without_commands(printed: &str) -> String {
    let (begin, end, last) = FILE;
    let (mut text, mut lines) = (String::new(), printed.lines());
    while let Some(line) = lines.next() {
        if line.starts_with(begin) && line.ends_with(end) {
            lines.by_ref().find(|line| *line == last);
        } else if diagnostics::has_position(line)
            || !COMMANDS.iter().any(|command| line.starts_with(command)) && !is_tool(line)
        {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Whether a line is the command of a tool, and not what a tool says under its own name.
fn is_tool(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    word.contains("/pkg/tool/") && !word.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = include_str!("../../../../tests/fixtures/go_build_x.txt");

    #[test]
    fn printed_commands_become_a_trace_for_another_folder() {
        let BuildTrace { files, steps } = BuildTrace::read(PRINTED, "/out/program", true).unwrap();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["/tmp/work/b001/importcfg", "/tmp/work/b001/importcfg.link"]);
        let own = "\npackagefile bench.test/track.git=/gocache/a0/a0fe";
        assert!(files.iter().all(|(_, text)| text.contains(own) && !text.contains("go-build")));
        assert!(files[1].1.contains("\nmodinfo \"") && files[1].1.ends_with("\"\n"));
        let [compile, link] = &steps[..] else { panic!("{steps:?}") };
        let tool = |name| format!("/usr/local/go/pkg/tool/linux_amd64/{name}");
        assert_eq!(
            compile.command[..5],
            [&tool("compile"), "-o", "/tmp/work/b001/_pkg_.a", "-trimpath", TRIM]
        );
        assert_eq!(compile.command.last().unwrap(), "/job/main.go");
        assert_eq!(link.env, [("GOROOT".to_owned(), String::new())]);
        assert_eq!(link.command[..3], [&tool("link"), "-o", "/out/program"]);
        assert_eq!(link.command.last().unwrap(), "/tmp/work/b001/_pkg_.a");
        assert!(!format!("{steps:?}{files:?}").contains(WORK));
    }

    const TRIM: &str = "/checkout/src/sky_island_call=>bench.test/track.git/sky_island_call;\
                        /job/main.go=>bench.test/track.git/sky_island_call/main.go;/tmp/work/b001=>";

    #[test]
    fn a_text_that_is_not_whole_gives_no_trace() {
        for missing in ["importcfg.link <<", "/link -o", "/compile -o", "\nEOF", "cp $WORK/b002"] {
            let text = PRINTED.replace(missing, "");
            assert_eq!(BuildTrace::read(&text, "/out/program", true), None, "without {missing:?}");
        }
        assert_eq!(BuildTrace::read(PRINTED, "/out/program", false), None, "nothing is kept");
        let twice = format!("{PRINTED}{PRINTED}");
        assert_eq!(BuildTrace::read(&twice, "/out/program", true), None);
        let long =
            PRINTED.replace("packagefile fmt=", &"packagefile a=b\n".repeat(MOST_BYTES / 15));
        assert_eq!(BuildTrace::read(&long, "/out/program", true), None);
    }

    #[test]
    fn words_are_unquoted() {
        let table = [
            ("a b", Some(vec!["a", "b"])),
            (r#"a "b c" "d\"e\\" f"#, Some(vec!["a", "b c", "d\"e\\", "f"])),
            (r#""$WORK/x=>" $WORK/y"#, Some(vec!["/tmp/work/x=>", "/tmp/work/y"])),
            (r#"a "b"#, None),
            (r#""a"b"#, None),
        ];
        for (line, expected) in table {
            let expected = expected.map(|words| words.iter().map(|w| (*w).to_owned()).collect());
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn diagnostics_are_the_output_without_the_commands() {
        assert_eq!(without_commands(PRINTED), "");
        let diagnostics = "# bench.test/track.git/sky_island_call\n/call:1:1: undefined: F\n";
        let text = PRINTED.replace("mkdir -p $WORK/b001/exe/\n", diagnostics);
        assert_eq!(without_commands(&text), diagnostics);
        // A package without imports has a list of imports of its own kind, and a //line directive
        // gives a file the name of a command.
        let text = "echo '# import config' > $WORK/b002/importcfg # internal\n";
        assert_eq!(without_commands(text), "");
        assert_eq!(without_commands("cd /:1:25: undefined: x"), "cd /:1:25: undefined: x\n");
        let said = "/usr/local/go/pkg/tool/linux_amd64/link: a.o: cannot use dynamic imports\n";
        assert_eq!(without_commands(said), said);
    }
}
