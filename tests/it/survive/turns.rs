//! What several servers share: leases, turns and counts, told in process with a still clock.

use std::time::Duration;

use vestibule::{
    features::organizations,
    platform::{
        chores,
        db::query,
        limits::{self, Limit},
    },
    values::{HOUR, MINUTE},
};

use crate::support::{
    TestApp,
    acts::{begin, organization},
    all_at_once, database,
    process::within,
};

#[tokio::test]
async fn a_message_in_the_hand_of_a_dead_server_is_taken_by_another_after_its_lease_and_not_before() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.deliver().await;
    begin(&app, &acme, "ada@acme.com").await;
    let mut tx = app.write().await;
    let (until, dead) = (tx.now + Duration::from_secs(20), uuid::Uuid::from_u128(7));
    query("update messages set lease_until = $1, leased_by = $2 where state = 'waiting'")
        .bind(until)
        .bind(dead)
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.advance(Duration::from_secs(19));
    assert!(app.all_mail_to("ada@acme.com").await.is_empty(), "it may still be on its way");
    app.advance(Duration::from_secs(2));
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);
}

#[tokio::test]
async fn one_server_takes_the_turn_at_a_chore_and_another_when_it_died() {
    let app = TestApp::start().await;
    let other = app.other.as_ref().unwrap_or(&app.app);
    let first = chores::take(&app.app, "story", HOUR).await.unwrap();
    assert!(first.is_some() && chores::take(other, "story", HOUR).await.unwrap().is_none());
    // It works: the turn stays with it.
    app.advance(Duration::from_secs(14));
    assert!(chores::renew(&app.app, first.as_ref().unwrap()).await.unwrap());
    app.advance(Duration::from_secs(14));
    assert!(chores::take(other, "story", HOUR).await.unwrap().is_none());
    // It died: its turn ends by itself, in less than half a minute.
    app.advance(Duration::from_secs(2));
    let second = chores::take(other, "story", HOUR).await.unwrap().unwrap();
    chores::done(other, second).await.unwrap();
    app.advance(59 * MINUTE);
    for server in app.replicas() {
        assert!(chores::take(server, "story", HOUR).await.unwrap().is_none(), "once an hour");
    }
    app.advance(2 * MINUTE);
    assert!(chores::take(&app.app, "story", HOUR).await.unwrap().is_some());
}

#[tokio::test]
async fn unknown_links_tried_at_two_servers_are_added_up() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut guesser = app.browser();
    for n in 0..60 {
        assert_eq!(guesser.get(&format!("/join/{n:022}")).await.status, 404);
    }
    app.share_counts().await;
    // A server hears of the others' counts when it tells its own: one guess more at each.
    for _ in app.replicas() {
        guesser.get("/join/0000000000000000000098").await;
    }
    app.share_counts().await;
    for _ in 0..2 {
        assert_eq!(guesser.get("/join/0000000000000000000099").await.status, 429, "at either server");
    }
    let mut other = app.browser();
    other.address = "192.0.2.8:50000".parse().unwrap();
    assert_eq!(other.get("/join/0000000000000000000099").await.status, 404);
}

#[tokio::test]
async fn a_limit_used_up_at_the_end_of_one_window_is_used_up_at_the_beginning_of_the_next() {
    let app = TestApp::start().await;
    let of: &[&[u8]] = &[b"mia", b"ada"];
    app.advance(59 * MINUTE);
    for turn in 0..5 {
        let server = app.replicas().nth(turn % app.replicas().count()).unwrap();
        let mut tx = server.db.write().await.unwrap();
        assert!(limits::count(server, &mut tx, Limit::ManagerMail, of).await.unwrap().is_ok());
        tx.commit().await.unwrap();
    }
    for (minutes, fits) in [(2, false), (50, false), (20, true)] {
        app.advance(minutes * MINUTE);
        for server in app.replicas() {
            let now = server.db.now();
            let checked = limits::check(server, &server.db, now, Limit::ManagerMail, of).await.unwrap();
            assert_eq!(checked.is_ok(), fits, "{minutes} minutes later");
        }
    }
}

/// What a server holds that froze in the middle of a write: a lock that others wait for, on a connection that stays open.
#[tokio::test]
async fn a_write_that_was_left_alone_holds_the_others_up_for_a_moment_and_they_stay_ready_meanwhile() {
    if database::server().is_none() {
        return;
    }
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let organization = organization(&app).await;
    let mut frozen = app.write().await;
    organizations::lock(&mut frozen, organization).await.unwrap();
    // More people than there are connections: each waits with one, or for one.
    let beginning = (0..50).map(|n| {
        let (mut browser, link) = (app.browser(), acme.link.clone());
        browser.address = format!("198.51.100.{n}:4000").parse().unwrap();
        async move { browser.post(&link, &[("email", &format!("joining{n}@acme.com"))]).await.status }
    });
    let asking = async {
        let every_connection_waits =
            || app.replicas().all(|server| server.db.pools().iter().all(|pool| pool.waiting > 0));
        within("people at every connection", async {
            while !every_connection_waits() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in app.replicas() {
            assert_eq!(app.browser().get("/readyz").await.status, 200);
        }
        assert!(every_connection_waits(), "they were asked while everybody waited");
    };
    let (statuses, ()) = tokio::join!(all_at_once(beginning), asking);
    assert_eq!(statuses, [303; 50]);
    // It wakes up: nothing of that write was done, and whoever asked comes back.
    let fault = organizations::lock(&mut frozen, organization).await.err().unwrap();
    assert!(fault.is_busy(), "{fault}");
    drop(frozen);
    assert_eq!(begin(&app, &acme, "late@acme.com").await.1.status, 200);
}
