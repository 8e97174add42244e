//! Clones and destroys wait for a transaction group; many of them share one.

use std::time::{Duration, Instant};

use island::IslandId;
use tokio::task::JoinSet;

use super::bench::Bench;

const ISLANDS: usize = 8;
/// Other tests run beside this one, so that one measurement may be a bad one.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn many_roots_at_once_take_less_time_than_one_after_the_other() {
    let Some(bench) = Bench::with_build().await else { return };
    let less = |at_once: Duration, one_by_one: Duration| at_once * 10 < one_by_one * 8;
    for _ in 0..TRIES {
        let islands: Vec<_> = (0..ISLANDS).map(|_| IslandId::mint()).collect();
        let clone = |island: IslandId| {
            let storage = bench.storage.clone();
            async move { drop(storage.tool_root(&island, |_| Ok(())).await.unwrap()) }
        };
        let destroy = |island: IslandId| {
            let storage = bench.storage.clone();
            async move { storage.destroy(&island).await.unwrap() }
        };
        let clones = one_by_one(&islands, clone).await;
        let destroys = one_by_one(&islands, destroy).await;
        let clones_at_once = at_once(&islands, clone).await;
        let destroys_at_once = at_once(&islands, destroy).await;
        println!("{ISLANDS} clones one by one {clones:?}, at once {clones_at_once:?}");
        println!("{ISLANDS} destroys one by one {destroys:?}, at once {destroys_at_once:?}");
        if less(clones_at_once, clones) && less(destroys_at_once, destroys) {
            return bench.end().await;
        }
    }
    panic!("in {TRIES} tries they never did");
}

async fn one_by_one<F: Future<Output = ()>>(
    islands: &[IslandId],
    work: impl Fn(IslandId) -> F,
) -> Duration {
    let began = Instant::now();
    for island in islands {
        work(island.clone()).await;
    }
    began.elapsed()
}

async fn at_once<F: Future<Output = ()> + Send + 'static>(
    islands: &[IslandId],
    work: impl Fn(IslandId) -> F,
) -> Duration {
    let began = Instant::now();
    islands.iter().cloned().map(work).collect::<JoinSet<_>>().join_all().await;
    began.elapsed()
}
