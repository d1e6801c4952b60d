//! The schema, step by step. A step is one text for both databases, or one for each where they differ.
//!
//! Steps only add, so that the release before keeps working beside this one; a step that it could not live with
//! raises `server.oldest_schema`, and older servers refuse to start.

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// One step of the schema.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const fn both(version: i64, name: &'static str, sql: &'static str) -> Step {
    Step { version, name, sqlite: sql, postgres: sql }
}

/// Every step, the newest last. Never change one that has been released.
const STEPS: [Step; 4] = [
    both(1, "first", include_str!("../../../migrations/0001_first.sql")),
    both(2, "several servers", include_str!("../../../migrations/0002_several_servers.sql")),
    Step {
        version: 3,
        name: "many users",
        sqlite: include_str!("../../../migrations/0003_many_users.sqlite.sql"),
        postgres: include_str!("../../../migrations/0003_many_users.postgres.sql"),
    },
    both(4, "unused invitations", include_str!("../../../migrations/0004_unused_invitations.sql")),
];

/// The schema that this version knows.
pub const NEWEST: i64 = 4;

/// The step from which on a database says which servers may still work on it.
pub(super) const KNOWS_OLDEST: i64 = 2;

fn migrator(text: impl Fn(&Step) -> &'static str) -> Migrator {
    let migrations = STEPS.iter().map(|step| {
        Migration::new(step.version, step.name.into(), MigrationType::Simple, text(step).into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // What a newer version has added is looked at before: `server.oldest_schema` says whether it suits.
    migrator.set_ignore_missing(true);
    migrator
}

/// The steps for `SQLite`.
pub(super) fn sqlite() -> Migrator {
    migrator(|step| step.sqlite)
}

/// The steps for `PostgreSQL`.
pub(super) fn postgres() -> Migrator {
    migrator(|step| step.postgres)
}

/// Whether a server that knows the schema up to `known` may work on a database whose newest step is `there` and whose
/// oldest suitable schema is `oldest`.
pub(super) const fn suits(known: i64, there: i64, oldest: i64) -> bool {
    there <= known || oldest <= known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_a_gap() {
        assert!(STEPS.iter().map(|step| step.version).eq(1..=NEWEST));
    }

    #[test]
    fn the_release_before_works_on_the_next_schema_unless_that_says_no() {
        assert!(suits(2, 1, 1) && suits(2, 2, 1), "an older or the same schema");
        assert!(suits(2, 3, 1) && suits(2, 3, 2), "a newer one that tolerates it");
        assert!(!suits(2, 4, 3), "a newer one that does not");
    }
}
