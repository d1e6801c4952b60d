//! Messages in the portal: listed, and handed over where no mail server delivers them.

use vestibule::{
    features::users::{ProvedHow, Role},
    platform::mail::SendError,
    values::MINUTE,
};

use crate::support::{
    PASSWORD, Page, TestApp,
    acts::{DETAILS, begin, forgot, hand_over, link_of, message_to},
};

const PAGE: &str = "/settings/mail";

fn code_of(page: &Page) -> String {
    let code = page.html.split("id=\"handed-code\"").nth(1).and_then(|rest| rest.split('>').nth(1)).unwrap();
    code.split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn without_a_mail_server_a_code_is_handed_over_and_the_user_is_marked_so() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    assert!(waiting.says("Your organization will give you a code or a link"), "{}", waiting.words());
    let list = acme.manager.get(PAGE).await;
    assert!(list.says("No mail server is configured") && list.rows()[0].contains("Waiting"), "{}", list.words());
    assert!(!list.says("Send a test message"));

    let handed = hand_over(&mut acme.manager, "ada@acme.com").await;
    let registration = waiting.input("registration");
    ada.post("/join/code", &[("registration", &registration), ("code", &code_of(&handed))]).await;
    let finished =
        ada.post("/join/details", &[[("registration", registration.as_str())].as_slice(), &DETAILS].concat()).await;
    assert_eq!(finished.location.as_deref(), Some("/account"), "{}", finished.html);
    let (user, mia) =
        (app.user("acme", "ada@acme.com").await.unwrap(), app.user("acme", "mia@acme.com").await.unwrap());
    assert_eq!((user.proved_how, user.proved_by), (ProvedHow::HandedOver, Some(mia.id)));
}

#[tokio::test]
async fn without_a_mail_server_every_link_is_handed_over() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    begin(&app, &acme, "ada@acme.com").await;
    let link = link_of(&hand_over(&mut acme.manager, "ada@acme.com").await);
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303);

    acme.manager.post("/settings/invitations", &[("emails", "bob@acme.com")]).await;
    let link = link_of(&hand_over(&mut acme.manager, "bob@acme.com").await);
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303);

    app.advance(MINUTE);
    forgot(&app, "acme", "ada@acme.com").await;
    let link = link_of(&hand_over(&mut acme.manager, "ada@acme.com").await);
    app.advance(MINUTE);
    assert_eq!(app.browser().post(&link, &[("password", "another long one here")]).await.status, 303);
    for email in ["ada@acme.com", "bob@acme.com"] {
        assert_eq!(app.user("acme", email).await.unwrap().proved_how, ProvedHow::HandedOver, "{email}");
    }
    // What has no secret is read, and marked.
    let notice = message_to(&mut acme.manager, "ada@acme.com").await;
    let page = acme.manager.get(&notice).await;
    assert!(page.says("There is nothing secret in this message") && page.says("was just changed"), "{}", page.words());
    assert_eq!(acme.manager.post(&format!("{notice}/hand-over"), &[]).await.location.as_deref(), Some(PAGE));
    assert!(acme.manager.get(&format!("{PAGE}?state=waiting")).await.says("None is like this"));
    assert!(app.mail.all().is_empty());
}

#[tokio::test]
async fn opening_a_message_shows_no_secret_and_handing_over_asks_for_the_password_again() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    begin(&app, &acme, "ada@acme.com").await;
    app.advance(15 * MINUTE);
    let message = message_to(&mut acme.manager, "ada@acme.com").await;
    let asks = acme.manager.get(&message).await;
    assert!(asks.says("Hand over to ada@acme.com?") && asks.html.contains("name=\"current_password\""));
    let path = format!("{message}/hand-over");
    for (typed, words) in [("", "Enter your password again"), ("not my password", "That is not your current password")]
    {
        let refused = acme.manager.post(&path, &[("current_password", typed)]).await;
        assert!(refused.status == 422 && refused.says(words), "{}", refused.words());
        assert!(!refused.html.contains("handed-link"));
    }
    let handed = acme.manager.post(&path, &[("current_password", PASSWORD)]).await;
    let (link, code) = (link_of(&handed), code_of(&handed));
    for shown in [&asks, &acme.manager.get(&message).await, &acme.manager.get(PAGE).await] {
        assert!(!shown.html.contains(&link) && !shown.html.contains(&code));
    }
    assert!(handed.headers["cache-control"] == "no-store");
}

#[tokio::test]
async fn what_was_handed_over_is_shown_again_while_it_lives_and_recorded_each_time() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    begin(&app, &acme, "ada@acme.com").await;
    let first = hand_over(&mut acme.manager, "ada@acme.com").await;
    app.advance(20 * MINUTE);
    let again = hand_over(&mut acme.manager, "ada@acme.com").await;
    assert_eq!(link_of(&first), link_of(&again));
    assert!(again.says("The code in this message no longer counts") && !again.html.contains("handed-code"));
    let log = acme.manager.get("/settings/audit?kind=mail.handed_over").await.rows();
    assert!(log.len() == 2 && log[0].starts_with("Showed again for hand-over: Confirmation"), "{log:?}");

    assert_eq!(app.browser().post(&link_of(&again), &DETAILS).await.status, 303);
    let message = message_to(&mut acme.manager, "ada@acme.com").await;
    let over = acme.manager.post(&format!("{message}/hand-over"), &[("current_password", PASSWORD)]).await;
    assert!(over.status == 410 && over.says("There is nothing to hand over"), "{}", over.words());
}

#[tokio::test]
async fn what_is_over_or_delivered_is_not_handed_over() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    begin(&app, &acme, "ada@acme.com").await;
    app.deliver().await;
    let message = message_to(&mut acme.manager, "ada@acme.com").await;
    let answer = acme.manager.post(&format!("{message}/hand-over"), &[]).await;
    assert!(answer.status == 410 && answer.says("The mail server has taken it"), "{}", answer.words());

    app.mail.break_with(Some(SendError::Temporary("421 later".to_owned())));
    begin(&app, &acme, "bob@acme.com").await;
    app.deliver().await;
    let version = acme.manager.get("/settings/identity").await.input("version");
    acme.manager.post("/settings/identity", &[("version", &*version), ("login_method", "password")]).await;
    let message = message_to(&mut acme.manager, "bob@acme.com").await;
    let answer = acme.manager.post(&format!("{message}/hand-over"), &[]).await;
    assert!(answer.status == 410 && answer.says("There is nothing to hand over"), "{}", answer.words());
}

#[tokio::test]
async fn of_several_codes_only_the_newest_is_handed_over() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    let old = message_to(&mut acme.manager, "ada@acme.com").await;
    app.advance(2 * MINUTE);
    ada.post("/join/resend", &[("registration", &waiting.input("registration"))]).await;
    let newest = hand_over(&mut acme.manager, "ada@acme.com").await;
    assert_eq!(code_of(&newest).len(), 6);
    let older = acme.manager.post(&format!("{old}/hand-over"), &[]).await;
    assert!(older.says("The code in this message no longer counts") && !older.html.contains("handed-code"));
    assert_eq!(app.browser().get(&link_of(&older)).await.status, 200, "of one registration every link works");
}

#[tokio::test]
async fn a_managers_invitation_is_never_handed_over_as_a_code() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    acme.manager.post("/settings/invitations", &[("emails", "ada@acme.com"), ("role", "manager")]).await;
    begin(&app, &acme, "ada@acme.com").await;
    let handed = hand_over(&mut acme.manager, "ada@acme.com").await;
    assert!(!handed.html.contains("handed-code"), "{}", handed.words());
    assert_eq!(app.browser().post(&link_of(&handed), &DETAILS).await.status, 303);
    assert_eq!(app.user("acme", "ada@acme.com").await.unwrap().role, Role::Manager);
}

#[tokio::test]
async fn messages_are_found_by_address_and_state_and_go_on_page_by_page() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    let emails: Vec<String> = (0..60).map(|n| format!("p{n}@acme.com")).collect();
    acme.manager.post("/settings/invitations", &[("emails", &*emails.join(" "))]).await;
    hand_over(&mut acme.manager, "p7@acme.com").await;
    let first = acme.manager.get(&format!("{PAGE}?state=waiting")).await;
    let second = acme.manager.get(&first.link_to("Older")).await;
    assert_eq!((first.rows().len(), second.rows().len()), (50, 9));
    assert_eq!(acme.manager.get(&format!("{PAGE}?state=handed+over")).await.rows().len(), 1);
    assert_eq!(acme.manager.get(&format!("{PAGE}?to=P1")).await.rows().len(), 11);
    assert_eq!(acme.manager.get(&format!("{PAGE}?to=9%40ACME")).await.rows().len(), 6);
    for literal in ["%25", "_", "*", "%3F", "%27", "%22", "%5C", "%5B4%5D"] {
        assert!(acme.manager.get(&format!("{PAGE}?to={literal}")).await.says("None is like this"), "{literal}");
    }
    assert_eq!(acme.manager.get(&format!("{PAGE}/msg_1")).await.status, 404);
}

#[tokio::test]
async fn a_search_longer_than_any_address_finds_nothing() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    forgot(&app, "acme", "mia@acme.com").await;
    let page = acme.manager.get(&format!("{PAGE}?to={}", "_".repeat(30_000))).await;
    assert_eq!((page.status, page.rows().len()), (200, 0));
}
