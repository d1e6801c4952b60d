//! What cannot work is refused with one clear line that says what to do, a status that is not zero, and nothing changed.

use std::{fs, path::Path, process::Command};

use vestibule::platform::db::query;

use crate::{
    keeping::make_newer,
    support::{
        database,
        process::{Place, Ran},
    },
};

fn assert_refused(ran: &Ran, whys: &[&str]) {
    assert!(!ran.status.success(), "{}", ran.out);
    assert_eq!(ran.err.lines().filter(|line| !line.contains(" INFO ")).count(), 1, "{}", ran.err);
    for why in whys {
        assert!(ran.err.contains(why), "{} does not say {why}", ran.err);
    }
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// Each command that opens the database.
async fn assert_all_refused(place: &Place, whys: &[&str]) {
    for command in [&SERVE[..], &["org", "list"], &["migrate"], &["key", "rotate"]] {
        assert_refused(&place.run(command).await, whys);
    }
    assert!(place.names().is_empty(), "nothing was made: {:?}", place.names());
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_its_password() {
    for wrong in ["mysql://door:geheim@127.0.0.1/d", "door.sqlite", "sqlite:", "postgres://door:geheim@[nowhere/d"] {
        let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", wrong);
        for command in [&SERVE[..], &["org", "list"]] {
            let ran = place.run(command).await;
            assert_refused(&ran, &["database_url must be sqlite:PATH or postgres://"]);
            assert!(!ran.err.contains("geheim"), "{}", ran.err);
        }
        assert!(place.names().is_empty());
    }
}

#[tokio::test]
async fn a_password_among_the_arguments_is_refused() {
    let place = Place::with_a_file();
    let url = "postgres://door:geheim@127.0.0.1/d";
    let flag = format!("--database-url={url}");
    for command in
        [&["org", "list", "--database-url", url][..], &["serve", &flag], &["copy", "--from", url, "--to", "sqlite:a"]]
    {
        let ran = place.run(command).await;
        assert_refused(&ran, &["a password stands among the arguments", "PGPASSWORD"]);
        assert!(!ran.err.contains("geheim"), "{}", ran.err);
    }
    assert!(place.names().is_empty());
}

#[tokio::test]
async fn a_server_that_nobody_answers_for_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://door:geheim@127.0.0.1:{port}/d");
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url);
    assert_all_refused(&place, &[&format!("no PostgreSQL server answers at postgres://door:…@127.0.0.1:{port}/d")])
        .await;
}

#[tokio::test]
async fn a_wrong_password_or_name_is_told_apart_from_a_server_that_is_away() {
    let Some(url) = database::fresh() else {
        eprintln!("skipped: it needs PostgreSQL; set TEST_POSTGRES");
        return;
    };
    let wrong = url.replacen("door:door@", "door:geheim@", 1);
    assert_ne!(wrong, url);
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &wrong);
    assert_all_refused(&place, &["PostgreSQL does not let this user in", "Check the user and the password"]).await;
    let nowhere = format!("{}/nowhere", url.rsplit_once('/').unwrap().0);
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &nowhere);
    assert_all_refused(&place, &["there is no such database", "createdb"]).await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_which() {
    let Some(url) = database::fresh() else {
        eprintln!("skipped: it needs PostgreSQL; set TEST_POSTGRES");
        return;
    };
    let role = format!("guest_{}", std::process::id());
    database::run(&format!("create role {role} login password 'guest'")).await;
    let guest = url.replacen("door:door@", &format!("{role}:guest@"), 1);
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &guest);
    assert_all_refused(&place, &["lacks rights", "grant it create on the schema public"]).await;
    let owner = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url);
    assert_refused(&owner.run(&["migrate", "--check"]).await, &["the schema is 0"]);
}

/// A folder that nobody may write to, not even the superuser; undone when it is dropped. `None` where this machine
/// allows none.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn bind(folder: &'a Path) -> Option<Self> {
        let run = |arguments: &[&str]| {
            let ran = Command::new("mount").args(arguments).arg(folder).output();
            ran.is_ok_and(|ran| ran.status.success())
        };
        if !run(&["--bind", folder.to_str()?]) {
            return None;
        }
        let bound = Self(folder);
        run(&["-o", "remount,ro,bind"]).then_some(bound)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).output());
    }
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_is_named_before_anybody_is_told_that_it_runs() {
    let place = Place::with_a_file();
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let data = place.data();
    let Some(bound) = ReadOnly::bind(&data) else {
        eprintln!("skipped: this machine lets nobody mount a folder read-only");
        return;
    };
    for command in [&SERVE[..], &["user", "create", "--org", "acme", "ada@acme.com"], &["org", "list"]] {
        assert_refused(&place.run(command).await, &["vestibule.sqlite", "may be written to"]);
    }
    let elsewhere = place.clone().with("VESTIBULE_DATA_DIR", data.join("new").to_str().unwrap());
    assert_refused(&elsewhere.run(&SERVE).await, &["cannot make the data folder", "Read-only"]);
    assert_refused(&place.run(&["backup", data.join("b").to_str().unwrap()]).await, &["cannot write"]);
    drop(bound);
    place.ask(&["org", "list"]).await;
}

#[tokio::test]
async fn a_data_folder_of_a_newer_version_is_left_as_it_is() {
    let place = Place::with_a_file();
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let file = place.data().join("vestibule.sqlite");
    make_newer(file.to_str().unwrap()).await;
    let before = fs::read(&file).unwrap();
    for command in [&SERVE[..], &["org", "list"], &["migrate"], &["key", "rotate"]] {
        assert_refused(&place.run(command).await, &["newer version of Vestibule", "Start that version instead"]);
    }
    assert!(fs::read(&file).unwrap() == before, "nothing was changed");
}

#[tokio::test]
async fn a_second_server_on_one_file_is_refused_and_the_first_goes_on() {
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    let (mut manager, _) = server.acme().await;
    assert_refused(&place.run(&SERVE).await, &["another server works on", "Stop it first"]);
    assert_eq!(manager.get("/settings/welcome").await.unwrap().status, 200);
    place.ask(&["org", "list"]).await;
    server.kill().await;
    place.serve().await.stop().await;
}

#[tokio::test]
async fn a_database_whose_key_file_is_gone_gets_no_new_one() {
    let place = Place::with_a_file();
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    let key = place.data().join("key");
    fs::remove_file(&key).unwrap();
    assert_refused(&place.run(&SERVE).await, &["made with another key", "Restore the right key file"]);
    assert!(!key.exists());
}

#[tokio::test]
async fn what_keeps_a_file_does_not_work_on_postgresql_and_says_what_does() {
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", "postgres://door@127.0.0.1:1/d");
    for command in [&["backup", "b"], &["restore", "b"]] {
        assert_refused(&place.run(command).await, &["works on SQLite", "pg_dump"]);
    }
}

#[tokio::test]
async fn a_database_server_is_reached_by_tls_and_only_with_the_certificate_that_was_asked_for() {
    let Some(url) = database::fresh() else { return };
    let with = |root: &str| {
        let url = format!("{url}?sslmode=verify-full&sslrootcert={root}");
        Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url)
    };
    let db = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url).database().await;
    let (folder,): (String,) = query("select current_setting('data_directory')").one(&db).await.unwrap();
    let place = with(&format!("{folder}/../root.crt"));
    let server = place.serve().await;
    assert_eq!(server.browser().get("/readyz").await.unwrap().status, 200);
    let (by_tls, plain): (i64, i64) = query(
        "select count(*) filter (where s.ssl), count(*) filter (where not s.ssl)
           from pg_stat_ssl s join pg_stat_activity a on a.pid = s.pid
          where a.datname = current_database() and a.application_name = 'vestibule' and a.pid <> pg_backend_pid()",
    )
    .one(&db)
    .await
    .unwrap();
    assert!(by_tls > 0 && plain <= 1, "{by_tls} by TLS, {plain} not: at most this test's own");
    server.stop().await;
    db.close().await;

    let other = place.path("other.crt");
    let (key, shown) = (place.path("other.key"), other.to_str().unwrap());
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=other",
        ])
        .args(["-keyout", key.to_str().unwrap(), "-out", shown])
        .output()
        .unwrap();
    assert!(made.status.success());
    let ran = with(shown).run(&SERVE).await;
    assert_refused(&ran, &["cannot be encrypted as asked for", "certificate", "sslrootcert"]);
    assert!(!ran.err.contains("door:door"), "{}", ran.err);
}
