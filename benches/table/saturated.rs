//! Figure 3: as many calls as the cores give, beside as many bare spawns, and as others' sandboxes
//! give.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{IslandMetrics, crowd};
use crate::hand::run;
use crate::report::{Goal, Row, Sample, Unit};
use crate::sandboxes::Sandbox;
use crate::world::{Absent, CALL, World, call};

/// Clients at once.
const CLIENTS: [usize; 2] = [8, 64];
/// How long the server has to come to rest after a window of calls.
const REST: Duration = Duration::from_millis(500);

/// Measures windows of each kind in turns.
pub(crate) fn saturated(world: &World) -> Result<Vec<Row>, Absent> {
    let address = world.server()?.address;
    let program = world.hand.build(&world.hand.project("saturated")?, CALL)?;
    let (sandboxes, said) = Sandbox::find(&program, &world.folder("sandboxes-saturated")?);
    let (request, window) = (call(), world.settings.window);
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let mut spawns = Vec::new();
        let mut others = vec![Vec::new(); sandboxes.len()];
        let mut calls = Calls::default();
        crowd(address, clients, &request, window / 2, || {})?;
        for _ in 0..world.settings.windows {
            calls.window(address, clients, &request, window)?;
            std::thread::sleep(REST);
            spawns.push(rate(clients, window, || run(&program).map(drop))?);
            for (sandbox, rates) in sandboxes.iter().zip(&mut others) {
                rates.push(rate(clients, window, || sandbox.run().map(drop))?);
            }
        }
        let yardstick =
            || Some((format!("spawns by {clients} threads"), Sample::of(spawns.clone())));
        rows.push(Row { yardstick: yardstick(), ..calls.row(clients) });
        for (sandbox, rates) in sandboxes.iter().zip(others) {
            let name = format!("the same program in {} by {clients} threads", sandbox.name);
            let row = Row::values(3, name, Unit::PerSecond, rates, Goal::None);
            rows.push(Row { yardstick: yardstick(), ..row });
        }
    }
    rows.iter_mut().take(1).for_each(|row| row.notes.extend(said.clone()));
    Ok(rows)
}

/// What became of the calls of all windows with the same number of clients.
#[derive(Default)]
struct Calls {
    rates: Vec<f64>,
    failures: Vec<String>,
    answered: usize,
    client_cpu: Duration,
}

impl Calls {
    fn window(
        &mut self,
        address: SocketAddr,
        clients: usize,
        request: &[u8],
        window: Duration,
    ) -> Result<(), String> {
        let tally = crowd(address, clients, request, window, || {})?;
        self.rates.push(tally.rate());
        let IslandMetrics { times, sent_away, failures, failure, client_cpu, .. } = tally;
        self.client_cpu += client_cpu;
        self.answered += times.len();
        if failures + sent_away > 0 {
            let why = failure.unwrap_or_else(|| "the server was full".to_owned());
            self.failures.push(format!("{} failed: {why}", failures + sent_away));
        }
        Ok(())
    }

    fn row(self, clients: usize) -> Row {
        let micros = self.client_cpu.as_secs_f64() * 1e6 / (self.answered.max(1)) as f64;
        let name = format!("calls of {clients} clients");
        let mut row = Row::values(3, name, Unit::PerSecond, self.rates, Goal::AtLeast(1.0));
        row.failed = !self.failures.is_empty();
        row.notes = self.failures;
        row.note(format!("the clients took {micros:.0} us of processor time a call"))
    }
}

/// How often in a second so many threads do something, each again and again.
fn rate(
    threads: usize,
    window: Duration,
    once: impl Fn() -> Result<(), String> + Sync,
) -> Result<f64, String> {
    let began = Instant::now();
    let one = || -> Result<u64, String> {
        let mut count = 0;
        while began.elapsed() < window {
            once()?;
            count += 1;
        }
        Ok(count)
    };
    let count: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let counts =
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread broke")?);
        counts.sum::<Result<u64, String>>()
    })?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
