//! Statements whose answer nobody needs: they go together, in one message to the database, before the next question of
//! their write or with its end. Every message wakes a thread or crosses the network.

use sqlx::{AssertSqlSafe, Postgres, Sqlite, postgres::PgArguments, sqlite::SqliteArguments};

use super::{Inner, Query, connections::in_time};
use crate::platform::metrics;

/// So many go together at most: no text grows with what a write does, and few are kept prepared.
const TOGETHER: usize = 16;

/// What waits, in its order.
#[derive(Default)]
pub(super) struct Later(Vec<Query>);

impl Later {
    pub(super) fn push(&mut self, statement: Query) {
        self.0.push(statement);
    }

    /// Sends what waits, after the word that begins the write.
    pub(super) async fn send(&mut self, on: &mut Inner, beginning: &mut &'static str) -> Result<(), sqlx::Error> {
        for together in together(std::mem::take(&mut self.0), on) {
            send(on, together, (std::mem::take(beginning), "")).await?;
        }
        Ok(())
    }

    /// Sends what waits, on `SQLite` with the word that ends the write. Whether that was said.
    pub(super) async fn send_with_the_end(
        &mut self,
        on: &mut Inner,
        beginning: &mut &'static str,
    ) -> Result<bool, sqlx::Error> {
        let mut all = together(std::mem::take(&mut self.0), on);
        let last = if matches!(on, Inner::Sqlite(_)) { all.pop() } else { None };
        for together in all {
            send(on, together, (std::mem::take(beginning), "")).await?;
        }
        let Some(last) = last else { return Ok(false) };
        send(on, last, (std::mem::take(beginning), "; commit")).await?;
        Ok(true)
    }
}

/// What waits, in parts that may each go together.
fn together(waiting: Vec<Query>, on: &Inner) -> Vec<Vec<Query>> {
    let mut parts: Vec<Vec<Query>> = Vec::new();
    for statement in waiting {
        match parts.last_mut() {
            Some(last) if last.len() < TOGETHER && (matches!(on, Inner::Sqlite(_)) || goes_with(&statement, last)) => {
                last.push(statement);
            }
            _ => parts.push(vec![statement]),
        }
    }
    parts
}

async fn send(on: &mut Inner, together: Vec<Query>, around: (&str, &str)) -> Result<(), sqlx::Error> {
    metrics::statement();
    match on {
        Inner::Sqlite(lent) => {
            let (sql, arguments) = one_after_the_other(together, around)?;
            let asked = sqlx::query_with::<Sqlite, _>(AssertSqlSafe(sql), arguments);
            let answer = asked.execute(lent.asking()).await;
            lent.answered(&answer);
            answer?;
        }
        Inner::Postgres(lent) => {
            let (sql, arguments) = at_once(together)?;
            let asked = sqlx::query_with::<Postgres, _>(AssertSqlSafe(sql), arguments);
            let answer = in_time(asked.execute(lent.asking())).await;
            lent.answered(&answer);
            answer?;
        }
    }
    Ok(())
}

/// Several statements in one text, each with its own numbers, between the words that begin and end their write.
fn one_after_the_other(
    all: Vec<Query>,
    (beginning, end): (&str, &str),
) -> Result<(String, SqliteArguments), sqlx::Error> {
    let (mut text, mut arguments, mut bound) = (beginning.to_owned(), SqliteArguments::default(), 0);
    for (place, statement) in all.into_iter().enumerate() {
        if place > 0 {
            text.push_str("; ");
        }
        renumbered(&mut text, statement.sql, bound);
        bound += statement.args.len();
        for arg in statement.args {
            arg.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
    }
    text.push_str(end);
    Ok((text, arguments))
}

/// One statement made of several, since `PostgreSQL` takes one in a message that carries values. It does the last of its
/// parts first, after the one that they stand before: written in this order, the first is done first, which is the order in
/// which rows are locked (`docs/sql.md` 12).
fn at_once(all: Vec<Query>) -> Result<(String, PgArguments), sqlx::Error> {
    let (mut first, mut parts) = (String::new(), Vec::new());
    let (mut arguments, mut bound) = (PgArguments::default(), 0);
    for (place, statement) in all.into_iter().enumerate() {
        let mut text = String::new();
        renumbered(&mut text, statement.on_postgres, bound);
        bound += statement.args.len();
        for arg in statement.args {
            arg.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        if place == 0 {
            first = text;
        } else {
            parts.push(format!("part{place} as ({text})"));
        }
    }
    parts.reverse();
    let with = if parts.is_empty() { String::new() } else { format!("with {} ", parts.join(", ")) };
    Ok((with + &first, arguments))
}

/// Appends a statement whose placeholders count on after those that are taken.
fn renumbered(text: &mut String, sql: &str, taken: usize) {
    let mut pieces = sql.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        text.push('$');
        text.push_str(&(number + taken).to_string());
        text.push_str(rest);
    }
}

/// Whether a statement may be part of one that does those. The parts see the rows that there were when the whole began, not
/// when those before them had the locks that they waited for: what is changed or deleted waits for a statement of its own,
/// and nothing names a table that another writes.
fn goes_with(statement: &Query, others: &[Query]) -> bool {
    let (sql, table) = (statement.on_postgres, written(statement.on_postgres));
    sql.starts_with("insert into ")
        && !others.iter().any(|other| names(sql, written(other.on_postgres)) || names(other.on_postgres, table))
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The table that a statement writes: `insert into it`, `delete from it`, `update it`.
fn written(sql: &str) -> &str {
    let mut words = words(sql);
    let table = if words.next() == Some("update") { words.next() } else { words.nth(1) };
    table.unwrap_or_default()
}

fn names(sql: &str, table: &str) -> bool {
    words(sql).any(|word| word == table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::db::query;

    fn statements() -> Vec<Query> {
        vec![
            query("update users set seen_at = $1 where id = $2").bind(1_i64).bind(2_i64),
            query("insert into messages (id, kind, due_at) values ($1, $2, $1)").bind(3_i64).bind(4_i64),
            query("insert into sessions (id) values ($1)").bind(5_i64),
        ]
    }

    #[test]
    fn one_after_the_other_each_keeps_its_own_values() {
        let (sql, _) = one_after_the_other(statements(), ("begin immediate; ", "; commit")).unwrap();
        assert_eq!(
            sql,
            "begin immediate; update users set seen_at = $1 where id = $2; insert into messages (id, kind, due_at) values ($3, $4, $3); \
             insert into sessions (id) values ($5); commit"
        );
    }

    #[test]
    fn at_once_the_first_is_done_first() {
        let (sql, _) = at_once(statements()).unwrap();
        assert_eq!(
            sql,
            "with part2 as (insert into sessions (id) values ($5)), \
             part1 as (insert into messages (id, kind, due_at) values ($3, $4, $3)) \
             update users set seen_at = $1 where id = $2"
        );
        let alone = at_once(vec![query("delete from sessions where id = $1").bind(1_i64)]).unwrap();
        assert_eq!(alone.0, "delete from sessions where id = $1");
    }

    #[test]
    fn only_what_is_inserted_goes_with_others_and_only_where_no_table_is_named_twice() {
        let all = statements();
        for (sql, goes) in [
            ("insert into audit_events (id, kind) values ($1, $2)", true),
            ("insert into sessions_old (id) values ($1)", true),
            ("insert into sessions (id) values ($1)", false),
            ("insert into link_days (link_id, shown) select $1, count(*) from users", false),
            ("update tokens set ended_at = $1 where subject_id = $2", false),
            ("delete from tokens where subject_id = $1", false),
        ] {
            assert_eq!(goes_with(&query(sql), &all), goes, "{sql}");
        }
        let reads = [query("delete from tokens where subject_id in (select id from users where status = $1)")];
        assert!(!goes_with(&query("insert into users (id) values ($1)"), &reads));
    }
}
