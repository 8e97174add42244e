//! The call service: runs the calls of all callers (HTTP, the command line), each from its id to
//! its report.
//!
//! Invariants: each request gets an id and is reported once. A function that has begun runs to its
//! end, even when its client disconnects; a call that has not begun then is dropped. When the
//! server is forced to stop, its calls end, and their islands with them.

use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use host::net::Withdrawals;
use island::{Islands, WarmPool};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::admission::{Admission, Load};
use crate::calls::execution::{CallOutput, CallParts, Execution};
use crate::calls::failure::Failure;
use crate::calls::id::CallId;
use crate::calls::phase::Phase;
use crate::calls::policy::{CallPolicy, Capacity};
use crate::calls::report::{self, Report};
use crate::calls::request::{AdmittedCall, CallRequest};
use crate::calls::sink::Sink;
use crate::calls::stage::Stage;
use crate::calls::trace::{CallTrace, Times};
use crate::calls::warm::{self, Warmed};
use crate::compile::Builder;
use crate::metrics::Metrics;
use crate::principal::Principal;
use crate::source::{Revision, Sources};

/// Runs calls.
pub struct CallService {
    parts: CallParts,
    admission: Admission,
    policy: ArcSwap<CallPolicy>,
    metrics: Metrics,
    phase: Phase,
    /// Running calls, which outlive their clients' connections.
    tasks: TaskTracker,
}

/// How a call ended.
#[derive(Debug)]
pub struct Finished<S> {
    /// The call's id.
    pub id: CallId,
    /// The answer, or the failure.
    pub result: Result<Reply<S>, Failure>,
    /// The trace of the call.
    pub trace: CallTrace,
}

/// The answer of a call that succeeded.
#[derive(Debug)]
pub struct Reply<S> {
    /// The revision that ran.
    pub revision: Revision,
    /// The sink with the output.
    pub output: S,
}

/// The task of a call ended without a result.
#[derive(Debug, thiserror::Error)]
#[error("the call's task panicked; the log has the place")]
struct Lost;

/// The result of a call. Cancels `gone` when the client hangs up, which ends a call that has not
/// begun.
async fn unless_abandoned<T, S>(
    call: impl Future<Output = T>,
    waiting: &mut oneshot::Sender<Finished<S>>,
    gone: &CancellationToken,
) -> T {
    let mut call = pin!(call);
    tokio::select! {
        biased;
        ran = &mut call => return ran,
        () = waiting.closed() => gone.cancel(),
    }
    call.await
}

impl CallService {
    /// A service that runs calls with these parts.
    pub fn new(
        sources: Arc<Sources>,
        builder: Arc<Builder>,
        warm_pool: WarmPool,
        addresses: Withdrawals,
        policy: CallPolicy,
        capacity: Capacity,
        metrics: Metrics,
    ) -> Self {
        Self {
            parts: CallParts { sources, builder, warm_pool, addresses },
            admission: Admission::new(capacity),
            policy: ArcSwap::from_pointee(policy),
            metrics,
            phase: Phase::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs a call to its end. Its output goes to `sink`, which is part of the answer. Dropping the
    /// future drops the wait, not the call.
    pub async fn run<S: Sink>(
        self: &Arc<Self>,
        principal: Principal,
        request: CallRequest,
        sink: S,
    ) -> Finished<S> {
        if self.phase.is_draining() {
            return self.refuse(principal, Failure::draining(Stage::Request));
        }
        let id = CallId::mint();
        let (ended, finished) = oneshot::channel();
        let call = AdmittedCall { id, principal, request };
        self.tasks.spawn(self.clone().work(call, sink, ended));
        finished.await.unwrap_or_else(|_| {
            let failure = Failure::internal(Stage::Run, Arc::new(Lost));
            report::lost(&self.metrics, id, principal, &failure);
            Finished { id, result: Err(failure), trace: CallTrace::default() }
        })
    }

    /// Mints an id for a request that cannot become a call, and reports the request.
    pub fn refuse<S>(&self, principal: Principal, failure: Failure) -> Finished<S> {
        let id = CallId::mint();
        report::refused(&self.metrics, id, principal, &failure);
        Finished { id, result: Err(failure), trace: CallTrace::default() }
    }

    /// Fetches, compiles and keeps islands warm for a call to come, without calling the function.
    pub async fn warm(
        self: &Arc<Self>,
        principal: Principal,
        request: CallRequest,
    ) -> Result<(Warmed, Times), Failure> {
        if self.phase.is_draining() {
            return Err(Failure::draining(Stage::Request));
        }
        let call = AdmittedCall { id: CallId::mint(), principal, request };
        let service = self.clone();
        let work = async move {
            let _place = service.admission.admit(principal.client())?;
            let policy = service.policy.load_full();
            // An operator who hangs up wants the islands to be warm all the same.
            let gone = CancellationToken::new();
            let execution =
                Execution::new(&service.parts, &service.admission, &call, policy, &gone);
            let warmed = warm::prepare(execution, &service.parts.warm_pool);
            let warmed = service.phase.unless_forced(warmed).await;
            warmed.unwrap_or_else(|| Err(Failure::draining(Stage::Run)))
        };
        let done = tokio::spawn(self.tasks.track_future(work)).await;
        done.unwrap_or_else(|_| Err(Failure::internal(Stage::Run, Arc::new(Lost))))
    }

    /// Runs a call, hands its answer over, and then reports the call.
    async fn work<S: Sink>(
        self: Arc<Self>,
        call: AdmittedCall,
        mut sink: S,
        mut waiting: oneshot::Sender<Finished<S>>,
    ) {
        let (policy, gone) = (self.policy.load_full(), CancellationToken::new());
        let mut execution = Execution::new(&self.parts, &self.admission, &call, policy, &gone);
        let ran = async {
            let _place = self.admission.admit(call.principal.client())?;
            execution.run().await
        };
        // A call that is dropped kills its island.
        let ran = unless_abandoned(self.phase.unless_forced(ran), &mut waiting, &gone).await;
        let ran = ran.unwrap_or_else(|| Err(Failure::draining(Stage::Run)));
        let trace = execution.into_trace();
        let failure = ran.as_ref().err().cloned();
        let result = ran.map(|CallOutput { revision, data }| {
            sink.data(data);
            Reply { revision, output: sink }
        });
        // The receiver is gone if the client has disconnected.
        let _ = waiting.send(Finished { id: call.id, result, trace: trace.clone() });
        // The task that waits for the answer runs before the report.
        tokio::task::yield_now().await;
        let (module, failure) = (&call.request.package.path, failure.as_ref());
        let AdmittedCall { id, principal, .. } = call;
        Report { id, principal, module, trace: &trace, failure }.write(&self.metrics);
    }

    /// Sets the policy of the calls that begin from now on.
    pub fn change(&self, policy: CallPolicy) {
        self.policy.store(Arc::new(policy));
    }

    /// The policy of the next call.
    #[cfg(test)]
    pub(crate) fn policy(&self) -> Arc<CallPolicy> {
        self.policy.load_full()
    }

    /// The phase of the server.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Waits until no call runs, including calls that begin in the meantime.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends the warm islands.
    pub fn close(&self) {
        self.parts.warm_pool.close();
    }

    /// The load now.
    pub fn load(&self) -> Load {
        self.admission.load()
    }

    /// The warm islands.
    pub fn warm_pool(&self) -> &WarmPool {
        &self.parts.warm_pool
    }

    /// The islands.
    pub fn islands(&self) -> &Islands {
        self.parts.warm_pool.islands()
    }

    /// The address pools, and the addresses that an operator has withdrawn.
    pub fn addresses(&self) -> &Withdrawals {
        &self.parts.addresses
    }

    /// The checkouts.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.parts.sources
    }

    /// The artifacts.
    pub fn builder(&self) -> &Arc<Builder> {
        &self.parts.builder
    }
}
