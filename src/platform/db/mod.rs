//! One database behind one door.
//!
//! SQL is written once, by hand, in the part of SQL that `SQLite` and `PostgreSQL` both speak (`docs/sql.md`).
//! `&Db` only reads; a write is one [`Tx`]: one connection, one instant, one source of randomness, all or nothing.

mod columns;
mod query;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Sqlite, SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(crate) use columns::word_column;
pub use query::{Arg, Query, Row, Target, query};
pub use sqlx::FromRow;

use super::Fault;
use crate::values::{Clock, Id, Randomness, Secret, Timestamp};

/// Readers of one process. `SQLite` serves a page in well under a millisecond, so few are enough.
const READERS: u32 = 4;
/// How long a request waits for its turn to write before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// What "ready" means: a read and the write lock within this time.
const QUICKLY: Duration = Duration::from_secs(1);

/// The database: one writer and several read-only readers.
#[derive(Clone)]
pub struct Db {
    read: SqlitePool,
    write: SqlitePool,
    clock: Clock,
    randomness: Randomness,
    wake: Arc<tokio::sync::Notify>,
}

/// Why a database could not be opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be read or written.
    #[error("cannot open the database {path}: {source}. Check that the folder exists and belongs to this user")]
    Open {
        /// The file.
        path: String,
        /// What the system said.
        source: sqlx::Error,
    },
    /// A newer version has changed the schema.
    #[error(
        "the database {path} was made by a newer version of Vestibule (schema {version}). Start that version instead"
    )]
    Newer {
        /// The file.
        path: String,
        /// The number of the unknown migration.
        version: i64,
    },
    /// A migration did not apply.
    #[error("the database {path} could not be brought up to date: {source}. Nothing was changed by the failed step")]
    Migrate {
        /// The file.
        path: String,
        /// What went wrong.
        source: MigrateError,
    },
}

impl Db {
    /// Opens the `SQLite` file, making it where there is none, and brings its schema up to date.
    pub async fn open(path: &Path, clock: Clock, randomness: Randomness) -> Result<Self, OpenError> {
        let shown = path.display().to_string();
        let failed = |source| OpenError::Open { path: shown.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged registration survives a power cut (security requirement P0-74).
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        match sqlx::migrate!("./migrations").run(&write).await {
            Ok(()) => {}
            Err(MigrateError::VersionMissing(version)) => return Err(OpenError::Newer { path: shown, version }),
            Err(source) => return Err(OpenError::Migrate { path: shown, source }),
        }
        let read = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(PATIENCE)
            // A connection that answered a moment ago needs no question before each query.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        Ok(Self { read, write, clock, randomness, wake: Arc::default() })
    }

    /// Begins a write. It takes the write lock at once, so that nothing it has read can change under it.
    pub async fn write(&self) -> Result<Tx, Fault> {
        let inner = self.write.begin_with("begin immediate").await?;
        Ok(Tx {
            inner,
            now: self.clock.now(),
            randomness: self.randomness.clone(),
            wake: Arc::clone(&self.wake),
            wakes: false,
            made: AtomicU16::new(0),
        })
    }

    /// Waits until a write has left something for the worker.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether a read is answered and a write could begin, within a second.
    pub async fn is_ready(&self) -> bool {
        let asked = async {
            let _: (i64,) = query("select 1").one(self).await?;
            drop(self.write().await?);
            Ok::<(), Fault>(())
        };
        matches!(tokio::time::timeout(QUICKLY, asked).await, Ok(Ok(())))
    }

    /// The present moment of this database.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends every connection, after which the file is whole and may be copied.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A write: one connection, one instant, all or nothing. Dropped without [`Tx::commit`], it never was.
pub struct Tx {
    inner: sqlx::Transaction<'static, Sqlite>,
    randomness: Randomness,
    wake: Arc<tokio::sync::Notify>,
    wakes: bool,
    made: AtomicU16,
    /// The instant of this write.
    pub now: Timestamp,
}

impl Tx {
    /// Makes everything in this write last, at once.
    pub async fn commit(self) -> Result<(), Fault> {
        self.inner.commit().await?;
        if self.wakes {
            self.wake.notify_one();
        }
        Ok(())
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
