//! Checks of the values of a configuration beyond their form, and of values that depend on each
//! other.

use super::problem::{ConfigError, Problem, SetBy, redacted};
use crate::config::ranges::RANGES;
use crate::config::schema::Config;
use crate::metrics::Target;
use crate::source::Mirror;

impl Config {
    /// Finds every problem of a configuration that was not read by [`Inputs`](super::Inputs), or
    /// was changed since.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problem = |text: &String| {
            let (key, text) = split(text);
            Problem { key: key.into(), set_by: SetBy::Default, text: redacted(text) }
        };
        let problems: Vec<_> = self.problems().iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// All problems, each as `key: what is wrong`.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        check(self.http_port != Some(0), "http_port: must be a port from 1 to 65535, not 0");
        check(
            self.jails.children_max == 0,
            "jails.children_max: must be 0, for islands make no islands",
        );
        check(
            !self.sources.order.is_empty(),
            "sources.order: the list is empty; name git, proxy or both",
        );
        let absolute = self.state_dir.as_ref().is_none_or(|path| path.is_absolute());
        check(absolute, "state_dir: must be an absolute path");
        for mirror in &self.sources.mirrors {
            if let Err(problem) = mirror_problem(mirror) {
                problems.push(format!("sources.mirrors: {problem}"));
            }
        }
        problems.extend(RANGES.iter().filter_map(|range| range.problem(self)));
        problems.extend(self.listen_problems());
        problems.extend(self.log.problems());
        problems.extend(self.admin_problems());
        if let Some(Err(bad)) = self.jails.monitoring_addr.as_deref().map(str::parse::<Target>) {
            problems.push(format!("jails.monitoring_addr: {bad}"));
        }
        problems.extend(self.network.problems());
        problems.extend(self.host_problems());
        problems
    }
}

/// The key of a problem, and its text.
pub(super) fn split(problem: &str) -> (&str, &str) {
    problem.split_once(": ").filter(|(key, _)| !key.contains(' ')).unwrap_or(("", problem))
}

impl Config {
    /// The problems of the header and the token of the admin API.
    fn admin_problems(&self) -> Vec<String> {
        let header = self.admin_token_header.as_deref().map(header_problem);
        let token = self.admin_api_token.as_deref().map(token_problem);
        header.into_iter().chain(token).flatten().collect()
    }
}

/// The names of headers are tokens of RFC 9110.
fn header_problem(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let good = !name.is_empty() && name.bytes().all(allowed);
    (!good).then(|| format!("admin_token_header: {name:?} is not the name of a header; write one such as X-Sky-Island-Token"))
}

fn token_problem(token: &str) -> Option<String> {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if token.is_empty() {
        return Some(
            "admin_api_token: must not be empty; remove the key, and the server makes a token"
                .into(),
        );
    }
    let good = token.trim() == token && token.bytes().all(visible);
    let text = "admin_api_token: must be visible ASCII characters with spaces only between them, for a header carries the token";
    (!good).then(|| text.to_owned())
}

fn mirror_problem(mirror: &Mirror) -> Result<(), String> {
    let Mirror { prefix, target } = mirror;
    if prefix.is_empty() || prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(format!(
            "{prefix:?} is not a prefix of module paths; write one such as github.com/acme"
        ));
    }
    let loopback = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let local = loopback.iter().any(|start| {
        target
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if target.starts_with("https://") || target.starts_with('/') || local {
        return Ok(());
    }
    Err(format!("{target:?} is neither https://host/path nor the absolute path of a folder"))
}
