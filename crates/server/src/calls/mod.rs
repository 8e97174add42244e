//! One call, stage by stage: queue, fetch, build, start, run.

mod failure;
mod fields;
mod load;
mod request;
mod warm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

pub use failure::{Code, Failure, Fault, Stage};
pub use fields::from_json;
pub use load::Load;
pub use request::{CallRequest, FunctionRequest};
pub use warm::Warmed;

use host::net::{Lease, Withdrawals};
use island::{Ending, Function, Label, Limits, Outcome, Spec, WarmPool};

use self::load::Waiting;
use crate::compile::{BuildRequest, Builder, Built};
use crate::source::Revision;
use crate::source::Sources;

/// How long a call that finds no address free waits for one of an island that has just ended. One that is in use for
/// longer is not waited for.
const RETURN_WAIT: Duration = Duration::from_millis(500);

/// Runs calls.
pub struct CallService {
    sources: Arc<Sources>,
    builder: Arc<Builder>,
    warm_pool: WarmPool,
    addresses: Withdrawals,
    terms: ArcSwap<CallPolicy>,
    /// Calls in the server at once.
    admission: Semaphore,
    /// Functions that run at once.
    running: Arc<Semaphore>,
    waiting: Waiting,
    capacity: Capacity,
}

/// What can be changed while there are calls; each keeps those that it began with.
struct CallPolicy {
    /// Of a function's island.
    limits: Limits,
    /// How long a call waits to run.
    wait: Duration,
}

/// How many calls there may be.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// In the server at once, waiting or not.
    pub calls: usize,
    /// Running at once.
    pub running: usize,
    /// How long a call waits to run.
    pub wait: Duration,
}

/// What a call answers.
#[derive(Debug)]
pub struct Reply {
    /// What the function printed, then what fmt.Print prints of its results.
    pub data: Vec<u8>,
    /// What ran.
    pub revision: Revision,
}

/// Where a call's time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Waiting for a turn.
    pub queue: Duration,
    /// Finding the source, or waiting for it.
    pub fetch: Duration,
    /// Finding the artifact, or waiting for it.
    pub build: Duration,
    /// Until an address and an island had been found and the program sent to it.
    pub start: Duration,
    /// Until the program had answered, or the island had ended.
    pub run: Duration,
}

/// How a call went.
#[derive(Clone, Debug, Default)]
pub struct CallTrace {
    /// Where its time went.
    pub times: Times,
    /// What its version means, as soon as that is known.
    pub revision: Option<Revision>,
    /// Whether the island that it ran on had stood by for it.
    pub warm: bool,
}

impl Times {
    /// The stages and their times, in order.
    pub fn stages(&self) -> [(Stage, Duration); 5] {
        [
            (Stage::Queue, self.queue),
            (Stage::Fetch, self.fetch),
            (Stage::Build, self.build),
            (Stage::Start, self.start),
            (Stage::Run, self.run),
        ]
    }
}

impl CallService {
    /// Puts the parts together.
    pub fn new(
        sources: Arc<Sources>,
        builder: Arc<Builder>,
        warm_pool: WarmPool,
        addresses: Withdrawals,
        limits: Limits,
        capacity: Capacity,
    ) -> Self {
        let admission = Semaphore::new(capacity.calls);
        let (running, waiting) = (Arc::new(Semaphore::new(capacity.running)), Waiting::default());
        let terms = ArcSwap::from_pointee(CallPolicy { limits, wait: capacity.wait });
        Self {
            sources,
            builder,
            warm_pool,
            addresses,
            terms,
            admission,
            running,
            capacity,
            waiting,
        }
    }

    /// Functions have other limits, and wait this long for their turn, from the next call on.
    pub fn change(&self, limits: Limits, wait: Duration) {
        self.terms.store(Arc::new(CallPolicy { limits, wait }));
    }

    /// The islands that stand by.
    pub fn warm_pool(&self) -> &WarmPool {
        &self.warm_pool
    }

    /// Ends what stands by for calls to come.
    pub fn close(&self) {
        self.warm_pool.close();
    }

    /// Runs one call. `trace` is filled as far as it gets.
    pub async fn invoke(
        &self,
        call: &CallRequest,
        trace: &mut CallTrace,
    ) -> Result<Reply, Failure> {
        let Ok(_admitted) = self.admission.try_acquire() else {
            return Err(Failure::new(
                Code::Busy,
                Stage::Queue,
                "the server has all the calls that it takes",
            ));
        };
        if call.ip4 {
            self.warm_pool
                .islands()
                .backend()
                .capabilities()
                .addresses
                .map_err(failure::of_network)?;
        }
        let terms = self.terms.load_full();
        let began = Instant::now();
        let found = self.sources.find(&call.want, call.cache_bust).await;
        trace.times.fetch = began.elapsed();
        let checkout = found.map_err(failure::of_source)?;

        let began = Instant::now();
        let revision = checkout.revision().clone();
        trace.revision = Some(revision.clone());
        let wanted =
            BuildRequest { checkout, call: call.call.clone(), imports: call.imports.clone() };
        let built = self.builder.find(&wanted, call.cache_bust).await;
        trace.times.build = began.elapsed();
        let mut outcome = self.run(call, built.map_err(failure::of_build)?, &terms, trace).await?;
        if outcome.ending == Ending::Unrepresentable {
            let began = Instant::now();
            let exact = self.builder.find_exact(&wanted, call.cache_bust).await;
            trace.times.build += began.elapsed();
            outcome = self.run(call, exact.map_err(failure::of_build)?, &terms, trace).await?;
        }
        match outcome.ending {
            Ending::Exited(0) => Ok(Reply { data: outcome.stdout, revision }),
            _ => Err(failure::of_run(&outcome, &terms.limits)),
        }
    }

    /// Waits for a turn and runs a program once. A turn may outlast its answer: no more calls are taken on than islands
    /// can be ended.
    async fn run(
        &self,
        call: &CallRequest,
        built: Built,
        terms: &CallPolicy,
        trace: &mut CallTrace,
    ) -> Result<Outcome, Failure> {
        let times = &mut trace.times;
        let began = Instant::now();
        let permit = self.turn(terms.wait).await;
        times.queue += began.elapsed();
        let Some(permit) = permit else {
            let detail = format!("no function ended within {:?} to make room", terms.wait);
            return Err(Failure::new(Code::Busy, Stage::Queue, detail));
        };
        let (mut function, mut spec) = self.island(call, built, terms);
        if call.ip4 {
            let began = Instant::now();
            let lease = self.lease().await;
            times.start += began.elapsed();
            spec.setup.address = Some(Arc::new(lease?));
            // An island gets its address before its program starts.
            function = None;
        }
        let outcome = self.warm_pool.call(function.as_ref(), &spec, permit).await;
        let outcome = outcome.map_err(failure::of_start)?;
        times.start += outcome.start;
        times.run += outcome.run;
        trace.warm = outcome.warm;
        Ok(outcome)
    }

    /// How a call's island is made and what it is called with, and what may stand by for the next one.
    fn island(
        &self,
        call: &CallRequest,
        built: Built,
        terms: &CallPolicy,
    ) -> (Option<Function>, Spec) {
        let mut spec = Spec::function(built.artifact.program(), terms.limits.clone());
        spec.arguments = Some(built.arguments);
        spec.label = Label { module: Some(call.want.path.as_str().into()), call: call.id };
        let function = built.name.map(|name| {
            let version = call.want.version.as_ref().map_or("", |version| version.as_str());
            let name = [call.want.path.as_str(), version, &name].join("\n");
            Function { name, artifact: built.artifact.id().to_owned() }
        });
        (function, spec)
    }

    /// An address, for a call whose turn it is: nobody who waits for a turn keeps one from others.
    async fn lease(&self) -> Result<Lease, Failure> {
        self.addresses.refresh();
        let pools = self.addresses.pools();
        let lease = pools.lease_within(pools.family(), RETURN_WAIT).await;
        lease.map_err(|none| Failure::new(Code::NoAddress, Stage::Start, none.to_string()))
    }
}
