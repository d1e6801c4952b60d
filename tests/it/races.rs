//! Many at once: the database decides, and nobody sees a fault.

use vestibule::platform::db::query;

use crate::support::{Opened as _, PASSWORD, TestApp, all_at_once};

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let (count,): (i64,) = query(sql).one(&app.app.db).await.unwrap();
    count
}

#[tokio::test]
async fn a_hundred_set_ups_at_once_make_exactly_one_manager() {
    let app = TestApp::start().await;
    let mut addresses = Vec::new();
    for _ in 0..4 {
        addresses.push(vestibule::features::set_up::address_for_this_start(&app.app).await.unwrap().unwrap());
    }
    let setting_up = (0..100).map(|n| {
        let mut browser = app.browser();
        browser.address = format!("198.51.100.{n}:4000").parse().unwrap();
        let address = addresses[n % 4].strip_prefix(crate::support::ORIGIN).unwrap().to_owned();
        async move {
            browser.get(&address).await;
            let email = format!("m{n}@acme.com");
            let fields = [
                ("organization_name", "Acme"),
                ("full_name", "Mia"),
                ("email", email.as_str()),
                ("password", PASSWORD),
            ];
            browser.post("/setup", &fields).await
        }
    });
    let pages = all_at_once(setting_up).await;
    assert_eq!(pages.iter().filter(|page| page.location.as_deref() == Some("/settings/welcome")).count(), 1);
    assert!(
        pages.iter().all(|page| page.status < 500 || page.status == 503),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert_eq!(count(&app, "select count(*) from organizations").await, 1);
    assert_eq!(count(&app, "select count(*) from users").await, 1);
    let late = app.browser().get(addresses[0].strip_prefix(crate::support::ORIGIN).unwrap()).await;
    assert_eq!(late.status, 410);
    assert!(vestibule::features::set_up::address_for_this_start(&app.app).await.unwrap().is_none());
}

#[tokio::test]
async fn one_address_spelled_ten_ways_becomes_one_user() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let spellings = ["ada", "Ada", "ADA", "aDa", "adA", "AdA", "ADa", "aDA", "ada", "Ada"];
    let domains = ["acme.com", "ACME.com", "Acme.COM", "ａcme.com"];
    let beginning = (0..100).map(|n| {
        let mut browser = app.browser();
        browser.address = format!("198.51.100.{n}:4000").parse().unwrap();
        let email = format!("{}@{}", spellings[n % 10], domains[n % 4]);
        let link = acme.link.clone();
        async move { browser.post(&link, &[("email", &email)]).await }
    });
    assert!(all_at_once(beginning).await.iter().all(|page| page.status == 303));
    app.deliver().await;
    let links: Vec<String> = app
        .mail
        .all()
        .iter()
        .filter(|mail| mail.to.identity() == "ada@acme.com")
        .map(crate::support::Opened::link)
        .collect();
    assert!(!links.is_empty() && links.len() <= 3, "{} messages", links.len());
    let finishing = (0..100).map(|n| {
        let mut browser = app.browser();
        browser.address = format!("203.0.113.{n}:4000").parse().unwrap();
        let link = links[n % links.len()].clone();
        async move { browser.post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await }
    });
    let pages = all_at_once(finishing).await;
    assert_eq!(pages.iter().filter(|page| page.location.as_deref() == Some("/account")).count(), 1);
    assert!(pages.iter().all(|page| page.status == 303 || page.status == 503), "the losers are led to sign-in");
    assert_eq!(count(&app, "select count(*) from users").await, 2);
}

#[tokio::test]
async fn the_same_form_ten_times_in_parallel_is_one_registration_and_one_mail() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    ada.get(&acme.link).await;
    let sending = (0..10).map(|_| {
        let (mut browser, link) = (ada.clone(), acme.link.clone());
        async move { browser.post(&link, &[("email", "ada@acme.com")]).await }
    });
    let pages = all_at_once(sending).await;
    assert!(pages.iter().all(|page| page.status == 303 && page.location == pages[0].location));
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);
    assert_eq!(count(&app, "select count(*) from registrations").await, 1);
}

#[tokio::test]
async fn a_thousand_guesses_at_one_code_compare_five() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let registration = ada.follow(sent).await.input("registration");
    let mail = app.mail_to("ada@acme.com").await;
    let right: u32 = mail.code().parse().unwrap();
    let guessing = (1..=1_000_u32).map(|n| {
        let (mut browser, registration) = (ada.clone(), registration.clone());
        browser.address = format!("198.51.{}.{}:4000", n / 250, n % 250).parse().unwrap();
        let guess = format!("{:06}", (right + n) % 1_000_000);
        async move { browser.post("/join/code", &[("registration", &registration), ("code", &guess)]).await }
    });
    let pages = all_at_once(guessing).await;
    // They are counted one after the other: on a busy machine some are told to come back.
    assert!(pages.iter().all(|page| matches!(page.status, 422 | 503)));
    assert_eq!(count(&app, "select code_tries from tokens where code_hash is not null").await, 5);
    let late = ada.post("/join/code", &[("registration", &registration), ("code", &mail.code())]).await;
    assert_eq!(late.status, 422, "the right code is dead too");
    assert_eq!(ada.get(&mail.link()).await.status, 200, "the link works");
}

#[tokio::test]
async fn an_organization_compares_at_most_five_hundred_wrong_codes_a_day() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut wrong = 0;
    let many = if std::env::var("SOAK").is_ok_and(|value| value == "1") { 20_000 } else { 110 };
    for person in 0..many {
        let mut browser = app.browser();
        browser.address = format!("198.{}.{}.7:4000", 51 + person / 250, person % 250).parse().unwrap();
        let email = format!("person{person}@acme.com");
        let sent = browser.post(&acme.link, &[("email", &email)]).await;
        let registration = browser.follow(sent).await.input("registration");
        let right: u32 = app.mail_to(&email).await.code().parse().unwrap();
        for guess in 1..=5 {
            let guess = format!("{:06}", (right + guess) % 1_000_000);
            let page = browser.post("/join/code", &[("registration", &registration), ("code", &guess)]).await;
            wrong += u32::from(!page.says("Open the link in the message instead."));
        }
    }
    assert_eq!(wrong, 500);
    app.join(&acme.link, "late@acme.com", "Links keep working").await;
}

#[tokio::test]
async fn one_button_that_asks_for_mail_again_sends_one_message_however_often_it_is_pressed() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    ada.get(&acme.link).await;
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let waiting = ada.follow(sent).await;
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);
    let fields = |page: &crate::support::Page| (page.input("registration"), page.input("asked"));
    let press = |(registration, asked): (String, String)| {
        let mut ada = ada.clone();
        async move { ada.post("/join/resend", &[("registration", &registration), ("asked", &asked)]).await }
    };
    let pages = all_at_once((0..10).map(|_| press(fields(&waiting)))).await;
    assert!(pages.iter().all(|page| page.status == 303 && page.location == pages[0].location), "equal answers");
    assert_eq!(press(fields(&waiting)).await.location, pages[0].location, "nor does the page of before");
    for odd in ["0", "-9223372036854775808", "9223372036854775807", "yesterday"] {
        let answer = press((waiting.input("registration"), odd.to_owned())).await;
        assert_eq!((answer.status, &answer.location), (303, &pages[0].location), "{odd}");
    }
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 2, "one more");
    let now = ada.clone().get(pages[0].location.as_deref().unwrap()).await;
    assert_eq!(press(fields(&now)).await.status, 303);
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 3, "the button of the page that came after sends again");
}
