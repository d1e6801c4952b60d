//! What a link tells whoever holds it or guesses one: of others nothing, of its own person no more than it must.

use vestibule::features::{audit::Authority, users};

use crate::{
    strangers::{all_equal, shape},
    support::{
        Acme, Browser, Opened as _, PASSWORD, TestApp,
        acts::{DETAILS, forgot, invite, organization},
    },
};

async fn deactivate(app: &TestApp, email: &str) {
    let user = app.user("acme", email).await.unwrap().id;
    users::deactivate(&app.app, &Authority::command_line(organization(app).await), user).await.unwrap();
}

/// Opens a link and sends its form: what is shown, without the link's own token and address.
async fn both_ways(browser: &mut Browser, link: &str, fields: &[(&str, &str)], email: &str) -> [String; 2] {
    let token = link.rsplit('/').next().unwrap();
    [browser.get(link).await, browser.post(link, fields).await].map(|page| shape(&page, email).replace(token, "TOKEN"))
}

#[tokio::test]
async fn every_unknown_token_gets_the_same_answer_to_the_letter() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await;
    let known = app.mail_to("ada@acme.com").await.link();
    let of_another_kind = [known.rsplit('/').next().unwrap(), acme.link.rsplit('/').next().unwrap()];
    let (none, long) = ("A".repeat(43), "x".repeat(300));
    let mut shapes = Vec::new();
    for (place, form) in [
        ("/confirm/", DETAILS.as_slice()),
        ("/invitation/", &DETAILS),
        ("/reset/", &[("password", PASSWORD)]),
        ("/join/", &[("email", "ada@acme.com")]),
    ] {
        for token in [&none, &long, "short", "%22%3E", of_another_kind[0], of_another_kind[1]] {
            let link = format!("{place}{token}");
            if link != known && link != acme.link {
                shapes.extend(both_ways(&mut app.browser(), &link, form, "nobody").await);
            }
        }
    }
    assert!(shapes.len() == 44 && shapes[0].starts_with("404"), "{} {}", shapes.len(), shapes[0]);
    all_equal(&shapes);
}

/// Somebody who is invited; what became of the address since is for the caller.
async fn invited(app: &TestApp, acme: &mut Acme, email: &str) -> String {
    invite(&mut acme.manager, email, "member").await;
    app.mail_to(email).await.link()
}

#[tokio::test]
async fn an_invitation_tells_whoever_holds_it_that_the_address_has_an_account_and_not_in_which_state() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut shapes = Vec::new();
    for email in ["active@acme.com", "gone@acme.com"] {
        let link = invited(&app, &mut acme, email).await;
        app.join(&acme.link, email, "Ada").await;
        if email.starts_with("gone") {
            deactivate(&app, email).await;
        }
        for fields in [&[("full_name", ""), ("password", "")], &DETAILS] {
            shapes.extend(both_ways(&mut app.browser(), &link, fields, email).await);
        }
    }
    assert!(shapes[0].contains("location: /o/acme/login"), "{}", shapes[0]);
    all_equal(&shapes);
}

#[tokio::test]
async fn an_invitation_shows_the_same_whether_its_address_has_begun_to_join_by_the_link_or_not() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut shapes = [Vec::new(), Vec::new()];
    for email in ["pending@acme.com", "unknown@acme.com"] {
        let link = invited(&app, &mut acme, email).await;
        if email.starts_with("pending") {
            app.browser().post(&acme.link, &[("email", email)]).await;
            app.deliver().await;
        }
        let wrong = [("full_name", "Ada"), ("password", "short")];
        for (of_kind, shown) in shapes.iter_mut().zip(both_ways(&mut app.browser(), &link, &wrong, email).await) {
            of_kind.push(shown);
        }
    }
    for (of_kind, status) in shapes.iter().zip(["200", "422"]) {
        assert!(of_kind[0].starts_with(status), "{}", of_kind[0]);
        all_equal(of_kind);
    }
}

#[tokio::test]
async fn a_reset_link_of_a_deactivated_user_answers_as_one_that_was_used() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut shapes = Vec::new();
    for email in ["active@acme.com", "gone@acme.com"] {
        app.join(&acme.link, email, "Ada").await;
        forgot(&app, "acme", email).await;
        let link = app.mail_to(email).await.link();
        let fields = [("password", "another fine password")];
        assert_eq!(app.browser().get(&link).await.status, 200);
        if email.starts_with("gone") {
            deactivate(&app, email).await;
        } else {
            assert_eq!(app.browser().post(&link, &fields).await.status, 303);
        }
        shapes.extend(both_ways(&mut app.browser(), &link, &fields, email).await);
    }
    assert!(shapes[0].starts_with("410"), "{}", shapes[0]);
    all_equal(&shapes);
}
