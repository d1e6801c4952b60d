//! Whoever begins first with a victim's address gains nothing when the victim comes: what Sudhodanan and Paverd found
//! in "Pre-hijacked accounts" (arXiv 2205.10174), as far as it can be tried here. Of their five ways the merge with a
//! federated sign-in has nothing to merge with; the other four follow, and what was kept from an attempt.

use crate::support::{
    Acme, Browser, Opened as _, PASSWORD, Page, TestApp,
    acts::{DETAILS, begin, invite},
    routes,
};

const VICTIM: &str = "victim@acme.com";
const PLANTED: &str = "planted password here";

async fn sign_in(browser: &mut Browser, email: &str, password: &str) -> Page {
    browser.post("/o/acme/login", &[("email", email), ("password", password)]).await
}

/// The victim's address is the victim's: the own password signs in, the planted one does not, and of what the attacker's
/// browser kept nothing opens the account.
async fn assert_untouched(app: &TestApp, attacker: &mut Browser) {
    assert_ne!(attacker.get("/account").await.status, 200, "the attacker is signed in");
    assert_eq!(sign_in(attacker, VICTIM, PLANTED).await.status, 422);
    let mut victim = app.browser();
    assert_eq!(sign_in(&mut victim, VICTIM, PASSWORD).await.status, 303);
    let account = victim.get("/account").await;
    assert!(account.says("You sign in with victim@acme.com"), "{}", account.words());
    assert!(!account.says("has to confirm"), "somebody's change of address waits: {}", account.words());
    assert_eq!(app.user("acme", VICTIM).await.unwrap().full_name.as_str(), "Victim");
}

/// The victim joins by the link, as if nobody had come before.
async fn victim_joins(app: &TestApp, acme: &Acme) -> Browser {
    app.deliver().await;
    app.advance(vestibule::values::DAY);
    app.join(&acme.link, VICTIM, "Victim").await
}

/// Sends the victim's address and a password everywhere that a form is taken.
async fn plant_everywhere(app: &TestApp, acme: &Acme, attacker: &mut Browser, registration: &str) {
    let fields = [
        ("email", VICTIM),
        ("registration", registration),
        ("full_name", "Planted"),
        ("password", PLANTED),
        ("current_password", PLANTED),
    ];
    for form in routes::forms(app).await {
        let path = form.replace("/join/{code}", &acme.link).replace("{slug}", "acme");
        let page = attacker.post(&path.replace(['{', '}'], ""), &fields).await;
        assert!(page.status < 429 && !attacker.cookies.contains_key("__Host-session"), "{path}: {}", page.status);
    }
}

#[tokio::test]
async fn no_password_and_no_session_of_an_attacker_outlives_the_victims_coming() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let (mut attacker, waiting) = begin(&app, &acme, VICTIM).await;
    let kept = attacker.clone();
    plant_everywhere(&app, &acme, &mut attacker, &waiting.input("registration")).await;
    let mut victim = victim_joins(&app, &acme).await;
    for mut browser in [attacker.clone(), kept] {
        plant_everywhere(&app, &acme, &mut browser, &waiting.input("registration")).await;
        assert_untouched(&app, &mut browser).await;
    }
    assert_eq!(victim.get("/account").await.status, 200);
}

#[tokio::test]
async fn no_second_address_of_an_attacker_leads_into_the_victims_account() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    // The victim's address first and then the attacker's own; and the own one, proved, and then the victim's.
    let (mut first, waiting) = begin(&app, &acme, VICTIM).await;
    let fields = [("registration", &*waiting.input("registration")), ("email", "eve@acme.com")];
    let moved = first.post("/join/address", &fields).await;
    assert_eq!(first.follow(moved).await.status, 200);
    let own = app.mail_to("eve@acme.com").await.link();
    let fields = [("full_name", "Eve"), ("password", PLANTED), ("email", VICTIM)];
    assert_eq!(first.post(&own, &fields).await.status, 303);
    assert!(first.get("/account").await.says("You sign in with eve@acme.com"));

    let (mut second, waiting) = begin(&app, &acme, "mallory@acme.com").await;
    let registration = waiting.input("registration");
    let code = app.mail_to("mallory@acme.com").await.code();
    let entered = second.post("/join/code", &[("registration", &registration), ("code", &code)]).await;
    assert_eq!(entered.status, 303);
    let moved = second.post("/join/address", &[("registration", &registration), ("email", VICTIM)]).await;
    let moved = second.follow(moved).await;
    for id in [registration, moved.input("registration")] {
        let fields = [("registration", &*id), ("full_name", "Planted"), ("password", PLANTED), ("email", VICTIM)];
        assert_eq!(second.post("/join/details", &fields).await.status, 410, "another address is proved anew");
    }
    assert!(app.user("acme", VICTIM).await.is_none());

    victim_joins(&app, &acme).await;
    assert_untouched(&app, &mut second).await;
    first.post("/logout", &[]).await;
    assert_untouched(&app, &mut first).await;
}

#[tokio::test]
async fn no_change_of_address_that_an_attacker_began_takes_the_victims() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut attacker = app.join(&acme.link, "eve@acme.com", "Eve").await;
    let fields = [("email", VICTIM), ("current_password", PASSWORD)];
    assert_eq!(attacker.post("/account/address", &fields).await.status, 303);
    let confirm = app.mail_to(VICTIM).await.link();
    // Whoever has the mailbox opens what came, and presses everything.
    let mut victim = app.browser();
    for _ in 0..2 {
        assert_eq!(victim.get(&confirm).await.status, 303);
        assert_eq!(victim.post(&confirm, &[]).await.status, 303);
    }
    let mut victim = app.join(&acme.link, VICTIM, "Victim").await;
    assert_eq!(victim.post(&confirm, &[]).await.status, 403, "it is for another account");
    let late = attacker.post(&confirm, &[]).await;
    assert!(late.status == 422 && late.says("This address has an account already"), "{}", late.words());
    assert!(attacker.get("/account").await.says("You sign in with eve@acme.com"));
    attacker.post("/logout", &[]).await;
    assert_untouched(&app, &mut attacker).await;
}

#[tokio::test]
async fn an_account_that_somebody_vouched_for_opens_to_the_mailbox_alone() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut attacker, waiting) = begin(&app, &acme, VICTIM).await;
    let kept = app.mail_to(VICTIM).await;
    let fields = [("email", VICTIM), ("full_name", "Victim"), ("role", "member")];
    assert_eq!(acme.manager.post("/settings/users/new", &fields).await.status, 303);
    let registration = waiting.input("registration");
    plant_everywhere(&app, &acme, &mut attacker, &registration).await;
    // Nor with what came before the account was made.
    attacker.post("/join/code", &[("registration", &registration), ("code", &kept.code())]).await;
    plant_everywhere(&app, &acme, &mut attacker, &registration).await;
    attacker.post(&kept.link(), &[("full_name", "Planted"), ("password", PLANTED)]).await;
    assert_ne!(attacker.get("/account").await.status, 200);
    assert_eq!(sign_in(&mut attacker, VICTIM, PLANTED).await.status, 422);

    let sent = app.all_mail_to(VICTIM).await;
    let first_password = sent.iter().find(|mail| mail.text.contains("/reset/")).unwrap().link();
    assert_eq!(app.browser().post(&first_password, &[("password", PASSWORD)]).await.status, 303);
    assert_untouched(&app, &mut attacker).await;
}

#[tokio::test]
async fn no_link_code_or_invitation_that_an_attacker_kept_works_after_the_victim_came() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut attacker, waiting) = begin(&app, &acme, VICTIM).await;
    let kept = app.mail_to(VICTIM).await;
    invite(&mut acme.manager, VICTIM, "member").await;
    let invitation = app.mail_to(VICTIM).await.link();
    app.advance(vestibule::values::MINUTE);
    app.join(&acme.link, VICTIM, "Victim").await;

    let registration = waiting.input("registration");
    attacker.post("/join/code", &[("registration", &registration), ("code", &kept.code())]).await;
    let planted = [("registration", &*registration), ("full_name", "Planted"), ("password", PLANTED)];
    for path in ["/join/details", &kept.link(), &invitation] {
        let page = attacker.post(path, &planted).await;
        assert!(page.location.as_deref() == Some("/o/acme/login") || page.status == 404, "{path}: {}", page.status);
    }
    assert_untouched(&app, &mut attacker).await;
    attacker.post(&invitation, &DETAILS).await;
    assert_untouched(&app, &mut attacker).await;
}
