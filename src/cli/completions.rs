//! `sky-island completions`: what a shell has to know to complete our command lines.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    let (mut command, mut script) = (visible(&Cli::command()), Vec::new());
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    // Whoever reads may have enough of it, as head(1) does.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// The command without the subcommands that are not for people, which a shell would offer.
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
