//! The server as a process: its start, its end, and what it leaves behind.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use vestibule::platform::db::query;

use crate::support::{
    PASSWORD,
    process::{Place, within},
    sink::{Sink, Ways},
};

#[tokio::test]
async fn the_first_start_prints_one_line_and_keeps_its_files_to_itself() {
    let place = Place::with_a_file();
    let mut server = place.serve().await;
    let address = server.set_up_address().await;
    assert!(address.starts_with("/setup?token="), "{address}");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.data()), 0o700);
    assert_eq!(mode(place.data().join("key")), 0o600);
    assert_eq!(place.names(), ["vestibule-data"]);

    let ran = server.stop().await;
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
}

#[tokio::test]
async fn every_start_prints_a_fresh_set_up_address_until_there_is_an_organization() {
    let place = Place::new();
    let mut server = place.serve().await;
    let first = server.set_up_address().await;
    server.stop().await;

    let mut server = place.serve().await;
    assert_ne!(server.set_up_address().await, first);
    server.acme().await;
    assert_eq!(server.browser().get(&first).await.unwrap().status, 410, "an older address ends with set-up too");
    server.stop().await;

    let server = place.serve().await;
    assert_eq!(server.stop().await.out, "", "nothing is left to set up");
}

#[tokio::test]
async fn an_organization_from_the_command_line_ends_set_up_while_the_server_runs() {
    let place = Place::new();
    let mut server = place.serve().await;
    let set_up = server.set_up_address().await;
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    assert_eq!(server.browser().get(&set_up).await.unwrap().status, 410);
}

#[tokio::test]
async fn a_restart_keeps_sessions_and_the_outbox() {
    let sink = Sink::start(Ways { at_recipient: Some("451 later"), ..Ways::default() }).await;
    let place = Place::new()
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    let mut server = place.serve().await;
    let (manager, link) = server.acme().await;
    let mut ada = server.browser();
    assert_eq!(ada.post(&link, &[("email", "ada@acme.com")]).await.unwrap().status, 303);
    server.says("a message was not delivered").await;
    server.stop().await;

    let server = place.serve().await;
    let welcome = manager.at(&server).get("/settings/welcome").await.unwrap();
    assert_eq!(welcome.status, 200);
    server.stop().await;
    let db = place.database().await;
    let waiting: Vec<(String, i64)> =
        query("select to_email, attempts from messages where state = 'waiting'").all(&db).await.unwrap();
    assert_eq!(waiting, [("ada@acme.com".to_owned(), 1)]);
}

async fn finishes_what_it_has_begun(signal: Signal) {
    let place = Place::new();
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let unfinished = server.browser().post_halfway(&link, &[("email", "ada@acme.com")]).await;
    server.signal(signal);
    server.says("stopping").await;
    assert_eq!(unfinished.finish().await.unwrap().status, 303);
    let ran = server.ended().await;
    assert_eq!(ran.status.code(), Some(0), "{}", ran.err);
    let list = place.ask(&["user", "list", "--org", "acme"]).await;
    assert!(list.starts_with("mia@acme.com"), "{list}");
}

#[tokio::test]
async fn ctrl_c_finishes_a_request_in_flight() {
    finishes_what_it_has_begun(Signal::INT).await;
}

#[tokio::test]
async fn the_end_of_a_service_finishes_a_request_in_flight() {
    finishes_what_it_has_begun(Signal::TERM).await;
}

#[tokio::test]
async fn a_hundred_set_ups_at_once_make_one_organization_and_one_manager() {
    let place = Place::new().with("VESTIBULE_TRUSTED_PROXIES", "127.0.0.1");
    let mut server = place.serve().await;
    let set_up = server.set_up_address().await;
    let mut posts = tokio::task::JoinSet::new();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(100));
    for n in 0..100 {
        let mut browser = server.browser();
        browser.forwarded_for = Some(format!("198.51.100.{n}"));
        let (set_up, barrier) = (set_up.clone(), barrier.clone());
        posts.spawn(async move {
            assert_eq!(browser.get(&set_up).await.unwrap().status, 303);
            barrier.wait().await;
            let (name, email) = (format!("Acme {n}"), format!("mia{n}@acme.com"));
            let fields =
                [("organization_name", &*name), ("full_name", "Mia"), ("email", &*email), ("password", PASSWORD)];
            browser.post("/setup", &fields).await.unwrap().status
        });
    }
    let answers = within("a hundred answers", posts.join_all()).await;
    assert_eq!(answers.iter().filter(|status| **status == 303).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 303 | 410 | 503)), "{answers:?}");

    let organizations = place.ask(&["org", "list", "--json"]).await;
    assert_eq!(organizations.lines().count(), 1, "{organizations}");
    let organization: serde_json::Value = serde_json::from_str(&organizations).unwrap();
    let users = place.ask(&["user", "list", "--json", "--org", organization["slug"].as_str().unwrap()]).await;
    assert_eq!(users.lines().count(), 1, "{users}");
    assert!(users.contains("\"role\":\"manager\""));
    assert_eq!(server.browser().get(&set_up).await.unwrap().status, 410);
    assert_eq!(server.browser().get("/setup").await.unwrap().status, 404);
}

#[tokio::test]
async fn whoever_watches_the_server_learns_whether_it_is_ready() {
    let place = Place::with_a_file();
    let server = place.serve().await;
    let mut browser = server.browser();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(browser.get(path).await.unwrap().status, 200, "{path}");
        let head = browser.head_of(path).await.unwrap();
        assert_eq!((head.status, head.html.as_str()), (200, ""), "{path}");
    }
    // Somebody else holds the write lock: the process is well, and not ready.
    let db = place.database().await;
    let mut tx = db.write().await.unwrap();
    query("update server set public_url = public_url").execute(&mut tx).await.unwrap();
    assert_eq!(browser.get("/readyz").await.unwrap().status, 503);
    assert_eq!(browser.get("/healthz").await.unwrap().status, 200);
    drop(tx);
    db.close().await;
    within("readiness", async { while browser.get("/readyz").await.unwrap().status != 200 {} }).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let place = Place::with_a_file();
    place.serve().await.stop().await;
    let file = place.data().join("vestibule.sqlite");
    let db = place.database().await;
    let mut tx = db.write().await.unwrap();
    query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, x'00', 0)",
    )
    .execute(&mut tx)
    .await
    .unwrap();
    query("update server set oldest_schema = 9999").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let before = std::fs::read(&file).unwrap();

    let ran = place.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!ran.status.success() && ran.out.is_empty());
    let line = ran.err.lines().next_back().unwrap();
    assert!(line.contains("newer version of Vestibule (schema 9999"), "{line}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_key_is_refused() {
    let place = Place::new();
    place.serve().await.stop().await;
    std::fs::remove_file(place.data().join("key")).unwrap();
    let ran = place.run(&["org", "list"]).await;
    assert!(!ran.status.success() && ran.err.contains("another key"), "{}", ran.err);
}

#[tokio::test]
async fn a_wrong_setting_is_one_line_and_makes_nothing() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let wrong: [(&str, &str, &str); 10] = [
        ("VESTIBULE_LISTEN", "everywhere", "listen must be"),
        ("VESTIBULE_LISTEN", &taken, "cannot listen on"),
        ("VESTIBULE_PUBLIC_URL", "https://acme.com/door", "public_url must be"),
        ("VESTIBULE_DATABASE_URL", "mysql://u:canary@h/d", "database_url must be"),
        ("VESTIBULE_SMTP_URL", "smtp://u:canary@h:25", "mail_from must be"),
        ("VESTIBULE_SMTP_URL", "http://u:canary@h", "VESTIBULE_SMTP_URL must look like"),
        ("VESTIBULE_TRUSTED_PROXIES", "everybody", "trusted_proxies must be"),
        ("VESTIBULE_DATA_DIR", "/dev/null/data", "cannot make the data folder"),
        ("VESTIBULE_LISTN", "127.0.0.1:80", "is not a setting"),
        ("VESTIBULE_CONFIG", "x", "is not a setting"),
    ];
    for (name, value, why) in wrong {
        let mut place = Place::with_a_file().with("VESTIBULE_LISTEN", "127.0.0.1:0").with(name, value);
        if value.starts_with("http://") {
            place = place.with("VESTIBULE_MAIL_FROM", "door@acme.com");
        }
        let ran = place.run(&["serve"]).await;
        assert!(!ran.status.success() && ran.out.is_empty(), "{name}={value}");
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(ran.err.contains(why) && !ran.err.contains("canary"), "{}", ran.err);
        assert!(place.names().is_empty(), "{name}={value} made {:?}", place.names());
    }
    let place = Place::with_a_file();
    std::fs::write(place.path("vestibule.toml"), "lissten = '127.0.0.1:80'").unwrap();
    let ran = place.run(&["serve"]).await;
    assert!(ran.err.contains("lissten") && ran.err.lines().count() == 1, "{}", ran.err);
    assert_eq!(place.names(), ["vestibule.toml"]);
}
