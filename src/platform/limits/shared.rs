//! Unknown codes and tokens, counted in memory because a GET writes nothing, and added up between servers by the second.
//!
//! Whoever guesses is refused by the server that they ask at once, and by the others as soon as it has told them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Limit, TooMany};
use crate::{
    platform::{App, Fault, db::query},
    values::Timestamp,
};

/// Sources remembered at once; beyond it everything is forgotten: memory stays bounded.
const SOURCES: usize = 100_000;
/// Sources written in one write.
const AT_ONCE: usize = 200;

/// What one source tried.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    /// In the window, as far as this server was told.
    known: i64,
    /// Since this server told the others.
    untold: i64,
    /// The part of time in which it was last told.
    part: i64,
    /// So many seconds more this server listens to what others count of it.
    listening: u8,
}

/// How long after a try a server listens to what others count of the same source.
const LISTENS: u8 = 5;

/// Unknown codes and tokens by source.
#[derive(Debug, Default)]
pub struct Unknown(Mutex<HashMap<String, Tried>>);

impl Unknown {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an unknown code or token; too many from one source are told to wait.
    pub fn count(&self, source: &str, now: Timestamp) -> Result<(), TooMany> {
        let limit = Limit::Unknown;
        let mut sources = self.lock();
        if sources.len() >= SOURCES {
            sources.retain(|_, tried| tried.part > limit.first_part(now));
            if sources.len() >= SOURCES {
                sources.clear();
            }
        }
        let tried = sources.entry(source.to_owned()).or_default();
        if tried.part <= limit.first_part(now) {
            // Nothing of what was known is in the window any more.
            tried.known = 0;
        }
        (tried.part, tried.listening) = (limit.part_of(now), LISTENS);
        if tried.known + tried.untold >= limit.most() {
            return Err(TooMany { retry_after: now.until(limit.part_until(tried.part)) });
        }
        tried.untold += 1;
        Ok(())
    }

    /// Who tried something in the last seconds, and how often since this was asked last.
    fn take_untold(&self) -> Vec<(String, i64)> {
        let mut sources = self.lock();
        let active = sources.iter_mut().filter(|(_, tried)| tried.listening > 0).take(AT_ONCE);
        active
            .map(|(source, tried)| {
                let count = std::mem::take(&mut tried.untold);
                tried.listening -= 1;
                tried.known += count;
                (source.clone(), count)
            })
            .collect()
    }

    fn learn(&self, source: &str, in_window: i64, now: Timestamp) {
        if let Some(tried) = self.lock().get_mut(source) {
            (tried.known, tried.part) = (in_window, Limit::Unknown.part_of(now));
        }
    }
}

/// Tells the other servers what was tried here, and learns what was tried there.
pub async fn share(app: &App) -> Result<(), Fault> {
    let mut untold = app.tallies.unknown.take_untold();
    if untold.is_empty() {
        return Ok(());
    }
    // In one order for every server: two that write the same rows never wait for each other.
    untold.sort();
    let mut tx = app.db.write().await?;
    let (limit, now) = (Limit::Unknown, tx.now);
    let part = limit.part_of(now);
    for (source, count) in untold {
        let key = super::key(app, limit, &[source.as_bytes()]);
        if count > 0 {
            query(
                "insert into limit_counts (key_hash, part, count, until) values ($1, $2, $3, $4)
                 on conflict (key_hash, part) do update set count = limit_counts.count + $3",
            )
            .bind(key.clone())
            .bind(part)
            .bind(count)
            .bind(limit.part_until(part))
            .later(&mut tx);
        }
        let counted = super::in_window(&mut tx, limit, key, now).await?;
        app.tallies.unknown.learn(&source, counted.count.unwrap_or(count), now);
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::HOUR;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn guesses_cost_the_guesser_and_nobody_else() {
        let unknown = Unknown::default();
        for _ in 0..60 {
            assert!(unknown.count("192.0.2.1", START).is_ok());
        }
        assert!(unknown.count("192.0.2.1", START).is_err());
        assert!(unknown.count("192.0.2.2", START).is_ok());
    }

    #[test]
    fn what_was_told_is_forgotten_after_the_window() {
        let unknown = Unknown::default();
        for _ in 0..60 {
            assert!(unknown.count("192.0.2.1", START).is_ok());
        }
        assert_eq!(unknown.take_untold(), [("192.0.2.1".to_owned(), 60)]);
        assert!(unknown.count("192.0.2.1", START + HOUR / 2).is_err(), "told is not forgotten");
        let late = START + 2 * HOUR;
        assert!(unknown.count("192.0.2.1", late).is_ok());
        unknown.learn("192.0.2.1", 60, late);
        assert!(unknown.count("192.0.2.1", late).is_err(), "the others have counted it too");
    }
}
