//! What a run of the bench is told by its environment, and what it does otherwise.

use std::path::PathBuf;
use std::time::Duration;

/// How much is measured. Every number has an environment variable.
pub(crate) struct Settings {
    /// The figures to measure, `BENCH_ONLY`.
    only: Option<Vec<u8>>,
    /// Cached calls of each kind, `BENCH_CALLS`.
    pub(crate) calls: usize,
    /// Blocks that these are divided into, `BENCH_BLOCKS`.
    pub(crate) blocks: usize,
    /// A configuration for the servers, `BENCH_CONFIG`.
    pub(crate) config: Option<PathBuf>,
    /// Calls with new arguments, `BENCH_ARGUMENTS`.
    pub(crate) arguments: usize,
    /// Seconds of one window of saturation, `BENCH_SECONDS`.
    pub(crate) window: Duration,
    /// Windows of each kind, `BENCH_WINDOWS`.
    pub(crate) windows: usize,
    /// First calls of functions, and of modules, `BENCH_BUILDS`.
    pub(crate) builds: usize,
    /// Artifacts in a full cache, `BENCH_ARTIFACTS`.
    pub(crate) artifacts: usize,
    /// Starts of the server, `BENCH_STARTS`.
    pub(crate) starts: usize,
    /// Clients at once, `BENCH_CROWD`.
    pub(crate) crowd: usize,
    /// Seconds with them, `BENCH_CROWD_SECONDS`.
    pub(crate) crowd_time: Duration,
    /// Seconds of watching an idle server, `BENCH_IDLE_SECONDS`.
    pub(crate) idle_time: Duration,
    /// Whether to stay away from the network, `SKY_ISLAND_OFFLINE=1`.
    pub(crate) offline: bool,
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn read() -> Result<Self, String> {
        let only = match std::env::var("BENCH_ONLY") {
            Ok(text) => Some(figures(&text)?),
            Err(_) => None,
        };
        let seconds =
            |name, usual| Ok::<_, String>(Duration::from_secs(number(name, usual)? as u64));
        Ok(Self {
            only,
            calls: number("BENCH_CALLS", 1000)?,
            blocks: number("BENCH_BLOCKS", 10)?,
            config: std::env::var_os("BENCH_CONFIG").map(PathBuf::from).or_else(prepared),
            arguments: number("BENCH_ARGUMENTS", 2000)?,
            window: seconds("BENCH_SECONDS", 2)?,
            windows: number("BENCH_WINDOWS", 4)?,
            builds: number("BENCH_BUILDS", 10)?,
            artifacts: number("BENCH_ARTIFACTS", 10_000)?,
            starts: number("BENCH_STARTS", 7)?,
            crowd: number("BENCH_CROWD", 1000)?,
            crowd_time: seconds("BENCH_CROWD_SECONDS", 30)?,
            idle_time: seconds("BENCH_IDLE_SECONDS", 10)?,
            offline: std::env::var_os("SKY_ISLAND_OFFLINE").is_some_and(|value| value == "1"),
        })
    }

    /// Whether a figure is to be measured.
    pub(crate) fn wants(&self, figure: u8) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&figure))
    }
}

/// The configuration of a FreeBSD host that init has prepared, without which there are no islands.
fn prepared() -> Option<PathBuf> {
    let path = PathBuf::from("/usr/local/etc/sky-island/config.json");
    (cfg!(target_os = "freebsd") && path.exists()).then_some(path)
}

fn number(name: &str, usual: usize) -> Result<usize, String> {
    let Ok(text) = std::env::var(name) else { return Ok(usual) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{name}: {text:?} is no number of at least 1")),
    }
}

fn figures(text: &str) -> Result<Vec<u8>, String> {
    let one = |part: &str| match part.trim().parse() {
        Ok(figure @ 1..=9) => Ok(figure),
        _ => Err(format!("BENCH_ONLY: {part:?} is no figure from 1 to 9, such as in 1,3")),
    };
    text.split(',').map(one).collect()
}
