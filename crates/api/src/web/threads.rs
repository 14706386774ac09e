//! Threads that answer questions; the one that was busy last is asked first.
//!
//! An answer takes much memory and gives it back, and the allocator keeps what a thread gave back for
//! that thread (glibc 2.41 malloc/arena.c). Threads that take turns, as those of a runtime do, end with the
//! memory of the largest answer each; here as many hold it as were ever busy at one time.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Works, and says how to tell of it: the thread is free again before anybody hears.
type Job = Box<dyn FnOnce() -> Tell + Send>;
type Tell = Box<dyn FnOnce() + Send>;

struct Task {
    job: Job,
    /// What its thread is asked by.
    back: SyncSender<Task>,
}

/// Threads that wait for work, the one that was busy last at the end. They end with it.
#[derive(Default)]
pub(crate) struct Threads {
    idle: Mutex<Vec<SyncSender<Task>>>,
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Threads").field("idle", &idle).finish()
    }
}

impl Threads {
    /// Does `work` on one of the threads, and goes on with it if nobody waits any more. None if it
    /// panicked, or there is no thread to be had. Whoever asks bounds how much is done at one time.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (told, answer) = oneshot::channel();
        let job = move || -> Tell {
            let done = work();
            // Whoever asked may have gone: then nobody is told.
            Box::new(move || drop(told.send(done)))
        };
        self.hand(Box::new(job))?;
        answer.await.ok()
    }

    /// Gives the job to the thread that was busy last, or to a new one.
    fn hand(self: &Arc<Self>, job: Job) -> Option<()> {
        let last = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let thread = last.or_else(|| self.hire())?;
        thread.send(Task { job, back: thread.clone() }).ok()
    }

    fn hire(self: &Arc<Self>) -> Option<SyncSender<Task>> {
        let (thread, tasks) = sync_channel::<Task>(1);
        let all = Arc::downgrade(self);
        let work = move || {
            for Task { job, back } in tasks {
                let tell = job();
                match all.upgrade() {
                    Some(all) => {
                        all.idle.lock().unwrap_or_else(PoisonError::into_inner).push(back);
                    }
                    None => drop(back),
                }
                tell();
            }
        };
        let started = std::thread::Builder::new().name("question".to_owned()).spawn(work);
        started.ok().map(|_ends_with_these| thread)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread::{self, ThreadId};

    use super::*;

    #[tokio::test]
    async fn what_is_asked_one_after_the_other_is_done_by_one_thread() {
        let threads = Arc::<Threads>::default();
        let mut used: BTreeSet<String> = BTreeSet::new();
        for _ in 0..50 {
            used.insert(format!("{:?}", threads.run(|| thread::current().id()).await.unwrap()));
        }
        assert_eq!(used.len(), 1, "{used:?}");
    }

    #[tokio::test]
    async fn what_is_asked_at_one_time_is_done_at_one_time() {
        let threads = Arc::<Threads>::default();
        let both = Arc::new(std::sync::Barrier::new(2));
        let ask = || {
            let both = Arc::clone(&both);
            // Returns only when the other one is there, too.
            threads.run(move || -> ThreadId {
                both.wait();
                thread::current().id()
            })
        };
        let (one, other) = tokio::join!(ask(), ask());
        assert_ne!(one.unwrap(), other.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_that_does_not_come_and_ends_nothing_else() {
        let threads = Arc::<Threads>::default();
        assert_eq!(threads.run(|| -> u8 { panic!("on purpose") }).await, None);
        assert_eq!(threads.run(|| 7).await, Some(7));
    }
}
