//! Many islands at once, while commands fail at random.

use std::sync::Arc;

use island::{Ending, Spec};
use libtest_mimic::Trial;
use tokio::task::JoinSet;

use crate::lab::{Bench, Lab, bind, runtime};
use crate::launcher::{CONNECTS, REFUSES};
use crate::trials;

/// How many islands run at once.
const CROWD: usize = 20;

pub fn trials() -> Vec<Trial> {
    trials![
        twenty_islands_at_once_each_get_their_own_answer,
        nothing_is_left_of_twenty_islands_while_commands_fail_at_random,
    ]
}

/// Islands of every kind: functions new and known, with and without addresses, and tools.
fn spec(lab: &Lab, bench: &Bench, number: usize, seed: usize) -> Spec {
    let said = format!("out={number}");
    let mut spec = match number % 5 {
        0 => lab.tool(vec![bind(lab.folder(&number.to_string()), "/out", true)], &[&said]),
        1 => lab.new_function(seed, &[&said]),
        2 => lab.function(&[CONNECTS, &said]),
        3 => lab.function(&["sleep=0.02", &said]),
        _ => lab.new_function(seed * CROWD + number, &[&said]),
    };
    if !number.is_multiple_of(5) && !number.is_multiple_of(2) {
        spec.setup.address = bench.lease();
    }
    spec
}

async fn all(lab: &Lab, bench: &Arc<Bench>, seed: usize) -> Vec<(usize, Result<String, String>)> {
    let mut calls = JoinSet::new();
    for number in 0..CROWD {
        let (spec, bench) = (spec(lab, bench, number, seed), bench.clone());
        calls.spawn(async move {
            let outcome = bench.run(&spec).await.map_err(|error| error.to_string());
            let said = outcome.map(|outcome| {
                assert_eq!(outcome.ending, Ending::Exited(0), "{number}");
                String::from_utf8_lossy(&outcome.stdout).into_owned()
            });
            (number, said)
        });
    }
    calls.join_all().await
}

fn twenty_islands_at_once_each_get_their_own_answer() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        for (number, said) in all(&lab, &bench, 1).await {
            assert_eq!(said.as_deref(), Ok(&*number.to_string()));
        }
        lab.at_rest(&bench, "twenty at once").await;
        lab.next_works(&bench, "twenty at once").await;
    });
}

fn nothing_is_left_of_twenty_islands_while_commands_fail_at_random() {
    runtime().block_on(async {
        let lab = Lab::new();
        let bench = Arc::new(lab.start().await);
        for seed in 1..=8 {
            lab.host.roll(12, (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let calls = all(&lab, &bench, seed).await;
            lab.at_rest(&bench, &format!("dice {seed}")).await;
            lab.host.roll(0, 0);
            let failed = calls.iter().filter(|(_, said)| said.is_err()).count();
            assert!((1..CROWD).contains(&failed), "dice {seed}: {calls:?}");
            for (number, said) in calls {
                assert!(said.is_err() || said == Ok(number.to_string()), "{number}: {said:?}");
            }
            lab.next_works(&bench, &format!("dice {seed}")).await;
        }
        // A call that is refused leaves nothing either.
        assert!(bench.run(&lab.function(&[REFUSES])).await.is_err());
        lab.at_rest(&bench, "a refusal").await;
    });
}
