//! Between a look and a write something else may happen: what was looked at is asked again.

use std::time::Duration;

use axum::{extract::FromRequestParts as _, http::Request};
use tokio::task::JoinSet;
use vestibule::{
    features::{audit::Authority, join, links, organizations, sessions, users},
    platform::{db::query, web::Visitor},
    values::{ConfirmationCode, OrganizationId, Password, Secret},
};

use crate::support::{Opened as _, PASSWORD, TestApp, all_at_once};

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let (count,): (i64,) = query(sql).one(&app.app.db).await.unwrap();
    count
}

async fn acme_id(app: &TestApp) -> OrganizationId {
    organizations::by_slug(&app.app.db, &"acme".parse().unwrap()).await.unwrap().unwrap().id
}

/// Long enough for a request that has begun to stand at the door of the database.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_password_on_its_way_lets_nobody_in_after_a_reset() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    drop(app.join(&acme.link, "ada@acme.com", "Ada").await);
    let ada = app.user("acme", "ada@acme.com").await.unwrap();
    let password = |text: &str| Password::parse_existing(text).unwrap();
    let new = app.app.hashing.hash(password("nine orange herons sleep"), "elsewhere").await.unwrap();
    let mut tx = app.write().await;
    users::lock(&mut tx, ada.organization_id, ada.id).await.unwrap();
    let mut thief = app.browser();
    let mut signing_in = JoinSet::new();
    signing_in
        .spawn(async move { thief.post("/o/acme/login", &[("email", "ada@acme.com"), ("password", PASSWORD)]).await });
    a_moment().await;
    users::set_password(&mut tx, ada.id, &new).await.unwrap();
    sessions::end_all_of(&mut tx, ada.id);
    tx.commit().await.unwrap();
    let page = signing_in.join_next().await.unwrap().unwrap();
    assert_ne!(page.status, 303, "{}", page.words());
    let (sessions,): (i64,) =
        query("select count(*) from sessions where user_id = $1").bind(ada.id).one(&app.app.db).await.unwrap();
    assert_eq!(sessions, 0);
    assert_eq!(users::find_secret(&app.app.db, ada.id).await.unwrap(), Some(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_waits_while_the_link_is_replaced_begins_nothing() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let by = Authority::command_line(acme_id(&app).await);
    let mut tx = app.write().await;
    organizations::lock(&mut tx, by.organization).await.unwrap();
    let (mut ada, link) = (app.browser(), acme.link.clone());
    let mut sending = JoinSet::new();
    sending.spawn(async move { ada.post(&link, &[("email", "ada@acme.com")]).await });
    a_moment().await;
    links::replace_own(&app.app, &mut tx, &by).await.unwrap();
    tx.commit().await.unwrap();
    let page = sending.join_next().await.unwrap().unwrap();
    assert_eq!(page.status, 410);
    assert!(page.says("replaced"), "{}", page.words());
    assert_eq!(count(&app, "select count(*) from registrations").await, 0);
}

#[tokio::test]
async fn a_registration_that_outlives_its_link_never_becomes_two() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let registration = ada.follow(sent).await.input("registration");
    join::replace_link(&app.app, &Authority::command_line(acme_id(&app).await), false).await.unwrap();
    let changing = (0..10).map(|n| {
        let (mut browser, registration) = (ada.clone(), registration.clone());
        let email = format!("ada{n}@acme.com");
        async move { browser.post("/join/address", &[("registration", &registration), ("email", &email)]).await }
    });
    let pages = all_at_once(changing).await;
    assert_eq!(pages.iter().filter(|page| page.status == 303).count(), 1);
    assert!(pages.iter().all(|page| page.status == 303 || page.status == 410));
    assert_eq!(count(&app, "select count(*) from registrations where ended_at is null").await, 1);
}

#[tokio::test]
async fn a_change_of_address_sent_ten_times_at_once_is_one() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acne.com")]).await;
    let registration = ada.follow(sent).await.input("registration");
    let acme_id = acme_id(&app).await;
    let mut tx = app.write().await;
    organizations::lock(&mut tx, acme_id).await.unwrap();
    let changing = (0..10).map(|_| {
        let (mut browser, registration) = (ada.clone(), registration.clone());
        async move {
            let fields = [("registration", registration.as_str()), ("email", "ada@acme.com")];
            browser.post("/join/address", &fields).await
        }
    });
    let mut all = JoinSet::new();
    all.spawn(all_at_once(changing.collect::<Vec<_>>()));
    a_moment().await;
    drop(tx);
    let pages = all.join_next().await.unwrap().unwrap();
    let answers: Vec<_> = pages.iter().map(|page| (page.status, page.location.clone())).collect();
    assert!(answers.iter().all(|answer| answer.0 == 303 && answer == &answers[0]), "{answers:?}");
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);
}

#[tokio::test]
async fn of_two_tabs_that_enter_their_codes_at_once_none_is_lost() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut browser = app.browser();
    browser.get(&acme.link).await;
    let secret: Secret = browser.cookies.values().next().unwrap().parse().unwrap();
    let mut tabs = Vec::new();
    for email in ["ada@acme.com", "bea@acme.com"] {
        let begun = browser.post(&acme.link, &[("email", email)]).await;
        let id = browser.follow(begun).await.input("registration").parse().unwrap();
        let code: ConfirmationCode = app.mail_to(email).await.code().parse().unwrap();
        tabs.push((join::of_browser(&app.app, id, &secret.digest()).await.unwrap(), code));
    }
    // Both were looked at before either code was found to be right.
    let visitor = Visitor::from_request_parts(&mut Request::new(()).into_parts().0, &()).await.unwrap();
    let mut given = Vec::new();
    for (registration, code) in &tabs {
        let entered = join::enter_code(&app.app, registration, code, &visitor).await.unwrap();
        let join::Entered::Right(secret) = entered else { panic!("the code is right") };
        given.push(secret.digest());
    }
    for (registration, _) in &tabs {
        assert!(join::of_browser(&app.app, registration.id, given.last().unwrap()).await.is_ok());
        assert!(join::of_browser(&app.app, registration.id, given.first().unwrap()).await.is_err());
    }
}
