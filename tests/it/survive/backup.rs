//! A backup while people register, put back on an empty machine (P0-76).

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use vestibule::platform::db::query;

use super::{MACHINE, crowd::Crowd, length, quiet};
use crate::support::{
    PASSWORD,
    process::{Place, Server},
    sink::{Sink, Ways},
};

/// So many accounts beside those of the crowd, in one statement.
async fn add_accounts(place: &Place, many: usize) {
    let db = place.database().await;
    let mut tx = db.write().await.unwrap();
    query(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < $1)
         insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, proved_how, came_by, created_at)
         select unhex(printf('019000000000700080000000%08x', i)), o.id, 'ada' || i || '@acme.com', 'ada' || i || '@acme.com', 'acme.com', 'Ada ' || i,
                'ada' || i || '@acme.com' || char(10) || 'ada ' || i, 'member', 'active', 'mail', 'link', $2
           from n, organizations o",
    )
    .bind(i64::try_from(many).unwrap())
    .bind(tx.now)
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}

/// Everybody in a column of addresses.
async fn everybody(place: &Place, sql: &'static str) -> BTreeSet<String> {
    let db = place.database().await;
    let all: Vec<(String,)> = query(sql).all(&db).await.unwrap();
    db.close().await;
    all.into_iter().map(|(email,)| email).collect()
}

/// An empty machine that has the key and nothing else.
fn empty_machine(key: &Path) -> Place {
    let place = quiet(Place::with_a_file());
    std::fs::create_dir(place.data()).unwrap();
    std::fs::copy(key, place.data().join(key.file_name().unwrap())).unwrap();
    place
}

async fn signs_in(server: &Server, email: &str) {
    let fields = [("email", email), ("password", PASSWORD)];
    let page = server.browser().post("/o/acme/login", &fields).await.unwrap();
    assert_eq!(page.status, 303, "{email}: {}", page.words());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_everybody_until_its_moment_and_nobody_after_it() {
    let _machine = MACHINE.read().await;
    let many = length(2_000, 100_000);
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::with_a_file()).with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    server.stop().await;
    add_accounts(&place, many).await;
    let server = place.serve().await;
    let crowd = Crowd::new(&server, link, sink, &[server.address]).with_one_in(length(2, 20));
    let all = crowd.start(length(4, 100), Duration::from_millis(20));
    crowd.wait_for(length(20, 1_000)).await;

    let before = crowd.acknowledged();
    let file = place.path("kept.backup").to_str().unwrap().to_owned();
    let began = Instant::now();
    let made = place.ask(&["backup", &file, "--json"]).await;
    let took = began.elapsed();
    let later = crowd.next_person();
    let requests = crowd.tries_since(began).len();
    println!("{many} accounts and a crowd: the backup took {took:?}, {requests} requests meanwhile");
    crowd.wait_for(length(20, 1_000)).await;
    println!("{} requests in {:?}", crowd.tries_since(began).len(), began.elapsed());
    crowd.stop(all).await;
    let errors = crowd.tries_since(began).iter().filter(|tried| tried.is_error()).count();
    assert_eq!(errors, 0, "nobody notices a backup");
    server.stop().await;

    let made: serde_json::Value = serde_json::from_str(made.trim()).unwrap();
    let other = empty_machine(&place.path("").join(made["key_file"].as_str().unwrap()));
    let began = Instant::now();
    other.ask(&["restore", &file]).await;
    let server = other.serve().await;
    println!("restored and ready after {:?}", began.elapsed());
    assert!(took + began.elapsed() < Duration::from_mins(5));
    signs_in(&server, "mia@acme.com").await;
    signs_in(&server, before.finished.first().unwrap()).await;
    server.stop().await;

    let users = everybody(&other, "select email_key from users").await;
    let registered = everybody(&other, "select email_key from registrations").await;
    assert!(before.begun.is_subset(&registered), "lost: {:?}", before.begun.difference(&registered));
    assert!(before.finished.is_subset(&users), "lost: {:?}", before.finished.difference(&users));
    let number = |email: &String| email.strip_prefix('p')?.split('@').next()?.parse::<usize>().ok();
    let too_new: Vec<_> = registered.union(&users).filter(|email| number(email) >= Some(later)).collect();
    assert!(too_new.is_empty(), "they came after the backup: {too_new:?}");
    let crowd_in_it = users.iter().filter(|email| number(email).is_some()).count();
    assert_eq!(users.len(), many + 1 + crowd_in_it);
    let all_now = everybody(&place, "select email_key from users").await;
    assert!(users.is_subset(&all_now) && users.len() < all_now.len(), "the backup is of a moment before now");
}
