//! Wrong passwords, forgotten ones, and what they cost whom.

use vestibule::{
    platform::hashing::{Hashing, Strength},
    values::{DAY, HOUR, MINUTE, Randomness},
};

use crate::support::{Browser, Opened as _, PASSWORD, TestApp};

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
        told.headers.contains_key("retry-after") && told.says("Try again in") && told.input("email") == "ada@acme.com",
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
