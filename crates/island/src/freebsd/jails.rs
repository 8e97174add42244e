//! jls(8) and jail(8): the jails of this host that are ours.
//!
//! What must always hold: a jail whose name is no island's, or whose root does not lie where ours do, is neither listed
//! nor removed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use host::exec::{Command, ExecError, Executor, Output};
use serde::Deserialize;

use crate::id::IslandId;

/// One jail of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// Its name.
    pub id: IslandId,
    /// It was removed, but something, a connection for one, still holds it.
    pub dying: bool,
}

/// The jails whose roots lie below a folder, the dying ones included.
pub async fn list(exec: &dyn Executor, run: &Path) -> Result<Vec<Jail>, ExecError> {
    let command =
        Command::program("jls").args(["-d", "--libxo=json", "-n", "name", "path", "dying"]);
    let text = exec.run(&command).await?.success(&command)?;
    let listed = read(&text).map_err(|error| unreadable(&command, text, &error))?;
    Ok(listed.into_iter().filter_map(|jail| ours(jail, run)).collect())
}

/// Removes a jail, and with it whatever runs in it; one that is gone is no error.
pub async fn remove(exec: &dyn Executor, id: &IslandId) -> Result<(), ExecError> {
    // In its capital form it reads no jail.conf(5), whose mistakes and commands are not for our jails.
    let command = Command::program("jail").args(["-R", id.as_str()]);
    let output = exec.run(&command).await?;
    let gone = output.stderr.contains("not found") || output.stderr.contains("No such process");
    if gone { Ok(()) } else { output.success(&command).map(|_| ()) }
}

/// The addresses that jails of this host have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of ours, the dying ones included.
    pub ours: Vec<(IslandId, IpAddr)>,
    /// Those of others that live.
    pub others: Vec<IpAddr>,
}

/// The addresses of all jails, told apart by whether their roots lie below a folder as ours do.
pub async fn addresses(exec: &dyn Executor, run: &Path) -> Result<Addresses, ExecError> {
    let asked = ["-d", "--libxo=json", "-n", "name", "path", "dying", "ip4.addr", "ip6.addr"];
    let command = Command::program("jls").args(asked);
    let text = exec.run(&command).await?.success(&command)?;
    let listed: Vec<Addressed> = read(&text).map_err(|error| unreadable(&command, text, &error))?;
    let mut found = Addresses::default();
    for Addressed { jail, ip4, ip6 } in listed {
        let texts = ip4.into_iter().chain(ip6);
        let addresses = texts.filter_map(|text| text.split('%').next()?.parse().ok());
        let living = !jail.dying.is();
        match ours(jail, run) {
            Some(jail) => found.ours.extend(addresses.map(|address| (jail.id.clone(), address))),
            None if living => found.others.extend(addresses),
            None => {}
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Listing<T> {
    #[serde(rename = "jail-information")]
    information: Information<T>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Information<T> {
    #[serde(default = "Vec::new")]
    jail: Vec<T>,
}

#[derive(Deserialize)]
struct Addressed {
    #[serde(flatten)]
    jail: ListedIsland,
    #[serde(rename = "ip4.addr", default)]
    ip4: Vec<String>,
    #[serde(rename = "ip6.addr", default)]
    ip6: Vec<String>,
}

#[derive(Deserialize)]
struct ListedIsland {
    name: String,
    path: PathBuf,
    #[serde(default)]
    dying: Dying,
}

/// A boolean, which some versions write as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Dying {
    Bool(bool),
    Text(String),
}

impl Default for Dying {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Dying {
    fn is(&self) -> bool {
        match self {
            Self::Bool(dying) => *dying,
            Self::Text(text) => text == "true",
        }
    }
}

fn ours(jail: ListedIsland, run: &Path) -> Option<Jail> {
    let id = IslandId::parse(&jail.name)?;
    let dying = jail.dying.is();
    (jail.path.starts_with(run) && jail.path != run).then_some(Jail { id, dying })
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Vec<T>, serde_json::Error> {
    // A host without jails may print nothing at all.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str::<Listing<T>>(text).map(|listing| listing.information.jail)
}

fn unreadable(command: &Command, text: String, error: &serde_json::Error) -> ExecError {
    let output = Output { code: Some(0), stdout: text, stderr: error.to_string() };
    ExecError::Failed { command: command.to_string(), output }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::exec::Script;

    const RUN: &str = "/zroot/jails/run";
    const LIST: &str = "jls -d --libxo=json -n name path dying";

    async fn listed(text: &str) -> Result<Vec<Jail>, ExecError> {
        list(&Script::new().expect(LIST, 0, text, ""), Path::new(RUN)).await
    }

    #[tokio::test]
    async fn only_jails_with_our_names_and_roots_are_ours() {
        let text = r#"{"__version": "2", "jail-information": {"jail": [
            {"name":"si_0123abcd_1","path":"/zroot/jails/run/si_0123abcd_1","dying":false},
            {"name":"si_0123abcd_2","path":"/zroot/jails/run/si_0123abcd_2","dying":true},
            {"name":"si_0123abcd_3","path":"/tank/other/run/si_0123abcd_3","dying":false},
            {"name":"si_www","path":"/zroot/jails/run/si_www","dying":false},
            {"name":"www","path":"/zroot/jails/run/si_0123abcd_5","dying":false},
            {"name":"si_0123abcd_6","path":"/zroot/jails/run","dying":false}]}}"#;
        let found = listed(text).await.unwrap();
        let found: Vec<_> = found.iter().map(|jail| (jail.id.as_str(), jail.dying)).collect();
        assert_eq!(found, [("si_0123abcd_1", false), ("si_0123abcd_2", true)]);
    }

    #[tokio::test]
    async fn a_host_without_jails_has_none_and_nonsense_is_an_error() {
        assert_eq!(listed("").await.unwrap(), []);
        assert_eq!(
            listed(r#"{"__version": "2", "jail-information": {"jail": []}}"#).await.unwrap(),
            []
        );
        assert_eq!(listed(r#"{"__version": "2", "jail-information": {}}"#).await.unwrap(), []);
        assert!(listed("JID IP Address").await.is_err());
    }

    #[tokio::test]
    async fn the_addresses_of_all_jails_are_found_and_whose_they_are() {
        let text = r#"{"__version": "2", "jail-information": {"jail": [
            {"name":"www","path":"/www","dying":false,"ip4.addr":["10.0.2.77","10.0.2.78"],"ip6.addr":[]},
            {"name":"six","path":"/six","dying":false,"ip4.addr":[],"ip6.addr":["fe80::1%em0","fd00::1"]},
            {"name":"old","path":"/old","dying":true,"ip4.addr":["10.0.2.79"],"ip6.addr":[]},
            {"name":"si_0123abcd_1","path":"/zroot/jails/run/si_0123abcd_1","dying":true,"ip4.addr":["10.0.2.80"]},
            {"name":"si_0123abcd_2","path":"/zroot/jails/run/si_0123abcd_2","dying":false}]}}"#;
        let asked = "jls -d --libxo=json -n name path dying ip4.addr ip6.addr";
        let script = Script::new().expect(asked, 0, text, "");
        let found = addresses(&script, Path::new(RUN)).await.unwrap();
        let ours: Vec<_> = found.ours.iter().map(|(id, it)| format!("{id} {it}")).collect();
        assert_eq!(ours, ["si_0123abcd_1 10.0.2.80"]);
        let others: Vec<_> = found.others.iter().map(IpAddr::to_string).collect();
        assert_eq!(others, ["10.0.2.77", "10.0.2.78", "fe80::1", "fd00::1"]);
    }

    #[tokio::test]
    async fn a_jail_that_is_gone_is_removed() {
        let id = IslandId::parse("si_0123abcd_1").unwrap();
        let gone = "jail: \"si_0123abcd_1\" not found\n";
        let denied = "jail: jail_remove: Operation not permitted\n";
        for (said, good) in [(gone, true), (denied, false)] {
            let script = Script::new().expect("jail -R si_0123abcd_1", 1, "", said);
            assert_eq!(remove(&script, &id).await.is_ok(), good);
        }
    }
}
