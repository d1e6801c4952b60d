//! The databases that are measured: a file of `SQLite`, and a server of `PostgreSQL` where `BENCH_POSTGRES` names one.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection, postgres::PgConnectOptions,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

fn server() -> Option<String> {
    std::env::var("BENCH_POSTGRES").ok().filter(|url| !url.is_empty())
}

impl On {
    /// Those that can be measured here.
    pub fn all() -> Vec<Self> {
        if server().is_some() { vec![Self::Sqlite, Self::Postgres] } else { vec![Self::Sqlite] }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The URL of a new and empty database on the server; nothing for a file, which needs none.
    pub async fn fresh(self) -> Option<String> {
        if self == Self::Sqlite {
            return None;
        }
        let server = server().expect("BENCH_POSTGRES");
        let name =
            format!("bench_{}_{}", std::process::id(), std::time::UNIX_EPOCH.elapsed().expect("now").as_micros());
        let options: PgConnectOptions = server.parse().expect("a URL");
        let mut connection: PgConnection = options.connect().await.expect("the server");
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .expect("a database");
        connection.close().await.expect("an end");
        let (address, options) = server.split_once('?').map_or((server.as_str(), ""), |(url, options)| (url, options));
        let (front, _) = address.rsplit_once('/').expect("a database");
        Some(format!("{front}/{name}?{options}"))
    }
}

/// Runs statements of one database or the other, as a generator does.
pub async fn run(url: Option<&str>, file: &std::path::Path, sqlite: &str, postgres: &str) {
    if let Some(url) = url {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let mut connection: PgConnection = options.connect().await.expect("the server");
        sqlx::raw_sql(AssertSqlSafe(postgres.to_owned())).execute(&mut connection).await.expect("done");
    } else {
        let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("the file");
        sqlx::raw_sql(AssertSqlSafe(sqlite.to_owned())).execute(&mut connection).await.expect("done");
    }
}

/// The octets that a database takes on the disk, its indexes included.
pub async fn size(url: &str) -> u64 {
    if let Some(file) = url.strip_prefix("sqlite:") {
        return std::fs::metadata(file).expect("the file").len();
    }
    let options: PgConnectOptions = url.parse().expect("a URL");
    let mut connection: PgConnection = options.connect().await.expect("the server");
    let octets: i64 = sqlx::query_scalar("select pg_database_size(current_database())")
        .fetch_one(&mut connection)
        .await
        .expect("a size");
    u64::try_from(octets).expect("a size")
}
