//! Servers that start together on an old or empty database, and servers that are killed while they bring one up to date (P0-75).

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use vestibule::{
    platform::db::{DatabaseUrl, query},
    values::Randomness,
};

use super::{MACHINE, length, quiet};
use crate::support::{database, process::Place};

/// The schema of the first release, and nothing after it.
fn first_release() -> Migrator {
    let text = include_str!("../../../migrations/0001_first.sql").into_sql_str();
    let first = Migration::new(1, Cow::Borrowed("first"), MigrationType::Simple, text, false);
    Migrator::with_migrations(vec![first])
}

const ORGANIZATION: &str =
    "insert into organizations (id, slug, name, login_method, self_service, settings_version, settings_at, created_at)";
const USERS: &str = "insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, proved_how, came_by, created_at)";

/// A database of the first release with so many users.
async fn old_database(place: &Place, users: usize) {
    let columns = "'p' || n || '@acme.com', 'p' || n || '@acme.com', 'acme.com', 'Person ' || n, 'person ' || n || ' p' || n || '@acme.com', 'member', 'active', 'mail', 'link'";
    match place.url() {
        DatabaseUrl::Postgres(options) => {
            let mut connection = options.connect().await.unwrap();
            first_release().run(&mut connection).await.unwrap();
            let organization =
                format!("{ORGANIZATION} values (gen_random_uuid(), 'acme', 'Acme', 'password', true, 1, now(), now())");
            let people = format!(
                "{USERS} select gen_random_uuid(), o.id, {columns}, now() from organizations o, generate_series(1, {users}) n"
            );
            for sql in [organization, people] {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }
        DatabaseUrl::Sqlite(path) => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let mut connection = options.connect().await.unwrap();
            first_release().run(&mut connection).await.unwrap();
            let organization =
                format!("{ORGANIZATION} values (randomblob(16), 'acme', 'Acme', 'password', true, 1, 0, 0)");
            let people = format!(
                "{USERS} with recursive s(n) as (select 1 union all select n + 1 from s where n < {users}) select randomblob(16), o.id, {columns}, 0 from organizations o, s"
            );
            for sql in [organization, people] {
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }
    }
}

/// The newest step that was taken, and how many.
async fn steps(place: &Place) -> (i64, i64) {
    let db = place.database().await;
    let steps = query("select max(version), count(*) from _sqlx_migrations where success").one(&db).await.unwrap();
    db.close().await;
    steps
}

async fn users(place: &Place) -> (i64, i64) {
    let db = place.database().await;
    let sql = "select (select count(*) from users), (select cast(sum(users) as bigint) from user_counts where email_domain = '')";
    let counts = query(sql).one(&db).await.unwrap();
    db.close().await;
    counts
}

/// What the last line of the log of a start that was refused says; nothing where it serves.
async fn refusal(place: &Place) -> Option<String> {
    let ran = place.run(&["org", "list"]).await;
    (!ran.status.success()).then_some(ran.err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_bring_the_database_up_to_date_once() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    for old in [false, true] {
        let place = quiet(Place::new());
        if old {
            old_database(&place, 100).await;
        }
        let mut servers: Vec<_> = (0..4).map(|_| place.begin_to_serve()).collect();
        for server in &mut servers {
            server.says("Vestibule is ready").await;
        }
        for server in servers {
            server.stop().await;
        }
        let (newest, taken) = steps(&place).await;
        assert_eq!(newest, taken, "each step once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_a_table_that_a_step_changes_holds_up_the_step_and_nobody_else() {
    let _machine = MACHINE.read().await;
    let place = quiet(Place::new());
    let DatabaseUrl::Postgres(options) = place.url() else { return };
    old_database(&place, 100).await;
    let mut reading = options.connect().await.unwrap();
    sqlx::raw_sql("begin; select count(*) from messages").execute(&mut reading).await.unwrap();
    let mut server = place.begin_to_serve();
    server.says("the schema cannot change yet").await;
    let mut passing = options.connect().await.unwrap();
    sqlx::raw_sql("set statement_timeout = '10s'; select count(*) from messages").execute(&mut passing).await.unwrap();
    passing.close().await.unwrap();
    reading.close().await.unwrap();
    server.says("Vestibule is ready").await;
    server.stop().await;
    let (newest, taken) = steps(&place).await;
    assert_eq!(newest, taken, "each step once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_changes_the_schema_does_it_again() {
    let _machine = MACHINE.read().await;
    let many = length(20_000, 100_000);
    let place = quiet(Place::new());
    old_database(&place, many).await;
    let seed: [u8; 10] = Randomness::System.bytes();
    println!("seed {seed:?}");
    let began = Instant::now();
    for byte in &seed[..length(5, 10)] {
        let server = place.begin_to_serve();
        // A moment somewhere between its first breath and the end of the longest step.
        let moment = length(2, 12) as u64 * u64::from(*byte);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let ran = server.kill().await;
        println!("killed after {moment} ms, {}", if ran.err.contains("ready") { "ready" } else { "not ready" });
    }
    let server = place.serve().await;
    println!("ready {:?} after the first start", began.elapsed());
    server.stop().await;
    let (newest, taken) = steps(&place).await;
    assert_eq!(newest, taken, "each step once");
    let many = i64::try_from(many).unwrap();
    assert_eq!(users(&place).await, (many, many));
}

#[tokio::test]
async fn a_newer_schema_is_served_if_it_tolerates_this_version_and_else_refused() {
    let place = quiet(Place::new());
    place.serve().await.stop().await;
    let db = place.database().await;
    let mut tx = db.write().await.unwrap();
    query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (999, 'later', true, $1, 0)")
        .bind(vec![1_u8])
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(refusal(&place).await, None, "it tolerates every version");
    let server = place.serve().await;
    assert_eq!(server.browser().get("/readyz").await.unwrap().status, 200);
    let mut tx = db.write().await.unwrap();
    query("update server set oldest_schema = 999").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        server.browser().get("/readyz").await.unwrap().status,
        503,
        "nor does one that runs go on being sent to"
    );
    server.stop().await;
    let why = refusal(&place).await.unwrap();
    assert!(why.contains("newer version") && why.lines().count() == 1, "{why}");
    let mut tx = db.write().await.unwrap();
    query("update server set oldest_schema = 1").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    place.serve().await.stop().await;
}
