//! The janitor against chores that fail in every pattern.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

const FAST: CallRate = CallRate {
    first: Duration::from_micros(100),
    longest: Duration::from_millis(1),
    attempt: Duration::from_millis(100),
    told: Duration::from_secs(30),
};
/// More than any test here takes.
const LONG: Duration = Duration::from_secs(20);

/// What the k-th attempt of a step does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Fail,
    Panic,
    Hang,
}

#[derive(Debug, thiserror::Error)]
#[error("not yet")]
struct NotYet;

type Log = Arc<Mutex<Vec<(usize, usize)>>>;

/// A chore whose steps do these things before they succeed, and note their success.
fn resources(step: usize, steps: Vec<Vec<Act>>, log: &Log, under_way: &Arc<Peak>) -> Steps {
    steps.into_iter().enumerate().fold(Steps::new(), |resources, (index, acts)| {
        let mut acts = acts.into_iter();
        let (log, under_way) = (log.clone(), under_way.clone());
        resources.then("a step", move || {
            let (act, log, under_way) = (acts.next(), log.clone(), under_way.clone());
            async move {
                let _inside = under_way.enter();
                tokio::task::yield_now().await;
                match act {
                    None => log.lock().push((step, index)),
                    Some(Act::Fail) => return Err(NotYet),
                    // Without the message that a panic of its own would print.
                    Some(Act::Panic) => std::panic::resume_unwind(Box::new("on purpose")),
                    Some(Act::Hang) => std::future::pending().await,
                }
                Ok(())
            }
        })
    })
}

/// How many are inside at once, and were at most.
#[derive(Default)]
struct Peak {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Inside(Arc<Peak>);

impl Peak {
    fn enter(self: &Arc<Self>) -> Inside {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Inside(self.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![8 => Just(Act::Fail), 2 => Just(Act::Panic), 1 => Just(Act::Hang)];
    proptest::collection::vec(act, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever fails, panics or hangs, and wherever the janitor is let go of.
    #[test]
    fn every_chore_ends_done_each_step_once_and_in_order(
        steps in proptest::collection::vec(proptest::collection::vec(acts(), 1..5), 1..8),
        at_once in 1..4usize,
        dropped in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (log, peak) = (Log::default(), Arc::<Peak>::default());
        runtime.block_on(async {
            let pace = CallRate { attempt: Duration::from_millis(2), ..FAST };
            let janitor = Janitor::with(pace, at_once);
            for (number, steps) in steps.iter().enumerate() {
                janitor.give(number, resources(number, steps.clone(), &log, &peak));
            }
            assert_eq!(janitor.list(), (0..steps.len()).collect::<Vec<_>>());
            let inner = janitor.inner.clone();
            if dropped {
                tokio::task::yield_now().await;
                drop(janitor);
            }
            let mut left = inner.left.subscribe();
            let done = tokio::time::timeout(LONG, left.wait_for(|left| *left == 0)).await;
            assert!(done.is_ok(), "left: {:?}", inner.names.lock());
        });
        let log = log.lock();
        for (number, steps) in steps.iter().enumerate() {
            let done: Vec<_> = log.iter().filter(|(step, _)| *step == number).collect();
            let expected: Vec<_> = (0..steps.len()).map(|step| (number, step)).collect();
            prop_assert_eq!(done, expected.iter().collect::<Vec<_>>());
        }
        prop_assert!(peak.most.load(Ordering::SeqCst) <= at_once);
    }
}

#[tokio::test]
async fn one_that_waits_takes_no_turn_from_the_others() {
    let janitor = Janitor::with(FAST, 1);
    let stuck = Steps::new().then("stuck", || async { Err::<(), _>(NotYet) });
    janitor.give("stuck", stuck);
    tokio::time::sleep(Duration::from_millis(2)).await;
    for _ in 0..20 {
        janitor.give("free", Steps::new().then("free", || async { Ok::<(), NotYet>(()) }));
    }
    let mut left = janitor.inner.left.subscribe();
    tokio::time::timeout(LONG, left.wait_for(|left| *left == 1)).await.unwrap().unwrap();
    assert_eq!(janitor.list(), ["stuck"]);
}

#[tokio::test]
async fn a_drain_tries_at_once_what_would_wait_and_tells_what_stays() {
    let slow = CallRate { first: LONG, longest: LONG, ..FAST };
    let janitor = Janitor::with(slow, 2);
    let attempts = Arc::new(AtomicU32::new(0));
    let count = attempts.clone();
    janitor.give(
        "second time",
        Steps::new().then("a step", move || {
            let attempt = count.fetch_add(1, Ordering::SeqCst);
            async move { if attempt == 0 { Err(NotYet) } else { Ok(()) } }
        }),
    );
    janitor.give("never", Steps::new().then("never", || async { Err::<(), _>(NotYet) }));
    while attempts.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let began = Instant::now();
    assert_eq!(janitor.drain(Duration::from_millis(100)).await, ["never"]);
    assert!(began.elapsed() < LONG);
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_chore_can_be_given_from_outside_of_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let janitor = runtime.block_on(async { Janitor::with(FAST, 1) });
    janitor.give(1, Steps::new().then("a step", || async { Ok::<(), NotYet>(()) }));
    assert!(runtime.block_on(janitor.drain(LONG)).is_empty());
}

#[test]
fn waits_double_up_to_the_longest_and_a_lasting_failure_is_told_of_once() {
    let began = Instant::now();
    let mut patience = Patience::new(PACE, began);
    let waits: Vec<_> = (0..12).map(|_| patience.wait().as_millis()).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
    patience.begin_again();
    assert_eq!(patience.wait(), PACE.first);
    let told: Vec<_> = [0, 10, 29, 30, 31, 60, 3600]
        .map(|seconds| patience.runs_out(began + Duration::from_secs(seconds)))
        .into();
    assert_eq!(told, [false, false, false, true, false, false, false]);
}

#[tokio::test]
async fn a_failure_is_told_with_the_step_and_all_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("destroy z/run/a: it is busy")]
    struct Outer(#[source] NotYet);
    let mut resources =
        Steps::new().then("its dataset", || std::future::ready(Err::<(), _>(Outer(NotYet))));
    let failed = resources.attempt().await.unwrap_err();
    assert_eq!(failed.to_string(), "its dataset: destroy z/run/a: it is busy: not yet");
}

/// A chore of steps in the order in which they are to be undone. A step is attempted when those before it
/// are done. Each must be able to meet its own work half done, or done.
#[derive(Default)]
struct Steps {
    steps: VecDeque<Step>,
}

type Step = Box<dyn FnMut() -> BoxFuture<'static, Result<(), StepFailed>> + Send>;

impl Steps {
    /// One without steps.
    fn new() -> Self {
        Self::default()
    }

    /// With one more step after the others. `what` names it in a failure: `destroying its dataset`.
    #[must_use]
    fn then<F, E>(
        mut self,
        what: &'static str,
        mut attempt: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Error,
    {
        self.steps.push_back(Box::new(move || {
            let attempt = attempt();
            Box::pin(async move { attempt.await.map_err(|error| failed(what, &error)) })
        }));
        self
    }
}

impl TeardownStep for Steps {
    fn attempt(&mut self) -> BoxFuture<'_, Result<(), StepFailed>> {
        Box::pin(async move {
            while let Some(step) = self.steps.front_mut() {
                step().await?;
                self.steps.pop_front();
            }
            Ok(())
        })
    }
}

/// A step's error with its causes.
fn failed(what: &str, error: &dyn Error) -> StepFailed {
    StepFailed::new(format!("{what}: {}", common::causes::chain(error)))
}
