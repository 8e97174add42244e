//! The manual page: well formed, and about the program that there is.

use std::path::Path;
use std::process::Command;

use super::host::has;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/sky-island.8");
    std::fs::read_to_string(path).unwrap()
}

/// The first words of the lines between `Commands:` or `Options:` and the next empty line of a help
/// text.
fn listed(help: &str, heading: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let named = lines.take_while(|line| !line.is_empty());
    named.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

fn help(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sky-island"));
    let output = command.args(args).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn mandoc_finds_nothing_in_the_page() {
    if !has("mandoc") {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/sky-island.8");
    let read = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(path).output();
    let text = String::from_utf8(read.unwrap().stdout).unwrap();
    // Another host's pages are not here.
    let found: Vec<_> = text.lines().filter(|line| !line.contains("manual not found")).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_subcommand_and_each_of_its_options_is_in_the_page() {
    let page = page();
    let subcommands = listed(&help(&[]), "Commands:");
    assert!(subcommands.iter().any(|name| name == "serve"), "{subcommands:?}");
    for subcommand in &subcommands {
        assert!(page.contains(&format!("\n.Cm {subcommand}\n")), "{subcommand} has no synopsis");
        assert!(page.contains(&format!("\n.It Cm {subcommand}")), "{subcommand} is not described");
        let help = help(&[subcommand]);
        for option in help.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
            let option = option.trim_matches(|c: char| !c.is_ascii_lowercase());
            let described = page.contains(&format!("Fl -{option}"));
            assert!(described || option == "help", "{subcommand} --{option} is not described");
        }
    }
}

#[test]
fn the_help_of_every_subcommand_has_an_example_of_it() {
    for subcommand in listed(&help(&[]), "Commands:") {
        let help = help(&[&subcommand]);
        let (_, example) = help.split_once("\nExample:\n").expect(&subcommand);
        assert!(example.starts_with(&format!("  sky-island {subcommand}")), "{subcommand}");
    }
}

#[test]
fn shells_complete_what_is_for_people_and_nothing_else() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sky-island"));
        let output = command.args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shell}");
        for word in listed(&help(&[]), "Commands:").iter().map(String::as_str) {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
        assert!(script.contains("token-file") && script.contains("clear"), "{shell}");
        for hidden in ["fetch-worker", "build-worker", "cache-worker", "launcher"] {
            assert!(!script.contains(hidden), "{shell} completes {hidden}");
        }
    }
    if has("bash") {
        let script = "source <(\"$0\" completions bash) && complete -p sky-island > /dev/null";
        let program = env!("CARGO_BIN_EXE_sky-island");
        let status = Command::new("bash").args(["-c", script, program]).status();
        assert!(status.unwrap().success());
    }
}

#[test]
fn every_variable_of_the_service_is_in_the_page_and_no_other() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rc.d/sky_island");
    let script = std::fs::read_to_string(script).unwrap();
    let told = |text: &str, before: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(before));
        lines.map(|rest| rest.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let variables = told(&script, "# sky_island_");
    assert_eq!(variables, ["enable", "config", "user", "flags", "env"]);
    assert_eq!(told(&page(), ".It Va sky_island_"), variables);
}
