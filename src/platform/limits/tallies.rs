//! What is gathered in memory: the only things that a GET may count. Written in batches by the worker.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::shared::Unknown;
use crate::values::{OrganizationId, SessionId, Timestamp};

/// The funnel of one link.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Funnel {
    /// Forms shown.
    pub shown: i64,
    /// Forms sent.
    pub sent: i64,
    /// Users made.
    pub finished: i64,
}

/// Forms shown, sessions used, ended links opened, unknown codes and tokens.
#[derive(Default)]
pub struct Tallies {
    /// Unknown codes and tokens that were tried.
    pub unknown: Unknown,
    seen: Mutex<HashMap<SessionId, Timestamp>>,
    funnel: Mutex<HashMap<uuid::Uuid, Funnel>>,
    ended: Mutex<HashMap<OrganizationId, i64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tallies {
    /// Notes that a session was used.
    pub fn seen(&self, session: SessionId, now: Timestamp) {
        locked(&self.seen).insert(session, now);
    }

    /// Notes what came of a link: counted apart from the writes that it counts, so that those of one link do not wait
    /// for each other.
    pub fn funnel(&self, link: uuid::Uuid, step: impl FnOnce(&mut Funnel)) {
        step(locked(&self.funnel).entry(link).or_default());
    }

    /// Notes that somebody came by a link of this organization that is off, replaced, expired or full.
    pub fn ended_link(&self, organization: OrganizationId) {
        *locked(&self.ended).entry(organization).or_default() += 1;
    }

    /// Takes how often each organization's ended links were opened since the last time.
    pub fn take_ended(&self) -> HashMap<OrganizationId, i64> {
        std::mem::take(&mut locked(&self.ended))
    }

    /// Takes the sessions used since the last time.
    pub fn take_seen(&self) -> HashMap<SessionId, Timestamp> {
        std::mem::take(&mut locked(&self.seen))
    }

    /// Takes what came of links since the last time.
    pub fn take_funnel(&self) -> HashMap<uuid::Uuid, Funnel> {
        std::mem::take(&mut locked(&self.funnel))
    }
}
