use sqlx::{
    Arguments, AssertSqlSafe, PgConnection, Postgres, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use super::{
    Db, Engine, Inner, Tx,
    connections::{Lent, in_time, lend, say},
};
use crate::{
    platform::{Fault, metrics},
    values::Timestamp,
};

/// What a row is read into: any `#[derive(FromRow)]` of column types that both databases have.
pub trait Row: for<'r> sqlx::FromRow<'r, SqliteRow> + for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> sqlx::FromRow<'r, SqliteRow> + for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin {}

/// The columns of an outer join's other side, where there is a row: its `id` tells.
#[derive(Debug, Clone)]
pub struct Perhaps<T>(pub Option<T>);

impl<'r, R: sqlx::Row, T: sqlx::FromRow<'r, R>> sqlx::FromRow<'r, R> for Perhaps<T>
where
    &'static str: sqlx::ColumnIndex<R>,
    Option<Uuid>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let id: Option<Uuid> = row.try_get("id")?;
        Ok(Self(id.map(|_| T::from_row(row)).transpose()?))
    }
}

macro_rules! args {
    ($($variant:ident($type:ty)),*) => {
        /// Every type that a statement may carry. The option inside keeps NULL typed, which `PostgreSQL` needs.
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
            pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), sqlx::error::BoxDynError> {
                match self { $(Self::$variant(value) => arguments.add(value)),* }
            }
            pub(super) fn add_to_postgres(self, arguments: &mut PgArguments) -> Result<(), sqlx::error::BoxDynError> {
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
pub struct Target<'a>(At<'a>);

enum At<'a> {
    Readers(&'a Engine),
    Write(&'a mut Tx),
}

impl<'a> From<&'a Db> for Target<'a> {
    fn from(db: &'a Db) -> Self {
        Self(At::Readers(&db.engine))
    }
}

impl<'a> From<&'a mut Tx> for Target<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self(At::Write(tx))
    }
}

/// A statement and its values.
pub struct Query {
    pub(super) sql: &'static str,
    pub(super) on_postgres: &'static str,
    planned_anew: bool,
    pub(super) args: Vec<Arg>,
}

/// A statement with `$1` placeholders. Its text is a literal, so that no value ever becomes SQL.
pub const fn query(sql: &'static str) -> Query {
    Query { sql, on_postgres: sql, planned_anew: false, args: Vec::new() }
}

/// A statement, with the word before it that begins its write.
fn begun(beginning: &'static str, sql: &'static str) -> SqlStr {
    if beginning.is_empty() { sql.into_sql_str() } else { AssertSqlSafe(format!("{beginning}{sql}")).into_sql_str() }
}

impl Query {
    /// The same statement as `PostgreSQL` needs it, where the two have no words in common: locking a row that is only
    /// read, passing over rows that another server has locked, a list that goes in as one JSON value.
    #[must_use]
    pub const fn on_postgres(mut self, sql: &'static str) -> Self {
        self.on_postgres = sql;
        self
    }

    /// On `PostgreSQL` the plan is made for these very values: where one of them decides which index serves.
    #[must_use]
    pub const fn planned_anew(mut self) -> Self {
        self.planned_anew = true;
        self
    }

    /// The next value, in the order of the placeholders' numbers.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    fn for_sqlite(self) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for arg in self.args {
            arg.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    fn for_postgres(self) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for arg in self.args {
            arg.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    /// Runs a write; the number of rows it touched.
    pub async fn execute(self, tx: &mut Tx) -> Result<u64, Fault> {
        let (sql, on_postgres) = (self.sql, self.on_postgres);
        let (inner, beginning) = tx.asking().await?;
        metrics::statement();
        match inner {
            Inner::Sqlite(lent) => {
                // Not in one text: the word would be counted with as many rows as whatever was done before it.
                if !beginning.is_empty() {
                    say(lent, beginning).await?;
                }
                let asked = sqlx::query_with::<Sqlite, _>(sql, self.for_sqlite()?);
                let answer = asked.execute(lent.asking()).await;
                lent.answered(&answer);
                Ok(answer?.rows_affected())
            }
            Inner::Postgres(lent) => {
                let asked = sqlx::query_with::<Postgres, _>(on_postgres, self.for_postgres()?);
                let answer = in_time(asked.execute(lent.asking())).await;
                lent.answered(&answer);
                Ok(answer?.rows_affected())
            }
        }
    }

    /// Runs a write whose answer nobody needs, before the next question of this write or with its end. What is wrong with
    /// it shows then.
    pub fn later(self, tx: &mut Tx) {
        debug_assert!(
            ["insert into ", "update ", "delete from "].iter().any(|word| self.sql.starts_with(word)),
            "{}",
            self.sql
        );
        tx.later.push(self);
    }

    /// All rows.
    pub async fn all<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<Vec<T>, Fault> {
        metrics::statement();
        Ok(match on.into().0 {
            At::Readers(Engine::Sqlite { read, .. }) => self.rows_of_sqlite(&mut lend(read).await?, "").await?,
            At::Readers(Engine::Postgres { all, .. }) => {
                in_time(Box::pin(async { self.rows_of_postgres(&mut lend(all).await?).await })).await?
            }
            At::Write(tx) => match tx.asking().await? {
                (Inner::Sqlite(lent), beginning) => self.rows_of_sqlite(lent, beginning).await?,
                (Inner::Postgres(lent), _) => self.rows_of_postgres(lent).await?,
            },
        })
    }

    async fn rows_of_sqlite<T: Row>(
        self,
        lent: &mut Lent<SqliteConnection>,
        beginning: &'static str,
    ) -> Result<Vec<T>, sqlx::Error> {
        let asked = sqlx::query_as_with::<Sqlite, T, _>(begun(beginning, self.sql), self.for_sqlite()?);
        let answer = asked.fetch_all(lent.asking()).await;
        lent.answered(&answer);
        answer
    }

    async fn rows_of_postgres<T: Row>(self, lent: &mut Lent<PgConnection>) -> Result<Vec<T>, sqlx::Error> {
        let (sql, kept) = (self.on_postgres, !self.planned_anew);
        let asked = sqlx::query_as_with::<Postgres, T, _>(sql, self.for_postgres()?).persistent(kept);
        let answer = in_time(asked.fetch_all(lent.asking())).await;
        lent.answered(&answer);
        answer
    }

    /// The row, if there is one.
    pub async fn optional<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<Option<T>, Fault> {
        Ok(self.all(on).await?.into_iter().next())
    }

    /// The one row that there must be.
    pub async fn one<'a, T: Row>(self, on: impl Into<Target<'a>>) -> Result<T, Fault> {
        self.optional(on).await?.ok_or(Fault::Database(sqlx::Error::RowNotFound))
    }
}
