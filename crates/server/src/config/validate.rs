//! What must hold between the values of a configuration, whatever each of them is.

use super::problem::{ConfigError, Problem, SetBy, redacted};
use crate::config::Config;
use crate::config::units::Bytes;
use crate::metrics::Target;
use crate::source::Mirror;

impl Config {
    /// Finds every problem of one that was not read by [`Inputs`](super::Inputs), or was changed since.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problem = |text: &String| {
            let (key, text) = split(text);
            Problem { key: key.into(), set_by: SetBy::Default, text: redacted(text) }
        };
        let problems: Vec<_> = self.problems().iter().map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// What is wrong with it, each as `key: what`.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        check(self.http_port != Some(0), "http_port: 0 is no port");
        check(
            self.jails.children_max == 0,
            "jails.children_max: an island makes no islands; use 0",
        );
        check(
            self.standby.per_function > 0,
            "standby.per_function: must be at least 1; standby.total of 0 has none stand by",
        );
        check(!self.sources.order.is_empty(), "sources.order: name git, proxy or both");
        let limits = &self.limits;
        for (name, value) in [
            ("calls", limits.calls),
            ("concurrency", limits.concurrency),
            ("builds", limits.builds),
            ("fetches", limits.fetches),
            ("processes", limits.processes as usize),
        ] {
            check(value > 0, &format!("limits.{name}: must be at least 1"));
        }
        let least = Bytes::mib(16);
        for (name, value) in [
            ("memory", limits.memory),
            ("build_memory", limits.build_memory),
            ("fetch_memory", limits.fetch_memory),
        ] {
            check(value >= least, &format!("limits.{name}: a Go program needs at least 16MiB"));
        }
        let absolute = self.state_dir.as_ref().is_none_or(|path| path.is_absolute());
        check(absolute, "state_dir: must be an absolute path");
        for mirror in &self.sources.mirrors {
            if let Err(problem) = mirror_problem(mirror) {
                problems.push(format!("sources.mirrors: {problem}"));
            }
        }
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

/// The key and what is wrong with it.
pub(super) fn split(problem: &str) -> (&str, &str) {
    problem.split_once(": ").filter(|(key, _)| !key.contains(' ')).unwrap_or(("", problem))
}

impl Config {
    /// What no header can carry, or would open the admin API to everybody.
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
    (!good).then(|| format!("admin_token_header: {name:?} is no name of a header"))
}

fn token_problem(token: &str) -> Option<String> {
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if token.is_empty() {
        return Some("admin_api_token: is empty; leave it away, and the server makes one".into());
    }
    let good = token.trim() == token && token.bytes().all(visible);
    let text = "admin_api_token: only visible ASCII characters and blanks between them reach the server in a header";
    (!good).then(|| text.to_owned())
}

fn mirror_problem(mirror: &Mirror) -> Result<(), String> {
    let Mirror { prefix, target } = mirror;
    if prefix.is_empty() || prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(format!("{prefix:?} is no module path prefix such as github.com/acme"));
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
    Err(format!("{target:?} is neither https://host/path nor an absolute folder"))
}
