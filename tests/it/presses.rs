//! The same form ten times at once: one act, one message, ten equal answers.

use vestibule::values::MINUTE;

use crate::support::{Browser, Opened as _, PASSWORD, Page, TestApp, acts::action, all_at_once};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Sends a form ten times at once, each time from another address: what is counted by source is not the point here.
async fn ten_times(browser: &Browser, path: &str, fields: Fields<'_>) -> Vec<Page> {
    let presses = (0..10).map(|n| {
        let (mut browser, path) = (browser.clone(), path.to_owned());
        browser.address = format!("198.51.100.{n}:4000").parse().unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        async move {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            browser.post(&path, &fields).await
        }
    });
    all_at_once(presses).await
}

/// The one answer that all ten are.
fn the_answer(pages: Vec<Page>, status: u16) -> Page {
    let first = pages[0].clone();
    for page in pages {
        assert_eq!((page.status, &page.location), (status, &first.location), "{}", page.words());
        assert_eq!(page.html, first.html);
    }
    first
}

#[tokio::test]
async fn who_forgot_the_password_gets_one_message_and_the_budget_of_one() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let before = app.all_mail_to("ada@acme.com").await.len();
    let known = ten_times(&app.browser(), "/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let unknown = ten_times(&app.browser(), "/o/acme/forgot-password", &[("email", "eve@acme.com")]).await;
    assert_eq!(the_answer(known, 200).html.replace("ada@", ""), the_answer(unknown, 200).html.replace("eve@", ""));
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), before + 1);
    app.advance(2 * MINUTE);
    app.browser().post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), before + 2, "later it is another request");
    // Nobody's message is kept away: an address without an account has spent one of its slots too, and no more.
    app.browser().post(&acme.link, &[("email", "eve@acme.com")]).await;
    assert_eq!(app.all_mail_to("eve@acme.com").await.len(), 1);
}

#[tokio::test]
async fn a_change_of_address_begins_once_and_can_be_begun_again_when_it_was_stopped() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let before = app.all_mail_to("ada@acme.com").await.len();
    let form = [("email", "ada@byron.example"), ("current_password", PASSWORD)];
    the_answer(ten_times(&ada, "/account/address", &form).await, 303);
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 1);
    let told = app.all_mail_to("ada@acme.com").await;
    assert_eq!(told.len(), before + 1);
    assert_eq!(ada.post(&told.last().unwrap().link(), &[]).await.status, 303);
    assert_eq!(ada.post("/account/address", &form).await.status, 303);
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 2, "a stopped change is no open one");
}

#[tokio::test]
async fn a_test_message_is_written_once_and_shown_ten_times() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let before = app.all_mail_to("mia@acme.com").await.len();
    the_answer(ten_times(&acme.manager, "/settings/mail/test", &[]).await, 303);
    assert_eq!(app.all_mail_to("mia@acme.com").await.len(), before + 1);
}

#[tokio::test]
async fn an_invitation_is_made_once_and_sent_again_once() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let form = [("emails", "ada@byron.example"), ("role", "member")];
    let told = the_answer(ten_times(&acme.manager, "/settings/invitations", &form).await, 200);
    assert!(!told.says("Invited again"), "{}", told.words());
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 1);

    let page = acme.manager.get("/settings/invitations").await;
    let (again, sent) = (action(&page, "ada@byron.example", "resend"), page.input("sent"));
    the_answer(ten_times(&acme.manager, &again, &[("sent", &sent)]).await, 303);
    let mail = app.all_mail_to("ada@byron.example").await;
    assert_eq!(mail.len(), 2, "a button sends again at once, and once");
    assert_eq!(app.browser().get(&mail[1].link()).await.status, 200);
    for odd in [sent.as_str(), "0", "9223372036854775807", "yesterday"] {
        acme.manager.post(&again, &[("sent", odd)]).await;
    }
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 2);

    let form = [("emails", "ada@byron.example"), ("role", "manager"), ("current_password", PASSWORD)];
    assert!(acme.manager.post("/settings/invitations", &form).await.says("Invited again"));
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 3, "another role is another wish");
}

#[tokio::test]
async fn a_user_is_made_once_and_the_first_message_is_sent_again_once() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let form = [("email", "ada@byron.example"), ("full_name", "Ada"), ("role", "member")];
    let made = the_answer(ten_times(&acme.manager, "/settings/users/new", &form).await, 303);
    let user = made.location.unwrap().strip_suffix("?notice=created").unwrap().to_owned();
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 1);
    app.advance(2 * MINUTE);
    the_answer(ten_times(&acme.manager, &format!("{user}/first-password"), &[]).await, 303);
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 2);
    let late = acme.manager.clone().post("/settings/users/new", &form).await;
    assert!(late.status == 422 && late.says("already"), "{}", late.words());
}
