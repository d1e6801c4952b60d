//! The next release moves the schema one step ahead while this one serves, and the replicas follow one by one (P1-16).
//! There is no release before this one that knows `PostgreSQL`, so both are played by this binary.

use std::{
    borrow::Cow,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use tokio::task::JoinSet;
use vestibule::platform::db::{DatabaseUrl, NEWEST, TABLES};

use super::{
    MACHINE,
    balancer::{Balancer, free_port},
    crowd::Crowd,
    length, place_with_mail,
};
use crate::support::{
    PASSWORD, database,
    process::{NetBrowser, Place, Server, within},
};

/// What steps may do that the release before must live with: a table, columns of every table, indexes. Each step changes one
/// table that there was before, as `docs/sql.md` says.
fn steps_of_the_next_release() -> Vec<Migration> {
    let table = "create table next_things (id uuid not null primary key, name text not null)".to_owned();
    let columns = TABLES.iter().map(|table| {
        let name = table.name;
        format!(
            "alter table {name} add column next_note text null;
             alter table {name} add column next_count bigint not null default 7;
             create index {name}_next on {name} (next_count);"
        )
    });
    let step = |(version, sql)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, Cow::Borrowed("next"), MigrationType::Simple, sql, false)
    };
    (NEWEST + 1..).zip(std::iter::once(table).chain(columns)).map(step).collect()
}

/// Takes the steps as the next release would: by the same library, behind the same lock, written down in the same table.
async fn step_ahead(place: &Place) {
    let mut next = Migrator::with_migrations(steps_of_the_next_release());
    next.set_ignore_missing(true);
    let began = Instant::now();
    match place.url() {
        DatabaseUrl::Postgres(options) => {
            let mut connection = options.connect().await.unwrap();
            next.run(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        DatabaseUrl::Sqlite(path) => {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            next.run(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    println!("the schema moved ahead in {:?}", began.elapsed());
}

/// Somebody whose session began before the step, and who is let in ever after.
async fn look(browser: &mut NetBrowser, path: &str, words: &str) {
    let page = browser.get(path).await.unwrap();
    assert_eq!(page.status, 200, "{path}: {}", page.words());
    assert!(page.says(words), "{path}: {}", page.words());
}

/// What a manager does; every page and every form reads its rows its own way. How many requests that were.
async fn a_round_of(manager: &mut NetBrowser, n: usize) -> usize {
    let paths = ["/settings/identity", "/settings/users", "/settings/invitations", "/settings/mail", "/settings/audit"];
    for path in paths {
        look(manager, path, "Acme").await;
    }
    look(manager, "/account", "mia@acme.com").await;
    let invited = format!("i{n}@acme.com");
    let version = manager.get("/settings/identity").await.unwrap().input("version");
    let settings =
        [("version", &*version), ("login_method", "password"), ("self_service", "on"), ("allowed_domains", "acme.com")];
    let sign_in = [("email", "mia@acme.com"), ("password", PASSWORD)];
    let mut stranger = NetBrowser { cookies: std::collections::BTreeMap::new(), ..manager.clone() };
    let answers = [
        ("saving", manager.post("/settings/identity", &settings).await),
        ("inviting", manager.post("/settings/invitations", &[("emails", &*invited), ("role", "member")]).await),
        ("forgetting", stranger.post("/o/acme/forgot-password", &[("email", &*invited)]).await),
        ("signing in", stranger.post("/o/acme/login", &sign_in).await),
    ];
    for (what, answer) in answers {
        // Too many of them in an hour are told so.
        let page = answer.unwrap();
        assert!(page.status < 500, "{what}: {} {}", page.status, page.words());
    }
    paths.len() + 6
}

/// Waits until people come to this server.
async fn people_come_to(server: &mut Server) {
    within("people at the server that was started anew", async {
        while !server
            .metrics()
            .await
            .lines()
            .any(|line| line.contains("/join/") && line.contains("http_requests_total"))
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Stops a replica and starts the next release in its place.
async fn started_anew(place: &Place, old: Server) -> Server {
    let address = old.address;
    old.signal(Signal::TERM);
    let ran = old.ended().await;
    assert!(ran.status.success() && !ran.err.contains("ERROR"), "{}", ran.err);
    let mut new = place.serve_at(address).await;
    people_come_to(&mut new).await;
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_follow_a_step_of_the_schema_one_by_one_without_one_error() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    let (place, sink) = place_with_mail().await;
    let place = place.with("VESTIBULE_TRUSTED_PROXIES", "127.0.0.1").with("VESTIBULE_METRICS_LISTEN", "127.0.0.1:0");
    let (mut one, two) = (place.serve().await, place.serve().await);
    let (mut mia, link) = one.acme().await;
    let door = Balancer::haproxy(free_port(), &[one.address, two.address]).await;
    mia.address = door.address;
    let crowd = Crowd::new(&one, link, sink, &[door.address]);
    let all = crowd.start(4, Duration::from_millis(100));
    let began = Instant::now();
    let mut managing: JoinSet<()> = JoinSet::new();
    let (done, mut rounds) = tokio::sync::watch::channel(0);
    managing.spawn(async move {
        for n in 0.. {
            let asked = a_round_of(&mut mia, n).await;
            done.send_modify(|all| *all += asked);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    // In every state of the roll people come, and the manager has a whole round behind them.
    let mut some_time = async |state: &str, minutes: u64| {
        crowd.wait_for(20).await;
        for _ in 0..2 {
            within("the manager", rounds.changed()).await.unwrap_or_else(|_| panic!("the manager failed: {state}"));
        }
        tokio::time::sleep(Duration::from_mins(length(0, 1) as u64) * u32::try_from(minutes).unwrap()).await;
        println!("{state}: {} requests so far", crowd.tries_since(began).len() + *rounds.borrow());
    };
    some_time("before the step", 1).await;
    step_ahead(&place).await;
    some_time("N-1 and N-1 on the schema of N", 2).await;
    let one = started_anew(&place, one).await;
    some_time("N and N-1", 10).await;
    let two = started_anew(&place, two).await;
    some_time("N and N", 1).await;
    managing.abort_all();
    crowd.stop(all).await;

    let tries = crowd.tries_since(began);
    let errors: Vec<_> = tries.iter().filter(|tried| tried.is_error()).collect();
    let slowest = tries.iter().map(|tried| tried.took).max().unwrap_or_default();
    println!("{} requests of the crowd, {} errors; the slowest took {slowest:?}", tries.len(), errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    crowd.all_have_mail(0).await;
    let (one, two) = tokio::join!(one.stop(), two.stop());
    for ran in [one, two] {
        assert!(!ran.err.contains("ERROR"), "{}", ran.err);
    }
    crowd.is_as_acknowledged(&place).await;
}

/// On `SQLite` one server works on a file, so that it stops for the step; what it knew goes on afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_started_again_on_the_schema_of_the_next_release_goes_on() {
    let _machine = MACHINE.read().await;
    let (place, sink) = place_with_mail().await;
    let mut old = place.serve().await;
    let (mut mia, link) = old.acme().await;
    let crowd = Crowd::new(&old, link, sink, &[old.address]);
    let all = crowd.start(2, Duration::from_millis(50));
    crowd.wait_for(10).await;
    a_round_of(&mut mia, 0).await;
    let address = old.address;
    old.stop().await;
    step_ahead(&place).await;
    let new = place.serve_at(address).await;
    crowd.wait_for(10).await;
    a_round_of(&mut mia, 1).await;
    crowd.stop(all).await;
    // What was in hand when it stopped may leave again.
    crowd.all_have_mail(16).await;
    let ran = new.stop().await;
    assert!(!ran.err.contains("ERROR"), "{}", ran.err);
    crowd.is_as_acknowledged(&place).await;
}

/// Every file in Rust below a folder, with its text.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.append(&mut sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

/// `PostgreSQL` refuses a prepared statement whose columns have become more ("cached plan must not change result type"),
/// so that every statement names what it answers with. Inside a `from` it is no answer.
#[test]
fn no_statement_answers_with_columns_that_it_does_not_name() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, text) in sources(&src) {
        for (n, line) in text.lines().enumerate() {
            let stars = ["\"select *", "returning *", "select r.*", "select u.*", "select o.*"];
            assert!(!stars.iter().any(|star| line.contains(star)), "{file}:{}: {line}", n + 1);
        }
    }
}
