//! Connections that are kept open and lent in turn.
//!
//! sqlx's own pool asks each connection whether it lives whenever it comes back: one question more for each that a
//! request has, and every one wakes a thread or crosses the network. Here a connection is asked only when it has
//! been idle for a while, and one that was left in the middle of something is never lent again.

use std::time::Duration;

use deadpool::{
    Runtime,
    managed::{
        Manager, Metrics, Object, Pool, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
    },
};
use sqlx::{Connection, PgConnection, SqliteConnection, raw_sql};

/// How long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(4);
/// A connection that answered so long ago is asked whether it still lives: a network forgets silent ones.
const FRESH: Duration = Duration::from_secs(20);
/// Nobody waits longer for the answer of a server, the wait for a connection included: a page says "come back" within
/// five seconds (security requirement P0-72), also when the server is frozen and says nothing at all.
const LONGEST: Duration = Duration::from_millis(4_500);

/// A connection of either kind.
pub(super) trait Line: Connection<Options: Send + Sync> + Sync + 'static {
    /// Says one of the words that begin and end a write.
    fn word(&mut self, word: &'static str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Line for SqliteConnection {
    async fn word(&mut self, word: &'static str) -> Result<(), sqlx::Error> {
        raw_sql(word).execute(self).await.map(|_| ())
    }
}

impl Line for PgConnection {
    async fn word(&mut self, word: &'static str) -> Result<(), sqlx::Error> {
        raw_sql(word).execute(self).await.map(|_| ())
    }
}

/// Opens connections, and says which may be lent again.
pub(super) struct Keeper<C: Line> {
    options: C::Options,
}

/// A connection, and whether nothing was left unfinished on it.
pub(super) struct Kept<C> {
    connection: C,
    whole: bool,
}

impl<C: Line> Manager for Keeper<C> {
    type Type = Kept<C>;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Kept<C>, sqlx::Error> {
        Ok(Kept { connection: C::connect_with(&self.options).await?, whole: true })
    }

    async fn recycle(&self, kept: &mut Kept<C>, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if !kept.whole {
            return Err(RecycleError::message("left in the middle of something"));
        }
        if metrics.last_used() > FRESH {
            kept.connection.ping().await?;
        }
        Ok(())
    }
}

impl<C> Kept<C> {
    /// The connection, for one question. Until [`Kept::answered`] it counts as left in the middle.
    pub(super) const fn asking(&mut self) -> &mut C {
        self.whole = false;
        &mut self.connection
    }

    /// The question was answered. After an error of the line itself nothing more is asked.
    pub(super) fn answered<T>(&mut self, answer: &Result<T, sqlx::Error>) {
        let line = |error: &sqlx::Error| {
            matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut
            ) || error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code.starts_with("57P") || code == "25P03")
        };
        self.whole = !answer.as_ref().is_err_and(line);
    }
}

/// The connections of one process to one database.
pub(super) type Connections<C> = Pool<Keeper<C>>;
/// One of them, lent.
pub(super) type Lent<C> = Object<Keeper<C>>;

/// At most `most` connections, opened when they are needed.
pub(super) fn connections<C: Line>(options: C::Options, most: usize) -> Result<Connections<C>, sqlx::Error> {
    let patience = Some(PATIENCE);
    let config = PoolConfig {
        max_size: most,
        timeouts: Timeouts { wait: patience, create: patience, recycle: Some(Duration::from_secs(1)) },
        queue_mode: QueueMode::Lifo,
    };
    Pool::builder(Keeper { options })
        .config(config)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| sqlx::Error::Configuration(error.into()))
}

/// One connection, for a question or a write.
pub(super) async fn lend<C: Line>(from: &Connections<C>) -> Result<Lent<C>, sqlx::Error> {
    from.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => sqlx::Error::PoolClosed,
        _ => sqlx::Error::PoolTimedOut,
    })
}

/// Closes what is idle, each in good order, and lends nothing any more.
pub(super) async fn close<C: Line>(all: &Connections<C>) {
    let mut idle = Vec::new();
    all.retain(|_, _| false).removed.into_iter().for_each(|kept| idle.push(kept));
    all.close();
    for kept in idle {
        // One that does not close in good order is gone all the same.
        drop(kept.connection.close().await);
    }
}

/// The answer of a server, or the fault that says "busy, come back".
pub(super) async fn in_time<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(LONGEST, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Says one of the words that begin and end a write.
pub(super) async fn say<C: Line>(on: &mut Lent<C>, word: &'static str) -> Result<(), sqlx::Error> {
    let said = in_time(on.asking().word(word)).await;
    on.answered(&said);
    said
}

/// Begins a write on one of these connections.
pub(super) async fn begin<C: Line>(on: &Connections<C>, word: &'static str) -> Result<Lent<C>, sqlx::Error> {
    // On the heap: everything that writes holds this.
    in_time(Box::pin(async {
        let mut lent = lend(on).await?;
        say(&mut lent, word).await?;
        Ok(lent)
    }))
    .await
}

/// Whether a server answers, and takes writes (one that only follows another does not) of who knows the schema up to `known`.
pub(super) async fn takes_writes(on: &Connections<PgConnection>, known: i64) -> Result<bool, sqlx::Error> {
    let mut lent = lend(on).await?;
    let asked = sqlx::query_scalar::<_, bool>(
        "select current_setting('transaction_read_only') = 'off' and not exists (select 1 from server where oldest_schema > $1)",
    );
    let answer = in_time(asked.bind(known).fetch_one(lent.asking())).await;
    lent.answered(&answer);
    answer
}

/// Makes a write last. One that could not be (a full disk) may still stand open: it is undone before the connection is
/// lent again.
pub(super) async fn commit<C: Line>(mut lent: Lent<C>) -> Result<(), sqlx::Error> {
    let said = say(&mut lent, "commit").await;
    if said.is_err() {
        undo(lent);
    }
    said
}

/// Undoes a write that was left without its end, and lends the connection again only then.
pub(super) fn undo<C: Line>(mut lent: Lent<C>) {
    // Whatever becomes of the task below, an open write is never lent.
    lent.asking();
    let undoing = async move {
        if say(&mut lent, "rollback").await.is_err() {
            // Whether it is undone is not known: the connection is closed, which undoes all the more.
            lent.asking();
        }
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        // The connection, and with it a place, is held until this is done: nobody else needs to wait for it.
        drop(runtime.spawn(undoing));
    }
}
