//! Wrong passwords, forgotten ones, and what they cost whom.

use std::time::{Duration, Instant};

use vestibule::{
    features::links,
    platform::{
        hashing::{Hashing, Strength},
        limits::{self, Limit},
    },
    values::{DAY, HOUR, MINUTE, Randomness},
};

use crate::support::{
    Acme, Browser, Opened as _, PASSWORD, Page, TestApp,
    acts::{DETAILS, begin},
    all_at_once,
};

/// Where somebody guesses from.
const GUESSER: &str = "198.51.100.9:4000";

#[tokio::test]
async fn wrong_passwords_delay_from_the_tenth_and_the_owner_still_gets_in() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    ada.post("/logout", &[]).await;
    let attempt = async |browser: &mut Browser, password: &str| {
        browser.post("/o/acme/login", &[("email", "ada@acme.com"), ("password", password)]).await
    };
    let mut attacker = app.browser();
    for tries in 0..10 {
        attacker.address = format!("198.51.100.{tries}:4000").parse().unwrap();
        assert_eq!(attempt(&mut attacker, "wrong password here").await.status, 422, "{tries}");
    }
    let told = attempt(&mut attacker, PASSWORD).await;
    assert_eq!(told.status, 429);
    assert!(
        told.headers.contains_key("retry-after")
            && told.says("Try again in 2 seconds.")
            && told.input("email") == "ada@acme.com",
        "{}",
        told.words()
    );
    assert_eq!(attempt(&mut ada, PASSWORD).await.status, 303, "a known browser gets in");
    let mut stranger = app.browser();
    stranger.post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let reset = app.mail_to("ada@acme.com").await.link();
    assert_eq!(stranger.post(&reset, &[("password", "another fine password")]).await.status, 303);
    assert_eq!(attempt(&mut stranger, "another fine password").await.status, 303, "a reset gets in");
}

#[tokio::test]
async fn an_account_takes_at_most_a_hundred_wrong_passwords_in_a_row() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mut compared = 0;
    for tries in 0..130 {
        let mut attacker = app.browser();
        attacker.address = format!("198.51.100.{tries}:4000").parse().unwrap();
        let page =
            attacker.post("/o/acme/login", &[("email", "ada@acme.com"), ("password", "wrong password here")]).await;
        compared += i32::from(page.status == 422);
        app.advance(HOUR);
    }
    assert_eq!(compared, 100);
}

#[tokio::test]
async fn a_reset_link_works_once_for_an_hour_and_never_signs_in() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "Ada@acme.com", "Ada").await;
    for look_alike in ["ada@acme.com.evil.org", "adа@acme.com", "ada@аcme.com", "ada+x@acme.com"] {
        app.browser().post("/o/acme/forgot-password", &[("email", look_alike)]).await;
    }
    app.browser().post("/o/acme/forgot-password", &[("email", "ADA@ACME.COM")]).await;
    app.deliver().await;
    let sent: Vec<_> = app.mail.all().into_iter().filter(|mail| mail.text.contains("/reset/")).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].to.as_str(), "Ada@acme.com", "mail goes to the stored address, octet for octet");
    let reset = sent[0].link();
    let mut browser = app.browser();
    let done = browser.post(&reset, &[("password", "another fine password")]).await;
    assert_eq!(done.location.as_deref(), Some("/o/acme/login?notice=password-set"));
    assert!(!browser.cookies.contains_key("__Host-session"), "no automatic sign-in");
    assert_eq!(
        ada.get("/settings/identity").await.location.as_deref(),
        Some("/login?return_to=%2Fsettings%2Fidentity"),
        "every session has ended"
    );
    assert_eq!(browser.post(&reset, &[("password", "another fine password")]).await.status, 410);
    assert!(app.mail_to("Ada@acme.com").await.text.contains("was just changed"));

    app.advance(DAY);
    app.browser().post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let late = app.mail_to("Ada@acme.com").await.link();
    app.advance(61 * MINUTE);
    let page = app.browser().get(&late).await;
    assert_eq!(page.status, 410);
    assert!(page.says("Send me a new link"));
}

#[tokio::test]
async fn a_busy_server_uses_up_nobodys_tries() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut busy = app.app.clone();
    busy.hashing = Hashing::start(0, Strength::new(64, 1), Randomness::System);
    let mut mia = app.browser();
    mia.through(&busy);
    for _ in 0..12 {
        let page = mia.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
        assert_eq!((page.status, page.input("email").as_str()), (503, "mia@acme.com"), "what was typed is kept");
        assert!(page.headers.contains_key("retry-after"));
    }
    mia.through(&app.app);
    let page = mia.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, 303, "{}", page.words());
}

/// Begins a registration at this client address; the browser, its registration, and the code of the message.
async fn begun_at(app: &TestApp, acme: &Acme, address: &str, email: &str) -> (Browser, String, String) {
    let (mut browser, waiting) = begin(app, acme, email).await;
    browser.address = address.parse().unwrap();
    (browser, waiting.input("registration"), app.mail_to(email).await.code())
}

async fn enter(browser: &mut Browser, registration: &str, code: &str) -> Page {
    browser.post("/join/code", &[("registration", registration), ("code", code)]).await
}

/// A code that is none of somebody's.
fn wrong(code: &str) -> &'static str {
    if code == "000000" { "111111" } else { "000000" }
}

#[tokio::test]
async fn fifty_wrong_codes_an_hour_from_one_source_leave_it_the_link_and_others_their_codes() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let beta = app.another("Beta", "beta", "bea@beta.com").await;
    for n in 0..10 {
        let organization = if n % 2 == 0 { &acme } else { &beta };
        let email = format!("p{n}@acme.com");
        let (mut browser, registration, code) = begun_at(&app, organization, GUESSER, &email).await;
        for left in ["4 tries left", "3 tries left", "2 tries left", "1 try left", "can't be tried any more"] {
            let page = enter(&mut browser, &registration, wrong(&code)).await;
            assert!(page.status == 422 && page.says(left), "{email}: {}", page.words());
        }
    }
    let (mut ada, registration, code) = begun_at(&app, &acme, GUESSER, "ada@acme.com").await;
    for code in [wrong(&code), &code] {
        let page = enter(&mut ada, &registration, code).await;
        assert!(page.status == 422 && page.says("Too many codes were wrong here. Open the link"), "{}", page.words());
    }
    let link = app.all_mail_to("ada@acme.com").await.pop().unwrap().link();
    assert_eq!(ada.post(&link, &DETAILS).await.location.as_deref(), Some("/account"));

    let (mut bob, registration, code) = begun_at(&app, &acme, "203.0.113.8:4000", "bob@acme.com").await;
    assert!(enter(&mut bob, &registration, wrong(&code)).await.says("4 tries left"), "another source goes on");
    assert_eq!(enter(&mut bob, &registration, &code).await.status, 303);
    app.advance(HOUR + 6 * MINUTE);
    let (mut cleo, registration, code) = begun_at(&app, &acme, GUESSER, "cleo@acme.com").await;
    assert_eq!(enter(&mut cleo, &registration, &code).await.status, 303, "an hour later it may again");
}

#[tokio::test]
async fn after_a_hundred_wrong_passwords_an_hour_a_source_waits_and_others_sign_in() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut guesser = app.browser();
    guesser.address = GUESSER.parse().unwrap();
    let attempt = async |browser: &mut Browser, email: &str, password: &str| {
        browser.post("/o/acme/login", &[("email", email), ("password", password)]).await
    };
    for n in 0..100 {
        let page = attempt(&mut guesser, &format!("p{n}@acme.com"), "wrong password here").await;
        assert_eq!(page.status, 422, "{n}");
    }
    for (email, password) in [("p100@acme.com", "wrong password here"), ("mia@acme.com", PASSWORD)] {
        let page = attempt(&mut guesser, email, password).await;
        assert_eq!(page.status, 429, "{email}");
        let seconds: u64 = page.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=66 * 60).contains(&seconds), "{seconds}: {}", page.words());
    }
    assert_eq!(attempt(&mut app.browser(), "mia@acme.com", PASSWORD).await.status, 303, "another source signs in");
    app.advance(HOUR + 6 * MINUTE);
    assert_eq!(attempt(&mut guesser, "mia@acme.com", PASSWORD).await.status, 303, "an hour later it may again");
}

#[tokio::test]
async fn beyond_two_thousand_in_ten_minutes_a_link_answers_slowly_and_still_answers() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let link = links::find(&app.app, acme.link.strip_prefix("/join/").unwrap()).await.unwrap().unwrap().link_id;
    let mut tx = app.write().await;
    for n in 0..2_000 {
        let counted = limits::count(&app.app, &mut tx, Limit::BeginByLink, &[link.uuid().as_bytes()]).await.unwrap();
        assert!(counted.is_ok(), "{n}");
    }
    tx.commit().await.unwrap();
    for email in ["ada@acme.com", "bob@acme.com"] {
        let began = Instant::now();
        assert_eq!(app.browser().post(&acme.link, &[("email", email)]).await.status, 303);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(app.mail_to(email).await.link().starts_with("/confirm/"));
    }
}

#[tokio::test]
async fn of_three_hundred_guesses_at_once_from_one_source_a_hundred_are_compared() {
    let app = TestApp::start().await;
    app.acme().await;
    let guessing = (0..300).map(|n| {
        let mut guesser = app.browser();
        let email = format!("person{n}@acme.com");
        async move { guesser.post("/o/acme/login", &[("email", &email), ("password", "wrong password here")]).await }
    });
    let pages = all_at_once(guessing).await;
    let mut compared = pages.iter().filter(|page| page.status == 422).count();
    assert!(pages.iter().all(|page| page.status == 422 || page.headers.contains_key("retry-after")));
    for n in 300.. {
        let fields = [("email", &*format!("person{n}@acme.com")), ("password", "wrong password here")];
        match app.browser().post("/o/acme/login", &fields).await.status {
            422 => compared += 1,
            _ => break,
        }
    }
    // Each server knows who is trying there at this moment, and all of them what was wrong.
    assert!((100..=100 * app.replicas().count()).contains(&compared), "{compared}");
    let late = app.browser().post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    assert_eq!(late.status, 429);
    assert!(late.says("Try again in about") && !late.says("Set a new one"), "no reset helps: {}", late.words());
}
