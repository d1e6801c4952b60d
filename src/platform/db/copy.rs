//! A whole installation from one database into another, of either kind: read at one moment, written at once, counted
//! on both sides.

use super::{
    Arg, DatabaseUrl, Db, Lock,
    look::look_through,
    migrations::NEWEST,
    open::{self, OpenError},
    plain::{Kind, Plain},
    tables::{TABLES, Table},
};
use crate::values::{Clock, Randomness};

/// Rows that are in memory at once: with twenty columns each well below the 32,766 values of one statement. On `SQLite`
/// longer statements take longer a row; over a network fewer of them do less waiting.
const fn batch(target: &Plain) -> usize {
    match target {
        Plain::Sqlite(_) => 100,
        Plain::Postgres(_) => 500,
    }
}

/// Why nothing was copied; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to copy.
    #[error("there is no installation of Vestibule in {0}. Correct --from")]
    Nothing(String),
    /// The schema to copy from is not the one of this version.
    #[error("{at} has schema {there} and this version copies {NEWEST}. Run vestibule migrate on it first")]
    OtherSchema {
        /// The database, without its password.
        at: String,
        /// Its schema.
        there: i64,
    },
    /// Another key made one of them.
    #[error("{0} was made with another key than the key file's. Give the right one with --key-file")]
    OtherKey(String),
    /// There is something in the way.
    #[error("{0} has organizations already. Copy into a new and empty database")]
    NotEmpty(String),
    /// A server works on the file that is to be written.
    #[error("a server works on {0}. Stop it, or copy into a new and empty database")]
    Serving(String),
    /// Something broke; the target is as it was.
    #[error("the copy failed in {table}: {why}. Nothing was written")]
    Failed {
        /// Which table.
        table: &'static str,
        /// What went wrong.
        why: String,
    },
    /// The counts do not agree.
    #[error("{table} has {from} rows and {to} arrived. Nothing was written")]
    Counts {
        /// Which table.
        table: &'static str,
        /// Rows there.
        from: i64,
        /// Rows here.
        to: i64,
    },
}

/// How many rows of a table there are, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: i64,
}

/// Copies everything. `is_ours` knows a database of the key file by its key check.
pub async fn copy(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    is_ours: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Copied>, CopyError> {
    let mut source = Plain::reading(from).await?.ok_or_else(|| CopyError::Nothing(from.to_string()))?;
    source.begin_reading().await.map_err(|error| open::failed(from, &error))?;
    let looked = look_through(&mut source).await.map_err(|error| open::failed(from, &error))?;
    let there = looked.schema.ok_or_else(|| CopyError::Nothing(from.to_string()))?;
    if there != NEWEST {
        return Err(CopyError::OtherSchema { at: from.to_string(), there });
    }
    if !looked.key_check.as_deref().is_some_and(&is_ours) {
        return Err(CopyError::OtherKey(from.to_string()));
    }
    // From here on something is written, if only the file that is the lock.
    let _serving = lock(to)?;
    if let Some(before) = super::look(to).await? {
        if before.is_in_use {
            return Err(CopyError::NotEmpty(to.to_string()));
        }
        if !before.key_check.as_deref().is_none_or(&is_ours) {
            return Err(CopyError::OtherKey(to.to_string()));
        }
    }
    // Makes the schema.
    Db::open(to, Clock::running(), Randomness::System).await?.close().await;
    let mut target = Plain::writing(to).await?;
    let failed = |table: &'static str| move |error: sqlx::Error| CopyError::Failed { table, why: open::reason(&error) };
    target.begin_writing().await.map_err(failed("the beginning"))?;
    // Looked at again, now that nobody else can set anything up.
    if look_through(&mut target).await.map_err(failed("the beginning"))?.is_in_use {
        return Err(CopyError::NotEmpty(to.to_string()));
    }
    // What a first start leaves behind: its row, and the address for setting up.
    for table in TABLES.iter().rev() {
        target.execute(sql(table, Statement::Empty), vec![]).await.map_err(failed(table.name))?;
    }
    let mut copied = Vec::new();
    for table in &TABLES {
        copy_table(&mut source, &mut target, table).await.map_err(failed(table.name))?;
        let from = count(&mut source, table).await.map_err(failed(table.name))?;
        let to = count(&mut target, table).await.map_err(failed(table.name))?;
        if from != to {
            return Err(CopyError::Counts { table: table.name, from, to });
        }
        copied.push(Copied { table: table.name, rows: to });
    }
    target.say("commit").await.map_err(failed("the end"))?;
    // Everything has been written; what is left is good manners.
    drop((source.close().await, target.close().await));
    Ok(copied)
}

/// No server works on a file that is written here.
fn lock(to: &DatabaseUrl) -> Result<Option<Lock>, CopyError> {
    let Some(file) = to.file() else { return Ok(None) };
    let held = Lock::for_serving(file)
        .map_err(|error| OpenError::File { path: file.display().to_string(), why: error.to_string() })?;
    held.map(Some).ok_or_else(|| CopyError::Serving(to.to_string()))
}

async fn copy_table(source: &mut Plain, target: &mut Plain, table: &Table) -> Result<(), sqlx::Error> {
    let columns = columns(source, table).await?;
    let kinds: Vec<Kind> = columns.iter().map(|(_, kind)| *kind).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut after = Vec::new();
    loop {
        let page = sql(table, Statement::Page { columns: &names, first: after.is_empty(), rows: batch(target) });
        let rows = source.values(page, after, &kinds).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        let place = |name: &&str| names.iter().position(|column| column == name);
        after = table.key.iter().filter_map(|name| last.get(place(name)?).cloned()).collect();
        // SQLite looks every `$1` up among those before it; `?1` it counts.
        let mark = if matches!(target, Plain::Sqlite(_)) { '?' } else { '$' };
        let insert = sql(table, Statement::Insert { columns: &names, rows: rows.len(), mark });
        target.execute(insert, rows.into_iter().flatten().collect()).await?;
    }
}

async fn count(on: &mut Plain, table: &Table) -> Result<i64, sqlx::Error> {
    match on.values(sql(table, Statement::Count), vec![], &[Kind::Int]).await?.first().and_then(|row| row.first()) {
        Some(Arg::Int(Some(count))) => Ok(*count),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

/// The columns of a table in their order, with what they hold.
async fn columns(on: &mut Plain, table: &Table) -> Result<Vec<(String, Kind)>, sqlx::Error> {
    let of = match on {
        Plain::Sqlite(_) => "select name, type from pragma_table_info($1) order by cid",
        Plain::Postgres(_) => {
            "select column_name::text, data_type::text from information_schema.columns
              where table_schema = current_schema() and table_name = $1 order by ordinal_position"
        }
    };
    let told: Vec<(String, String)> = on.all(of, vec![table.name.into()]).await?;
    let known = |(name, word): (String, String)| {
        let kind = Kind::from_word(&word.to_ascii_lowercase());
        kind.map(|kind| (name, kind)).ok_or_else(|| sqlx::Error::TypeNotFound { type_name: word })
    };
    told.into_iter().map(known).collect()
}

/// What is asked of a table.
#[derive(Clone, Copy)]
enum Statement<'a> {
    Empty,
    Count,
    Page { columns: &'a [&'a str], first: bool, rows: usize },
    Insert { columns: &'a [&'a str], rows: usize, mark: char },
}

/// The only SQL that is put together: of the names of [`TABLES`] and of their own columns, and of nothing that anybody
/// typed.
fn sql(table: &Table, asked: Statement<'_>) -> String {
    let name = table.name;
    let numbered = |mark: char, from: usize, many: usize| {
        (from..from + many).map(|number| format!("{mark}{number}")).collect::<Vec<_>>().join(", ")
    };
    match asked {
        Statement::Empty => format!("delete from {name}"),
        Statement::Count => format!("select count(*) from {name}"),
        Statement::Page { columns, first, rows } => {
            let (columns, key) = (columns.join(", "), table.key.join(", "));
            let after =
                if first { String::new() } else { format!("where ({key}) > ({})", numbered('$', 1, table.key.len())) };
            format!("select {columns} from {name} {after} order by {key} limit {rows}")
        }
        Statement::Insert { columns, rows, mark } => {
            let row = |place: usize| format!("({})", numbered(mark, place * columns.len() + 1, columns.len()));
            let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
            format!("insert into {name} ({}) values {rows}", columns.join(", "))
        }
    }
}
