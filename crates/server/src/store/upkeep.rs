//! Work that a store does behind the answer, on a thread of its own that lives as long as there is
//! work.
//!
//! Invariants: one thread at most works at a time; the work that waits when the thread looks is one
//! batch.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// A queue of work and the thread that does it.
pub(super) struct Upkeep<J> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    queue: Mutex<Queue<J>>,
    idle: Condvar,
    work: Box<dyn Fn(Vec<J>) + Send + Sync>,
}

struct Queue<J> {
    waiting: Vec<J>,
    running: bool,
}

impl<J: Send + 'static> Upkeep<J> {
    /// A queue whose batches `work` is called with.
    pub(super) fn new(work: impl Fn(Vec<J>) + Send + Sync + 'static) -> Self {
        let queue = Mutex::new(Queue { waiting: Vec::new(), running: false });
        let shared = Shared { queue, idle: Condvar::new(), work: Box::new(work) };
        Self { shared: Arc::new(shared) }
    }

    /// Adds work, and starts a thread for it where none is running.
    pub(super) fn add(&self, job: J) {
        {
            let mut queue = self.shared.queue.lock();
            queue.waiting.push(job);
            if std::mem::replace(&mut queue.running, true) {
                return;
            }
        }
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("store".into());
        if let Err(error) = thread.spawn(move || shared.run()) {
            tracing::debug!(%error, "no thread for a store's upkeep; its caller does the work");
            self.shared.run();
        }
    }

    /// Returns when no work is left.
    pub(super) fn settle(&self) {
        let mut queue = self.shared.queue.lock();
        while queue.running {
            self.shared.idle.wait(&mut queue);
        }
    }
}

impl<J> Shared<J> {
    fn run(&self) {
        let _end = Running(self);
        loop {
            let batch = {
                let mut queue = self.queue.lock();
                if queue.waiting.is_empty() {
                    // In the same critical section, so that work added from now on starts a thread.
                    queue.running = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            (self.work)(batch);
        }
    }
}

/// Says that the thread has ended, also after a panic.
struct Running<'a, J>(&'a Shared<J>);

impl<J> Drop for Running<'_, J> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.lock().running = false;
        }
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_that_arrives_during_work_becomes_one_batch() {
        let (batches, seen) = channel();
        let (release, hold) = channel::<()>();
        let hold = Mutex::new(hold);
        let upkeep = Upkeep::new(move |batch: Vec<u32>| {
            batches.send(batch).unwrap();
            hold.lock().recv().unwrap();
        });
        upkeep.add(1);
        assert_eq!(seen.recv().unwrap(), [1]);
        upkeep.add(2);
        upkeep.add(3);
        release.send(()).unwrap();
        release.send(()).unwrap();
        upkeep.settle();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [[2, 3]]);
    }

    #[test]
    fn a_panic_leaves_a_queue_that_works() {
        let (done, seen) = channel();
        let upkeep = Upkeep::new(move |batch: Vec<u32>| {
            assert!(batch != [0], "a panic on purpose");
            done.send(batch).unwrap();
        });
        upkeep.add(0);
        upkeep.settle();
        upkeep.add(1);
        upkeep.settle();
        assert_eq!(seen.try_recv().unwrap(), [1]);
    }
}
