//! Managers and members: who becomes what, and the last manager who stays.

use vestibule::values::MINUTE;

use crate::{
    support::{Acme, Browser, PASSWORD, TestApp},
    users::{create, sign_in, user},
};

const PAGE: &str = "/settings/users";

/// A second manager, with a password of their own.
async fn second_manager(app: &TestApp, acme: &mut Acme) -> Browser {
    app.join(&acme.link, "nia@acme.com", "Nia Second").await;
    let nia = user(&mut acme.manager, "nia@acme.com").await;
    let changed = acme.manager.post(&format!("{nia}/role"), &[("role", "manager")]).await;
    assert_eq!(changed.status, 303, "{}", changed.html);
    let mut browser = app.browser();
    assert_eq!(sign_in(&mut browser, "nia@acme.com", PASSWORD).await.status, 303);
    browser
}

#[tokio::test]
async fn the_last_manager_who_can_sign_in_stays_one() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    // A manager without a password, and one who is deactivated, cannot sign in: they do not count.
    create(&mut acme.manager, "eve@acme.com", "Eve", "manager").await;
    drop(second_manager(&app, &mut acme).await);
    let nia = user(&mut acme.manager, "nia@acme.com").await;
    acme.manager.post(&format!("{nia}/deactivation"), &[]).await;

    let mia = user(&mut acme.manager, "mia@acme.com").await;
    for (act, fields) in
        [("role", vec![("role", "member")]), ("deactivation", Vec::new()), ("deletion", vec![("may_return", "yes")])]
    {
        let page = acme.manager.post(&format!("{mia}/{act}"), &fields).await;
        assert_eq!(page.status, 409, "{act}");
        assert!(page.says("You are the last manager") && page.says("Nothing was changed"), "{}", page.words());
        assert_eq!(acme.manager.get(PAGE).await.status, 200, "still a manager");
    }
    acme.manager.post(&format!("{nia}/reactivation"), &[]).await;
    let left = acme.manager.post(&format!("{mia}/role"), &[("role", "member")]).await;
    assert_eq!(left.status, 303, "with another one, they may: {}", left.words());
}

#[tokio::test]
async fn two_managers_who_remove_each_other_at_once_do_not_both_succeed() {
    for act in ["deactivation", "deletion", "role"] {
        let app = TestApp::start().await;
        let mut acme = app.acme().await;
        let mut nia = second_manager(&app, &mut acme).await;
        let mia_page = user(&mut nia, "mia@acme.com").await;
        let nia_page = user(&mut acme.manager, "nia@acme.com").await;
        let removals = [format!("{nia_page}/{act}"), format!("{mia_page}/{act}")];
        let role = [("role", "member")];
        let _ = tokio::join!(acme.manager.post(&removals[0], &role), nia.post(&removals[1], &role));
        let left = [acme.manager.get(PAGE).await.status, nia.get(PAGE).await.status];
        assert_eq!(left.iter().filter(|status| **status == 200).count(), 1, "{act}: {left:?}");
    }
}

#[tokio::test]
async fn a_change_of_role_ends_sessions_and_is_told() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let old = ada.clone();
    let page = user(&mut acme.manager, "ada@acme.com").await;
    assert!(acme.manager.get(&format!("{page}/role")).await.says("Make Ada a manager?"));
    let refused = acme.manager.post(&format!("{page}/role"), &[("role", "owner")]).await;
    assert_eq!(refused.status, 422);
    let changed = acme.manager.post(&format!("{page}/role"), &[("role", "manager")]).await;
    assert!(acme.manager.follow(changed).await.says("Ada is a manager now"));
    assert_eq!(ada.get("/account").await.status, 303, "signed out");
    let told = app.mail_to("ada@acme.com").await;
    assert!(told.subject.contains("You are a manager of Acme now"), "{}", told.subject);

    sign_in(&mut ada, "ada@acme.com", PASSWORD).await;
    assert_eq!(ada.get(PAGE).await.status, 200);
    assert_eq!(old.clone().get(PAGE).await.status, 303, "the old id stays dead");
    acme.manager.post(&format!("{page}/role"), &[("role", "member")]).await;
    assert_eq!(ada.get(PAGE).await.status, 303);
    sign_in(&mut ada, "ada@acme.com", PASSWORD).await;
    assert_eq!(ada.get(PAGE).await.status, 403);
}

#[tokio::test]
async fn making_a_manager_asks_for_the_password_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.advance(16 * MINUTE);
    let fields = [("email", "eve@acme.com"), ("full_name", "Eve"), ("role", "manager")];
    for wrong in ["", "some other long words"] {
        let page =
            acme.manager.post("/settings/users/new", &[&fields[..], &[("current_password", wrong)]].concat()).await;
        assert_eq!(page.status, 422);
        assert!(page.says("Your password") && page.input("email") == "eve@acme.com", "{}", page.words());
    }
    assert!(app.user("acme", "eve@acme.com").await.is_none());
    let page = create(&mut acme.manager, "bob@acme.com", "Bob", "member").await;
    assert_eq!(page.status, 303, "a member needs none");
    let page =
        acme.manager.post("/settings/users/new", &[&fields[..], &[("current_password", PASSWORD)]].concat()).await;
    assert_eq!(page.status, 303);
    assert!(app.user("acme", "eve@acme.com").await.unwrap().is_manager());
}
