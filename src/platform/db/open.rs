//! Opening a database: the connections, the schema, and one clear line where it cannot be done.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _,
    migrate::MigrateError,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    DatabaseUrl, Db, Engine,
    connections::{connections, lend},
    lock::Lock,
    migrations::{self, NEWEST},
    query,
};
use crate::{
    platform::Fault,
    values::{Clock, Randomness},
};

/// Readers of one process. `SQLite` serves a page in well under a millisecond, so few are enough.
const READERS: usize = 4;
/// Connections of one process to a server, one more is kept free: with a few replicas well below the hundred that `PostgreSQL`
/// allows.
const CONNECTIONS: usize = 15;
/// How long a write waits for another process of this machine.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two tries to change a schema that others work on.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// Statements that a connection keeps prepared; there are fewer.
const STATEMENTS: usize = 400;
/// The oldest `PostgreSQL` that is tested.
const OLDEST_POSTGRES: i64 = 15;

/// Why a database could not be opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be read or written.
    #[error(
        "cannot open the database {path}: {why}. Check that the folder exists, belongs to this user and may be written to"
    )]
    File {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Nobody answers where the server should be.
    #[error(
        "no PostgreSQL server answers at {at}: {why}. Check database_url, and that the server runs and can be reached from here"
    )]
    Unreachable {
        /// The address, without the password.
        at: String,
        /// What the system said.
        why: String,
    },
    /// The connection cannot be made safe as it was asked for.
    #[error(
        "the connection to PostgreSQL at {at} cannot be encrypted as asked for: {why}. Check sslmode and sslrootcert in database_url, and that an authority has signed the server's certificate for that name"
    )]
    Tls {
        /// The address, without the password.
        at: String,
        /// What was wrong.
        why: String,
    },
    /// The server does not let this user in.
    #[error("PostgreSQL does not let this user in at {at}: {why}. Check the user and the password in database_url")]
    Refused {
        /// The address, without the password.
        at: String,
        /// What the server said.
        why: String,
    },
    /// The server has no such database.
    #[error("there is no such database at {at}: {why}. Make it with createdb, or correct database_url")]
    NoDatabase {
        /// The address, without the password.
        at: String,
        /// What the server said.
        why: String,
    },
    /// The user may not make or use the tables.
    #[error(
        "the user of {at} lacks rights: {why}. Make it the owner of the database, or grant it create on the schema public"
    )]
    Rights {
        /// The address, without the password.
        at: String,
        /// What the server said.
        why: String,
    },
    /// The server is too old.
    #[error("PostgreSQL at {at} is version {version}; Vestibule needs {OLDEST_POSTGRES} or newer")]
    TooOld {
        /// The address, without the password.
        at: String,
        /// Its version.
        version: i64,
    },
    /// The database cannot hold every name.
    #[error("the database at {at} is encoded in {encoding}; make one with encoding UTF8")]
    Encoding {
        /// The address, without the password.
        at: String,
        /// Its encoding.
        encoding: String,
    },
    /// A newer version has changed the schema in a way that this one cannot work with.
    #[error(
        "the database {at} was made by a newer version of Vestibule (schema {there}, this one knows {NEWEST}). Start that version instead"
    )]
    Newer {
        /// The database, without its password.
        at: String,
        /// Its schema.
        there: i64,
    },
    /// The schema could not be brought up to date.
    #[error(
        "cannot bring the database {at} up to date: {why}. Nothing was changed; restore it from a backup if it was edited by hand"
    )]
    Migrate {
        /// The database, without its password.
        at: String,
        /// What went wrong.
        why: String,
    },
}

impl Db {
    /// Opens the database, making the file where there is none, and brings its schema up to date.
    pub async fn open(url: &DatabaseUrl, clock: Clock, randomness: Randomness) -> Result<Self, OpenError> {
        let engine = match url {
            DatabaseUrl::Sqlite(path) => sqlite(path).await?,
            DatabaseUrl::Postgres(options) => postgres(options, url).await?,
        };
        let db = Self { engine, clock, randomness, wake: Arc::default() };
        db.refuse_newer(url).await?;
        db.migrate(url).await?;
        // A newer version may have been changing the schema while this one waited for its turn.
        db.refuse_newer(url).await?;
        db.start_clock().await.map_err(|fault| not_migrated(url, fault.to_string()))?;
        Ok(db)
    }

    /// Refuses a schema that this version cannot work with, before anything is changed.
    async fn refuse_newer(&self, url: &DatabaseUrl) -> Result<(), OpenError> {
        let failed = |fault: Fault| not_migrated(url, fault.to_string());
        let newest: Result<(Option<i64>,), Fault> = query("select max(version) from _sqlx_migrations").one(self).await;
        let there = match newest {
            Ok((there,)) => there.unwrap_or(0),
            Err(fault) if is_missing_table(&fault) => return Ok(()),
            Err(fault) => return Err(failed(fault)),
        };
        if there <= NEWEST {
            return Ok(());
        }
        let oldest: Option<(i64,)> = query("select oldest_schema from server").optional(self).await.map_err(failed)?;
        if migrations::suits(NEWEST, there, oldest.map_or(1, |(oldest,)| oldest)) {
            return Ok(());
        }
        Err(OpenError::Newer { at: url.to_string(), there })
    }

    async fn migrate(&self, url: &DatabaseUrl) -> Result<(), OpenError> {
        match (&self.engine, url) {
            (Engine::Sqlite { write, .. }, DatabaseUrl::Sqlite(path)) => {
                // Commands and the server may start together; on SQLite sqlx locks nothing itself.
                let _lock = Lock::for_migrating(path).map_err(|error| not_opened(path, error.to_string()))?;
                let mut lent = lend(write).await.map_err(|error| why_not_migrated(url, error.into()))?;
                let outcome = migrations::sqlite().run(&mut *lent.asking()).await;
                lent.answered(&Ok(()));
                outcome.map_err(|error| why_not_migrated(url, error))
            }
            (Engine::Postgres { .. }, DatabaseUrl::Postgres(options)) => migrate_postgres(options, url).await,
            _ => Ok(()),
        }
    }
}

/// Of several replicas that start together one migrates, behind an advisory lock; the others wait for it. Whoever waits for a
/// table that a long query reads lets everybody else pass meanwhile: behind one that waits, all who only read would wait too.
async fn migrate_postgres(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<(), OpenError> {
    let options = options.clone().options([("lock_timeout", "2s")]);
    loop {
        let mut connection = options.connect().await.map_err(|error| refused(url, &error))?;
        match migrations::postgres().run(&mut connection).await {
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if waits_for_a_lock(&error) =>
            {
                tracing::warn!(
                    "the schema cannot change yet: another server changes it, or a program works on a table; trying again"
                );
            }
            outcome => return outcome.map_err(|error| why_not_migrated(url, error)),
        }
        // What it holds is free at once, and not when the server notices that nobody is there.
        connection.close().await.map_err(|error| refused(url, &error))?;
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// "Lock not available", after `lock_timeout`.
fn waits_for_a_lock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

async fn sqlite(path: &Path) -> Result<Engine, OpenError> {
    let failed = |error: sqlx::Error| not_opened(path, reason(&error));
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged registration survives a power cut (security requirement P0-74).
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .statement_cache_capacity(STATEMENTS);
    let write = connections(options.clone(), 1).map_err(failed)?;
    // The first connection makes the file.
    drop(lend(&write).await.map_err(failed)?);
    let read = connections(options.read_only(true), READERS).map_err(failed)?;
    Ok(Engine::Sqlite { read, write })
}

async fn postgres(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<Engine, OpenError> {
    let at = url.to_string();
    let options = options
        .clone()
        .application_name("vestibule")
        .statement_cache_capacity(STATEMENTS)
        // No statement and no forgotten write holds a lock for longer than anybody waits for it. Of a replica that froze in the
        // middle of one (nothing slow ever stands in it), the others go on after two seconds.
        .options([
            ("statement_timeout", "4500ms"),
            ("lock_timeout", "4s"),
            ("idle_in_transaction_session_timeout", "2s"),
        ]);
    let kept_free = connections(options.clone(), 1).map_err(|error| refused(url, &error))?;
    let mut lent = lend(&kept_free).await.map_err(|error| refused(url, &error))?;
    let facts =
        "select cast(current_setting('server_version_num') as bigint) / 10000, pg_encoding_to_char(encoding)::text,
                current_setting('synchronous_commit') from pg_database where datname = current_database()";
    let (version, encoding, commits): (i64, String, String) =
        sqlx::query_as(facts).fetch_one(lent.asking()).await.map_err(|error| refused(url, &error))?;
    lent.answered(&Ok(()));
    drop(lent);
    if version < OLDEST_POSTGRES {
        return Err(OpenError::TooOld { at, version });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { at, encoding });
    }
    // What this server acknowledges is on the disk, whatever others are content with (security requirement P0-74).
    let options = if commits == "off" { options.options([("synchronous_commit", "on")]) } else { options };
    let all = connections(options, CONNECTIONS).map_err(|error| refused(url, &error))?;
    Ok(Engine::Postgres { all, kept_free })
}

/// Why a database cannot be used, of either kind.
pub(super) fn failed(url: &DatabaseUrl, error: &sqlx::Error) -> OpenError {
    match url {
        DatabaseUrl::Sqlite(path) => not_opened(path, reason(error)),
        DatabaseUrl::Postgres(_) => refused(url, error),
    }
}

/// What the database said, without the library's words around it.
pub(super) fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no answer in time".to_owned(),
        error => error.to_string(),
    }
}

fn not_opened(path: &Path, why: String) -> OpenError {
    OpenError::File { path: path.display().to_string(), why }
}

fn not_migrated(url: &DatabaseUrl, why: String) -> OpenError {
    OpenError::Migrate { at: url.to_string(), why }
}

fn why_not_migrated(url: &DatabaseUrl, error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) if lacks_rights(&error) => {
            refused(url, &error)
        }
        error => not_migrated(url, error.to_string()),
    }
}

/// `42501` and `25006`: the user may not do this, or this server takes no writes.
fn lacks_rights(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42501" | "25006"))
}

fn refused(url: &DatabaseUrl, error: &sqlx::Error) -> OpenError {
    let (at, why) = (url.to_string(), reason(error));
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some(code) if code.starts_with("28") => OpenError::Refused { at, why },
        Some("3D000") => OpenError::NoDatabase { at, why },
        Some("42501" | "25006") => OpenError::Rights { at, why },
        None if matches!(error, sqlx::Error::Tls(_)) || why.contains("certificate") => OpenError::Tls { at, why },
        _ => OpenError::Unreachable { at, why },
    }
}

/// A database in which nothing has been made yet.
fn is_missing_table(fault: &Fault) -> bool {
    matches!(fault, Fault::Database(error) if is_missing(error))
}

/// The same of an error of the database.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}
