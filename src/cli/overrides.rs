//! The keys of the configuration that are also options. Their definitions give the names and
//! descriptions.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use server::config::keys::{self, Leaf, ValueForm};

/// Paths of keys, and the values of their options.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides(Vec<(String, Vec<String>)>);

impl From<Overrides> for Vec<(String, Vec<String>)> {
    fn from(overrides: Overrides) -> Self {
        overrides.0
    }
}

fn flags() -> impl Iterator<Item = (&'static Leaf, &'static str)> {
    keys::leaves().iter().filter_map(|leaf| Some((leaf, leaf.key.flag.as_deref()?)))
}

fn option(leaf: &'static Leaf, flag: &'static str) -> Arg {
    let several = matches!(leaf.key.form, ValueForm::List(_) | ValueForm::Either(_));
    let value = match &leaf.key.form {
        ValueForm::Whole(_) => "NUMBER",
        ValueForm::Text(Some(of)) if of == "duration" => "DURATION",
        ValueForm::Text(Some(of)) if of == "size" => "SIZE",
        _ => "VALUE",
    };
    let help = format!("{} [key: {}]", leaf.key.doc.trim_end_matches('.'), leaf.path);
    Arg::new(leaf.path.as_str())
        .long(flag)
        .value_name(value)
        .help(help)
        .help_heading("Configuration")
        .action(if several { ArgAction::Append } else { ArgAction::Set })
}

impl Args for Overrides {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, (leaf, flag)| command.arg(option(leaf, flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags().filter_map(|(leaf, _)| {
            let texts = matches.get_many::<String>(&leaf.path)?;
            Some((leaf.path.clone(), texts.cloned().collect()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
