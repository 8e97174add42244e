//! `sky-island completions`: prints the script with which a shell completes command lines of this
//! program.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell that reads the script.
    shell: Shell,
}

/// Prints the script for a program with this command line.
pub(super) fn run(args: &CompletionsArgs, cli: &Command) -> ExitCode {
    let (mut command, mut script) = (visible(cli), Vec::new());
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    // A reader that stops early, such as head(1), is not an error.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// The command without its hidden subcommands, which a shell would offer.
fn visible(command: &Command) -> Command {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).map(visible);
    let about = command.get_about().cloned().unwrap_or_default();
    Command::default()
        .name(command.get_name().to_owned())
        .about(about)
        .args(command.get_arguments())
        .subcommands(below)
        .disable_help_subcommand(true)
}
