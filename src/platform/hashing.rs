//! The password hash pool: own threads behind a bounded queue, so that pages that hash nothing stay fast.
//!
//! Argon2id of `RustCrypto`, each thread keeping its memory block (`docs/decisions/0005-hashing.md` has the figures).
//! The threads run at a lower priority than those that answer requests; a queue that is full answers at once.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{
    Fault,
    metrics::{self, Busy, Hashed},
};
use crate::values::{Password, Randomness};

/// How far below normal the threads stand: `nice` 10 still gets a tenth of a busy machine.
const NICENESS: i32 = 10;
/// Places in the queue for each thread: about two seconds of work, the longest that anybody waits.
const PLACES_PER_THREAD: usize = 64;
/// Nobody waits longer; what is older is answered with "busy".
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a password was not hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Every place is taken, or all of this source's places are. Come back in a few seconds.
    #[error("the password hash pool is full")]
    Busy,
    /// A stored hash that does not parse, or a pool that has stopped.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// How strong new hashes are. Hashes carry their own parameters, so old ones still verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strength(Params);

impl Strength {
    /// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
    pub fn standard() -> Self {
        Self::new(19_456, 2)
    }

    /// `memory` in KiB. Anything below [`Strength::standard`] is for tests of rehashing.
    pub fn new(memory: u32, passes: u32) -> Self {
        Self(Params::new(memory, passes, 1, Some(32)).unwrap_or_default())
    }
}

/// What comparing a password with a stored hash showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// It is another password.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and its hash is weaker than new ones: hash it again.
    RightButWeak,
}

enum Task {
    Hash { password: Password, salt: [u8; 16], answer: oneshot::Sender<Result<String, Fault>> },
    Compare { password: Password, stored: Option<String>, answer: oneshot::Sender<Result<Compared, Fault>> },
}

impl Task {
    fn client_has_left(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Compare { answer, .. } => answer.is_closed(),
        }
    }
}

struct Waiting {
    task: Task,
    source: String,
    since: Instant,
}

#[derive(Default)]
struct Queue {
    waiting: std::collections::VecDeque<Waiting>,
    /// Places taken by each source, those being hashed included.
    taken: HashMap<String, usize>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    places: usize,
    strength: Strength,
}

/// How much a pool has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Passwords that wait for a thread.
    pub waiting: usize,
    /// Passwords that may be in the pool at once, those being hashed included.
    pub places: usize,
}

/// The pool. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Hashing {
    shared: Arc<Shared>,
    randomness: Randomness,
    _owner: Arc<Owner>,
}

struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_all();
    }
}

impl Hashing {
    /// Starts `threads` threads.
    pub fn start(threads: usize, strength: Strength, randomness: Randomness) -> Self {
        Self::with_places(threads, threads * PLACES_PER_THREAD, strength, randomness)
    }

    fn with_places(threads: usize, places: usize, strength: Strength, randomness: Randomness) -> Self {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), places, strength });
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared));
        }
        Self { _owner: Arc::new(Owner(Arc::clone(&shared))), shared, randomness }
    }

    /// Hashes a new password, as a PHC string. `source` is where the request came from.
    pub async fn hash(&self, password: Password, source: &str) -> Result<String, HashError> {
        let (answer, result) = oneshot::channel();
        self.queue(Task::Hash { password, salt: self.randomness.bytes(), answer }, source)?;
        Ok(result.instrument(tracing::debug_span!("hash a password")).await.map_err(|_| HashError::Busy)??)
    }

    /// Compares a password with a stored hash. Without one it does the same work and answers
    /// [`Compared::Wrong`], so that an unknown account takes as long as a known one.
    pub async fn compare(
        &self,
        password: Password,
        stored: Option<String>,
        source: &str,
    ) -> Result<Compared, HashError> {
        let (answer, result) = oneshot::channel();
        self.queue(Task::Compare { password, stored, answer }, source)?;
        Ok(result.instrument(tracing::debug_span!("compare a password")).await.map_err(|_| HashError::Busy)??)
    }

    /// How much there is to do at this moment.
    pub fn load(&self) -> Load {
        Load { waiting: self.shared.lock().waiting.len(), places: self.shared.places }
    }

    fn queue(&self, task: Task, source: &str) -> Result<(), HashError> {
        let mut queue = self.shared.lock();
        let all: usize = queue.taken.values().sum();
        let own = queue.taken.get(source).copied().unwrap_or(0);
        if all >= self.shared.places || own >= self.shared.places / 4 {
            metrics::hash_busy(if all >= self.shared.places { Busy::Full } else { Busy::Source });
            return Err(HashError::Busy);
        }
        *queue.taken.entry(source.to_owned()).or_default() += 1;
        queue.waiting.push_back(Waiting { task, source: source.to_owned(), since: Instant::now() });
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Waiting> {
        let mut queue = self.lock();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                return Some(next);
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, source: &str) {
        let mut queue = self.lock();
        if let Some(taken) = queue.taken.get_mut(source) {
            *taken -= 1;
            if *taken == 0 {
                queue.taken.remove(source);
            }
        }
    }
}

fn work(shared: &Shared) {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "the hash threads run at normal priority");
    }
    let mut memory = Vec::new();
    while let Some(Waiting { task, source, since }) = shared.next() {
        // What is not worked on is dropped, and its sender with it: the caller, if there still is one, says "busy".
        let late = since.elapsed() >= PATIENCE;
        if late && !task.client_has_left() {
            metrics::hash_busy(Busy::Late);
        } else if !late && !task.client_has_left() {
            match task {
                Task::Hash { password, salt, answer } => {
                    metrics::hashed(Hashed::New);
                    drop(answer.send(hash(&shared.strength, &password, salt, &mut memory)));
                }
                Task::Compare { password, stored, answer } => {
                    metrics::hashed(Hashed::Compared);
                    drop(answer.send(compare(&shared.strength, &password, stored.as_deref(), &mut memory)));
                }
            }
        }
        shared.leave(&source);
    }
}

fn digest(params: &Params, password: &Password, salt: &[u8], memory: &mut Vec<Block>) -> Result<[u8; 32], Fault> {
    memory.resize(params.block_count(), Block::default());
    let mut output = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut output, memory.as_mut_slice())
        .map_err(|_| Fault::Crypto)?;
    Ok(output)
}

fn hash(strength: &Strength, password: &Password, salt: [u8; 16], memory: &mut Vec<Block>) -> Result<String, Fault> {
    let output = digest(&strength.0, password, &salt, memory)?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&strength.0).map_err(|_| Fault::Crypto)?,
        salt: Some(Salt::new(&salt).map_err(|_| Fault::Crypto)?),
        hash: Some(Output::new(&output).map_err(|_| Fault::Crypto)?),
    };
    Ok(phc.to_string())
}

fn compare(
    strength: &Strength,
    password: &Password,
    stored: Option<&str>,
    memory: &mut Vec<Block>,
) -> Result<Compared, Fault> {
    let Some(stored) = stored else {
        digest(&strength.0, password, &[0; 16], memory)?;
        return Ok(Compared::Wrong);
    };
    let phc = PasswordHash::new(stored).map_err(|_| Fault::Crypto)?;
    let params = Params::try_from(&phc).map_err(|_| Fault::Crypto)?;
    let (Some(salt), Some(expected)) = (phc.salt, phc.hash) else { return Err(Fault::Crypto) };
    let output = digest(&params, password, salt.as_ref(), memory)?;
    if !super::keys::same(&output, expected.as_bytes()) {
        return Ok(Compared::Wrong);
    }
    let weaker = params.m_cost() < strength.0.m_cost() || params.t_cost() < strength.0.t_cost();
    Ok(if weaker { Compared::RightButWeak } else { Compared::Right })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse_existing(text).unwrap()
    }

    fn pool(strength: Strength) -> Hashing {
        Hashing::start(1, strength, Randomness::seeded(1))
    }

    fn task() -> (Task, oneshot::Receiver<Result<Compared, Fault>>) {
        let (answer, result) = oneshot::channel();
        (Task::Compare { password: password("any"), stored: None, answer }, result)
    }

    #[tokio::test]
    async fn a_hash_carries_its_parameters_and_only_its_password_matches() {
        let pool = pool(Strength::standard());
        let stored = pool.hash(password("seven purple herons"), "a").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(
            pool.compare(password("seven purple herons"), Some(stored.clone()), "a").await.unwrap(),
            Compared::Right
        );
        assert_eq!(pool.compare(password("seven purple heron"), Some(stored), "a").await.unwrap(), Compared::Wrong);
        assert_eq!(pool.compare(password("seven purple herons"), None, "a").await.unwrap(), Compared::Wrong);
    }

    #[tokio::test]
    async fn a_weaker_hash_still_matches_and_says_that_it_is_weak() {
        let stored = pool(Strength::new(64, 1)).hash(password("seven purple herons"), "a").await.unwrap();
        let stronger = pool(Strength::new(128, 1));
        assert_eq!(
            stronger.compare(password("seven purple herons"), Some(stored), "a").await.unwrap(),
            Compared::RightButWeak
        );
    }

    #[tokio::test]
    async fn the_same_password_is_never_the_same_hash() {
        let pool = pool(Strength::new(64, 1));
        assert_ne!(
            pool.hash(password("herons"), "a").await.unwrap(),
            pool.hash(password("herons"), "a").await.unwrap()
        );
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_a_fault_and_not_a_match() {
        let pool = pool(Strength::new(64, 1));
        assert!(matches!(pool.compare(password("x"), Some("plain".to_owned()), "a").await, Err(HashError::Fault(_))));
    }

    #[test]
    fn one_source_holds_a_quarter_of_the_places_and_a_full_pool_says_so_at_once() {
        let nobody_works = Hashing::with_places(0, 8, Strength::new(64, 1), Randomness::seeded(1));
        let mut waiting = Vec::new();
        let mut ask = |source: &str| {
            let (task, result) = task();
            waiting.push(result);
            nobody_works.queue(task, source)
        };
        for source in ["a", "a", "b", "b", "c", "c", "d"] {
            assert!(ask(source).is_ok(), "{source}");
        }
        assert!(matches!(ask("a"), Err(HashError::Busy)), "a quarter is taken");
        assert!(ask("e").is_ok(), "the last place");
        assert!(matches!(ask("f"), Err(HashError::Busy)), "every place is taken");
    }

    #[tokio::test]
    async fn work_whose_client_has_left_frees_its_place_without_being_hashed() {
        let (left, result) = task();
        drop(result);
        assert!(left.client_has_left());
        let pool = pool(Strength::new(64, 1));
        for _ in 0..5 {
            let (left, result) = task();
            drop(result);
            pool.queue(left, "a").unwrap();
        }
        pool.compare(password("any"), None, "b").await.unwrap();
        // The one thread takes them in turn, so that those before have been let go.
        assert!(!pool.shared.lock().taken.contains_key("a"));
    }
}
