//! What is kept: backups while the server serves, putting one back, copies between databases, the schema.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use vestibule::{
    platform::db::{self, CopyError, DERIVED, DatabaseUrl, Db, TABLES, query},
    values::{Clock, Randomness},
};

use crate::support::{
    PASSWORD, TestApp, database,
    process::{NetBrowser, Place, Ran, Server},
};

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_refused(ran: &Ran, why: &str) {
    assert!(!ran.status.success(), "{}", ran.out);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains(why), "{} does not say {why}", ran.err);
}

async fn sign_in(server: &Server, email: &str) -> NetBrowser {
    let mut browser = server.browser();
    let page = browser.post("/o/acme/login", &[("email", email), ("password", PASSWORD)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    browser
}

/// A one-time link that sets a password, from the command line.
async fn recovery_link(place: &Place) -> String {
    let made = place.ask(&["user", "recover", "--org", "acme", "mia@acme.com", "--json"]).await;
    let link = objects(&made).remove(0)["link"].as_str().unwrap().to_owned();
    format!("/reset/{}", link.rsplit('/').next().unwrap())
}

#[tokio::test]
async fn a_backup_is_made_while_the_server_serves_and_put_back_without_what_was_open() {
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    let (mut manager, link) = server.acme().await;
    let unused = recovery_link(&place).await;
    let mut ada = server.browser();
    let waiting = ada.post(&link, &[("email", "ada@acme.com")]).await.unwrap().location.unwrap();

    let file = place.path("kept.backup");
    let name = file.to_str().unwrap();
    let made = objects(&place.ask(&["backup", name, "--json"]).await).remove(0);
    assert_eq!((made["key_in_backup"].as_bool(), made["file"].as_str()), (Some(false), Some(name)));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_refused(&place.run(&["backup", name]).await, "exists already");
    assert!(place.ask(&["backup", name, "--force"]).await.contains("The key is not in it"));
    assert!(place.names().iter().all(|name| !name.contains(".new-")), "nothing is left beside it");

    // Since then the link was used, and a user came.
    assert_eq!(server.browser().post(&unused, &[("password", "nine orange herons sleep")]).await.unwrap().status, 303);
    place.ask(&["user", "create", "--org", "acme", "bob@acme.com"]).await;
    assert_refused(&place.run(&["restore", name]).await, "Stop it first");
    server.stop().await;

    let restored = objects(&place.ask(&["restore", name, "--json"]).await).remove(0);
    assert_eq!(restored["ended"]["registrations"], 1);
    assert!(restored["ended"]["sessions"].as_u64().unwrap() >= 1 && restored["ended"]["links"].as_u64().unwrap() >= 2);
    assert!(std::path::Path::new(&place.path(restored["replaced"].as_str().unwrap())).exists());
    let server = place.serve().await;
    assert_eq!(server.browser().get(&link).await.unwrap().status, 200, "the invite link stays");
    manager = manager.at(&server);
    assert_ne!(manager.get("/settings/welcome").await.unwrap().status, 200, "sessions ended");
    let ended = ada.at(&server).get(&waiting).await.unwrap();
    assert!(ended.status == 410 && ended.says("had to go back to an earlier state"), "{}", ended.words());
    let again = server.browser().post(&unused, &[("password", "ten orange herons sleep")]).await.unwrap();
    assert_eq!(again.status, 410, "a used link does not live again");
    let mut manager = sign_in(&server, "mia@acme.com").await;
    let audit = manager.get("/settings/audit").await.unwrap();
    assert!(audit.says("Restored everything from a backup; everybody was signed out"), "{}", audit.words());
    let users = place.ask(&["user", "list", "--org", "acme"]).await;
    assert!(!users.contains("bob@acme.com"), "what came later is in the file that was replaced");
}

#[tokio::test]
async fn what_was_open_ends_in_a_database_that_was_put_back_by_other_means() {
    let place = Place::new();
    let mut server = place.serve().await;
    let (manager, link) = server.acme().await;
    let unused = recovery_link(&place).await;
    server.browser().post(&link, &[("email", "ada@acme.com")]).await.unwrap();
    server.stop().await;
    assert_refused(&place.run(&["restore", "--in-place", "--keep-open"]).await, "cannot be used with");
    let ended = objects(&place.ask(&["restore", "--in-place", "--json"]).await).remove(0);
    assert_eq!(ended["ended"]["registrations"], 1, "{ended}");
    let server = place.serve().await;
    assert_ne!(manager.at(&server).get("/settings/welcome").await.unwrap().status, 200, "sessions ended");
    assert_eq!(server.browser().get(&link).await.unwrap().status, 200, "the invite link stays");
    let used = server.browser().post(&unused, &[("password", "nine orange herons sleep")]).await.unwrap();
    assert_eq!(used.status, 410);
    let audit = sign_in(&server, "mia@acme.com").await.get("/settings/audit").await.unwrap();
    assert!(audit.says("Restored everything from a backup"), "{}", audit.words());
    if place.url().file().is_some() {
        assert_refused(&place.run(&["restore", "--in-place"]).await, "Stop it first");
    } else {
        assert_refused(&place.run(&["restore", "kept"]).await, "restore --in-place");
    }
}

#[tokio::test]
async fn what_was_open_in_a_backup_is_kept_open_where_that_is_asked_for() {
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    let (manager, _) = server.acme().await;
    let link = recovery_link(&place).await;
    let name = place.path("kept.backup").to_str().unwrap().to_owned();
    place.ask(&["backup", &name]).await;
    server.stop().await;
    place.ask(&["restore", &name, "--keep-open"]).await;
    let server = place.serve().await;
    assert_eq!(manager.at(&server).get("/settings/welcome").await.unwrap().status, 200);
    let used = server.browser().post(&link, &[("password", "nine orange herons sleep")]).await.unwrap();
    assert_eq!(used.status, 303);
}

#[tokio::test]
async fn only_a_whole_backup_of_this_server_is_put_back() {
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    server.acme().await;
    let good = place.path("good").to_str().unwrap().to_owned();
    place.ask(&["backup", &good]).await;
    server.stop().await;
    let database = place.data().join("vestibule.sqlite");
    let before = std::fs::read(&database).unwrap();

    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path(name), bytes).unwrap();
        place.path(name).to_str().unwrap().to_owned()
    };
    let bytes = std::fs::read(&good).unwrap();
    let mut spoilt = bytes.clone();
    spoilt[5000..9000].fill(0x55);
    let restore = async |name: &str| place.run(&["restore", name]).await;
    assert_refused(&restore("nowhere").await, "there is no file nowhere");
    assert_refused(&restore(&write("words", b"these are words")).await, "is no whole database of Vestibule");
    assert_refused(&restore(&write("nothing", b"")).await, "is no database of Vestibule");
    assert_refused(&restore(&write("spoilt", &spoilt)).await, "is no whole database of Vestibule");
    assert_refused(&restore(&write("half", &bytes[..bytes.len() / 2])).await, "is no whole database of Vestibule");
    assert_refused(&restore(database.to_str().unwrap()).await, "is the database itself");
    let newer = write("newer", &bytes);
    make_newer(&newer).await;
    assert_refused(&restore(&newer).await, "was made by a newer version of Vestibule (schema 99");
    let other = Place::with_a_file();
    other.ask(&["org", "create", "--name", "Other", "--slug", "other", "--manager", "otto@other.com"]).await;
    let foreign = place.path("foreign").to_str().unwrap().to_owned();
    other.ask(&["backup", &foreign]).await;
    assert_refused(&restore(&foreign).await, "was made with another key");
    assert!(std::fs::read(&database).unwrap() == before, "nothing was changed");
}

/// As a later version leaves it, which this one cannot work with.
pub async fn make_newer(file: &str) {
    let url: DatabaseUrl = format!("sqlite:{file}").parse().unwrap();
    let db = Db::open(&url, Clock::running(), Randomness::System).await.unwrap();
    let mut tx = db.write().await.unwrap();
    query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'later', true, $1, 0)")
        .bind(vec![0_u8])
        .execute(&mut tx)
        .await
        .unwrap();
    query("update server set oldest_schema = 99").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk_whatever_the_server_is_content_with() {
    let app = TestApp::start().await;
    if app.app.db.is_shared() {
        // The throw-away server of the tests has it off, for everybody who does not ask.
        let (commits,): (String,) =
            query("select current_setting('synchronous_commit')").one(&app.app.db).await.unwrap();
        assert_eq!(commits, "on");
    } else {
        let mut tx = app.app.db.write().await.unwrap();
        let (full,): (i64,) =
            query("select cast(synchronous as bigint) from pragma_synchronous").one(&mut tx).await.unwrap();
        assert_eq!(full, 2);
    }
}

#[tokio::test]
async fn every_table_is_copied_and_none_is_forgotten() {
    let app = TestApp::start().await;
    let listed: BTreeSet<String> = TABLES.iter().map(|table| table.name.to_owned()).collect();
    let there: Vec<(String,)> = if app.app.db.is_shared() {
        query("select table_name::text from information_schema.tables where table_schema = current_schema() and table_type = 'BASE TABLE'")
            .all(&app.app.db)
            .await
            .unwrap()
    } else {
        query("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")
            .all(&app.app.db)
            .await
            .unwrap()
    };
    let derived = |name: &str| DERIVED.iter().any(|derived| name.starts_with(derived));
    let there: BTreeSet<String> =
        there.into_iter().map(|(name,)| name).filter(|name| name != "_sqlx_migrations" && !derived(name)).collect();
    assert_eq!(listed, there, "src/platform/db/tables.rs names every table");
    if app.app.db.is_shared() {
        return;
    }
    for table in &TABLES {
        let key: Vec<(String,)> = query("select name from pragma_table_info($1) where pk > 0 order by pk")
            .bind(table.name)
            .all(&app.app.db)
            .await
            .unwrap();
        let key: Vec<&str> = key.iter().map(|(name,)| name.as_str()).collect();
        assert_eq!(key, table.key, "the key of {}", table.name);
        let refers: Vec<(String,)> =
            query("select \"table\" from pragma_foreign_key_list($1)").bind(table.name).all(&app.app.db).await.unwrap();
        let place = |name: &str| TABLES.iter().position(|other| other.name == name).unwrap();
        assert!(refers.iter().all(|(other,)| place(other) < place(table.name)), "{} stands too early", table.name);
    }
}

#[tokio::test]
async fn an_installation_moves_to_postgresql_and_back_and_nobody_notices() {
    let Some(url) = database::fresh() else {
        eprintln!("skipped: it needs both databases; set TEST_POSTGRES");
        return;
    };
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    let (manager, link) = server.acme().await;
    for n in 0..4 {
        place.ask(&["user", "create", "--org", "acme", &format!("p{n}@acme.com")]).await;
    }
    // More than two batches of them.
    let many = place.database().await;
    let mut tx = many.write().await.unwrap();
    for _ in 0..1_203 {
        query("insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)")
            .bind(tx.new_secret().expose().as_bytes().to_vec())
            .bind(tx.now)
            .execute(&mut tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    many.close().await;
    let recovery = recovery_link(&place).await;
    server.stop().await;
    let from = format!("sqlite:{}", place.data().join("vestibule.sqlite").display());
    let moving = place.clone().with("VESTIBULE_COPY_FROM", &from).with("VESTIBULE_COPY_TO", &url);
    let copied = objects(&moving.ask(&["copy", "--json"]).await);
    let rows = |copied: &[Value], table: &str| {
        copied.iter().find(|line| line["table"] == table).map(|line| line["to"].as_i64().unwrap()).unwrap()
    };
    assert_eq!((copied.len(), rows(&copied, "users"), rows(&copied, "organizations")), (TABLES.len() + 1, 5, 1));
    assert!(rows(&copied, "counters") >= 1_203);
    assert_refused(&moving.run(&["copy"]).await, "has organizations already");

    let there = place.clone().with("VESTIBULE_DATABASE_URL", &url);
    let server = there.serve().await;
    assert_eq!(manager.at(&server).get("/settings/welcome").await.unwrap().status, 200, "still signed in");
    assert_eq!(server.browser().get(&link).await.unwrap().status, 200);
    server.stop().await;

    let back = format!("sqlite:{}", place.path("back.sqlite").display());
    let moving = place.clone().with("VESTIBULE_COPY_FROM", &url).with("VESTIBULE_COPY_TO", &back);
    let again = objects(&moving.ask(&["copy", "--json"]).await);
    assert_eq!(rows(&again, "users"), 5);
    let here = place.clone().with("VESTIBULE_DATABASE_URL", &back);
    let server = here.serve().await;
    assert_eq!(manager.at(&server).get("/settings/welcome").await.unwrap().status, 200);
    let used = server.browser().post(&recovery, &[("password", "nine orange herons sleep")]).await.unwrap();
    assert_eq!(used.status, 303, "a link that was open is open");
    let audit = sign_in_with(&server, "nine orange herons sleep").await.get("/settings/audit").await.unwrap();
    assert!(audit.says("Password set by a link"), "{}", audit.words());
}

async fn sign_in_with(server: &Server, password: &str) -> NetBrowser {
    let mut browser = server.browser();
    let page = browser.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", password)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    browser
}

#[tokio::test]
async fn a_copy_goes_into_an_empty_database_of_the_same_key_only() {
    let place = Place::with_a_file();
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let from = format!("sqlite:{}", place.data().join("vestibule.sqlite").display());
    let to = format!("sqlite:{}", place.path("to.sqlite").display());
    let copy = async |from: &str, to: &str| place.run(&["copy", "--from", from, "--to", to]).await;
    assert_refused(&copy("sqlite:nowhere", &to).await, "there is no installation of Vestibule in sqlite:nowhere");
    assert_refused(&copy("sqlite:", &to).await, "must be sqlite:PATH or postgres://");
    let other = Place::with_a_file();
    other.ask(&["org", "create", "--name", "Other", "--slug", "other", "--manager", "otto@other.com"]).await;
    let foreign = format!("sqlite:{}", other.data().join("vestibule.sqlite").display());
    assert_refused(&copy(&foreign, &to).await, "was made with another key");
    assert!(!place.path("to.sqlite.serving").exists(), "nothing was made, not even the lock");
    assert_refused(&copy(&from, &foreign).await, "has organizations already");
    assert!(!place.path("to.sqlite").exists(), "nothing was made");
    assert!(copy(&from, &to).await.status.success());
}

#[tokio::test]
async fn a_copy_never_takes_the_place_of_what_was_set_up_meanwhile() {
    let (place, other) = (Place::with_a_file(), Place::new());
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let to = other.clone().with("VESTIBULE_KEY_FILE", place.data().join("key").to_str().unwrap());
    to.serve().await.stop().await;
    let asked = AtomicUsize::new(0);
    let sets_up_meanwhile = |_: &[u8]| {
        // The second one is asked about the target, after it was looked at.
        if asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let making = ["org", "create", "--name", "Other", "--slug", "other", "--manager", "otto@other.com"];
            std::thread::scope(|scope| scope.spawn(|| block_on(to.ask(&making))).join().unwrap());
        }
        true
    };
    let copied = db::copy(&place.url(), &to.url(), sets_up_meanwhile).await;
    assert!(matches!(copied, Err(CopyError::NotEmpty(_))), "{copied:?}");
    let listed = to.ask(&["org", "list"]).await;
    assert!(listed.contains("other") && !listed.contains("acme"), "{listed}");
}

/// On a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn the_schema_is_brought_up_to_date_and_only_looked_at_where_that_is_asked_for() {
    let place = Place::with_a_file();
    assert_refused(&place.run(&["migrate"]).await, "there is no database");
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let newest = objects(&place.ask(&["migrate", "--check", "--json"]).await).remove(0)["to"].as_i64().unwrap();
    assert!(place.ask(&["migrate"]).await.contains("up to date"));
    let file = place.data().join("vestibule.sqlite").to_str().unwrap().to_owned();
    make_newer(&file).await;
    for command in [&["migrate"][..], &["migrate", "--check"]] {
        assert_refused(&place.run(command).await, "was made by a newer version of Vestibule (schema 99");
    }
    if let Some(url) = database::fresh() {
        let empty = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url);
        assert_refused(
            &empty.run(&["migrate", "--check"]).await,
            &format!("the schema is 0 and this version works with {newest}"),
        );
        let made = objects(&empty.ask(&["migrate", "--json"]).await).remove(0);
        assert_eq!((made["from"].as_i64(), made["to"].as_i64()), (Some(0), Some(newest)));
        empty.ask(&["migrate", "--check"]).await;
        assert!(empty.names().is_empty(), "it needs neither folder nor key");
    }
}
