//! The places that the operator has named by URLs: the targets of mirrors, the module proxies and
//! the checksum database of the go command.

use std::path::Path;

use fetch_job::{Mirror, Place};

/// What the go command asks where nothing is configured.
const DEFAULTS: [(&str, &str); 2] =
    [("GOPROXY", "https://proxy.golang.org"), ("GOSUMDB", "sum.golang.org")];

/// All places of these mirrors, and of the go command of a toolchain with this environment. Reads
/// the toolchain's own settings on the disk.
pub fn named_places(mirrors: &[Mirror], env: &[String], goroot: &Path) -> Vec<Place> {
    let settings = std::fs::read_to_string(goroot.join("go.env")).unwrap_or_default();
    let setting = |name: &str| {
        let lines = env.iter().map(String::as_str).chain(settings.lines().map(str::trim));
        let values = lines.filter_map(|line| line.split_once('='));
        let found = values.filter(|(key, value)| *key == name && !value.is_empty()).map(|it| it.1);
        let default = DEFAULTS.iter().find(|(key, _)| *key == name).map(|it| it.1);
        found.into_iter().chain(default).next().unwrap_or_default().to_owned()
    };
    let proxies = setting("GOPROXY");
    let proxies = proxies.split([',', '|']).map(str::trim).filter_map(Place::of_url);
    let mirrors = mirrors.iter().filter_map(|mirror| Place::of_url(&mirror.target));
    let mut places: Vec<_> = mirrors.chain(proxies).chain(sums(&setting("GOSUMDB"))).collect();
    places.dedup();
    places
}

/// The place of the checksum database: `name`, `name+key`, or either with a URL behind it.
fn sums(setting: &str) -> Option<Place> {
    let mut words = setting.split_whitespace();
    let name = words.next()?.split('+').next()?;
    match words.next() {
        Some(url) => Place::of_url(url),
        None if name == "off" => None,
        None => Place::of_url(&format!("https://{name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_go_command_asks_what_the_environment_or_the_toolchain_says() {
        let root = tempfile::tempdir().unwrap();
        let places = |env: &[&str]| {
            let env: Vec<_> = env.iter().map(|it| (*it).to_owned()).collect();
            let found = named_places(&[], &env, root.path());
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(places(&[]), "proxy.golang.org:443 sum.golang.org:443");
        std::fs::write(
            root.path().join("go.env"),
            "# GOPROXY=https://no.example\nGOPROXY=https://goproxy.example/x,direct\nGOSUMDB=off\n",
        )
        .unwrap();
        assert_eq!(places(&["GOPROXY="]), "goproxy.example:443");
        assert_eq!(
            places(&[
                "GOPROXY=http://127.0.0.1:3000|http://me:pw@athens.internal/x,direct,file:///srv",
                "GOSUMDB=sums.example+abc+def http://[::1]:8080/sums",
            ]),
            "127.0.0.1:3000 athens.internal:80 [::1]:8080"
        );
        assert_eq!(places(&["GOPROXY=off", "GOSUMDB=sums.example+abc"]), "sums.example:443");
    }

    #[test]
    fn mirrors_are_places_and_folders_are_none() {
        let mirror = |target: &str| Mirror { prefix: "a.b".into(), target: target.into() };
        let mirrors =
            [mirror("http://u:p@localhost:3000/x"), mirror("/srv"), mirror("https://m.b")];
        let env = ["GOPROXY=off".to_owned(), "GOSUMDB=off".to_owned()];
        let found = named_places(&mirrors, &env, Path::new("/none"));
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["localhost:3000", "m.b:443"]);
    }
}
