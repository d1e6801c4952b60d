//! Many who ask the same at once are answered by one query, as when a thousand people open the link from one mail.
//!
//! Nothing is cached: whoever asks is answered by a query that began after they asked. While one runs, those who
//! come wait for the next, and the first of them runs it for all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::Fault;

/// Those who ask the same, by what they ask.
pub struct Together<T: 'static>(Mutex<Asking<T>>);

/// Those who wait for the next query, while one runs.
type Asking<T> = HashMap<Vec<u8>, Vec<oneshot::Sender<Turn<T>>>>;

/// What becomes of somebody who waited.
enum Turn<T: 'static> {
    /// Somebody else's query answered.
    Answer(T),
    /// Run the query, for these others too.
    Lead(Leading<T>),
    /// The database is away: whoever asked again, one after the other, would wait for as long each time.
    Busy,
}

/// Runs the query. Dropped before its answer (the client has left), it lets everybody who waits ask again.
struct Leading<T: 'static> {
    at: &'static Together<T>,
    key: Vec<u8>,
    others: Vec<oneshot::Sender<Turn<T>>>,
    answered: bool,
}

impl<T: Clone> Default for Together<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Together<T> {
    /// Nobody asks yet.
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    fn lock(&self) -> MutexGuard<'_, Asking<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of `query`, or of the same query of somebody else that began after this was called.
    pub async fn ask<F>(&'static self, key: Vec<u8>, query: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        loop {
            let leading = match self.wait_or_lead(&key) {
                Ok(leading) => leading,
                Err(turn) => match turn.await {
                    Ok(Turn::Answer(answer)) => return Ok(answer),
                    Ok(Turn::Lead(leading)) => leading,
                    Ok(Turn::Busy) => return Err(Fault::Database(sqlx::Error::PoolTimedOut)),
                    Err(_) => continue,
                },
            };
            return match query().await {
                Ok(answer) => {
                    leading.answer(&answer);
                    Ok(answer)
                }
                Err(fault) => {
                    if fault.is_busy() {
                        leading.fail();
                    }
                    Err(fault)
                }
            };
        }
    }

    fn wait_or_lead(&'static self, key: &[u8]) -> Result<Leading<T>, oneshot::Receiver<Turn<T>>> {
        let mut asking = self.lock();
        if let Some(waiting) = asking.get_mut(key) {
            let (sender, turn) = oneshot::channel();
            waiting.push(sender);
            return Err(turn);
        }
        asking.insert(key.to_owned(), Vec::new());
        Ok(Leading { at: self, key: key.to_owned(), others: Vec::new(), answered: false })
    }
}

impl<T: Clone> Leading<T> {
    /// Answers those who waited for this query, and lets the first of those who came since run the next.
    fn answer(mut self, answer: &T) {
        self.answered = true;
        for other in self.others.drain(..) {
            // Whoever has left needs no answer.
            drop(other.send(Turn::Answer(answer.clone())));
        }
        let mut asking = self.at.lock();
        let mut waiting = asking.get_mut(&self.key).map(std::mem::take).unwrap_or_default();
        if waiting.is_empty() {
            asking.remove(&self.key);
            return;
        }
        drop(asking);
        let first = waiting.remove(0);
        let next = Leading { at: self.at, key: self.key.clone(), others: waiting, answered: false };
        // If it has left, dropping the turn lets the others ask again.
        drop(first.send(Turn::Lead(next)));
    }

    /// Tells everybody who waits, also those who came since, that the database is away.
    fn fail(mut self) {
        self.answered = true;
        let since = self.at.lock().remove(&self.key).unwrap_or_default();
        for other in self.others.drain(..).chain(since) {
            drop(other.send(Turn::Busy));
        }
    }
}

impl<T> Drop for Leading<T> {
    fn drop(&mut self) {
        if !self.answered {
            self.at.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::sync::Semaphore;

    use super::*;

    static ASKED: LazyLock<Together<usize>> = LazyLock::new(Together::new);

    /// A query that counts its runs, and waits for a permit.
    async fn counted(runs: Arc<AtomicUsize>, gate: Arc<Semaphore>) -> Result<usize, Fault> {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        gate.acquire().await.unwrap().forget();
        Ok(run)
    }

    fn ask(
        key: &'static [u8],
        runs: &Arc<AtomicUsize>,
        gate: &Arc<Semaphore>,
    ) -> impl Future<Output = Result<usize, Fault>> + Send + 'static {
        let (runs, gate) = (Arc::clone(runs), Arc::clone(gate));
        ASKED.ask(key.to_vec(), move || counted(Arc::clone(&runs), Arc::clone(&gate)))
    }

    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_while_a_query_runs_is_answered_by_the_next_and_all_of_them_by_one() {
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            all.spawn(ask(b"one", &runs, &gate));
        }
        settle().await;
        assert_eq!(runs.load(Ordering::SeqCst), 1, "one query runs");
        gate.add_permits(10);
        let mut answers: Vec<usize> = all.join_all().await.into_iter().map(Result::unwrap).collect();
        answers.sort_unstable();
        assert_eq!((answers[0], answers[1], answers[19]), (1, 2, 2), "one began before the others came");
        assert!(!ASKED.lock().contains_key(b"one".as_slice()), "nothing is kept");
        assert_eq!(ask(b"one", &runs, &gate).await.unwrap(), 3, "later askers get a query of their own");
    }

    #[tokio::test]
    async fn when_whoever_runs_the_query_leaves_the_others_are_answered_all_the_same() {
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let mut leaver = tokio::task::JoinSet::new();
        leaver.spawn(ask(b"two", &runs, &gate));
        settle().await;
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..5 {
            others.spawn(ask(b"two", &runs, &gate));
        }
        settle().await;
        leaver.shutdown().await;
        gate.add_permits(10);
        assert!(others.join_all().await.into_iter().all(|answer| answer.is_ok()));
    }
}
