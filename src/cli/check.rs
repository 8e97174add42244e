//! `sky-island check`: prints what this host can isolate and limit, and a remedy for each thing
//! that is missing.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use host::net::Pools;
use island::{
    Backend, Bounds, Ending, Finding, Islands, Label, OPEN_FILES, Options, Program, Purpose,
    Resources, Rights, Setup, Spec, ToolRights, choose,
};
use server::compile::{BUILD_PROCESSES, Toolchain};
use server::config::Config;

use crate::cli::process::complain;
use crate::cli::process::runtime;
use crate::cli::process::start_log;
use crate::cli::settings::ConfigArgs;
use crate::cli::settings::with_config;
use crate::cli::status;

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print only the lines with BAD: required and missing.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &CheckArgs) -> ExitCode {
    with_config(args.config.config.as_deref(), |config| check(&config, args.quiet))
}

pub(super) fn check(config: &Config, quiet: bool) -> ExitCode {
    start_log(if quiet { "error" } else { "warn" });
    let Some(runtime) = runtime() else { return ExitCode::from(status::SERVER) };
    let findings = runtime.block_on(find(config));
    let report = Report { findings: &findings, quiet };
    print!("{report}");
    if report.is_bad() { ExitCode::from(status::SERVER) } else { ExitCode::SUCCESS }
}

/// The findings, as they are printed.
struct Report<'a> {
    findings: &'a [Finding],
    /// Whether only bad findings are printed.
    quiet: bool,
}

impl Report<'_> {
    fn is_bad(&self) -> bool {
        self.findings.iter().any(|finding| mark(finding) == BAD)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings {
            let mark = mark(finding);
            if self.quiet && mark != BAD {
                continue;
            }
            writeln!(f, "{mark:4} {}: {}", finding.name, finding.detail)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "       remedy: {remedy}")?;
            }
        }
        Ok(())
    }
}

/// The mark of a required thing that is missing.
const BAD: &str = "BAD";

fn mark(finding: &Finding) -> &'static str {
    match (&finding.remedy, finding.required) {
        (None, _) => "ok",
        (Some(_), false) => "weak",
        (Some(_), true) => BAD,
    }
}

async fn find(config: &Config) -> Vec<Finding> {
    let mut findings = vec![toolchain(config), state(config)];
    findings.extend(process_limits(config));
    let options = match config.island_options(None, 0) {
        Ok(options) => unswept(options),
        Err(error) => {
            findings.push(no_islands(&error, "correct the configuration"));
            return findings;
        }
    };
    // A server may be using the addresses. `island::addresses` changes nothing.
    findings.extend(island::addresses(&Pools::new(config.network.pools())).await);
    match choose(options.clone()).await {
        Ok(backend) => {
            findings.extend(backend.findings());
            findings.push(trial(backend.clone(), config.limits.build_memory.get()).await);
            backend.close().await;
        }
        Err(error) => {
            complain(&error);
            findings.extend(island::findings(&options).await);
            findings.push(no_islands(&error, "see the findings above, or run as root"));
        }
    }
    import_first(&mut findings);
    findings
}

/// Where the pool is not imported, Go may be in it: the pool's remedy comes before another
/// installation.
fn import_first(findings: &mut [Finding]) {
    if findings.iter().any(|finding| finding.name == "pool" && finding.remedy.is_some()) {
        let toolchain = findings.iter_mut().find(|finding| finding.name == "toolchain");
        if let Some(remedy) = toolchain.and_then(|finding| finding.remedy.as_mut()) {
            *remedy = "import the pool (below), which may have Go; then check again".into();
        }
    }
}

/// Options that leave the islands and addresses of a running server alone.
fn unswept(mut options: Options) -> Options {
    options.pools = Pools::default();
    if let Some(jails) = &mut options.jails {
        jails.sweep = false;
    }
    options
}

fn no_islands(error: &dyn std::error::Error, remedy: &str) -> Finding {
    let (detail, remedy) = (error.to_string(), Some(remedy.to_owned()));
    Finding { name: "islands", detail, remedy, required: true }
}

/// Makes one island with the limits of a build and runs a program of the host on it.
async fn trial(backend: std::sync::Arc<dyn Backend>, memory: u64) -> Finding {
    let rights =
        ToolRights { purpose: Purpose::Build, binds: Vec::new(), overlay: None, background: false };
    let resources =
        Resources { memory, processes: BUILD_PROCESSES, processor_time: None, tmp: 0, disk: None };
    let bounds = Bounds { deadline: Duration::from_secs(10), output: 4096 };
    let spec = Spec {
        setup: Setup { rights: Rights::Tool(rights), resources, address: None },
        bounds,
        program: Program::Path("/usr/bin/true".into()),
        args: vec!["true".into()],
        env: Vec::new(),
        folder: "/".into(),
        stdin: Vec::new(),
        arguments: None,
        label: Label::default(),
    };
    let began = Instant::now();
    let result = Islands::new(backend).run(&spec).await;
    let (detail, good) = match result {
        Ok(outcome) if outcome.ending == Ending::Exited(0) => {
            (format!("an island was made, used and removed in {:.1?}", began.elapsed()), true)
        }
        Ok(outcome) => {
            (format!("/usr/bin/true on an island ended with {:?}", outcome.ending), false)
        }
        Err(error) => (error.to_string(), false),
    };
    let remedy = (!good).then(|| "see the findings above, or run as root".to_owned());
    Finding { name: "islands", detail, remedy, required: true }
}

/// The limits of this process that are below what islands may have by the configuration.
fn process_limits(config: &Config) -> Vec<Finding> {
    use nix::sys::resource::{Resource as Limit, getrlimit};
    let root = nix::unistd::getuid().is_root();
    let wanted = [
        (Limit::RLIMIT_NOFILE, "open files", "-n", OPEN_FILES),
        (Limit::RLIMIT_FSIZE, "size of a file", "-f", config.limits.build_size.get()),
        (
            Limit::RLIMIT_NPROC,
            "processes of this user",
            "-u",
            config.limits.processes + BUILD_PROCESSES,
        ),
    ];
    let found = wanted.into_iter().filter(|(limit, ..)| !root || *limit != Limit::RLIMIT_NPROC);
    let read = found.filter_map(|(limit, name, flag, wanted)| {
        let (_, hard) = getrlimit(limit).ok()?;
        // FreeBSD's numbers of limits are signed.
        #[allow(clippy::unnecessary_cast)]
        low_limit(name, flag, hard as u64, wanted)
    });
    read.collect()
}

fn low_limit(name: &'static str, flag: &str, hard: u64, wanted: u64) -> Option<Finding> {
    (hard < wanted).then(|| Finding {
        name: "process limits",
        detail: format!(
            "{name}: this process may have {hard}, islands may want {wanted}; they get {hard}"
        ),
        remedy: Some(format!("raise the hard limit (ulimit -H {flag}, LimitNOFILE= and the like of systemd) to {wanted}")),
        required: false,
    })
}

fn toolchain(config: &Config) -> Finding {
    let (detail, remedy) = match Toolchain::find(config.go_command().as_deref()) {
        Ok(found) => (format!("Go {} at {}", found.version(), found.goroot().display()), None),
        Err(error) => (error.to_string(), Some(error.remedy().to_owned())),
    };
    Finding { name: "toolchain", detail, remedy, required: true }
}

fn state(config: &Config) -> Finding {
    let path = config.state_dir();
    let made = std::fs::create_dir_all(&path).and_then(|()| {
        let probe = path.join(format!(".check-{}", std::process::id()));
        std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(probe))
    });
    let remedy = made.err().map(|error| format!("set state_dir to a writable folder ({error})"));
    Finding { name: "state", detail: path.display().to_string(), remedy, required: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &'static str, remedy: Option<&str>, required: bool) -> Finding {
        Finding { name, detail: "detail".into(), remedy: remedy.map(Into::into), required }
    }

    #[test]
    fn go_is_not_installed_again_where_the_pool_is_not_imported() {
        let toolchain = || finding("toolchain", Some("run `sky-island init`"), true);
        for (pool, expected) in [(Some("import it"), "import"), (None, "init")] {
            let mut findings = [toolchain(), finding("pool", pool, true)];
            import_first(&mut findings);
            let remedy = findings[0].remedy.as_ref().unwrap();
            assert!(remedy.contains(expected), "{remedy}");
        }
        let mut well = [finding("toolchain", None, true), finding("pool", Some("import"), true)];
        import_first(&mut well);
        assert_eq!(well[0].remedy, None);
    }

    #[test]
    fn a_limit_of_this_process_that_islands_want_more_than_is_named() {
        assert_eq!(low_limit("open files", "-n", 1024, 1024), None);
        let low = low_limit("open files", "-n", 256, 1024).unwrap();
        assert!(low.detail.contains("256") && low.detail.contains("1024"), "{}", low.detail);
        assert!(low.remedy.unwrap().contains("-H -n"));
    }

    #[test]
    fn a_quiet_report_has_only_bad_findings() {
        let mut findings = vec![
            finding("namespaces", None, true),
            finding("files", Some("a newer kernel"), false),
        ];
        let well = Report { findings: &findings, quiet: true };
        assert_eq!((well.to_string().as_str(), well.is_bad()), ("", false));
        let full = Report { findings: &findings, quiet: false }.to_string();
        assert!(full.contains("ok   namespaces") && full.contains("weak files"), "{full}");
        findings.push(finding("toolchain", Some("install Go"), true));
        let bad = Report { findings: &findings, quiet: true };
        assert_eq!(bad.to_string(), "BAD  toolchain: detail\n       remedy: install Go\n");
        assert!(bad.is_bad());
    }
}
