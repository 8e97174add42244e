//! One admitted call, stage by stage: fetch, build, queue, start, run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host::net::{Lease, Withdrawals};
use island::{Ending, Function, Label, Outcome, Spec, WarmPool};
use tokio_util::sync::CancellationToken;

use crate::calls::admission::Admission;
use crate::calls::deadline::Deadline;
use crate::calls::failure::{self, Failure};
use crate::calls::policy::CallPolicy;
use crate::calls::request::AdmittedCall;
use crate::calls::stage::Stage;
use crate::calls::trace::CallTrace;
use crate::compile::{BuildError, BuildRequest, Builder, Built};
use crate::principal::Client;
use crate::source::{Revision, Sources};

/// How long a call waits when no address is free: an island that has just ended returns its address
/// within this time.
const RETURN_WAIT: Duration = Duration::from_millis(500);

/// The parts of the server that run calls.
pub(super) struct CallParts {
    pub(super) sources: Arc<Sources>,
    pub(super) builder: Arc<Builder>,
    pub(super) warm_pool: WarmPool,
    pub(super) addresses: Withdrawals,
}

/// The output of a call that succeeded.
pub(super) struct CallOutput {
    pub(super) revision: Revision,
    pub(super) data: Vec<u8>,
}

/// A running call. Its trace is kept however far the call gets.
pub(super) struct Execution<'a> {
    parts: &'a CallParts,
    admission: &'a Admission,
    call: &'a AdmittedCall,
    policy: Arc<CallPolicy>,
    deadline: Deadline,
    /// Cancelled when the client has hung up.
    gone: &'a CancellationToken,
    trace: CallTrace,
}

impl<'a> Execution<'a> {
    /// A call that begins now, under this policy.
    pub(super) fn new(
        parts: &'a CallParts,
        admission: &'a Admission,
        call: &'a AdmittedCall,
        policy: Arc<CallPolicy>,
        gone: &'a CancellationToken,
    ) -> Self {
        let deadline = Deadline::after(policy.timeout);
        Self { parts, admission, call, policy, deadline, gone, trace: CallTrace::default() }
    }

    /// The client whose share the call counts against.
    fn client(&self) -> Client {
        self.call.principal.client()
    }

    /// Fails where the client has hung up.
    fn is_wanted(&self, stage: Stage) -> Result<(), Failure> {
        if self.gone.is_cancelled() { Err(failure::abandoned(stage)) } else { Ok(()) }
    }

    /// The trace of the call so far.
    pub(super) fn into_trace(self) -> CallTrace {
        self.trace
    }

    /// Whether the call's island gets an address.
    pub(super) fn has_address(&self) -> bool {
        self.call.request.ip4
    }

    /// Runs the call to its end.
    pub(super) async fn run(&mut self) -> Result<CallOutput, Failure> {
        if self.has_address() {
            let backend = self.parts.warm_pool.islands().backend();
            backend.capabilities().addresses.map_err(failure::of_network)?;
        }
        let (request, built) = self.program().await?;
        let revision = request.checkout.revision().clone();
        let mut outcome = self.execute(built).await?;
        if outcome.ending == Ending::Unrepresentable {
            // The function's parameters cannot hold the arguments, so the call is compiled in its
            // exact form.
            let built = self.build_exact(&request).await?;
            outcome = self.execute(built).await?;
        }
        match outcome.ending {
            Ending::Exited(0) => Ok(CallOutput { revision, data: outcome.stdout }),
            _ => Err(failure::of_run(&outcome, &self.policy)),
        }
    }

    /// Finds the source and a program for the call. Source that the disk has damaged is fetched
    /// again, once.
    pub(super) async fn program(&mut self) -> Result<(BuildRequest, Built), Failure> {
        let request = self.fetch().await?;
        match self.build(&request).await {
            Err(failure) if failure::is_of_damage(&failure) => {}
            built => return Ok((request, built?)),
        }
        let key = request.checkout.key();
        tracing::error!(key, "the source is damaged on disk and is fetched again");
        self.parts.sources.forget(key);
        let request = self.fetch().await?;
        let built = self.build(&request).await?;
        Ok((request, built))
    }

    /// Finds the source.
    pub(super) async fn fetch(&mut self) -> Result<BuildRequest, Failure> {
        self.is_wanted(Stage::Fetch)?;
        let began = Instant::now();
        let request = &self.call.request;
        let found = self.parts.sources.find(self.client(), &request.package, request.cache_bust);
        let found = self.deadline.bound(Stage::Fetch, found).await;
        self.trace.times.fetch = began.elapsed();
        let checkout = found?.map_err(failure::of_source)?;
        self.trace.revision = Some(checkout.revision().clone());
        let (call, imports) = (request.call.clone(), request.imports.clone());
        Ok(BuildRequest { checkout, call, imports })
    }

    /// Finds a program for the call.
    pub(super) async fn build(&mut self, request: &BuildRequest) -> Result<Built, Failure> {
        self.is_wanted(Stage::Build)?;
        let find = self.parts.builder.find(self.client(), request, self.call.request.cache_bust);
        self.built(find).await
    }

    /// Finds the program of the call in its exact form.
    async fn build_exact(&mut self, request: &BuildRequest) -> Result<Built, Failure> {
        let find =
            self.parts.builder.find_exact(self.client(), request, self.call.request.cache_bust);
        self.built(find).await
    }

    /// Finds the call's program again. A program that was built a moment ago is not built again for
    /// `cache_bust`.
    pub(super) async fn build_again(&mut self, request: &BuildRequest) -> Result<Built, Failure> {
        let find = self.parts.builder.find(self.client(), request, false);
        self.built(find).await
    }

    async fn built(
        &mut self,
        find: impl Future<Output = Result<Built, Arc<BuildError>>>,
    ) -> Result<Built, Failure> {
        let began = Instant::now();
        let built = self.deadline.bound(Stage::Build, find).await;
        self.trace.times.build += began.elapsed();
        built?.map_err(failure::of_build)
    }

    /// Waits for an execution slot and runs the program once. The slot is free with the answer, or,
    /// where many islands are still ending, with the end of this call's island: calls cannot start
    /// islands faster than islands end.
    async fn execute(&mut self, built: Built) -> Result<Outcome, Failure> {
        let began = Instant::now();
        let package = &self.call.request.package.path;
        let slot = self.admission.slot(self.client(), package, self.policy.queue_wait);
        let slot = self.gone.run_until_cancelled(self.deadline.bound(Stage::Queue, slot)).await;
        self.trace.times.queue += began.elapsed();
        let slot = slot.ok_or_else(|| failure::abandoned(Stage::Queue))???;
        let (mut function, mut spec) = self.island(built);
        if self.has_address() {
            let began = Instant::now();
            let lease = self.deadline.bound(Stage::Start, self.lease()).await;
            self.trace.times.start += began.elapsed();
            spec.setup.address = Some(Arc::new(lease??));
            // An island gets its address before its program starts, so no warm island serves this
            // call.
            function = None;
        }
        let outcome = self.parts.warm_pool.call(function.as_ref(), &spec, slot);
        let outcome = self.deadline.bound(Stage::Run, outcome).await?;
        let outcome = outcome.map_err(failure::of_start)?;
        self.trace.times.start += outcome.start;
        self.trace.times.run += outcome.run;
        self.trace.warm = outcome.warm;
        Ok(outcome)
    }

    /// The function whose warm islands can serve the call, and the spec of the call's island.
    pub(super) fn island(&self, built: Built) -> (Option<Function>, Spec) {
        let package = &self.call.request.package;
        let mut spec = Spec::function(built.artifact.program(), self.policy.limits.clone());
        spec.arguments = Some(built.arguments);
        let module = Some(package.path.as_str().into());
        spec.label = Label { module, call: Some(self.call.id.uuid()) };
        let function = built.name.map(|name| {
            let version = package.version.as_ref().map_or("", |version| version.as_str());
            let name = [package.path.as_str(), version, &name].join("\n");
            Function { name, artifact: built.artifact.id().to_owned() }
        });
        (function, spec)
    }

    /// Leases an address. Only a call with an execution slot does so: a waiting call holds no
    /// address.
    async fn lease(&self) -> Result<Lease, Failure> {
        let addresses = &self.parts.addresses;
        addresses.refresh();
        let pools = addresses.pools();
        pools.lease_within(pools.family(), RETURN_WAIT).await.map_err(failure::of_lease)
    }
}
