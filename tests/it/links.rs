//! The link: every ended one says its own reason, and limits are exact.

use vestibule::{
    platform::db::query,
    values::{HOUR, Timestamp},
};

use crate::support::{Opened as _, PASSWORD, TestApp};

async fn set_policy(
    app: &TestApp,
    opens_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    maximum: Option<i64>,
    paused: bool,
) {
    let mut tx = app.write().await;
    query("update links set opens_at = $1, expires_at = $2, maximum = $3, paused = $4")
        .bind(opens_at)
        .bind(expires_at)
        .bind(maximum)
        .bind(paused)
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_ended_link_says_its_own_true_reason() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let now = app.clock.now();
    for (opens, expires, maximum, paused, words) in [
        (Some(now + HOUR), None, None, false, "This link is not open yet"),
        (None, Some(now), None, false, "This link has expired"),
        (None, None, Some(0), false, "This link is full"),
        (None, None, None, true, "This link is paused"),
    ] {
        set_policy(&app, opens, expires, maximum, paused).await;
        for page in
            [app.browser().get(&acme.link).await, app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await]
        {
            assert_eq!(page.status, 410, "{words}");
            assert!(page.says(words), "{}", page.words());
        }
    }
    set_policy(&app, None, None, None, false).await;
    assert_eq!(app.browser().get(&acme.link).await.status, 200);
}

#[tokio::test]
async fn an_unknown_code_tells_nothing_and_costs_only_the_guesser() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut guesser = app.browser();
    let mut pages = Vec::new();
    for guess in 0..60 {
        let page = guesser.get(&format!("/join/AAAAAAAAAAAAAAAAAAAA{guess:04}")).await;
        assert_eq!(page.status, 404);
        pages.push(page.html);
    }
    assert!(
        pages.iter().all(|page| *page == pages[0] && !page.contains("Acme")),
        "the same bytes for every unknown code"
    );
    app.share_counts().await;
    let page = guesser.get("/join/AAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key("retry-after") && page.says("Too many tries"));
    assert_eq!(guesser.get(&acme.link).await.status, 200, "the right link works from the same office");
    let mut elsewhere = app.browser();
    elsewhere.address = "198.51.100.9:4000".parse().unwrap();
    assert_eq!(elsewhere.get("/join/AAAAAAAAAAAAAAAAAAAAAAAA").await.status, 404);
    assert_eq!(elsewhere.get("/join/../../etc").await.status, 404);
    assert_eq!(elsewhere.get("/confirm/nonsense").await.status, 404);
}

#[tokio::test]
async fn the_last_place_of_a_link_goes_to_one_of_fifty() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut links = Vec::new();
    for person in 0..50 {
        let email = format!("person{person}@acme.com");
        app.browser().post(&acme.link, &[("email", &email)]).await;
        links.push(app.mail_to(&email).await.link());
    }
    set_policy(&app, None, None, Some(7), false).await;
    let finishing = links.into_iter().enumerate().map(|(person, link)| {
        let mut browser = app.browser();
        browser.address = format!("198.51.100.{person}:4000").parse().unwrap();
        let name = format!("Person {person}");
        async move {
            loop {
                let page = browser.post(&link, &[("full_name", &name), ("password", PASSWORD)]).await;
                // On a busy machine somebody is told to come back, and does.
                if page.status != 503 {
                    return page;
                }
            }
        }
    });
    let pages = crate::support::all_at_once(finishing).await;
    let joined = pages.iter().filter(|page| page.location.as_deref() == Some("/account")).count();
    let full = pages.iter().filter(|page| page.status == 410 && page.says("This link is full")).count();
    assert_eq!((joined, full), (7, 43), "{:?}", pages.iter().map(|page| page.status).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_abandoned_does_not_count_against_the_maximum() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    set_policy(&app, None, None, Some(1), false).await;
    for person in 0..5 {
        app.browser().post(&acme.link, &[("email", &format!("person{person}@acme.com"))]).await;
    }
    app.join(&acme.link, "ada@acme.com", "Ada").await;
}

#[tokio::test]
async fn a_link_preview_changes_nothing_and_nothing_leaks_from_the_page() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    for _ in 0..20 {
        let page = app.browser().get(&acme.link).await;
        let header =
            |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!((header("referrer-policy").as_str(), header("cache-control").as_str()), ("same-origin", "no-store"));
        assert_eq!(header("x-robots-tag"), "noindex");
        assert!(page.html.contains("name=\"robots\" content=\"noindex\""));
        assert!(
            !page.html.contains("http://") && !page.html.contains("https://"),
            "no address of another site: {}",
            page.html
        );
    }
    assert!(app.mail.all().is_empty());
}
