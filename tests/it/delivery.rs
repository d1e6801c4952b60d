//! Delivery: tried again while the mail server is down, limited where strangers cause it, and never in their words.

use vestibule::{
    features::{
        audit::Authority,
        sign_in,
        users::{self, Role},
    },
    platform::mail::SendError,
    values::{DAY, HOUR, MINUTE},
};

use crate::support::{
    ORIGIN, Opened as _, PASSWORD, TestApp,
    acts::{DETAILS, begin, forgot, hand_over, link_of, message_to, organization},
};

const PAGE: &str = "/settings/mail";

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
    assert!(acme.manager.get(&format!("{PAGE}?state=waiting")).await.rows().len() <= 2, "one of a kind waits");
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
async fn a_stranger_who_asks_all_day_keeps_nobodys_message_away() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    app.advance(2 * DAY);
    let bombard = async |from: u8| {
        let mut stranger = app.browser();
        stranger.address = format!("198.51.100.{from}:4000").parse().unwrap();
        for to in ["ada+1@acme.com", "ada@acme.com", "ada+2@acme.com", "Ada@acme.com"] {
            stranger.post(&acme.link, &[("email", to)]).await;
        }
    };
    bombard(1).await;
    app.deliver().await;
    forgot(&app, "acme", "ada@acme.com").await;
    for from in 2..50 {
        forgot(&app, "acme", &format!("ada+{from}@acme.com")).await;
        bombard(from).await;
        app.advance(10 * MINUTE);
        app.deliver().await;
    }
    let recovered =
        app.mail.all().into_iter().any(|mail| mail.to.as_str() == "ada@acme.com" && mail.text.contains("/reset/"));
    assert!(recovered, "the owner's link has left within hours");
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
    app.deliver().await;
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
        app.advance(MINUTE);
        assert_eq!(acme.manager.post("/settings/mail/test", &[]).await.status, 303);
    }
    app.advance(MINUTE);
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
    app.advance(2 * MINUTE);
    forgot(&app, "acme", "ada@acme.com").await;
    app.browser().post(&link, &[("password", "quite another one here")]).await;
    let mail = app.all_mail_to("ada@acme.com").await;
    assert_eq!(mail.iter().filter(|mail| mail.subject.starts_with("Set a new password")).count(), 1);
    assert!(mail.last().unwrap().subject.contains("was changed"));
}
