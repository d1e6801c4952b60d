//! A user changes the address: the new mailbox confirms, the old one is told and can stop it.

use vestibule::values::{DAY, HOUR, MINUTE};

use crate::support::{Acme, Browser, Opened as _, PASSWORD, Page, TestApp};

async fn ask(browser: &mut Browser, email: &str) -> Page {
    browser.post("/account/address", &[("email", email), ("current_password", PASSWORD)]).await
}

async fn start() -> (TestApp, Acme, Browser) {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    (app, acme, ada)
}

async fn allow(acme: &mut Acme, domains: &str) {
    let version = acme.manager.get("/settings/identity").await.input("version");
    let fields = [
        ("version", version.as_str()),
        ("login_method", "password"),
        ("self_service", "on"),
        ("allowed_domains", domains),
    ];
    assert_eq!(acme.manager.post("/settings/identity", &fields).await.status, 303);
}

async fn signs_in(app: &TestApp, email: &str) -> bool {
    app.browser().post("/o/acme/login", &[("email", email), ("password", PASSWORD)]).await.status == 303
}

#[tokio::test]
async fn an_address_changes_when_the_new_mailbox_confirms() {
    let (app, mut acme, mut ada) = start().await;
    let asked = ask(&mut ada, "ada@byron.example").await;
    assert_eq!(asked.status, 303, "{}", asked.words());
    let page = ada.get("/account").await;
    assert!(page.says("ada@byron.example has to confirm") && page.says("You sign in with ada@acme.com"));
    let confirm = app.mail_to("ada@byron.example").await.link();
    let told = app.mail_to("ada@acme.com").await;
    assert!(told.text.contains("ada@byron.example") && told.link() != confirm, "{}", told.text);
    assert!(signs_in(&app, "ada@acme.com").await && !signs_in(&app, "ada@byron.example").await, "the old one stays");

    let question = ada.get(&confirm).await;
    assert!(question.says("Use the new address?"), "{}", question.words());
    let done = ada.post(&confirm, &[]).await;
    assert!(ada.follow(done).await.says("Your address is ada@byron.example now"));
    assert!(!signs_in(&app, "ada@acme.com").await && signs_in(&app, "ada@byron.example").await);
    let told = app.mail_to("ada@acme.com").await;
    assert!(told.subject.contains("was changed"), "{}", told.subject);
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 1);
    for action in [ada.get(&confirm).await, ada.post(&confirm, &[]).await] {
        assert_eq!(action.status, 410, "a link works once");
        assert!(action.says("Your address is ada@byron.example"), "and says what to do: {}", action.words());
    }
    let facts = acme.manager.get("/settings/users?search=byron").await;
    assert!(facts.says("ada@byron.example"), "{}", facts.words());
    app.join(&acme.link, "ada@acme.com", "The next Ada").await;
}

#[tokio::test]
async fn both_links_ask_for_sign_in_and_a_scanner_changes_nothing() {
    let (app, _acme, mut ada) = start().await;
    ask(&mut ada, "ada@byron.example").await;
    let links = [app.mail_to("ada@byron.example").await.link(), app.mail_to("ada@acme.com").await.link()];
    for link in &links {
        for _ in 0..20 {
            let mut scanner = app.browser();
            let asked = scanner.get(link).await;
            assert_eq!(asked.status, 303);
            assert!(asked.location.unwrap().starts_with("/login?return_to=%2Faccount%2Faddress%2F"));
            assert_eq!(scanner.post(link, &[]).await.location.as_deref(), Some("/login"));
            assert_eq!(ada.get(link).await.status, 200, "opening changes nothing");
        }
    }
    let page = ada.get("/account").await;
    assert!(page.says("ada@byron.example has to confirm") && page.says("You sign in with ada@acme.com"));

    let mut phone = app.browser();
    let asked = phone.get(&links[0]).await;
    let sign_in = phone.follow(asked).await;
    let fields = [("email", "ada@acme.com"), ("password", PASSWORD), ("return_to", &sign_in.input("return_to"))];
    let entered = phone.post("/o/acme/login", &fields).await;
    assert_eq!(entered.location.as_deref(), Some(links[0].as_str()), "signing in leads back to the link");
    assert_eq!(phone.post(&links[0], &[]).await.location.as_deref(), Some("/account?notice=address"));
}

#[tokio::test]
async fn the_old_mailbox_can_stop_a_change() {
    let (app, _acme, mut ada) = start().await;
    ask(&mut ada, "eve@evil.example").await;
    let (confirm, stop) = (app.mail_to("eve@evil.example").await.link(), app.mail_to("ada@acme.com").await.link());
    assert!(ada.get(&stop).await.says("Stop the change of your address?"));
    let stopped = ada.post(&stop, &[]).await;
    let page = ada.follow(stopped).await;
    assert!(page.says("Your address stays ada@acme.com") && page.says("knew your password"), "{}", page.words());
    assert!(!page.says("has to confirm"));
    for link in [&confirm, &stop] {
        assert_eq!((ada.get(link).await.status, ada.post(link, &[]).await.status), (410, 410));
    }
    assert!(signs_in(&app, "ada@acme.com").await);
}

#[tokio::test]
async fn a_link_of_somebody_else_does_nothing() {
    let (app, mut acme, mut ada) = start().await;
    ask(&mut ada, "ada@byron.example").await;
    let links = [app.mail_to("ada@byron.example").await.link(), app.mail_to("ada@acme.com").await.link()];
    let mut otto = app.second_organization().await;
    for link in &links {
        for other in [&mut acme.manager, &mut otto] {
            for page in [other.get(link).await, other.post(link, &[]).await] {
                assert_eq!(page.status, 403);
                assert!(page.says("This link is for another account") && !page.says("byron"), "{}", page.words());
            }
        }
        assert_eq!(ada.get(link).await.status, 200, "still open");
    }
    assert_eq!(ada.get("/account/address/nonsense").await.status, 404);
    let unknown = format!("/account/address/{}", "A".repeat(43));
    assert_eq!((ada.get(&unknown).await.status, ada.post(&unknown, &[]).await.status), (404, 404));
}

#[tokio::test]
async fn an_address_outside_the_list_is_refused_now_and_when_it_is_confirmed() {
    let (app, mut acme, mut ada) = start().await;
    allow(&mut acme, "acme.com, byron.example").await;
    let refused = ask(&mut ada, "ada@evilacme.com").await;
    assert_eq!((refused.status, refused.input("email").as_str()), (422, "ada@evilacme.com"));
    assert!(refused.says("Addresses of evilacme.com can't be used in your organization"), "{}", refused.words());
    assert!(app.all_mail_to("ada@evilacme.com").await.is_empty());

    assert_eq!(ask(&mut ada, "ada@byron.example").await.status, 303);
    let confirm = app.mail_to("ada@byron.example").await.link();
    allow(&mut acme, "acme.com").await;
    let refused = ada.post(&confirm, &[]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.says("Addresses of byron.example can't be used here"), "{}", refused.words());
    assert!(signs_in(&app, "ada@acme.com").await);
    allow(&mut acme, "byron.example").await;
    assert_eq!(ada.post(&confirm, &[]).await.status, 303, "refusing used nothing up");
}

#[tokio::test]
async fn an_address_that_somebody_has_is_never_revealed() {
    let (app, acme, mut ada) = start().await;
    app.join(&acme.link, "bob@acme.com", "Bob").await;
    let before = app.all_mail_to("bob@acme.com").await.len();
    let (taken, free) = (ask(&mut ada, "bob@acme.com").await, ada.get("/account").await);
    assert_eq!((taken.status, taken.location.as_deref()), (303, Some("/account#address-title")));
    assert!(free.says("bob@acme.com has to confirm"), "as for any other address");
    assert_eq!(app.all_mail_to("bob@acme.com").await.len(), before, "and nothing is sent there");

    // Both ask for one free address, and both hold its link: one gets it.
    let mut bob = app.browser();
    bob.post("/o/acme/login", &[("email", "bob@acme.com"), ("password", PASSWORD)]).await;
    ask(&mut ada, "team@acme.com").await;
    let first = app.mail_to("team@acme.com").await.link();
    ask(&mut bob, "team@acme.com").await;
    let second = app.mail_to("team@acme.com").await.link();
    assert_ne!(first, second);
    assert_eq!(bob.post(&second, &[]).await.status, 303);
    let late = ada.post(&first, &[]).await;
    assert_eq!(late.status, 422);
    assert!(late.says("This address has an account already"), "{}", late.words());
    assert!(signs_in(&app, "ada@acme.com").await, "nothing changed for the one who lost");
}

#[tokio::test]
async fn a_change_asks_for_the_current_password_always() {
    let (app, _acme, mut ada) = start().await;
    for (email, password, says) in [
        ("ada@byron.example", "", "That is not your current password"),
        ("ada@byron.example", "not my password at all", "That is not your current password"),
        ("ADA@ACME.com", PASSWORD, "This is your address already"),
        ("ada at byron", PASSWORD, "Take it out"),
    ] {
        let page = ada.post("/account/address", &[("email", email), ("current_password", password)]).await;
        assert_eq!((page.status, page.input("email").as_str()), (422, email));
        assert!(page.says(says), "{email}: {}", page.words());
        assert!(password.is_empty() || !page.html.contains(password), "a password is never shown back");
    }
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1, "nothing but the mail she joined with");
    let mut statuses = Vec::new();
    for number in 0..7 {
        statuses.push(ask(&mut ada, &format!("ada{number}@byron.example")).await.status);
    }
    assert_eq!(statuses, [303, 303, 303, 303, 303, 429, 429], "nobody floods mailboxes with it");
}

#[tokio::test]
async fn a_confirmation_dies_after_a_day_with_a_newer_one_and_with_the_password() {
    let (app, mut acme, mut ada) = start().await;
    ask(&mut ada, "ada@byron.example").await;
    let old = app.mail_to("ada@byron.example").await.link();
    app.advance(25 * HOUR);
    assert_eq!((ada.get(&old).await.status, ada.post(&old, &[]).await.status), (410, 410), "after a day");
    assert!(!ada.get("/account").await.says("has to confirm"));

    ask(&mut ada, "ada@byron.example").await;
    let replaced = app.mail_to("ada@byron.example").await.link();
    ask(&mut ada, "ada@lovelace.example").await;
    let newest = app.mail_to("ada@lovelace.example").await.link();
    assert_eq!(ada.get(&replaced).await.status, 410, "the newer one took its place");
    assert_eq!(ada.get(&newest).await.status, 200);

    let fields = [("current_password", PASSWORD), ("password", "nine orange herons sleep")];
    assert_eq!(ada.post("/account/password", &fields).await.status, 303);
    assert_eq!(ada.get(&newest).await.status, 410, "with the password");

    let fields = [("email", "ada@byron.example"), ("current_password", "nine orange herons sleep")];
    ada.post("/account/address", &fields).await;
    let link = app.mail_to("ada@byron.example").await.link();
    app.advance(MINUTE);
    acme.manager.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    let found = acme.manager.get("/settings/users?search=ada").await;
    let page = found.html.split("href=\"/settings/users/usr_").nth(1).unwrap().split('"').next().unwrap();
    acme.manager.post(&format!("/settings/users/usr_{page}/deactivation"), &[]).await;
    acme.manager.post(&format!("/settings/users/usr_{page}/reactivation"), &[]).await;
    ada.post("/o/acme/login", &[("email", "ada@acme.com"), ("password", "nine orange herons sleep")]).await;
    assert_eq!(ada.get(&link).await.status, 410, "with a deactivation");
}

#[tokio::test]
async fn a_waiting_confirmation_lives_from_its_delivery_and_a_reset_link_ends_with_the_address() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    ask(&mut acme.manager, "mia@elsewhere.example").await;
    let page = acme.manager.get("/account").await;
    assert!(page.says("mia@elsewhere.example has to confirm: Acme will give you a link"), "{}", page.words());

    let (app, _acme, mut ada) = start().await;
    app.browser().post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let reset = app.mail_to("ada@acme.com").await.link();
    ask(&mut ada, "ada@byron.example").await;
    app.advance(2 * DAY);
    let confirm = app.mail_to("ada@byron.example").await.link();
    assert_eq!(ada.post(&confirm, &[]).await.status, 303, "not delivered before, it waited two days");
    assert_eq!(app.browser().get(&reset).await.status, 410);
}

#[tokio::test]
async fn who_may_not_return_does_not_by_the_address_given_up_before() {
    for taken in [false, true] {
        let (app, mut acme, mut ada) = start().await;
        ask(&mut ada, "ada@byron.example").await;
        let confirm = app.mail_to("ada@byron.example").await.link();
        assert_eq!(ada.post(&confirm, &[]).await.status, 303);
        app.deliver().await;
        if taken {
            app.join(&acme.link, "ada@acme.com", "The next Ada").await;
        }
        let user = app.user("acme", "ada@byron.example").await.unwrap();
        assert_eq!(acme.manager.post(&format!("/settings/users/{}/deletion", user.id), &[]).await.status, 303);

        app.advance(DAY);
        let mut back = app.browser();
        back.get(&acme.link).await;
        back.post(&acme.link, &[("email", "ada@acme.com")]).await;
        let told = app.mail_to("ada@acme.com").await;
        assert!(!told.text.contains("/confirm/"), "{}", told.text);
        assert_eq!(signs_in(&app, "ada@acme.com").await, taken, "whoever has it now stays");
    }
}
