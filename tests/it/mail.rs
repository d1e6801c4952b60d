//! Messages: handed over where no mail server delivers them, tried again where one is down, limited where strangers cause them.

use vestibule::{
    features::{
        audit::Authority,
        organizations, sign_in,
        users::{self, ProvedHow, Role},
    },
    platform::mail::SendError,
    values::{DAY, HOUR, MINUTE, OrganizationId},
};

use crate::support::{Acme, Browser, ORIGIN, Opened as _, PASSWORD, Page, TestApp};

const PAGE: &str = "/settings/mail";
const DETAILS: [(&str, &str); 2] = [("full_name", "Ada Lovelace"), ("password", PASSWORD)];

async fn begin(app: &TestApp, acme: &Acme, email: &str) -> (Browser, Page) {
    let mut browser = app.browser();
    browser.get(&acme.link).await;
    let sent = browser.post(&acme.link, &[("email", email)]).await;
    let waiting = browser.follow(sent).await;
    (browser, waiting)
}

async fn forgot(app: &TestApp, slug: &str, email: &str) {
    let page = app.browser().post(&format!("/o/{slug}/forgot-password"), &[("email", email)]).await;
    assert_eq!(page.status, 200);
}

/// The path of the newest message to an address.
async fn message_to(manager: &mut Browser, email: &str) -> String {
    let page = manager.get(&format!("{PAGE}?to={email}")).await;
    let body = page.html.split("<tbody>").nth(1).unwrap_or_else(|| panic!("no message: {}", page.words()));
    body.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn hand_over(manager: &mut Browser, email: &str) -> Page {
    let message = message_to(manager, email).await;
    let page = manager.post(&format!("{message}/hand-over"), &[("current_password", PASSWORD)]).await;
    assert_eq!(page.status, 200, "{}", page.words());
    page
}

fn link_of(page: &Page) -> String {
    page.input("handed-link").strip_prefix(ORIGIN).unwrap().to_owned()
}

fn code_of(page: &Page) -> String {
    let code = page.html.split("id=\"handed-code\"").nth(1).and_then(|rest| rest.split('>').nth(1)).unwrap();
    code.split('<').next().unwrap().to_owned()
}

async fn organization(app: &TestApp) -> OrganizationId {
    organizations::only_one(&app.app.db).await.unwrap().unwrap().id
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
    assert!(log.len() == 2 && log[0].starts_with("Showed a message for hand-over again"), "{log:?}");

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
async fn while_the_mail_server_is_down_the_registration_stands_and_mail_is_tried_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.mail.break_with(Some(SendError::Temporary("connection refused".to_owned())));
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    app.deliver().await;
    let path = format!("/join/waiting?registration={}", waiting.input("registration"));
    let delayed = ada.get(&path).await;
    assert!(delayed.says("is delayed") && !delayed.says("We are sending"), "{}", delayed.words());
    let list = acme.manager.get(PAGE).await;
    assert!(list.says("1 message waits") && list.says("connection refused"), "{}", list.words());

    // Growing waits: within the first hour it is tried a handful of times, not continuously.
    let mut tries = 1;
    for _ in 0..60 {
        app.advance(MINUTE);
        let before = acme.manager.get(&message_to(&mut acme.manager.clone(), "ada@acme.com").await).await.words();
        app.deliver().await;
        let after = acme.manager.get(&message_to(&mut acme.manager.clone(), "ada@acme.com").await).await.words();
        tries += i32::from(before.split("Written").nth(1) != after.split("Written").nth(1));
    }
    assert!((4..=9).contains(&tries), "{tries}");
    app.mail.break_with(None);
    app.advance(HOUR);
    let link = app.mail_to("ada@acme.com").await.link();
    assert!(ada.get(&path).await.says("We are sending a message"));
    app.advance(23 * HOUR);
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303, "its life began when it arrived");
}

#[tokio::test]
async fn after_a_day_of_trying_a_message_has_failed_and_can_be_handed_over() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.mail.break_with(Some(SendError::Temporary("connection refused".to_owned())));
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    acme.manager.post("/settings/invitations", &[("emails", "bob@acme.com")]).await;
    for hour in 0..26 {
        app.deliver().await;
        app.sign_in(&mut acme.manager, "acme", "mia@acme.com").await;
        let failed = acme.manager.get(&format!("{PAGE}?state=failed")).await.rows().len();
        assert_eq!(failed, if hour < 24 { 0 } else { 2 }, "after {hour} hours");
        app.advance(HOUR);
    }
    let page = ada.get(&format!("/join/waiting?registration={}", waiting.input("registration"))).await;
    assert!(page.says("could not be delivered"), "{}", page.words());
    assert!(acme.manager.get("/settings/invitations").await.says("Mail refused"));
    assert_eq!(acme.manager.get("/settings/audit?kind=mail.failed").await.rows().len(), 2);
    assert!(acme.manager.get(PAGE).await.says("2 messages could not be delivered"));
    for email in ["ada@acme.com", "bob@acme.com"] {
        let link = link_of(&hand_over(&mut acme.manager, email).await);
        assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303, "{email}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_marked_at_once() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.mail.break_with(Some(SendError::Permanent("550 no such mailbox".to_owned())));
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    acme.manager.post("/settings/invitations", &[("emails", "bob@acme.com")]).await;
    app.deliver().await;
    let page = ada.get(&format!("/join/waiting?registration={}", waiting.input("registration"))).await;
    assert!(page.says("could not be delivered. Check the address for a typing mistake"), "{}", page.words());
    let list = acme.manager.get(&format!("{PAGE}?state=failed")).await;
    assert!(list.rows().iter().all(|row| row.contains("550 no such mailbox")) && list.rows().len() == 2);
    assert!(acme.manager.get("/settings/invitations").await.rows()[0].contains("Mail refused"));
    app.mail.break_with(None);
    app.advance(2 * HOUR);
    assert!(app.all_mail_to("ada@acme.com").await.is_empty(), "it is not tried again");
}

#[tokio::test]
async fn strangers_cause_three_messages_an_hour_for_one_mailbox_however_they_ask() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut beta = app.another("Beta", "beta", "bea@beta.com").await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    app.advance(2 * DAY);
    app.sign_in(&mut acme.manager, "acme", "mia@acme.com").await;
    app.sign_in(&mut beta.manager, "beta", "bea@beta.com").await;
    let before = app.mail.all().len();
    for n in 0..12_u8 {
        let mut stranger = app.browser();
        stranger.address = format!("198.51.100.{n}:4000").parse().unwrap();
        let to = ["ada@acme.com", "Ada+x@acme.com", "ADA@ACME.com"][usize::from(n % 3)];
        match n % 4 {
            0 => forgot(&app, "acme", to).await,
            1 => forgot(&app, "beta", to).await,
            2 => drop(stranger.post(&acme.link, &[("email", to)]).await),
            _ => drop(stranger.post(&beta.link, &[("email", to)]).await),
        }
    }
    app.deliver().await;
    let so_far = app.mail.all().len() - before;
    assert!(so_far <= 3, "{so_far}");
    assert!(acme.manager.get(&format!("{PAGE}?state=waiting")).await.rows().len() <= 1, "one waits");
    // Neither what a manager causes nor a notice waits behind it.
    beta.manager.post("/settings/invitations", &[("emails", "ada@acme.com")]).await;
    let ada = app.user("acme", "ada@acme.com").await.unwrap();
    let mut tx = app.write().await;
    sign_in::write_notice(&app.app, &mut tx, &ada).await.unwrap();
    tx.commit().await.unwrap();
    app.deliver().await;
    assert_eq!(app.mail.all().len() - before, so_far + 2);
    app.advance(3 * HOUR);
    app.deliver().await;
    assert!(app.mail.all().len() - before <= so_far + 3, "one leaves when a slot frees");
}

#[tokio::test]
async fn no_message_says_anything_that_a_stranger_wrote() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let canary = "canary-7f3b";
    let mut stranger = app.browser();
    stranger.user_agent = format!("{canary}/1.0");
    stranger.forwarded_for = Some(canary.to_owned());
    let fields = [("email", "ada@acme.com"), ("full_name", canary), ("name", canary), ("message", canary)];
    stranger.get(&acme.link).await;
    let sent = stranger.post(&acme.link, &[fields.as_slice(), &[("return_to", canary)]].concat()).await;
    let waiting = stranger.follow(sent).await;
    let registration = waiting.input("registration");
    stranger.post("/join/code", &[("registration", &registration), ("code", canary)]).await;
    stranger.post("/join/resend", &[("registration", &registration), ("code", canary)]).await;
    let link = app.mail_to("ada@acme.com").await.link();
    let name = format!("Ada {canary}");
    assert_eq!(stranger.post(&link, &[("full_name", &name), ("password", PASSWORD)]).await.status, 303);
    stranger.post("/o/acme/forgot-password", &[("email", "ada@acme.com"), ("return_to", canary)]).await;
    stranger.post(&acme.link, &[("email", "ada@acme.com")]).await;
    acme.manager.post("/settings/invitations", &[("emails", "bob@acme.com")]).await;
    acme.manager.post("/settings/mail/test", &[]).await;
    // The stranger is a manager now, and causes mail as one.
    let by = Authority::command_line(organization(&app).await);
    let ada = app.user("acme", "ada@acme.com").await.unwrap().id;
    users::change_role(&app.app, &by, ada, Role::Manager).await.unwrap();
    app.sign_in(&mut stranger, "acme", "ada@acme.com").await;
    stranger.post("/settings/invitations", &[("emails", "eve@acme.com")]).await;
    app.deliver().await;
    forgot(&app, "acme", "mia@acme.com").await;
    let reset = app.mail_to("mia@acme.com").await.link();
    app.browser().post(&reset, &[("password", "quite another one here")]).await;
    app.deliver().await;

    let all = app.mail.all();
    assert!(all.len() >= 7, "{}", all.len());
    for mail in all {
        for part in [&mail.subject, &mail.text, &mail.html] {
            assert!(!part.contains(canary), "{part}");
        }
        assert!(!mail.subject.contains(['\r', '\n']));
        let addresses = mail.text.split("http").skip(1).chain(mail.html.split("href=\"http").skip(1));
        for address in addresses {
            assert!(format!("http{address}").starts_with(&format!("{ORIGIN}/")), "{address}");
        }
        assert_eq!(mail.html.matches("href=").count(), mail.html.matches(&format!("href=\"{ORIGIN}/")).count());
    }
}

#[tokio::test]
async fn a_test_message_goes_to_the_manager_who_asked_and_its_page_says_how_it_went() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    assert!(acme.manager.get(PAGE).await.says("Send a test message"));
    app.mail.break_with(Some(SendError::Temporary("535 wrong credentials".to_owned())));
    let sent = acme.manager.post("/settings/mail/test", &[]).await;
    app.deliver().await;
    let path = sent.location.unwrap();
    let page = acme.manager.get(&path).await;
    assert!(page.says("Waiting") && page.says("535 wrong credentials"), "{}", page.words());
    app.mail.break_with(None);
    app.advance(2 * MINUTE);
    let mail = app.mail_to("mia@acme.com").await;
    assert!(mail.subject == "Test message from Acme" && mail.text.contains(&format!("{ORIGIN}/settings/mail")));
    assert!(acme.manager.get(&path).await.says("Delivered"));
    for _ in 0..4 {
        assert_eq!(acme.manager.post("/settings/mail/test", &[]).await.status, 303);
    }
    assert_eq!(acme.manager.post("/settings/mail/test", &[]).await.status, 429);
}

#[tokio::test]
async fn a_link_that_was_ended_before_its_mail_left_is_not_sent() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    app.advance(2 * DAY);
    forgot(&app, "acme", "ada@acme.com").await;
    let link = app.mail_to("ada@acme.com").await.link();
    forgot(&app, "acme", "ada@acme.com").await;
    app.browser().post(&link, &[("password", "quite another one here")]).await;
    let mail = app.all_mail_to("ada@acme.com").await;
    assert_eq!(mail.iter().filter(|mail| mail.subject.starts_with("Set a new password")).count(), 1);
    assert!(mail.last().unwrap().subject.contains("was changed"));
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
    assert!(acme.manager.get(&format!("{PAGE}?to=%25")).await.says("None is like this"));
    assert_eq!(acme.manager.get(&format!("{PAGE}/msg_1")).await.status, 404);
}
