//! Managers invite people: many at once, again, not any more; and whoever is invited joins with exactly that address.

use vestibule::{
    features::{
        audit::Authority,
        users::{self, CameBy, ProvedHow, Role},
    },
    values::{DAY, HOUR, MINUTE},
};

use crate::support::{
    Opened as _, PASSWORD, TestApp,
    acts::{DETAILS, act, action, allow, invite, organization},
    all_at_once,
};

const PAGE: &str = "/settings/invitations";

#[tokio::test]
async fn of_many_the_good_go_out_and_each_line_says_what_became_of_it() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.join(&acme.link, "bob@acme.com", "Bob").await;
    app.join(&acme.link, "eve@acme.com", "Eve").await;
    let eve = app.user("acme", "eve@acme.com").await.unwrap().id;
    users::deactivate(&app.app, &Authority::command_line(organization(&app).await), eve).await.unwrap();
    invite(&mut acme.manager, "emil@partner.example", "member").await;
    app.deliver().await;
    app.advance(MINUTE);

    let list = "dora@acme.com, emil@partner.example;BOB@acme.com\neve@acme.com Dora@ACME.com\t not@an@address";
    let page = invite(&mut acme.manager, list, "member").await;
    assert_eq!(page.status, 200);
    for said in [
        "2 of 6 invitations are on their way",
        "dora@acme.com Invited",
        "emil@partner.example Invited again",
        "BOB@acme.com Already a user",
        "eve@acme.com Already a user, deactivated",
        "Dora@ACME.com Already in this list",
        "not@an@address Not an address There is more than one @ here.",
    ] {
        assert!(page.says(said), "{said}: {}", page.words());
    }
    assert!(page.html.contains("\nnot@an@address</textarea>"), "what is no address stays, to be put right");
    assert_eq!(app.all_mail_to("dora@acme.com").await.len(), 1);
    assert_eq!(app.all_mail_to("emil@partner.example").await.len(), 2);
    assert_eq!(app.all_mail_to("eve@acme.com").await.len(), 1, "only the message with which she joined");
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_list_is_said_and_nothing_goes_out() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let nothing = invite(&mut acme.manager, " ,;\n", "member").await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.says("Enter your email address"), "{}", nothing.words());

    let many: Vec<String> = (0..201).map(|n| format!("p{n}@acme.com")).collect();
    let page = invite(&mut acme.manager, &many.join(" "), "member").await;
    assert_eq!(page.status, 422);
    assert!(page.says("more than 200 addresses") && page.html.contains("p200@acme.com</textarea>"));
    let page = invite(&mut acme.manager, "ada@acme.com", "owner").await;
    assert!(page.status == 422 && page.says("Choose one from the list"), "{}", page.words());
    let wrong = invite(&mut acme.manager, "<b>x</b>", "member").await;
    assert!(wrong.status == 422 && wrong.says("Nobody new was invited") && !wrong.html.contains("<b>x"));
    let offered = acme.manager.get(&format!("{PAGE}?emails=ada%40acme.com%3C")).await;
    assert!(offered.html.contains("ada@acme.com&#60;</textarea>"), "Identity Configuration leads here with an address");
    assert!(app.mail.all().is_empty() && acme.manager.get(PAGE).await.says("Nobody is invited at the moment"));
}

#[tokio::test]
async fn an_invited_address_joins_with_its_role_whatever_is_allowed() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    allow(&mut acme.manager, "@acme.com").await;
    invite(&mut acme.manager, "Emil@Partner.example", "manager").await;
    let mail = app.mail_to("Emil@partner.example").await;

    let mut emil = app.browser();
    assert!(emil.get(&mail.link()).await.says("You join Acme as Emil@partner.example"));
    let joined = emil.post(&mail.link(), &DETAILS).await;
    assert_eq!(joined.location.as_deref(), Some("/account"), "{}", joined.html);
    let user = app.user("acme", "emil@partner.example").await.unwrap();
    assert_eq!((user.role, user.came_by, user.proved_how), (Role::Manager, CameBy::Invitation, ProvedHow::Mail));
    assert_eq!(emil.get(PAGE).await.status, 200);
    assert_eq!(emil.get(&mail.link()).await.location.as_deref(), Some("/o/acme/login"), "what succeeded leads on");
    assert!(!acme.manager.get(PAGE).await.says("Emil@partner.example"), "no longer pending");
}

#[tokio::test]
async fn inviting_again_renews_and_the_old_link_is_dead() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let first = app.mail_to("ada@acme.com").await.link();
    app.advance(MINUTE);
    invite(&mut acme.manager, "ADA@acme.com", "member").await;
    let second = app.mail_to("ada@acme.com").await.link();
    app.advance(MINUTE);
    assert!(act(&mut acme.manager, "ada@acme.com", "/resend").await.says("The invitation is sent again"));
    let third = app.mail_to("ada@acme.com").await.link();

    assert_eq!(acme.manager.get(PAGE).await.rows().len(), 1, "one pending for an address");
    for old in [first, second] {
        assert_eq!(app.browser().get(&old).await.status, 410);
        assert_eq!(app.browser().post(&old, &DETAILS).await.status, 410);
    }
    assert_eq!(app.browser().post(&third, &DETAILS).await.status, 303);
}

#[tokio::test]
async fn a_revoked_invitation_is_over_at_once() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let link = app.mail_to("ada@acme.com").await.link();
    let pending = acme.manager.get(PAGE).await;
    assert!(act(&mut acme.manager, "ada@acme.com", "/revocation").await.says("The invitation is revoked"));
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 410);
    assert!(app.user("acme", "ada@acme.com").await.is_none());

    for act in ["/revocation", "/resend"] {
        let answer = acme.manager.post(&action(&pending, "ada@acme.com", act), &[]).await;
        assert!(acme.manager.follow(answer).await.says("not pending any more"), "{act}");
    }
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    acme.manager.post(&action(&acme.manager.clone().get(PAGE).await, "ada@acme.com", "/revocation"), &[]).await;
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1, "what was not sent yet is not sent any more");
}

#[tokio::test]
async fn the_list_says_who_invited() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("by Mia Manager"), "{}", page.words());
}

#[tokio::test]
async fn an_invitation_lives_seven_days_from_its_arrival() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com bob@acme.com", "member").await;
    let (ada, bob) = (app.mail_to("ada@acme.com").await.link(), app.mail_to("bob@acme.com").await.link());
    app.advance(6 * DAY + 23 * HOUR);
    assert_eq!(app.browser().post(&bob, &DETAILS).await.status, 303);
    app.advance(HOUR);
    assert_eq!(app.browser().get(&ada).await.status, 410);
    app.sign_in(&mut acme.manager, "acme", "mia@acme.com").await;
    assert!(acme.manager.get(PAGE).await.rows()[0].contains("Ended"));
    assert!(act(&mut acme.manager, "ada@acme.com", "/resend").await.says("sent again"));
    assert_eq!(app.browser().post(&app.mail_to("ada@acme.com").await.link(), &DETAILS).await.status, 303);
}

#[tokio::test]
async fn no_invitation_ends_while_its_mail_waits() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    app.advance(30 * DAY);
    app.sign_in(&mut acme.manager, "acme", "mia@acme.com").await;
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("Waiting") && page.says("7 days from its arrival") && page.says("wait under Mail"));
    let message = page.link_to("Hand over");
    let handed = acme.manager.post(&format!("{message}/hand-over"), &[]).await;
    let link = handed.input("handed-link").replace(crate::support::ORIGIN, "");
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303);
}

#[tokio::test]
async fn an_invitation_is_for_its_address_and_no_other() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    allow(&mut acme.manager, "@acme.com").await;
    let invited: Vec<String> = (0..50).map(|n| format!("guest{n}@partner.example")).collect();
    invite(&mut acme.manager, &invited.join("\n"), "member").await;
    app.deliver().await;
    let mut member = app.join(&acme.link, "sam@acme.com", "Sam").await;
    for (n, email) in invited.iter().enumerate() {
        let other = match n % 5 {
            0 => "mallory@evil.example".to_owned(),
            1 => email.replace('@', "+x@"),
            2 => format!("{email}, mallory@evil.example"),
            3 => email.replace("partner", "evil"),
            _ => format!("mallory{n}@acme.com"),
        };
        let link = app.mail_to(email).await.link();
        // Signed in as somebody else or not, with every field that might be believed.
        let mut stranger = if n % 2 == 0 { app.browser() } else { member.clone() };
        let name = ["email", "to", "emails", "address", "invitation"][n % 5];
        let fields = [("full_name", "Guest"), ("password", PASSWORD), (name, &*other), ("email", &*other)];
        let fields = if name == "email" { &fields[..3] } else { &fields[..] };
        let page = stranger.post(&link, &[fields, &[("role", "manager"), ("organization", "beta")]].concat()).await;
        assert_eq!(page.status, 303, "{}", page.html);
        let user = app.user("acme", email).await.expect("exactly the invited address");
        assert_eq!((user.email.as_str(), user.role), (email.as_str(), Role::Member));
        if let Ok(other) = other.parse() {
            let organization = organization(&app).await;
            assert!(users::by_address(&app.app.db, organization, &other).await.unwrap().is_none(), "{other}");
        }
    }
    app.sign_in(&mut member, "acme", "sam@acme.com").await;
    assert_eq!(member.get(PAGE).await.status, 403, "a member invites nobody");
    assert_eq!(invite(&mut member, "x@acme.com", "manager").await.status, 403);
}

#[tokio::test]
async fn a_hundred_who_accept_at_once_are_one_user() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let link = app.mail_to("ada@acme.com").await.link();
    let answers = all_at_once((0..100).map(|n| {
        let (mut browser, link) = (app.browser(), link.clone());
        browser.address = format!("198.51.100.{n}:4000").parse().unwrap();
        async move { browser.post(&link, &DETAILS).await }
    }))
    .await;
    let joined = answers.iter().filter(|page| page.location.as_deref() == Some("/account")).count();
    assert_eq!(joined, 1);
    for page in answers {
        assert!([303, 410, 503].contains(&page.status), "{}: {}", page.status, page.html);
    }
    let all = users::list(&app.app.db, organization(&app).await, &users::Filter::default(), 100).await.unwrap();
    assert_eq!(all.len(), 2, "the manager and Ada");
}

#[tokio::test]
async fn inviting_a_manager_asks_for_the_password_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.advance(16 * MINUTE);
    assert_eq!(invite(&mut acme.manager, "bob@acme.com", "member").await.status, 200, "a member needs none");
    let asked = invite(&mut acme.manager, "ada@acme.com", "manager").await;
    assert!(asked.status == 422 && asked.says("Enter your password again"), "{}", asked.words());
    assert!(asked.html.contains("ada@acme.com</textarea>") && asked.html.contains("\"manager\" selected"));
    let fields = [("emails", "ada@acme.com"), ("role", "manager"), ("current_password", "something else here")];
    let wrong = acme.manager.post(PAGE, &fields).await;
    assert!(wrong.status == 422 && wrong.says("That is not your current password"));
    assert!(app.all_mail_to("ada@acme.com").await.is_empty());
    let fields = [("emails", "ada@acme.com"), ("role", "manager"), ("current_password", PASSWORD)];
    assert_eq!(acme.manager.post(PAGE, &fields).await.status, 200);
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1);

    app.advance(HOUR);
    let again = action(&acme.manager.get(PAGE).await, "ada@acme.com", "/resend");
    let asked = acme.manager.post(&again, &[]).await;
    assert!(asked.status == 422 && asked.says("Enter your password again"), "{}", asked.words());
    assert!(asked.html.contains("ada@acme.com</textarea>") && asked.html.contains("\"manager\" selected"));
    assert_eq!(acme.manager.post(&again, &[("current_password", PASSWORD)]).await.status, 303);
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 2);
}

#[tokio::test]
async fn a_scanner_that_presses_everything_in_the_mail_achieves_nothing() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let link = app.mail_to("ada@acme.com").await.link();
    for _ in 0..20 {
        assert_eq!(app.browser().get(&link).await.status, 200);
        assert_eq!(app.browser().post(&link, &[("full_name", ""), ("password", "")]).await.status, 422);
    }
    assert!(app.user("acme", "ada@acme.com").await.is_none());
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303);
}

#[tokio::test]
async fn mail_that_a_manager_causes_has_its_own_limit() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    for _ in 0..5 {
        invite(&mut acme.manager, "ada@acme.com", "member").await;
        app.deliver().await;
        app.advance(MINUTE);
    }
    let link = app.mail_to("ada@acme.com").await.link();
    assert!(invite(&mut acme.manager, "ada@acme.com bob@acme.com", "member").await.says("ada@acme.com Too much mail"));
    assert!(act(&mut acme.manager, "ada@acme.com", "/resend").await.says("You sent this address several messages"));
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 5);
    assert_eq!(app.all_mail_to("bob@acme.com").await.len(), 1);
    assert_eq!(app.browser().get(&link).await.status, 200, "the last link still works");
}

#[tokio::test]
async fn the_pending_list_goes_on_page_by_page() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    for n in 0..60 {
        if n % 20 == 0 {
            app.advance(MINUTE);
        }
        invite(&mut acme.manager, &format!("p{n}@acme.com"), "member").await;
    }
    let first = acme.manager.get(PAGE).await;
    let second = acme.manager.get(&first.link_to("Older")).await;
    assert_eq!((first.rows().len(), second.rows().len()), (50, 10));
    let mut all: Vec<String> = [first.rows(), second.rows()].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 60);
}

#[tokio::test]
async fn an_address_that_a_user_has_taken_meanwhile_is_not_invited_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    invite(&mut acme.manager, "ada@byron.example", "member").await;
    app.deliver().await;
    ada.post("/account/address", &[("email", "ada@byron.example"), ("current_password", PASSWORD)]).await;
    let confirm = app.mail_to("ada@byron.example").await.link();
    assert_eq!(ada.post(&confirm, &[]).await.location.as_deref(), Some("/account?notice=address"));
    assert!(act(&mut acme.manager, "ada@byron.example", "/resend").await.says("has a user already. Nothing was sent"));
    assert_eq!(app.all_mail_to("ada@byron.example").await.len(), 2, "the invitation, and the change");
}
