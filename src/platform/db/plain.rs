//! One connection outside of the door, for whoever looks at a database, keeps it or moves it as a whole. It makes no
//! file and brings no schema up to date.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection,
    postgres::{PgArguments, PgRow},
    raw_sql,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow, SqliteSynchronous},
};

use super::{
    Arg, DatabaseUrl, Row,
    open::{self, OpenError},
};
use crate::values::Timestamp;

/// How long somebody waits for a server to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection.
pub(super) enum Plain {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Bool,
    Uuid,
    Time,
    Bytes,
    Json,
}

impl Kind {
    /// From the word of a migration, or what `PostgreSQL` calls the same.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "text" => Self::Text,
            "bigint" => Self::Int,
            "boolean" => Self::Bool,
            "uuid" => Self::Uuid,
            "timestamptz" | "timestamp with time zone" => Self::Time,
            "bytea" => Self::Bytes,
            "jsonb" => Self::Json,
            _ => return None,
        })
    }
}

/// Reads a row of columns of these kinds.
macro_rules! values {
    ($row:expr, $kinds:expr) => {
        $kinds
            .iter()
            .enumerate()
            .map(|(place, kind)| {
                Ok(match kind {
                    Kind::Text => $row.try_get::<Option<String>, _>(place)?.into(),
                    Kind::Int => $row.try_get::<Option<i64>, _>(place)?.into(),
                    Kind::Bool => $row.try_get::<Option<bool>, _>(place)?.into(),
                    Kind::Uuid => $row.try_get::<Option<uuid::Uuid>, _>(place)?.into(),
                    Kind::Time => $row.try_get::<Option<Timestamp>, _>(place)?.into(),
                    Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(place)?.into(),
                    Kind::Json => $row.try_get::<Option<serde_json::Value>, _>(place)?.into(),
                })
            })
            .collect::<Result<Vec<Arg>, sqlx::Error>>()
    };
}

fn for_sqlite(args: Vec<Arg>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for arg in args {
        arg.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn for_postgres(args: Vec<Arg>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for arg in args {
        arg.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl Plain {
    /// For reading. Nothing where there is no file.
    pub(super) async fn reading(url: &DatabaseUrl) -> Result<Option<Self>, OpenError> {
        match url {
            DatabaseUrl::Sqlite(path) if !path.exists() => Ok(None),
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).read_only(true);
                let opened = options.connect().await;
                opened.map(|line| Some(Self::Sqlite(line))).map_err(|error| open::failed(url, &error))
            }
            DatabaseUrl::Postgres(_) => Self::writing(url).await.map(Some),
        }
    }

    /// For writing into a database whose schema is made.
    pub(super) async fn writing(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let opened = match url {
            DatabaseUrl::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).synchronous(SqliteSynchronous::Full);
                options.foreign_keys(true).connect().await.map(Self::Sqlite)
            }
            DatabaseUrl::Postgres(options) => {
                let options = options.as_ref().clone().application_name("vestibule");
                let connected = tokio::time::timeout(PATIENCE, options.connect()).await;
                connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(Self::Postgres)
            }
        };
        opened.map_err(|error| open::failed(url, &error))
    }

    /// Says a word that begins or ends something.
    pub(super) async fn say(&mut self, word: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(line) => raw_sql(word).execute(line).await.map(|_| ()),
            Self::Postgres(line) => raw_sql(word).execute(line).await.map(|_| ()),
        }
    }

    /// One moment of the whole database, however long the reading takes.
    pub(super) async fn begin_reading(&mut self) -> Result<(), sqlx::Error> {
        let word = match self {
            Self::Sqlite(_) => "begin",
            Self::Postgres(_) => "begin isolation level repeatable read read only",
        };
        self.say(word).await
    }

    /// Until its end nobody else makes an organization.
    pub(super) async fn begin_writing(&mut self) -> Result<(), sqlx::Error> {
        let words = match self {
            Self::Sqlite(_) => "begin immediate",
            Self::Postgres(_) => "begin; lock table organizations in exclusive mode",
        };
        self.say(words).await
    }

    /// The rows of a literal.
    pub(super) async fn all<T: Row>(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<T>, sqlx::Error> {
        match self {
            Self::Sqlite(line) => sqlx::query_as_with::<Sqlite, T, _>(sql, for_sqlite(args)?).fetch_all(line).await,
            Self::Postgres(line) => {
                sqlx::query_as_with::<Postgres, T, _>(sql, for_postgres(args)?).fetch_all(line).await
            }
        }
    }

    /// The rows of a statement that names a table.
    pub(super) async fn values(
        &mut self,
        sql: String,
        args: Vec<Arg>,
        kinds: &[Kind],
    ) -> Result<Vec<Vec<Arg>>, sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(line) => {
                let rows: Vec<SqliteRow> =
                    sqlx::query_with::<Sqlite, _>(sql, for_sqlite(args)?).fetch_all(line).await?;
                rows.iter().map(|row| values!(row, kinds)).collect()
            }
            Self::Postgres(line) => {
                let rows: Vec<PgRow> =
                    sqlx::query_with::<Postgres, _>(sql, for_postgres(args)?).fetch_all(line).await?;
                rows.iter().map(|row| values!(row, kinds)).collect()
            }
        }
    }

    /// Runs a statement that names a table.
    pub(super) async fn execute(&mut self, sql: String, args: Vec<Arg>) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(line) => sqlx::query_with::<Sqlite, _>(sql, for_sqlite(args)?).execute(line).await.map(|_| ()),
            Self::Postgres(line) => {
                sqlx::query_with::<Postgres, _>(sql, for_postgres(args)?).execute(line).await.map(|_| ())
            }
        }
    }

    /// Closes it in good order.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(line) => line.close().await,
            Self::Postgres(line) => line.close().await,
        }
    }
}
