//! What is gathered in memory: the only things that a GET may count. Written in batches by the worker.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::shared::Unknown;
use crate::values::{SessionId, Timestamp};

/// Forms shown, sessions used, unknown codes and tokens.
#[derive(Default)]
pub struct Tallies {
    /// Unknown codes and tokens that were tried.
    pub unknown: Unknown,
    seen: Mutex<HashMap<SessionId, Timestamp>>,
    shown: Mutex<HashMap<uuid::Uuid, i64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tallies {
    /// Notes that a session was used.
    pub fn seen(&self, session: SessionId, now: Timestamp) {
        locked(&self.seen).insert(session, now);
    }

    /// Notes that a link's form was shown.
    pub fn shown(&self, link: uuid::Uuid) {
        *locked(&self.shown).entry(link).or_default() += 1;
    }

    /// Takes the sessions used since the last time.
    pub fn take_seen(&self) -> HashMap<SessionId, Timestamp> {
        std::mem::take(&mut locked(&self.seen))
    }

    /// Takes the forms shown since the last time, by link.
    pub fn take_shown(&self) -> HashMap<uuid::Uuid, i64> {
        std::mem::take(&mut locked(&self.shown))
    }
}
