use sqlx::{
    Arguments, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use super::{Db, Tx};
use crate::{platform::Fault, values::Timestamp};

/// What a row is read into: any `#[derive(FromRow)]` of column types that both databases have.
pub trait Row: for<'r> sqlx::FromRow<'r, SqliteRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> sqlx::FromRow<'r, SqliteRow> + Send + Unpin {}

macro_rules! args {
    ($($variant:ident($type:ty)),*) => {
        /// Every type that a statement may carry. The option inside keeps NULL typed, which some databases need.
        #[derive(Debug, Clone)]
        pub enum Arg { $(
            #[doc = concat!("A `", stringify!($type), "` or NULL.")]
            $variant(Option<$type>)
        ),* }
        $(
            impl From<$type> for Arg { fn from(value: $type) -> Self { Self::$variant(Some(value)) } }
            impl From<Option<$type>> for Arg { fn from(value: Option<$type>) -> Self { Self::$variant(value) } }
        )*
        impl Arg {
            fn add(self, arguments: &mut SqliteArguments) -> Result<(), sqlx::error::BoxDynError> {
                match self { $(Self::$variant(value) => arguments.add(value)),* }
            }
        }
    };
}
args!(Text(String), Int(i64), Bool(bool), Uuid(Uuid), Time(Timestamp), Bytes(Vec<u8>), Json(serde_json::Value));

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

/// Where a query runs: the readers, or an open write.
pub enum Target<'a> {
    /// One of the read-only connections.
    Readers(&'a SqlitePool),
    /// The write in progress.
    Write(&'a mut SqliteConnection),
}

impl<'a> From<&'a Db> for Target<'a> {
    fn from(db: &'a Db) -> Self {
        Self::Readers(&db.read)
    }
}

impl<'a> From<&'a mut Tx> for Target<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Write(&mut tx.inner)
    }
}

/// A statement and its values.
pub struct Query {
    sql: &'static str,
    args: Vec<Arg>,
}

/// A statement with `$1` placeholders. Its text is a literal, so that no value ever becomes SQL.
pub const fn query(sql: &'static str) -> Query {
    Query { sql, args: Vec::new() }
}

impl Query {
    /// The next value, in the order of the placeholders' numbers.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    fn arguments(self) -> Result<(&'static str, SqliteArguments), Fault> {
        let mut arguments = SqliteArguments::default();
        for arg in self.args {
            arg.add(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok((self.sql, arguments))
    }

    /// Runs a write; the number of rows it touched.
    pub async fn execute(self, tx: &mut Tx) -> Result<u64, Fault> {
        let (sql, arguments) = self.arguments()?;
        Ok(sqlx::query_with::<Sqlite, _>(sql, arguments).execute(&mut *tx.inner).await?.rows_affected())
    }

    /// All rows.
    pub async fn all<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<Vec<T>, Fault> {
        let (sql, arguments) = self.arguments()?;
        let rows = sqlx::query_as_with::<Sqlite, T, _>(sql, arguments);
        Ok(match on.into() {
            Target::Readers(pool) => rows.fetch_all(pool).await?,
            Target::Write(connection) => rows.fetch_all(connection).await?,
        })
    }

    /// The row, if there is one.
    pub async fn optional<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<Option<T>, Fault> {
        let (sql, arguments) = self.arguments()?;
        let rows = sqlx::query_as_with::<Sqlite, T, _>(sql, arguments);
        Ok(match on.into() {
            Target::Readers(pool) => rows.fetch_optional(pool).await?,
            Target::Write(connection) => rows.fetch_optional(connection).await?,
        })
    }

    /// The one row that there must be.
    pub async fn one<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<T, Fault> {
        self.optional(on).await?.ok_or(Fault::Database(sqlx::Error::RowNotFound))
    }
}
