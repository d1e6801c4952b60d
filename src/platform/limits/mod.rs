//! How often something may happen: counters in the database, and tallies in memory for what a GET may count.
//!
//! Keys are keyed hashes: the store remembers how often, not who. The numbers are those of `docs/operating.md`.
//! A window slides: it is counted in ten parts, and the parts that it touches are added up, so that in no span of its
//! length anything happens more often than it may.

pub mod failures;
pub mod shared;
mod tallies;

use std::time::Duration;

use super::{
    App, Fault,
    db::{CLEANED_AT_ONCE, FromRow, Target, Tx, query},
    keys::Purpose,
};
use crate::values::{DAY, HOUR, MINUTE, Timestamp};

pub use tallies::{Funnel, Tallies};

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
    /// Unknown codes and tokens from one source.
    Unknown,
    /// Requests for a new password for one address: the same form a moment ago is the same request.
    SameRecovery,
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
            Self::Unknown => b"unknown/source",
            Self::SameRecovery => b"recovery/address",
            Self::AddressChange => b"address/user",
        }
    }

    const fn most(self) -> i64 {
        match self {
            Self::BeginBySource => 400,
            Self::BeginByLink => 2_000,
            Self::WrongCodeBySource => 50,
            Self::Unknown => 60,
            Self::WrongCodeByOrganization => 500,
            Self::WrongPasswordBySource => 100,
            Self::ManagerMail | Self::AddressChange => 5,
            Self::SameRecovery => 1,
        }
    }

    const fn window(self) -> Duration {
        match self {
            Self::BeginBySource | Self::BeginByLink => Duration::from_mins(10),
            Self::WrongCodeBySource
            | Self::WrongPasswordBySource
            | Self::ManagerMail
            | Self::Unknown
            | Self::AddressChange => HOUR,
            Self::WrongCodeByOrganization => DAY,
            Self::SameRecovery => MINUTE,
        }
    }
}

/// A window is counted in so many parts.
const PARTS: u32 = 10;

impl Limit {
    fn part_length(self) -> Duration {
        self.window() / PARTS
    }

    /// The part of time that a moment is in.
    fn part_of(self, moment: Timestamp) -> i64 {
        let length = i64::try_from(self.part_length().as_micros()).unwrap_or(i64::MAX);
        moment.micros().div_euclid(length)
    }

    /// The first part that the window before a moment touches.
    fn first_part(self, now: Timestamp) -> i64 {
        self.part_of(now) - i64::from(PARTS)
    }

    /// When a part no longer counts.
    fn part_until(self, part: i64) -> Timestamp {
        let length = i64::try_from(self.part_length().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros((part + 1).saturating_mul(length)) + self.window()
    }
}

/// Too often; when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How long until there is room again.
    pub retry_after: Duration,
}

/// What happened in the window that ends now.
#[derive(FromRow)]
struct Counted {
    count: Option<i64>,
    first_part: Option<i64>,
}

impl Counted {
    fn judge(&self, limit: Limit, now: Timestamp) -> Result<(), TooMany> {
        if self.count.unwrap_or(0) < limit.most() {
            return Ok(());
        }
        let until = limit.part_until(self.first_part.unwrap_or_default());
        Err(TooMany { retry_after: now.until(until).max(Duration::from_secs(1)) })
    }
}

fn key(app: &App, limit: Limit, of: &[&[u8]]) -> Vec<u8> {
    app.keys.mac(Purpose::Counting, &[&[limit.label()], of].concat())
}

/// Counts one more, unless that is too many. Whoever counts the same at the same time waits for the end of this write,
/// so that of a thousand at once as many are counted as may be.
pub async fn count(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) -> Result<Result<(), TooMany>, Fault> {
    let (now, key) = (tx.now, key(app, limit, of));
    let part = limit.part_of(now);
    // Of the earlier parts only: what a statement that writes a row reads of that very row is nowhere promised.
    let counted: Counted = query(
        "insert into limit_counts (key_hash, part, count, until) values ($1, $2, 1, $3)
         on conflict (key_hash, part) do update set count = limit_counts.count + 1
         returning count + coalesce((select cast(sum(earlier.count) as bigint) from limit_counts earlier
                                      where earlier.key_hash = $1 and earlier.part >= $4 and earlier.part < $2 and earlier.count > 0), 0) as count,
                   coalesce((select min(earlier.part) from limit_counts earlier
                              where earlier.key_hash = $1 and earlier.part >= $4 and earlier.part < $2 and earlier.count > 0), $2) as first_part",
    )
    .bind(key.clone())
    .bind(part)
    .bind(limit.part_until(part))
    .bind(limit.first_part(now))
    .one(&mut *tx)
    .await?;
    let before = Counted { count: counted.count.map(|count| count - 1), ..counted };
    let judged = before.judge(limit, now);
    if judged.is_err() {
        // Who is refused and comes again does not push the end of the wait away.
        uncount(tx, key, part);
    }
    Ok(judged)
}

/// One less: it was counted beforehand and turned out to be none.
pub fn take_back(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) {
    let (key, part) = (key(app, limit, of), limit.part_of(tx.now));
    uncount(tx, key, part);
}

fn uncount(tx: &mut Tx, key: Vec<u8>, part: i64) {
    query("update limit_counts set count = count - 1 where key_hash = $1 and part = $2 and count > 0")
        .bind(key)
        .bind(part)
        .later(tx);
}

/// Whether one more would be too many, without counting it.
pub async fn check<'a>(
    app: &App,
    on: impl Into<Target<'a>>,
    now: Timestamp,
    limit: Limit,
    of: &[&[u8]],
) -> Result<Result<(), TooMany>, Fault> {
    Ok(in_window(on, limit, key(app, limit, of), now).await?.judge(limit, now))
}

async fn in_window<'a>(
    on: impl Into<Target<'a>>,
    limit: Limit,
    key: Vec<u8>,
    now: Timestamp,
) -> Result<Counted, Fault> {
    query(
        "select cast(sum(count) as bigint) as count, min(part) as first_part from limit_counts
          where key_hash = $1 and part >= $2 and count > 0",
    )
    .bind(key)
    .bind(limit.first_part(now))
    .one(on)
    .await
}

/// Forgets what no longer limits anything.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let now = tx.now;
    let counts = query(
        "delete from limit_counts where (key_hash, part) in (select key_hash, part from limit_counts where until < $1 limit $2)",
    )
    .bind(now)
    .bind(CLEANED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    Ok(counts.max(failures::clean_up(tx).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_until_no_window_touches_it() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        for limit in [Limit::BeginBySource, Limit::WrongCodeByOrganization, Limit::WrongPasswordBySource] {
            let part = limit.part_of(now);
            assert!(limit.first_part(now + limit.window()) <= part, "an event of the window before counts");
            assert!(limit.first_part(limit.part_until(part)) > part, "after its time it does not");
        }
    }
}
