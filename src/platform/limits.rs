//! How often something may happen: counters in the database, and tallies in memory for what a GET may count.
//!
//! Keys are keyed hashes: the store remembers how often, not who. The numbers are those of `docs/operating.md`.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    App, Fault,
    db::{FromRow, Tx, query},
    keys::Purpose,
};
use crate::values::{DAY, HOUR, MINUTE, SessionId, Timestamp};

/// Something that is counted within a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Registrations begun from one source.
    BeginBySource,
    /// Registrations begun through one link; beyond it answers are slowed, never refused.
    BeginByLink,
    /// Wrong confirmation codes from one source.
    WrongCodeBySource,
    /// Wrong confirmation codes in one organization.
    WrongCodeByOrganization,
    /// Wrong passwords from one source.
    WrongPasswordBySource,
    /// Mail that one manager causes to one address.
    ManagerMail,
    /// Changes of address that one user begins: each sends mail to an address of their choice.
    AddressChange,
}

impl Limit {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::BeginBySource => b"begin/source",
            Self::BeginByLink => b"begin/link",
            Self::WrongCodeBySource => b"code/source",
            Self::WrongCodeByOrganization => b"code/organization",
            Self::WrongPasswordBySource => b"password/source",
            Self::ManagerMail => b"mail/manager",
            Self::AddressChange => b"address/user",
        }
    }

    const fn most(self) -> i64 {
        match self {
            Self::BeginBySource => 400,
            Self::BeginByLink => 2_000,
            Self::WrongCodeBySource => 50,
            Self::WrongCodeByOrganization => 500,
            Self::WrongPasswordBySource => 100,
            Self::ManagerMail | Self::AddressChange => 5,
        }
    }

    const fn window(self) -> Duration {
        match self {
            Self::BeginBySource | Self::BeginByLink => Duration::from_mins(10),
            Self::WrongCodeBySource | Self::WrongPasswordBySource | Self::ManagerMail | Self::AddressChange => HOUR,
            Self::WrongCodeByOrganization => DAY,
        }
    }
}

/// Too often; when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How long until there is room again.
    pub retry_after: Duration,
}

#[derive(FromRow)]
struct Counted {
    count: i64,
    began_at: Timestamp,
}

fn key(app: &App, limit: Limit, of: &[&[u8]]) -> Vec<u8> {
    app.keys.mac(Purpose::Counting, &[&[limit.label()], of].concat())
}

/// Counts one more, and says whether that is too many.
pub async fn count(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) -> Result<Result<(), TooMany>, Fault> {
    let now = tx.now;
    let counted: Counted = query(
        "insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)
         on conflict (key_hash) do update
            set count = case when counters.began_at <= $3 then 1 else counters.count + 1 end,
                began_at = case when counters.began_at <= $3 then $2 else counters.began_at end,
                last_at = $2
         returning count, began_at",
    )
    .bind(key(app, limit, of))
    .bind(now)
    .bind(now - limit.window())
    .one(tx)
    .await?;
    Ok(judge(limit, now, counted.count - 1, counted.began_at))
}

/// Whether one more would be too many, without counting it.
pub async fn check(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) -> Result<Result<(), TooMany>, Fault> {
    let now = tx.now;
    let counted: Option<Counted> = query("select count, began_at from counters where key_hash = $1 and began_at > $2")
        .bind(key(app, limit, of))
        .bind(now - limit.window())
        .optional(tx)
        .await?;
    Ok(counted.map_or(Ok(()), |counted| judge(limit, now, counted.count, counted.began_at)))
}

fn judge(limit: Limit, now: Timestamp, before: i64, began_at: Timestamp) -> Result<(), TooMany> {
    if before < limit.most() {
        return Ok(());
    }
    Err(TooMany { retry_after: now.until(began_at + limit.window()).max(Duration::from_secs(1)) })
}

/// Failures in a row, each without a window: the count ends with a success.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Row {
    /// How many in a row.
    pub count: i64,
    /// When the last one was.
    pub last_at: Timestamp,
}

fn row_key(app: &App, of: &[&[u8]]) -> Vec<u8> {
    app.keys.mac(Purpose::Counting, &[&[b"row".as_slice()], of].concat())
}

/// How many failures in a row there are.
pub async fn failures(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<Option<Row>, Fault> {
    query("select count, last_at from counters where key_hash = $1").bind(row_key(app, of)).optional(tx).await
}

/// One more failure.
pub async fn fail(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<(), Fault> {
    let now = tx.now;
    query(
        "insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)
         on conflict (key_hash) do update set count = counters.count + 1, last_at = $2",
    )
    .bind(row_key(app, of))
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// One failure less: it was counted beforehand, and then nothing was compared.
pub async fn take_back(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<(), Fault> {
    query("update counters set count = count - 1 where key_hash = $1 and count > 0")
        .bind(row_key(app, of))
        .execute(tx)
        .await?;
    Ok(())
}

/// A success, or a reset: no failures in a row any more.
pub async fn succeed(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<(), Fault> {
    query("delete from counters where key_hash = $1").bind(row_key(app, of)).execute(tx).await?;
    Ok(())
}

/// Forgets what no longer limits anything.
pub async fn clean_up(tx: &mut Tx) -> Result<(), Fault> {
    let now = tx.now;
    query("delete from counters where last_at < $1").bind(now - 30 * DAY).execute(tx).await?;
    Ok(())
}

/// What is gathered in memory: the only things that a GET may count. Written in batches by the worker.
#[derive(Default)]
pub struct Tallies {
    unknown: Mutex<HashMap<String, (i64, Timestamp)>>,
    seen: Mutex<HashMap<SessionId, Timestamp>>,
    shown: Mutex<HashMap<uuid::Uuid, i64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unknown codes and tokens that one source may try in an hour.
const UNKNOWN_MOST: i64 = 60;
/// Sources remembered at once; beyond it old windows are dropped, then all: memory stays bounded.
const UNKNOWN_SOURCES: usize = 100_000;

impl Tallies {
    /// Counts an unknown code or token; too many from one source are told to wait.
    pub fn unknown(&self, source: &str, now: Timestamp) -> Result<(), TooMany> {
        let mut unknown = locked(&self.unknown);
        if unknown.len() >= UNKNOWN_SOURCES {
            unknown.retain(|_, (_, began)| *began + HOUR > now);
            if unknown.len() >= UNKNOWN_SOURCES {
                unknown.clear();
            }
        }
        let (count, began) = unknown.entry(source.to_owned()).or_insert((0, now));
        if *began + HOUR <= now {
            (*count, *began) = (0, now);
        }
        *count += 1;
        if *count > UNKNOWN_MOST {
            return Err(TooMany { retry_after: now.until(*began + HOUR).max(MINUTE) });
        }
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn guesses_cost_the_guesser_and_nobody_else() {
        let tallies = Tallies::default();
        for _ in 0..60 {
            assert!(tallies.unknown("192.0.2.1", START).is_ok());
        }
        assert!(tallies.unknown("192.0.2.1", START).is_err());
        assert!(tallies.unknown("192.0.2.2", START).is_ok());
        assert!(tallies.unknown("192.0.2.1", START + HOUR).is_ok());
    }
}
