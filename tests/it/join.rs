//! A person with nothing but the link becomes a user.

use vestibule::values::{HOUR, MINUTE};

use crate::support::{Opened as _, PASSWORD, TestApp};

#[tokio::test]
async fn a_person_with_nothing_but_the_link_ends_in_the_account() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();

    assert!(ada.get(&acme.link).await.says("Join Acme"));
    let sent = ada.post(&acme.link, &[("email", "Ada@ACME.com")]).await;
    let waiting = ada.follow(sent).await;
    assert!(waiting.says("Check your mail") && waiting.says("Ada@acme.com"), "{}", waiting.html);

    let mail = app.mail_to("Ada@acme.com").await;
    let entered =
        ada.post("/join/code", &[("registration", &waiting.input("registration")), ("code", &mail.code())]).await;
    let details = ada.follow(entered).await;
    assert!(details.says("Almost there"), "{}", details.html);

    let fields = [
        ("registration", details.input("registration")),
        ("full_name", "Ada Lovelace".to_owned()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let finished = ada.post("/join/details", &fields).await;
    assert_eq!((finished.status, finished.location.as_deref()), (303, Some("/account")), "{}", finished.html);
}

#[tokio::test]
async fn the_mails_link_finishes_on_any_device() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut laptop = app.browser();
    laptop.post(&acme.link, &[("email", "ada@acme.com")]).await;

    let link = app.mail_to("ada@acme.com").await.link();
    let mut phone = app.browser();
    assert!(phone.get(&link).await.says("You join Acme as ada@acme.com"));
    let finished = phone.post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(finished.location.as_deref(), Some("/account"), "{}", finished.html);
    let again = phone.post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(again.location.as_deref(), Some("/o/acme/login"), "what has succeeded leads on");
}

#[tokio::test]
async fn a_mail_link_does_not_work_forever() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await;
    let link = app.mail_to("ada@acme.com").await.link();

    app.advance(25 * HOUR);
    let page = app.browser().get(&link).await;
    assert_eq!(page.status, 410);
    assert!(page.says("Start again from your invite link"), "{}", page.html);
}

#[tokio::test]
async fn the_same_form_within_a_minute_sends_one_mail() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    ada.get(&acme.link).await;
    let first = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let second = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    assert_eq!(first.location, second.location);
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);
    app.advance(2 * MINUTE);
    ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 2);
}

#[tokio::test]
async fn a_tab_that_stayed_open_leads_to_the_account_once_another_one_has_finished() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let waiting = ada.follow(sent).await;
    let mail = app.mail_to("ada@acme.com").await;
    let finished = ada.post(&mail.link(), &[("full_name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(finished.location.as_deref(), Some("/account"), "{}", finished.html);

    let registration = waiting.input("registration");
    let late = ada.post("/join/code", &[("registration", &registration), ("code", &mail.code())]).await;
    assert_eq!((late.status, late.location.as_deref()), (303, Some("/account")), "{}", late.html);
    let details = [("registration", registration.as_str()), ("full_name", "Ada"), ("password", PASSWORD)];
    let late = ada.post("/join/details", &details).await;
    assert_eq!((late.status, late.location.as_deref()), (303, Some("/account")), "{}", late.html);
}

#[tokio::test]
async fn who_only_waits_does_not_learn_that_the_address_joined_another_way() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut stranger = app.browser();
    stranger.address = "198.51.100.66:4000".parse().unwrap();
    let sent = stranger.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let before = stranger.follow(sent.clone()).await;
    let registration = before.input("registration");
    let theirs = app.mail_to("ada@acme.com").await;
    let wrong = if theirs.code() == "000000" { "111111" } else { "000000" };
    let guess = [("registration", registration.as_str()), ("code", wrong)];
    let guessed = stranger.post("/join/code", &guess).await;
    drop(app.join(&acme.link, "ada@acme.com", "Ada").await);

    let after = stranger.get(sent.location.as_deref().unwrap()).await;
    assert_eq!((after.status, &after.html), (200, &before.html));
    let page = stranger.post("/join/code", &guess).await;
    assert_eq!((page.status, page.html), (422, guessed.html.replace("4 more", "3 more").replace("4 tries", "3 tries")));
    let again = stranger.post(&acme.link, &[("email", "ada@acme.com")]).await;
    assert_eq!(again.location, sent.location);
    assert_eq!(stranger.post("/join/resend", &[("registration", &registration)]).await.status, 303);
    assert!(app.mail_to("ada@acme.com").await.text.contains("you have an account there already"));
    // Whoever proves the mailbox is led on.
    let opened = app.browser().get(&theirs.link()).await;
    assert_eq!((opened.status, opened.location.as_deref()), (303, Some("/o/acme/login")));
    let page = stranger.post("/join/address", &[("registration", &registration), ("email", "bob@acme.com")]).await;
    assert_eq!(page.status, 303);
    assert_eq!(stranger.get(sent.location.as_deref().unwrap()).await.status, 410, "its address was changed");
}

#[tokio::test]
async fn a_page_whose_link_has_left_the_address_bar_says_to_open_it_again_as_often_as_it_is_loaded() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    for _ in 0..20 {
        for path in ["/join/details", "/invitation", "/reset", "/account/address"] {
            let page = ada.get(path).await;
            assert_eq!(page.status, 200, "{path}");
            assert!(page.says("Open the link in your message once more") && page.says("Sign in"), "{}", page.words());
        }
    }
    assert_eq!(ada.get("/join/nobody-knows-this-link").await.status, 404, "none of it counted as a guess");
    // Who has finished is in the account.
    let mut mia = acme.manager.clone();
    assert_eq!(mia.get("/join/details").await.location.as_deref(), Some("/account"));
}
