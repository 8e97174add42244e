//! `sky-island config`: names the problems of a configuration, or prints every value and where it
//! is set.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use server::config::{ConfigError, Entry, Inputs, Settings, keys, reference};

use crate::cli::overrides::Overrides;
use crate::cli::settings::{ConfigArgs, config_status};
use crate::cli::status;

#[derive(Args)]
pub(super) struct SettingsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name every problem of a configuration, each with its line.
    #[command(after_help = "Example:\n  sky-island config check -c config.json")]
    Check(ShowArgs),
    /// Print the value of every key, and where it is set. Secrets are masked.
    #[command(after_help = "Example:\n  sky-island config show -c config.json --exec-timeout 10s")]
    Show(ShowArgs),
    /// Print docs/configuration.md.
    #[command(hide = true)]
    Reference,
}

#[derive(Args)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    overrides: Overrides,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl ShowArgs {
    fn read(&self) -> Result<Settings, ConfigError> {
        let file = self.config.config.as_deref();
        let settings = Inputs::of_process(file, self.overrides.clone().into()).read()?;
        crate::cli::settings::warn(&settings);
        Ok(settings)
    }
}

pub(super) fn run(args: &SettingsArgs) -> ExitCode {
    let (text, code) = match &args.command {
        Command::Reference => (reference::text(), ExitCode::SUCCESS),
        Command::Check(args) => match args.read() {
            Ok(settings) => (valid(&settings, args.json), ExitCode::SUCCESS),
            Err(ConfigError::Invalid(problems)) if args.json => {
                let answer = json!({"valid": false, "problems": problems});
                (format!("{answer:#}\n"), ExitCode::from(status::USAGE))
            }
            Err(error) => return config_status(&error),
        },
        Command::Show(args) => match args.read() {
            Ok(settings) if args.json => {
                (format!("{:#}\n", json!(settings.entries())), ExitCode::SUCCESS)
            }
            Ok(settings) => (table(&settings.entries()), ExitCode::SUCCESS),
            Err(error) => return config_status(&error),
        },
    };
    // A reader that stops early, such as head(1), is not an error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

fn valid(settings: &Settings, json: bool) -> String {
    if json {
        return format!("{:#}\n", json!({"valid": true, "problems": []}));
    }
    match settings.file() {
        Some(path) => format!("{} is a valid configuration\n", path.display()),
        None => "the configuration is valid; no configuration file is used\n".to_owned(),
    }
}

/// A line for each key: its path, its value (or its default in brackets), and where it is set.
fn table(entries: &[Entry]) -> String {
    let shown = |entry: &Entry| match &entry.value {
        Value::Null => {
            let words = keys::leaf(entry.key).and_then(|leaf| leaf.key.default.clone());
            format!("({})", words.unwrap_or_else(|| "none".to_owned()).replace('`', ""))
        }
        value => value.to_string(),
    };
    let rows: Vec<[String; 3]> = entries
        .iter()
        .map(|entry| [entry.key.to_owned(), shown(entry), entry.source.clone()])
        .collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.filter(|length| *length <= WIDEST).max().unwrap_or(0)
    };
    let widths = [width(0), width(1)];
    let line = |[key, value, source]: &[String; 3]| {
        format!("{key:a$}  {value:b$}  {source}\n", a = widths[0], b = widths[1])
    };
    rows.iter().map(line).collect()
}

/// The longest value that sets the width of its column, in characters.
const WIDEST: usize = 40;
