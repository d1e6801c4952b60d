//! No statement reads a whole table that grows with the people: what the server asks is taken from its log, and `SQLite` says
//! how it would find the answer. `PostgreSQL` has the same indexes.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};
use vestibule::platform::db::DatabaseUrl;

use crate::support::{
    PASSWORD,
    process::{NetBrowser, Place, Server},
    sink::{Sink, Ways},
};

/// What may be read from end to end: tables of a few rows, what is no table, what only waits, and the first of a list.
const SMALL: &[&str] = &[
    "server",
    "_sqlx_migrations",
    "CONSTANT ROW",
    "2-ROW VALUES",
    "json_each",
    "messages USING INDEX messages_stalled",
    "messages USING INDEX messages_due",
    "recovery_requests USING INDEX recovery_requests_order: select id, organization_id, email, request_id",
    "organizations USING COVERING INDEX sqlite_autoindex_organizations_1: select id from organizations limit 1",
];
/// Done when an organization is made, and then only: of what refers to a new one nothing is read, since nothing does, and of
/// tokens everything, to end every set-up address.
const RARE: &[&str] = &["insert into organizations ", " where purpose = "];

/// Everything that people do, once.
async fn everything(server: &mut Server, sink: &Sink) {
    let (mut mia, link) = server.acme().await;
    let origin = server.origin.clone();
    let mut ada = server.browser();
    ada.get(&link).await.unwrap();
    let waiting = ada.post(&link, &[("email", "ada@acme.com")]).await.unwrap().location.unwrap();
    let registration = ada.get(&waiting).await.unwrap().input("registration");
    post(&mut ada, "/join/resend", &[("registration", &registration)]).await;
    refused(&mut ada, "/join/code", &[("registration", &registration), ("code", "000000")]).await;
    post(&mut ada, "/join/address", &[("registration", &registration), ("email", "ada.lovelace@acme.com")]).await;
    let confirm = sink.mail_to("ada.lovelace@acme.com").await.link(&origin);
    ada.get(&confirm).await.unwrap();
    post(&mut ada, &confirm, &[("full_name", "Ada Lovelace"), ("password", PASSWORD)]).await;
    ada.get("/account").await.unwrap();
    post(&mut ada, "/account/name", &[("full_name", "Augusta Ada")]).await;
    post(&mut ada, "/account/address", &[("email", "augusta@acme.com"), ("current_password", PASSWORD)]).await;
    ada.get(&sink.mail_to("augusta@acme.com").await.link(&origin)).await.unwrap();
    post(&mut ada, "/account/sessions/end-others", &[]).await;
    post(&mut ada, "/o/acme/forgot-password", &[("email", "mia@acme.com")]).await;
    let reset = sink.mail_to("mia@acme.com").await.link(&origin);
    ada.get(&reset).await.unwrap();
    let (mut again, mia_is) = (server.browser(), ("email", "mia@acme.com"));
    refused(&mut again, "/o/acme/login", &[mia_is, ("password", "not the password")]).await;
    post(&mut again, "/o/acme/login", &[mia_is, ("password", PASSWORD)]).await;
    post(&mut mia, "/settings/invitations", &[("emails", "bob@acme.com, eve@acme.com"), ("role", "member")]).await;
    let bob = sink.mail_to("bob@acme.com").await.link(&origin);
    server.browser().get(&bob).await.unwrap();
    post(&mut server.browser(), &bob, &[("full_name", "Bob"), ("password", PASSWORD)]).await;
    post(&mut mia, "/settings/identity/check", &[("emails", "ada@acme.com")]).await;
    let identity = mia.get("/settings/identity").await.unwrap();
    let version = identity.input("version");
    let save =
        [("version", &*version), ("login_method", "password"), ("self_service", "on"), ("allowed_domains", "acme.com")];
    post(&mut mia, "/settings/identity", &save).await;
    manage(&mut mia).await;
    post(&mut ada, &reset, &[("password", "another fine password")]).await;
    post(&mut ada, "/logout", &[]).await;
}

/// Everything that a manager looks at, and what is done to one user.
async fn manage(mia: &mut NetBrowser) {
    let lists = [
        "/settings/users",
        "/settings/users?search=love",
        "/settings/users?search=lo",
        "/settings/users?role=manager",
        "/settings/users?status=active",
        "/settings/users?domain=acme.com",
        "/settings/invitations",
        "/settings/mail",
        "/settings/mail?to=ada",
        "/settings/mail?state=waiting",
        "/settings/audit",
        "/settings/audit?kind=session.started",
        "/settings/audit?about=bob%40acme.com",
        "/settings/identity/replacement",
    ];
    for path in lists {
        assert_eq!(mia.get(path).await.unwrap().status, 200, "{path}");
    }
    let bob = mia.get("/settings/users?search=bob").await.unwrap().link_to("Bob");
    assert_eq!(mia.get(&bob).await.unwrap().status, 200);
    for act in ["deactivation", "reactivation", "first-password"] {
        post(mia, &format!("{bob}/{act}"), &[]).await;
    }
    post(mia, &format!("{bob}/role"), &[("role", "manager"), ("current_password", PASSWORD)]).await;
    post(mia, &format!("{bob}/deletion"), &[("may_return", "yes"), ("current_password", PASSWORD)]).await;
    post(mia, "/settings/identity/replacement", &[]).await;
}

async fn post(browser: &mut NetBrowser, path: &str, fields: &[(&str, &str)]) {
    let page = browser.post(path, fields).await.unwrap();
    assert!(matches!(page.status, 200 | 303), "{path}: {} {}", page.status, page.words());
}

async fn refused(browser: &mut NetBrowser, path: &str, fields: &[(&str, &str)]) {
    let page = browser.post(path, fields).await.unwrap();
    assert_eq!(page.status, 422, "{path}: {}", page.words());
}

/// Every statement of a log, once.
fn statements(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let queries = lines.filter(|line| line["target"] == "sqlx::query");
    let texts = queries.map(|line| match line["db.statement"].as_str() {
        None | Some("") => line["summary"].as_str().unwrap().to_owned(),
        Some(text) => text.to_owned(),
    });
    let single = texts.flat_map(|text| text.split(';').map(|one| one.trim().to_owned()).collect::<Vec<_>>());
    let plain = ["select", "insert", "update", "delete", "with"];
    single.filter(|one| plain.iter().any(|word| one.to_ascii_lowercase().starts_with(word))).collect()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_grows() {
    let sink = Sink::start(Ways::default()).await;
    let place = Place::with_a_file()
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com")
        .with("VESTIBULE_LOG_FORMAT", "json")
        .with("RUST_LOG", "info,sqlx::query=debug");
    // The one that makes the schema says how; that is not asked here.
    place.serve().await.stop().await;
    let mut server = place.serve().await;
    everything(&mut server, &sink).await;
    let statements = statements(&server.stop().await.err);
    assert!(statements.len() > 100, "{} statements", statements.len());

    let DatabaseUrl::Sqlite(file) = place.url() else { unreachable!("a file") };
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let mut whole = Vec::new();
    for sql in statements.iter().filter(|sql| !RARE.iter().any(|rare| sql.contains(rare))) {
        let asked = AssertSqlSafe(format!("explain query plan {sql}"));
        let plan =
            sqlx::raw_sql(asked).fetch_all(&mut connection).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        let steps = plan.iter().map(|row| row.get::<String, _>("detail"));
        let scans = steps.filter_map(|step| step.strip_prefix("SCAN ").map(|what| format!("{what}: {sql}")));
        whole.extend(scans.filter(|scan| !SMALL.iter().any(|small| scan.starts_with(small))));
    }
    connection.close().await.unwrap();
    assert!(whole.is_empty(), "{}", whole.join("\n\n"));
}
