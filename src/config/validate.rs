//! What must hold between the values of a configuration, whatever each of them is.

use super::problem::{ConfigError, Problem, SetBy, redacted};
use super::{Bytes, Config};
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
        problems.extend(self.network.problems());
        problems.extend(self.host_problems());
        problems
    }
}

/// The key and what is wrong with it.
pub(super) fn split(problem: &str) -> (&str, &str) {
    problem.split_once(": ").filter(|(key, _)| !key.contains(' ')).unwrap_or(("", problem))
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
