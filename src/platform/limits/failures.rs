//! Wrong passwords in a row. A row ends with a success, and has no window.
//!
//! Most people have no failures, and a sign-in of theirs writes nothing here. Whoever has some, or tries twice at once,
//! is counted before the password is compared, so that a thousand guesses at once are a thousand in a row.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
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

/// What was before a try.
pub struct Before {
    /// The failures in a row.
    pub row: Option<Row>,
    /// How many more wrong passwords this source may try within the hour.
    pub left_to_source: Result<i64, TooMany>,
}

/// The failures in a row, and those of this source in the last hour: one question for both.
pub async fn before_trying(app: &App, db: &Db, key: &RowKey, source: &str) -> Result<Before, Fault> {
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
    let left = limit.most() - stored.by_source.unwrap_or(0);
    Ok(Before { row: stored.row(), left_to_source: by_source.judge(limit, now).map(|()| left) })
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
pub struct Trying(Mutex<TryingNow>);

#[derive(Debug, Default)]
struct TryingNow {
    rows: HashSet<RowKey>,
    sources: HashMap<String, i64>,
}

/// Nobody else of this process tries the same, until this is dropped.
#[derive(Debug)]
pub struct Alone<'a> {
    trying: &'a Trying,
    key: RowKey,
}

/// One of those who try from one source, until this is dropped.
#[derive(Debug)]
pub struct WithOthers<'a> {
    trying: &'a Trying,
    source: String,
    /// So many others were trying from there when it began.
    pub others: i64,
}

impl Trying {
    fn now(&self) -> MutexGuard<'_, TryingNow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a try. `None` when somebody else is trying the same: then it is counted beforehand.
    pub fn alone(&self, key: &RowKey) -> Option<Alone<'_>> {
        self.now().rows.insert(key.clone()).then(|| Alone { trying: self, key: key.clone() })
    }

    /// Begins a try of this source.
    pub fn with_others(&self, source: &str) -> WithOthers<'_> {
        let mut now = self.now();
        let trying = now.sources.entry(source.to_owned()).or_default();
        let others = *trying;
        *trying += 1;
        WithOthers { trying: self, source: source.to_owned(), others }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.trying.now().rows.remove(&self.key);
    }
}

impl Drop for WithOthers<'_> {
    fn drop(&mut self) {
        let mut now = self.trying.now();
        if let Some(trying) = now.sources.get_mut(&self.source) {
            *trying -= 1;
            if *trying == 0 {
                now.sources.remove(&self.source);
            }
        }
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

    #[test]
    fn those_who_try_from_one_source_know_how_many_they_are() {
        let trying = Trying::default();
        let (first, second) = (trying.with_others("192.0.2.1"), trying.with_others("192.0.2.1"));
        assert_eq!((first.others, second.others, trying.with_others("192.0.2.2").others), (0, 1, 0));
        drop(first);
        assert_eq!(trying.with_others("192.0.2.1").others, 1);
        drop(second);
        assert!(trying.now().sources.is_empty(), "nobody is remembered");
    }
}
