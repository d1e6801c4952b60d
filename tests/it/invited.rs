//! Whoever is invited: in two organizations, by the link too, and never with more than whoever invited them holds.

use vestibule::{
    features::{
        audit::Authority,
        users::{self, CameBy, Role},
    },
    values::MINUTE,
};

use crate::support::{
    Opened as _, TestApp,
    acts::{DETAILS, act, action, allow, begin, invite, organization},
};

const PAGE: &str = "/settings/invitations";

#[tokio::test]
async fn the_same_address_invited_by_two_organizations_joins_both() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut beta = app.another("Beta", "beta", "bea@beta.com").await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let first = app.mail_to("ada@acme.com").await.link();
    invite(&mut beta.manager, "ada@acme.com", "manager").await;
    let second = app.mail_to("ada@acme.com").await.link();

    assert_eq!(app.browser().post(&first, &DETAILS).await.status, 303);
    assert!(beta.manager.get(PAGE).await.says("ada@acme.com"), "the other one is still pending");
    assert_eq!(app.browser().post(&second, &DETAILS).await.status, 303);
    assert_eq!(app.user("acme", "ada@acme.com").await.unwrap().role, Role::Member);
    assert_eq!(app.user("beta", "ada@acme.com").await.unwrap().role, Role::Manager);
}

#[tokio::test]
async fn nothing_of_one_organization_is_known_in_another() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    let mut beta = app.another("Beta", "beta", "bea@beta.com").await;
    invite(&mut acme.manager, "ada@acme.com", "member").await;
    let pending = acme.manager.get(PAGE).await;
    let message = pending.link_to("Hand over");
    for path in [
        action(&pending, "ada@acme.com", "/resend"),
        action(&pending, "ada@acme.com", "/revocation"),
        format!("{message}/hand-over"),
    ] {
        assert_eq!(beta.manager.post(&path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(beta.manager.get(&message).await.status, 404);
    let handed = acme.manager.post(&format!("{message}/hand-over"), &[]).await;
    let link = handed.input("handed-link").replace(crate::support::ORIGIN, "");
    let token = link.strip_prefix("/invitation/").unwrap();
    // As anything else, or in another organization's paths, the token is unknown.
    for path in ["/confirm/", "/reset/", "/join/", "/o/beta/invitation/", "/invitation/x"] {
        assert_eq!(app.browser().get(&format!("{path}{token}")).await.status, 404, "{path}");
    }
    app.browser().post(&link, &[DETAILS.as_slice(), &[("slug", "beta"), ("organization", "beta")]].concat()).await;
    assert!(app.user("acme", "ada@acme.com").await.is_some() && app.user("beta", "ada@acme.com").await.is_none());
}

#[tokio::test]
async fn whoever_is_invited_and_comes_by_the_link_is_let_in_by_the_invitation() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (_, waiting) = begin(&app, &acme, "emil@partner.example").await;
    assert!(waiting.says("Check your mail"));
    let confirm = app.mail_to("emil@partner.example").await.link();
    invite(&mut acme.manager, "emil@partner.example", "member").await;
    let invitation = app.mail_to("emil@partner.example").await.link();
    allow(&mut acme.manager, "@acme.com").await;
    // The link's page answers by domain and list alone.
    assert_eq!(begin(&app, &acme, "emil@partner.example").await.1.status, 422);

    let joined = app.browser().post(&confirm, &DETAILS).await;
    assert_eq!(joined.status, 303, "{}", joined.html);
    let user = app.user("acme", "emil@partner.example").await.unwrap();
    assert_eq!((user.came_by, user.role), (CameBy::Invitation, Role::Member));
    assert_eq!(app.browser().get(&invitation).await.location.as_deref(), Some("/o/acme/login"), "it is marked used");
    assert!(acme.manager.get(PAGE).await.says("Nobody is invited at the moment"));
}

#[tokio::test]
async fn a_code_does_not_complete_a_managers_invitation_but_the_link_does() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut ada, waiting) = begin(&app, &acme, "ada@acme.com").await;
    let mail = app.mail_to("ada@acme.com").await;
    invite(&mut acme.manager, "ada@acme.com", "manager").await;
    let registration = waiting.input("registration");
    let entered = ada.post("/join/code", &[("registration", &registration), ("code", &mail.code())]).await;
    assert_eq!(entered.status, 303);
    let fields = [[("registration", registration.as_str())].as_slice(), &DETAILS].concat();
    let finished = ada.post("/join/details", &fields).await;
    assert_eq!(finished.status, 410);
    assert!(app.user("acme", "ada@acme.com").await.is_none());

    // A message that leaves after the invitation has no code at all.
    app.deliver().await;
    app.advance(2 * MINUTE);
    begin(&app, &acme, "ada@acme.com").await;
    let link_only = app.mail_to("ada@acme.com").await;
    assert!(link_only.text.contains("takes the place of a code") && !link_only.html.contains("Your code"));

    assert_eq!(app.browser().post(&mail.link(), &DETAILS).await.status, 303);
    assert_eq!(app.user("acme", "ada@acme.com").await.unwrap().role, Role::Manager);
}

#[tokio::test]
async fn nobody_becomes_a_manager_by_somebody_who_is_one_no_more() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    invite(&mut acme.manager, "nora@acme.com", "manager").await;
    let mut nora = app.browser();
    nora.post(&app.mail_to("nora@acme.com").await.link(), &DETAILS).await;
    invite(&mut nora, "otto@acme.com", "manager").await;
    invite(&mut nora, "pia@acme.com", "manager").await;

    let by = Authority::command_line(organization(&app).await);
    let nora = app.user("acme", "nora@acme.com").await.unwrap().id;
    users::change_role(&app.app, &by, nora, Role::Member).await.unwrap();
    app.browser().post(&app.mail_to("otto@acme.com").await.link(), &DETAILS).await;
    assert_eq!(app.user("acme", "otto@acme.com").await.unwrap().role, Role::Member);
    // Offered again by somebody who holds it, it counts again.
    act(&mut acme.manager, "pia@acme.com", "/resend").await;
    app.browser().post(&app.mail_to("pia@acme.com").await.link(), &DETAILS).await;
    assert_eq!(app.user("acme", "pia@acme.com").await.unwrap().role, Role::Manager);
}
