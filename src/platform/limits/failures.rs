//! Wrong passwords in a row. A row ends with a success, and has no window.
//!
//! Most people have no failures, and a sign-in of theirs writes nothing here. Whoever has some, or tries twice at once,
//! is counted before the password is compared, so that a thousand guesses at once are a thousand in a row.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::Limit;
use crate::{
    platform::{
        App, Fault,
        db::{CLEANED_AT_ONCE, Db, FromRow, Tx, query},
        keys::Purpose,
        limits::TooMany,
    },
    values::{DAY, Timestamp},
};

/// What is counted together: an address of an organization, or one known browser's tries at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// The row of these, together.
    pub fn of(app: &App, parts: &[&[u8]]) -> Self {
        Self(app.keys.mac(Purpose::Counting, &[&[b"row".as_slice()], parts].concat()))
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// How many.
    pub count: i64,
    /// When the last one was.
    pub last_at: Timestamp,
}

#[derive(FromRow)]
struct Stored {
    count: Option<i64>,
    last_at: Option<Timestamp>,
    by_source: Option<i64>,
    first_part: Option<i64>,
}

impl Stored {
    fn row(&self) -> Option<Row> {
        self.count.filter(|count| *count > 0).zip(self.last_at).map(|(count, last_at)| Row { count, last_at })
    }
}

/// The failures in a row, and whether this source had too many in the last hour: one question for both.
pub async fn before_trying(
    app: &App,
    db: &Db,
    key: &RowKey,
    source: &str,
) -> Result<Result<Option<Row>, TooMany>, Fault> {
    let (limit, now) = (Limit::WrongPasswordBySource, db.now());
    let stored: Stored = query(
        "select (select count from counters where key_hash = $1) as count,
                (select last_at from counters where key_hash = $1) as last_at,
                (select cast(sum(count) as bigint) from limit_counts where key_hash = $2 and part >= $3 and count > 0) as by_source,
                (select min(part) from limit_counts where key_hash = $2 and part >= $3 and count > 0) as first_part",
    )
    .bind(key.0.clone())
    .bind(super::key(app, limit, &[source.as_bytes()]))
    .bind(limit.first_part(now))
    .one(db)
    .await?;
    let by_source = super::Counted { count: stored.by_source, first_part: stored.first_part };
    Ok(by_source.judge(limit, now).map(|()| stored.row()))
}

/// The failures in a row, which nobody else changes until the end of this write.
pub async fn locked(tx: &mut Tx, key: &RowKey) -> Result<Option<Row>, Fault> {
    let row: Option<(i64, Timestamp)> =
        query("update counters set count = count where key_hash = $1 returning count, last_at")
            .bind(key.0.clone())
            .optional(tx)
            .await?;
    Ok(row.filter(|(count, _)| *count > 0).map(|(count, last_at)| Row { count, last_at }))
}

/// One more failure.
pub fn add(tx: &mut Tx, key: &RowKey) {
    let now = tx.now;
    query(
        "insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)
         on conflict (key_hash) do update set count = counters.count + 1, last_at = $2",
    )
    .bind(key.0.clone())
    .bind(now)
    .later(tx);
}

/// One failure less: it was counted beforehand, and then nothing was compared.
pub fn take_back(tx: &mut Tx, key: &RowKey) {
    query("update counters set count = count - 1 where key_hash = $1 and count > 0").bind(key.0.clone()).later(tx);
}

/// A success, or a reset: no failures in a row any more.
pub fn forget(tx: &mut Tx, key: &RowKey) {
    query("delete from counters where key_hash = $1").bind(key.0.clone()).later(tx);
}

pub(super) async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let long_ago = tx.now - 30 * DAY;
    query("delete from counters where key_hash in (select key_hash from counters where last_at < $1 limit $2)")
        .bind(long_ago)
        .bind(CLEANED_AT_ONCE)
        .execute(tx)
        .await
}

/// Who is trying at this moment, in this process.
#[derive(Debug, Default)]
pub struct Trying(Mutex<HashSet<RowKey>>);

/// Nobody else of this process tries the same, until this is dropped.
#[derive(Debug)]
pub struct Alone<'a> {
    trying: &'a Trying,
    key: RowKey,
}

impl Trying {
    /// Begins a try. `None` when somebody else is trying the same: then it is counted beforehand.
    pub fn alone(&self, key: &RowKey) -> Option<Alone<'_>> {
        let mut trying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trying.insert(key.clone()).then(|| Alone { trying: self, key: key.clone() })
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.trying.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_try_the_same_at_once_one_is_alone() {
        let trying = Trying::default();
        let (one, other) = (RowKey(vec![1]), RowKey(vec![2]));
        let first = trying.alone(&one);
        assert!(first.is_some() && trying.alone(&one).is_none() && trying.alone(&other).is_some());
        drop(first);
        assert!(trying.alone(&one).is_some());
    }
}
