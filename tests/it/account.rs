//! The own account: name, password, sessions.

use vestibule::{
    features::users,
    platform::hashing::{Hashing, Strength},
    values::{DAY, HOUR, Randomness},
    worker,
};

use crate::support::{Browser, Opened as _, PASSWORD, Page, TestApp};

const NEW_PASSWORD: &str = "nine orange herons sleep";

async fn sign_in(browser: &mut Browser, email: &str, password: &str) -> Page {
    browser.post("/o/acme/login", &[("email", email), ("password", password)]).await
}

async fn change_password(browser: &mut Browser, current: &str, new: &str) -> Page {
    browser.post("/account/password", &[("current_password", current), ("password", new)]).await
}

/// A browser that is signed in as the person with this address.
async fn another_browser(app: &TestApp, email: &str) -> Browser {
    let mut browser = app.browser();
    assert_eq!(sign_in(&mut browser, email, PASSWORD).await.status, 303);
    browser
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/account").await.status == 200
}

#[tokio::test]
async fn the_start_leads_to_the_account_or_to_sign_in() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    assert_eq!(acme.manager.get("/").await.location.as_deref(), Some("/account"));
    assert_eq!(app.browser().get("/").await.location.as_deref(), Some("/login"));
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada Lovelace").await;
    let page = ada.get("/account").await;
    assert!(page.says("Organization Acme Role Member") && page.says("You sign in with ada@acme.com"), "{}", page.html);
    assert!(acme.manager.get("/account").await.says("Role Manager"));
}

#[tokio::test]
async fn a_name_is_changed_and_a_bad_one_is_refused_with_what_was_typed() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada Lovelace").await;
    let saved = ada.post("/account/name", &[("full_name", "  Ada, Countess of Lovelace ")]).await;
    let page = ada.follow(saved).await;
    assert!(page.says("Your name is saved"), "{}", page.words());
    assert_eq!(page.input("full_name"), "Ada, Countess of Lovelace");
    let refused = ada.post("/account/name", &[("full_name", "see https://evil.example")]).await;
    assert_eq!((refused.status, refused.input("full_name").as_str()), (422, "see https://evil.example"));
    assert!(refused.says("A name can't hold a web address"));
    let found = acme.manager.get("/settings/users?search=countess").await;
    assert!(found.says("Ada, Countess of Lovelace"), "managers find the new name: {}", found.words());
    let fields = [("full_name", "Ada"), ("role", "manager"), ("status", "active"), ("email", "mia@acme.com")];
    ada.post("/account/name", &fields).await;
    assert!(ada.get("/account").await.says("Role Member"), "what nobody asked for takes no effect");
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_link_and_is_told() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mut phone = another_browser(&app, "ada@acme.com").await;
    let mut old_id = ada.clone();
    app.browser().post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let reset = app.mail_to("ada@acme.com").await.link();

    let changed = change_password(&mut ada, PASSWORD, NEW_PASSWORD).await;
    let page = ada.follow(changed).await;
    assert!(page.says("Your password is changed"), "{}", page.words());
    assert!(!is_signed_in(&mut phone).await, "other sessions end");
    assert!(!is_signed_in(&mut old_id).await, "and the old id of this one is dead");
    assert_eq!(phone.get(&reset).await.status, 410, "open links end");
    let told = app.mail_to("ada@acme.com").await;
    assert!(told.subject.contains("was changed"), "{}", told.subject);
    assert_eq!(sign_in(&mut phone, "ada@acme.com", PASSWORD).await.status, 422);
    assert_eq!(sign_in(&mut phone, "ada@acme.com", NEW_PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_password_is_not_changed_without_the_current_one_or_to_a_bad_one() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada Byron Lovelace").await;
    let mut phone = another_browser(&app, "ada@acme.com").await;
    for (current, new, says) in [
        ("not my password at all", NEW_PASSWORD, "That is not your current password"),
        ("", NEW_PASSWORD, "That is not your current password"),
        (PASSWORD, "short", "Use at least 12 characters"),
        (PASSWORD, "adabyronlovelace", "made of your name"),
        (PASSWORD, "passwordpassword", "among the first that people guess"),
    ] {
        let page = change_password(&mut ada, current, new).await;
        assert_eq!(page.status, 422, "{new}");
        assert!(page.says(says), "{new}: {}", page.words());
        assert!(!page.html.contains(new) && !page.html.contains(PASSWORD), "a password is never shown back");
    }
    assert!(is_signed_in(&mut phone).await, "nothing happened");
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 1, "and nothing is told");
}

#[tokio::test]
async fn guessing_the_current_password_is_slowed_like_guessing_at_sign_in() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(change_password(&mut ada, "a wrong password", NEW_PASSWORD).await.status);
    }
    assert_eq!(statuses.first(), Some(&422));
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let mut phone = app.browser();
    assert_eq!(sign_in(&mut phone, "ada@acme.com", PASSWORD).await.status, 303, "the owner still gets in elsewhere");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_or_all_but_this() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mut phone = another_browser(&app, "ada@acme.com").await;
    let mut tablet = another_browser(&app, "ada@acme.com").await;
    let page = ada.get("/account").await;
    assert_eq!(page.html.matches("This browser").count(), 1);
    let ends: Vec<String> = page
        .html
        .split("action=\"/account/sessions/")
        .filter_map(|rest| rest.split_once("/end\"").map(|(id, _)| format!("/account/sessions/{id}/end")))
        .filter(|path| path.contains("ses_"))
        .collect();
    assert_eq!(ends.len(), 2, "{}", page.html);

    assert_eq!(acme.manager.post(&ends[0], &[]).await.status, 404, "nobody ends somebody else's");
    assert_eq!(acme.manager.post("/account/sessions/ses_01jd4x8z0v7k3m2n5p6q8r9s0t/end", &[]).await.status, 404);
    assert_eq!(ada.post(&ends[0], &[]).await.location.as_deref(), Some("/account?notice=sessions"));
    let left = [is_signed_in(&mut phone).await, is_signed_in(&mut tablet).await];
    assert_eq!(left.iter().filter(|left| **left).count(), 1, "one ended: {left:?}");
    ada.post("/account/sessions/end-others", &[]).await;
    assert!(!is_signed_in(&mut phone).await && !is_signed_in(&mut tablet).await);
    assert!(is_signed_in(&mut ada).await && is_signed_in(&mut acme.manager).await);
    assert!(!ada.get("/account").await.says("Sign out others"), "there are none any more");
}

#[tokio::test]
async fn a_planted_cookie_is_never_adopted() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut attacker = app.join(&acme.link, "eve@acme.com", "Eve").await;
    let mut victim = app.join(&acme.link, "ada@acme.com", "Ada").await;
    victim.post("/logout", &[]).await;
    victim.cookies.extend(attacker.cookies.clone());
    sign_in(&mut victim, "ada@acme.com", PASSWORD).await;
    assert!(victim.get("/account").await.says("ada@acme.com"));
    assert!(!is_signed_in(&mut attacker).await, "the planted session ended; it did not become the victim's");
}

#[tokio::test]
async fn sessions_idle_out_unless_they_are_used() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mut phone = another_browser(&app, "ada@acme.com").await;
    // A member's stands seven days unused, and using it keeps it, thirty days at most.
    for _ in 0..4 {
        app.advance(6 * DAY);
        assert!(is_signed_in(&mut ada).await);
        for server in app.replicas() {
            worker::write_tallies(server).await.unwrap();
        }
    }
    assert!(!is_signed_in(&mut phone).await, "unused for 24 days");
    app.advance(6 * DAY);
    assert!(!is_signed_in(&mut ada).await, "thirty days are the most");

    assert!(!is_signed_in(&mut acme.manager).await);
    sign_in(&mut acme.manager, "mia@acme.com", PASSWORD).await;
    for _ in 0..3 {
        app.advance(11 * HOUR);
        assert!(is_signed_in(&mut acme.manager).await, "a manager's stands twelve hours unused");
        for server in app.replicas() {
            worker::write_tallies(server).await.unwrap();
        }
    }
    app.advance(12 * HOUR);
    assert!(!is_signed_in(&mut acme.manager).await);
}

#[tokio::test]
async fn a_sign_in_raises_a_hash_that_is_weaker_than_new_ones() {
    let mut app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    assert!(stored_hash(&app).await.contains("m=64,t=1"));
    app.app.hashing = Hashing::start(1, Strength::new(128, 2), Randomness::System);
    if let Some(other) = &mut app.other {
        other.hashing = app.app.hashing.clone();
    }
    assert_eq!(sign_in(&mut app.browser(), "ada@acme.com", "a wrong password").await.status, 422);
    assert!(stored_hash(&app).await.contains("m=64,t=1"), "a wrong password raises nothing");
    another_browser(&app, "ada@acme.com").await;
    let raised = stored_hash(&app).await;
    assert!(raised.contains("m=128,t=2"), "{raised}");
    another_browser(&app, "ada@acme.com").await;
    assert_eq!(stored_hash(&app).await, raised, "once is enough");
}

/// What no page shows: the strength that ada@acme.com's password was hashed with.
async fn stored_hash(app: &TestApp) -> String {
    let slug = "acme".parse().unwrap();
    let acme = vestibule::features::organizations::by_slug(&app.app.db, &slug).await.unwrap().unwrap();
    let ada = users::by_address(&app.app.db, acme.id, &"ada@acme.com".parse().unwrap()).await.unwrap().unwrap();
    users::find_secret(&app.app.db, ada.id).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_unknown_organization_is_not_found_and_what_was_typed_is_kept() {
    let app = TestApp::start().await;
    app.acme().await;
    app.another("Globex", "globex", "gil@globex.com").await;
    let page = app.browser().post("/login", &[("slug", "initech")]).await;
    assert_eq!((page.status, page.input("slug").as_str()), (404, "initech"));
    assert_eq!(app.browser().post("/login", &[("slug", "not a slug!")]).await.status, 422);
}
