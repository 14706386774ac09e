//! Answers of the last second, so that many who look at the same cost what one does.
//!
//! An answer is given again only while nothing new is known to have come since: who is told of a change
//! and asks sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Problem;

/// How long an answer stays good.
const GOOD: Duration = Duration::from_secs(1);
/// Answers kept at most.
const KEPT_MAX: usize = 64;

type Cell = Arc<OnceCell<Result<Bytes, Problem>>>;

/// An answer that may be given again.
#[derive(Debug)]
struct Kept {
    since: Instant,
    /// The pulse when it was asked for.
    pulse: u64,
    cell: Cell,
}

/// Answers by who may see what and what was asked.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<BTreeMap<String, Kept>>);

impl Answers {
    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The answer to `question`: one of the last second and of this `pulse`, or the one that `work`
    /// gives. Who asks meanwhile waits for it.
    pub(crate) async fn get<F>(
        &self,
        (question, pulse): (String, u64),
        work: impl FnOnce() -> F,
    ) -> Result<Bytes, Problem>
    where
        F: Future<Output = Result<Bytes, Problem>>,
    {
        let cell = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, one| one.since.elapsed() < GOOD && one.pulse >= pulse);
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            let fresh = || Kept { since: Instant::now(), pulse, cell: Cell::default() };
            Arc::clone(&kept.entry(question).or_insert_with(fresh).cell)
        };
        cell.get_or_init(work).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_asks_the_same_at_one_time_gets_one_answer() {
        let (answers, worked) = (Answers::default(), AtomicU64::new(0));
        let ask = |question: &str, pulse| {
            answers.get((question.to_owned(), pulse), || async {
                tokio::task::yield_now().await;
                Ok(Bytes::from(worked.fetch_add(1, Ordering::Relaxed).to_string()))
            })
        };
        let (one, same, other) = tokio::join!(ask("a", 1), ask("a", 1), ask("b", 1));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(worked.load(Ordering::Relaxed), 2);
        assert_eq!(ask("a", 1).await, one);
        assert_ne!(ask("a", 2).await, one, "something came since");
        assert_eq!(worked.load(Ordering::Relaxed), 3);
    }
}
