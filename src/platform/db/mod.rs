//! One database behind one door.
//!
//! SQL is written once, by hand, in the part of SQL that `SQLite` and `PostgreSQL` both speak (`docs/sql.md`).
//! `&Db` only reads; a write is one [`Tx`]: one connection, one instant, one source of randomness, all or nothing.

mod columns;
mod connections;
mod copy;
mod keep;
mod later;
mod lock;
mod look;
mod migrations;
mod open;
mod plain;
mod query;
mod tables;
mod url;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use connections::{Connections, Lent, begin, in_time, lend};
use later::Later;
use sqlx::{PgConnection, SqliteConnection};

pub(crate) use columns::word_column;
pub use copy::{Copied, CopyError, copy};
pub use keep::{KeepError, check_whole, put_into_place, sync_folder, write_copy};
pub use lock::Lock;
pub use look::{Looked, look};
pub use migrations::NEWEST;
pub use open::OpenError;
pub use query::{Arg, Perhaps, Query, Row, Target, query};
pub use sqlx::FromRow;
pub use tables::{DERIVED, TABLES, Table};
pub use url::{DatabaseUrl, DatabaseUrlError};

use super::Fault;
use crate::values::{Clock, Id, Randomness, Secret, Timestamp};

/// Rows that one clean-up deletes at most: nothing slow stands in a write. Whoever deletes so many comes again.
pub const CLEANED_AT_ONCE: i64 = 500;
/// What "ready" means: a read and a write within this time.
const QUICKLY: Duration = Duration::from_secs(1);

/// The database.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    clock: Clock,
    randomness: Randomness,
    wake: Arc<tokio::sync::Notify>,
}

/// Which database it is. Nothing outside this module asks.
#[derive(Clone)]
enum Engine {
    /// One writer, which takes the write lock at once, and several read-only readers.
    Sqlite { read: Connections<SqliteConnection>, write: Connections<SqliteConnection> },
    /// A server that other replicas share. One connection is kept for whoever asks how things stand: where every other waits
    /// for a lock, the server is busy, and none the less ready.
    Postgres { all: Connections<PgConnection>, kept_free: Connections<PgConnection> },
}

impl Db {
    /// Begins a write. On `SQLite` it has the only writing connection at once and takes the file's lock before its first statement,
    /// so that nothing it has read can change under it; on `PostgreSQL` rules that read other rows lock the organization's
    /// first (`docs/sql.md`).
    pub async fn write(&self) -> Result<Tx, Fault> {
        // From here, so that a trace shows how long the write waited for its turn.
        let span = tracing::debug_span!("database write");
        let (inner, beginning) = match &self.engine {
            // With its first statement, which wakes a thread of the library once and not twice.
            Engine::Sqlite { write, .. } => (Inner::Sqlite(in_time(lend(write)).await?), "begin immediate; "),
            Engine::Postgres { all, .. } => (Inner::Postgres(begin(all, "begin").await?), ""),
        };
        Ok(Tx {
            inner: Some(inner),
            beginning,
            later: Later::default(),
            now: self.clock.now(),
            randomness: self.randomness.clone(),
            wake: Arc::clone(&self.wake),
            wakes: false,
            made: AtomicU16::new(0),
            _span: span,
        })
    }

    /// Waits until a write of this process has left something for the worker.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether a read is answered and a write could begin, within a second, on a schema that this version may work with: a newer one
    /// may have migrated while this server ran.
    pub async fn is_ready(&self) -> bool {
        let asked = async {
            match &self.engine {
                Engine::Sqlite { .. } => {
                    let mut tx = self.write().await?;
                    let oldest: Option<(i64,)> = query("select oldest_schema from server").optional(&mut tx).await?;
                    Ok::<bool, Fault>(oldest.is_none_or(|(oldest,)| oldest <= NEWEST))
                }
                Engine::Postgres { kept_free, .. } => Ok(connections::takes_writes(kept_free, NEWEST).await?),
            }
        };
        matches!(tokio::time::timeout(QUICKLY, asked).await, Ok(Ok(true)))
    }

    /// The present moment of this database.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether several servers may work on it at once.
    pub const fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// Sets the clock by the database's: what replicas share decides every expiry (decision U6). On `SQLite`
    /// that is this machine's own.
    pub async fn set_clock(&self) -> Result<(), Fault> {
        self.clock.set(self.ask_the_time().await?);
        Ok(())
    }

    /// The same when it is opened, before anybody has asked: a machine whose calendar is ahead starts with the others' time.
    async fn start_clock(&self) -> Result<(), Fault> {
        self.clock.start(self.ask_the_time().await?);
        Ok(())
    }

    async fn ask_the_time(&self) -> Result<Timestamp, Fault> {
        Ok(match &self.engine {
            Engine::Sqlite { .. } => Clock::of_this_machine(),
            Engine::Postgres { .. } => {
                let asked = tokio::time::Instant::now();
                let (told,): (Timestamp,) = query("select clock_timestamp()").one(self).await?;
                // Half of the way there and back has passed since it was read.
                told + asked.elapsed() / 2
            }
        })
    }

    /// How busy the connections are.
    pub fn pools(&self) -> Vec<PoolUse> {
        let of = |name, status: deadpool::Status| PoolUse {
            name,
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            most: status.max_size,
            waiting: status.waiting,
        };
        match &self.engine {
            Engine::Sqlite { read, write } => vec![of("read", read.status()), of("write", write.status())],
            Engine::Postgres { all, .. } => vec![of("all", all.status())],
        }
    }

    /// Ends every connection, after which a file is whole and may be copied.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { read, write } => {
                connections::close(read).await;
                connections::close(write).await;
            }
            Engine::Postgres { all, kept_free } => {
                connections::close(all).await;
                connections::close(kept_free).await;
            }
        }
    }
}

/// How busy the connections of one pool are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Which pool it is.
    pub name: &'static str,
    /// Connections that are lent.
    pub in_use: usize,
    /// Connections that are open and wait.
    pub idle: usize,
    /// Connections that there may be.
    pub most: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// A write: one connection, one instant, all or nothing. Dropped without [`Tx::commit`], it never was.
pub struct Tx {
    /// Taken by the end.
    inner: Option<Inner>,
    /// What is said before the first statement; nothing once it was.
    beginning: &'static str,
    later: Later,
    randomness: Randomness,
    wake: Arc<tokio::sync::Notify>,
    wakes: bool,
    made: AtomicU16,
    _span: tracing::Span,
    /// The instant of this write.
    pub now: Timestamp,
}

enum Inner {
    Sqlite(Lent<SqliteConnection>),
    Postgres(Lent<PgConnection>),
}

impl Drop for Tx {
    fn drop(&mut self) {
        match self.inner.take() {
            // Nothing was begun: there is nothing to undo.
            _ if !self.beginning.is_empty() => {}
            Some(Inner::Sqlite(lent)) => connections::undo(lent),
            Some(Inner::Postgres(lent)) => connections::undo(lent),
            None => {}
        }
    }
}

impl Tx {
    /// Makes everything in this write last, at once.
    pub async fn commit(mut self) -> Result<(), Fault> {
        let Some(inner) = self.inner.as_mut() else { return Err(sqlx::Error::PoolClosed.into()) };
        let said = self.later.send_with_the_end(inner, &mut self.beginning).await?;
        match self.inner.take() {
            Some(_) if said || !self.beginning.is_empty() => {}
            Some(Inner::Sqlite(lent)) => connections::commit(lent).await?,
            Some(Inner::Postgres(lent)) => connections::commit(lent).await?,
            None => {}
        }
        if self.wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Sends what waits before the next question, which may ask about it. The word that the question must begin with.
    async fn asking(&mut self) -> Result<(&mut Inner, &'static str), Fault> {
        let inner = self.inner.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        self.later.send(inner, &mut self.beginning).await?;
        Ok((inner, std::mem::take(&mut self.beginning)))
    }

    /// The worker looks for work as soon as this write is committed.
    pub const fn wakes_the_worker(&mut self) {
        self.wakes = true;
    }

    /// A new id of this instant. Those of one write sort in the order in which they were made (RFC 9562, 6.2:
    /// a counter in the twelve bits after the time), so that a list shows what happened in its order.
    pub fn new_id<K>(&self) -> Id<K> {
        let mut random: [u8; 10] = self.randomness.bytes();
        let [high, low] = (self.made.fetch_add(1, Ordering::Relaxed) & 0x0fff).to_be_bytes();
        let [first, second, ..] = &mut random;
        (*first, *second) = (high, low);
        Id::new(self.now, random)
    }

    /// A new 256-bit token.
    pub fn new_secret(&self) -> Secret {
        self.randomness.secret()
    }
}

/// Whether the database was busy or away rather than wrong: coming back in a moment may help.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
        _ => false,
    }
}

/// `SQLite`: busy, locked, an input or output error, no space. `PostgreSQL`: the classes of lost connections (08),
/// aborted transactions (40), used-up resources (53), intervention (57) and the system's own errors (58),
/// a lock that could not be had (55P03), a server that takes no writes (25006), a write that was left alone (25P03).
fn is_passing_code(code: &str) -> bool {
    if let (Ok(number), true) = (code.parse::<u32>(), code.len() < 5) {
        return matches!(number & 0xff, 5 | 6 | 10 | 13);
    }
    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25006" | "25P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_apart_from_what_is_broken() {
        // SQLite's extended codes keep the plain one in their last octet.
        for passing in ["5", "517", "13", "778", "1034", "08006", "57P01", "53100", "40P01", "55P03", "25P03"] {
            assert!(is_passing_code(passing), "{passing}");
        }
        for broken in ["1", "19", "2067", "11", "23505", "42601", "22021"] {
            assert!(!is_passing_code(broken), "{broken}");
        }
    }
}
