//! The parts of a server that fetch and build, on islands of a test.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::fair::Shares;
use island::{Bounds, Islands, Limits, Resources};
use server::compile::{Builder, BuilderOptions, Compiler, GoCache, Toolchain};
use server::principal::{Client, Principal};
use server::source::{
    Fetcher, GatePolicy, Mirror, Origin, Proxies, Reach, Sources, SourcesOptions,
};
use server::store::{Store, Trash};

/// Bytes that a build or a fetch may leave, where that is not what is tried.
pub const ROOM: u64 = 1 << 30;
/// No wait in these tests comes near this.
pub const LONG: Duration = Duration::from_secs(600);
/// Every slot is for the one client.
const ALL: Shares = Shares { slots: 2, per_client: 2 };

/// What the parts are made of.
pub struct PartsOptions<'a> {
    pub islands: &'a Islands,
    /// The state directory.
    pub state: &'a Path,
    /// Our own program, the fetch worker.
    pub program: &'a Path,
    /// The program on build islands.
    pub build_program: &'a Path,
    pub toolchain: &'a Toolchain,
    /// The folder of bare repositories of each of these prefixes.
    pub mirrors: Vec<Mirror>,
    /// Bytes that a build may leave.
    pub size: u64,
    pub replay: bool,
}

/// Sources without a network, and a builder.
pub fn sources_and_builder(options: PartsOptions<'_>) -> (Arc<Sources>, Arc<Builder>) {
    let PartsOptions { islands, state, program, build_program, toolchain, mirrors, size, replay } =
        options;
    let trash = Arc::new(Trash::open(state).expect("scratch and trash"));
    let store = |name| Store::open(state.join(name), trash.clone(), u64::MAX, LONG).expect(name);
    let fetcher = Fetcher {
        islands: islands.clone(),
        trash: trash.clone(),
        program: program.into(),
        goroot: toolchain.goroot().into(),
        env: vec!["GOPROXY=off".into(), "GOSUMDB=off".into()],
        certificates: Vec::new(),
        origins: vec![Origin::Git],
        mirrors,
        gate: Arc::new(GatePolicy::new(Reach::default(), Proxies::of(|_| None))),
        limits: limits(),
        size: ROOM,
    };
    let (expiration, keep, wait) = (LONG, LONG, LONG);
    let bounds = SourcesOptions { state, size: u64::MAX, expiration, keep, fetches: ALL, wait };
    let sources = Sources::open(fetcher, &bounds).expect("the sources");
    let compiler = Compiler {
        islands: islands.clone(),
        trash: trash.clone(),
        program: build_program.into(),
        toolchain: toolchain.clone(),
        limits: limits(),
        size,
        replay,
    };
    let cache = GoCache::new(store("gocache"), toolchain);
    let bounds = BuilderOptions { store: store("artifacts"), builds: ALL, wait };
    (Arc::new(sources), Arc::new(Builder::new(compiler, cache, bounds)))
}

/// The client of all fetches and builds.
pub fn client() -> Client {
    Principal::Admin.client()
}

/// Limits under which an honest build, fetch or function has room, on a busy machine too.
pub fn limits() -> Limits {
    let resources = Resources {
        memory: 1 << 30,
        processes: 256,
        processor_time: None,
        tmp: 8 << 20,
        disk: None,
    };
    let bounds = Bounds { deadline: Duration::from_secs(300), output: 1 << 20 };
    Limits { resources, bounds }
}
