//! The database that a story runs on: a file of `SQLite`, or a database of its own on the server that
//! `TEST_POSTGRES` names.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tokio::sync::OnceCell;
use vestibule::{
    platform::db::{DatabaseUrl, Db},
    values::{Clock, Randomness},
};

/// The server of `PostgreSQL` that the stories run on, where they do.
pub fn server() -> Option<&'static str> {
    static SERVER: OnceLock<Option<String>> = OnceLock::new();
    SERVER.get_or_init(|| std::env::var("TEST_POSTGRES").ok().filter(|url| !url.is_empty())).as_deref()
}

/// The URL of a new and empty database on the server; nothing where the stories run on `SQLite`.
pub fn fresh() -> Option<String> {
    let server = server()?;
    let name = new_name("story");
    let making = name.clone();
    let maker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&format!("create database {making}")));
    });
    maker.join().unwrap();
    Some(named(server, &name))
}

/// The same with the schema already made.
pub async fn with_schema() -> Option<DatabaseUrl> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let server = server()?;
    let template = TEMPLATE
        .get_or_init(|| async {
            let name = new_name("template");
            run(&format!("create database {name}")).await;
            let url = named(server, &name).parse().unwrap();
            Db::open(&url, Clock::running(), Randomness::System).await.unwrap().close().await;
            name
        })
        .await;
    let name = new_name("story");
    run(&format!("create database {name} template {template}")).await;
    Some(named(server, &name).parse().unwrap())
}

/// Nobody else's name: not another test's of this process, nor one of another run on the same server.
fn new_name(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{what}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn named(server: &str, name: &str) -> String {
    let (front, _) = server.rsplit_once('/').unwrap();
    format!("{front}/{name}")
}

/// Runs a statement on the server itself, outside of every story's database.
pub async fn run(sql: &str) {
    let options: PgConnectOptions = server().unwrap().parse().unwrap();
    let mut connection: PgConnection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Everything in a database of the server, as text; nothing where it is a file, which can be read as it is.
pub async fn dump(of: &DatabaseUrl) -> Vec<u8> {
    match of {
        DatabaseUrl::Sqlite(_) => Vec::new(),
        DatabaseUrl::Postgres(_) => contents(of).await.into_values().flatten().collect::<String>().into_bytes(),
    }
}

/// Every row of every table, as text.
pub async fn contents(of: &DatabaseUrl) -> BTreeMap<String, Vec<String>> {
    match of {
        DatabaseUrl::Sqlite(path) => contents_of_file(path).await,
        DatabaseUrl::Postgres(options) => contents_on_server(options).await,
    }
}

async fn contents_on_server(options: &PgConnectOptions) -> BTreeMap<String, Vec<String>> {
    let mut connection: PgConnection = options.connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut contents = BTreeMap::new();
    for table in tables {
        let all = AssertSqlSafe(format!("select t::text from {table} t order by 1"));
        let rows = sqlx::query_scalar(all).fetch_all(&mut connection).await.unwrap();
        contents.insert(table, rows);
    }
    connection.close().await.unwrap();
    contents
}

async fn contents_of_file(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select name, (select group_concat('quote(\"' || name || '\")', '||'' ''||') from pragma_table_info(tables.name))
           from sqlite_master tables where type = 'table'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut contents = BTreeMap::new();
    for (table, columns) in tables {
        let all = AssertSqlSafe(format!("select {columns} from {table} order by 1"));
        let rows = sqlx::query_scalar(all).fetch_all(&mut connection).await.unwrap();
        contents.insert(table, rows);
    }
    connection.close().await.unwrap();
    contents
}
