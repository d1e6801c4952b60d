//! Where the database is: a file of `SQLite`, or a `PostgreSQL` server.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use sqlx::postgres::PgConnectOptions;

/// A database as it is named in the settings. It cannot be printed with its password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// The `SQLite` file.
    Sqlite(PathBuf),
    /// A `PostgreSQL` server, or anything that speaks its protocol.
    Postgres(Box<PgConnectOptions>),
}

/// Neither `sqlite:PATH` nor `postgres://…`. The scheme alone is shown: the rest may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be sqlite:PATH or postgres://user:password@host:port/database, not {0:?}")]
pub struct DatabaseUrlError(pub String);

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(typed: &str) -> Result<Self, DatabaseUrlError> {
        let wrong = || {
            let scheme = typed.split_once(':').map_or_else(|| "…".to_owned(), |(scheme, _)| format!("{scheme}:…"));
            DatabaseUrlError(scheme)
        };
        if typed.starts_with("postgres://") || typed.starts_with("postgresql://") {
            // The library's own message may quote the text, and with it the password.
            let options: PgConnectOptions = typed.parse().map_err(|_| wrong())?;
            return Ok(Self::Postgres(Box::new(options)));
        }
        let path = typed.strip_prefix("sqlite:").ok_or_else(wrong)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains('?') || path == ":memory:" {
            return Err(wrong());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                let name = options.get_database().unwrap_or_else(|| options.get_username());
                write!(f, "postgres://{}:…@{host}:{port}/{name}", options.get_username())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl DatabaseUrl {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_a_server_and_its_password_is_never_printed() {
        let file: DatabaseUrl = "sqlite:/var/lib/v.sqlite".parse().unwrap();
        assert_eq!((file.to_string(), file.file().is_some()), ("sqlite:/var/lib/v.sqlite".to_owned(), true));
        let server: DatabaseUrl = "postgres://door:geheim@db.example:5433/front".parse().unwrap();
        assert_eq!(
            format!("{server} {server:?}"),
            "postgres://door:…@db.example:5433/front postgres://door:…@db.example:5433/front"
        );
        for wrong in
            ["mysql://u:geheim@h/d", "sqlite:", "sqlite::memory:", "sqlite:a?mode=rw", "door.sqlite", "postgres://[bad"]
        {
            let error = wrong.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
