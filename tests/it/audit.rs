//! The audit log: who did what to whom, when and from where; one event for an act, and no name outlives its user.

use std::time::Duration;

use vestibule::{
    features::{audit::Authority, provisioning, users},
    platform::db::query,
    values::{DAY, HOUR, MINUTE},
    worker,
};

use crate::support::{
    Browser, Opened as _, PASSWORD, TestApp,
    acts::{action, forgot, organization},
};

const PAGE: &str = "/settings/audit";
/// Acts follow each other in time; the minute that the page shows stays the same.
const TICK: Duration = Duration::from_millis(1);

async fn entries(manager: &mut Browser, query: &str) -> Vec<String> {
    let page = manager.get(&format!("{PAGE}{query}")).await;
    assert_eq!(page.status, 200, "{}", page.words());
    page.rows()
}

/// The entries that this act left, newest first; each is what, who, when and from where.
macro_rules! left_by {
    ($app:ident, $manager:expr, $act:expr) => {{
        $app.advance(TICK);
        let before = entries(&mut $manager, "").await.len();
        $act;
        let after = entries(&mut $manager, "").await;
        after[..after.len() - before].to_vec()
    }};
}

#[tokio::test]
async fn each_act_of_the_portal_leaves_its_one_entry() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut mia = acme.manager.clone();
    let mia_ends = "Mia Manager &#60;mia@acme.com&#62; 2026-11-22 14:00 UTC 192.0.2.7";
    let first = entries(&mut mia, "").await;
    assert!(first[2].starts_with("Made the organization A visitor"), "{first:?}");
    assert!(first[1].starts_with("Made Mia Manager &#60;mia@acme.com&#62; a manager at set-up A visitor"), "{first:?}");
    assert_eq!(first[0], format!("Signed in {mia_ends}"));

    let left = left_by!(app, mia, mia.post("/settings/invitations", &[("emails", "bob@acme.com")]).await);
    assert_eq!(left, [format!("Invited bob@acme.com as a member {mia_ends}")]);
    app.deliver().await;
    app.advance(MINUTE);
    let mia_ends = mia_ends.replace("14:00", "14:01");
    let left = left_by!(app, mia, mia.post("/settings/invitations", &[("emails", "bob@acme.com")]).await);
    assert_eq!(left, [format!("Invited bob@acme.com again as a member {mia_ends}")]);

    let version = mia.get("/settings/identity").await.input("version");
    let save = [
        ("version", version.as_str()),
        ("login_method", "password"),
        ("self_service", "on"),
        ("allowed_domains", "@acme.com *.acme.de"),
    ];
    let left = left_by!(app, mia, mia.post("/settings/identity", &save).await);
    let sentence = "Saved Identity Configuration: joining by link is on; allowed domains added: *.acme.de, acme.com";
    assert_eq!(left, [format!("{sentence} {mia_ends}")]);
    let left = left_by!(app, mia, mia.post("/settings/mail/test", &[]).await);
    assert_eq!(left, [format!("Sent a test message {mia_ends}")]);
    let left = left_by!(app, mia, mia.post("/settings/identity/replacement", &[]).await);
    assert_eq!(left, [format!("Replaced the invite link {mia_ends}")]);

    let page = mia.get("/settings/invitations").await;
    let revoke = page.html.split("formaction=\"").find(|rest| rest.contains("/revocation\"")).unwrap().to_owned();
    let revoke = revoke.split('"').next().unwrap();
    let left = left_by!(app, mia, mia.post(revoke, &[]).await);
    assert_eq!(left, [format!("Revoked the invitation of bob@acme.com {mia_ends}")]);
    assert!(left_by!(app, mia, mia.post(revoke, &[]).await).is_empty(), "nothing was done");
    acme.manager = mia;
}

#[tokio::test]
async fn each_step_of_joining_and_signing_in_leaves_its_entry() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    let mut ada = app.browser();
    ada.forwarded_for = None;
    ada.address = "198.51.100.9:4000".parse().unwrap();
    ada.get(&acme.link).await;
    let waiting;
    let form = [("email", "ada@acme.com")];
    let begun = left_by!(app, mia, waiting = ada.post(&acme.link, &form).await.location);
    assert!(begun.len() == 1 && begun[0].starts_with("Began a registration through the invite link A visitor"));
    assert!(begun[0].ends_with("198.51.100.9"), "{begun:?}");
    app.deliver().await;
    let waiting = ada.get(&waiting.unwrap()).await;
    let fields = [("registration", &*waiting.input("registration")), ("asked", &*waiting.input("asked"))];
    let again = left_by!(app, mia, ada.post("/join/resend", &fields).await);
    assert!(again.len() == 1 && again[0].starts_with("Asked for another message in a registration A visitor"));
    let link = app.mail_to("ada@acme.com").await.link();
    let details = [("full_name", "Ada"), ("password", PASSWORD)];
    let joined = left_by!(app, mia, ada.post(&link, &details).await);
    assert!(joined[0].starts_with("Signed in Ada &#60;ada@acme.com&#62;"), "{joined:?}");
    let sentence = "Ada &#60;ada@acme.com&#62; joined through the invite link as a member A visitor";
    assert!(joined.len() == 2 && joined[1].starts_with(sentence), "{joined:?}");

    let out = left_by!(app, mia, ada.post("/logout", &[]).await);
    assert!(out.len() == 1 && out[0].starts_with("Signed out Ada"), "{out:?}");
    let asked = left_by!(app, mia, forgot(&app, "acme", "ada@acme.com").await);
    assert!(asked.len() == 1 && asked[0].starts_with("Asked for a new password for Ada"), "{asked:?}");
    let reset = app.mail_to("ada@acme.com").await.link();
    let set = left_by!(app, mia, ada.post(&reset, &[("password", "another long one here")]).await);
    assert!(set.len() == 1 && set[0].starts_with("Set a password for Ada"), "{set:?}");
}

#[tokio::test]
async fn what_is_done_to_users_is_kept_and_a_deletion_erases_their_names() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    mia.post("/settings/invitations", &[("emails", "ada@acme.com")]).await;
    let link = app.mail_to("ada@acme.com").await.link();
    let mut ada = app.browser();
    ada.post(&link, &[("full_name", "Ada Lovelace"), ("password", PASSWORD)]).await;
    let (by, id) =
        (Authority::command_line(organization(&app).await), app.user("acme", "ada@acme.com").await.unwrap().id);
    app.advance(TICK);
    users::deactivate(&app.app, &by, id).await.unwrap();
    app.advance(TICK);
    users::reactivate(&app.app, &by, id).await.unwrap();
    app.advance(TICK);
    users::change_role(&app.app, &by, id, users::Role::Manager).await.unwrap();
    let log = entries(&mut mia, &format!("?about={id}")).await;
    assert!(log[0].starts_with("Made Ada Lovelace &#60;ada@acme.com&#62; a manager The command line"), "{log:?}");
    assert!(log[1].starts_with("Reactivated Ada") && log[2].starts_with("Deactivated Ada"), "{log:?}");
    assert_eq!(entries(&mut mia, "?about=ADA@acme.com").await, log, "an address finds its user");

    provisioning::delete(&app.app, &by, id, false).await.unwrap();
    let page = mia.get(PAGE).await;
    assert!(!page.html.contains("Ada") && !page.html.contains("ada@acme.com"), "{}", page.words());
    assert!(page.says("Deleted a deleted user ; the address may not return") && page.says("Signed in A deleted user"));
    assert!(page.says("Invited an address that was erased as a member"));
    assert_eq!(entries(&mut mia, &format!("?about={id}")).await.len(), log.len() + 1, "the events stay");
    assert!(!mia.get("/settings/mail").await.says("ada@acme.com"), "nor is the address in the outbox");
}

#[tokio::test]
async fn a_deletion_erases_the_address_of_an_invitation_long_ago_and_the_one_before_a_change() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    mia.post("/settings/invitations", &[("emails", "ada@acme.com, never@acme.com")]).await;
    let pending = mia.get("/settings/invitations").await;
    mia.post(&action(&pending, "never@acme.com", "revocation"), &[]).await;
    let link = app.mail_to("ada@acme.com").await.link();
    let mut ada = app.browser();
    ada.post(&link, &[("full_name", "Ada Lovelace"), ("password", PASSWORD)]).await;
    let mut bob = app.join(&acme.link, "bob@acme.com", "Bob").await;
    for (who, email) in [(&mut ada, "augusta@acme.com"), (&mut bob, "robert@acme.com")] {
        who.post("/account/address", &[("email", email), ("current_password", PASSWORD)]).await;
        let confirm = app.mail_to(email).await.link();
        assert_eq!(who.post(&confirm, &[]).await.status, 303);
    }
    app.deliver().await;
    app.advance(91 * DAY);
    worker::clean_up(&app.app).await.unwrap();
    let mut mia = app.browser();
    mia.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    let page = mia.get(PAGE).await;
    assert!(page.says("Invited ada@acme.com") && !page.says("never@acme.com"), "{}", page.words());
    let by = Authority::command_line(organization(&app).await);
    for email in ["augusta@acme.com", "robert@acme.com"] {
        let id = app.user("acme", email).await.unwrap().id;
        provisioning::delete(&app.app, &by, id, false).await.unwrap();
    }
    let mut kept: Vec<(String,)> = query(
        "select email from registrations union all select email from invitations union all select to_email from messages
         union all select name from audit_names union all select email from users",
    )
    .all(&app.app.db)
    .await
    .unwrap();
    kept.sort();
    kept.dedup();
    assert_eq!(kept, [("Acme".to_owned(),), ("mia@acme.com".to_owned(),)]);
}

#[tokio::test]
async fn a_name_cannot_forge_an_entry() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    let name = "</a></th></tr><tr><th>Replaced the invite link</th></tr>";
    let mut ada = app.browser();
    ada.get(&acme.link).await;
    ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let link = app.mail_to("ada@acme.com").await.link();
    let joined = ada.post(&link, &[("full_name", name), ("password", PASSWORD)]).await;
    assert_eq!(joined.status, 303, "{}", joined.words());
    let broken = ada.post("/o/acme/login", &[("email", "x\u{2028}y@acme.com"), ("password", PASSWORD)]).await;
    assert_eq!(broken.status, 422);
    let page = mia.get(PAGE).await;
    assert_eq!(page.rows().len(), 6, "{:?}", page.rows());
    assert!(!page.html.contains("<th>Replaced") && page.html.contains("&#60;/th&#62;"));
}

#[tokio::test]
async fn entries_are_found_by_kind_by_whom_and_by_day() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    mia.post("/settings/invitations", &[("emails", "bob@acme.com eve@acme.com")]).await;
    app.advance(DAY);
    app.sign_in(&mut mia, "acme", "mia@acme.com").await;
    mia.post("/settings/invitations", &[("emails", "dan@acme.com")]).await;

    assert_eq!(entries(&mut mia, "?kind=invitation.created").await.len(), 3);
    let bob = entries(&mut mia, "?about=bob@acme.com").await;
    assert!(bob.len() == 1 && bob[0].starts_with("Invited bob@acme.com"), "{bob:?}");
    assert_eq!(entries(&mut mia, "?kind=invitation.created&from=2026-11-23").await.len(), 1);
    assert_eq!(entries(&mut mia, "?kind=invitation.created&until=2026-11-22").await.len(), 2);
    assert_eq!(entries(&mut mia, "?kind=invitation.created&from=2026-11-22&until=2026-11-23").await.len(), 3);
    assert!(mia.get(&format!("{PAGE}?about=nobody@acme.com")).await.says("Nothing like this happened"));
    for (query, words) in [
        ("?kind=anything", "Choose one from the list"),
        ("?about=%00", "invisible character"),
        ("?from=yesterday", "Enter a day like 2026-11-22"),
        ("?until=2026-02-30", "Enter a day like 2026-11-22"),
        ("?about=%3Cscript%3E", "An address has an @ in it"),
    ] {
        let page = mia.get(&format!("{PAGE}{query}")).await;
        assert!(page.status == 422 && page.says(words), "{query}: {}", page.words());
    }
    let mut member = app.join(&acme.link, "sam@acme.com", "Sam").await;
    assert_eq!(member.get(PAGE).await.status, 403);
}

#[tokio::test]
async fn a_long_log_goes_on_page_by_page_with_its_filters() {
    let app = TestApp::start_without_mail().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    let emails: Vec<String> = (0..60).map(|n| format!("p{n}@acme.com")).collect();
    mia.post("/settings/invitations", &[("emails", &*emails.join(" "))]).await;
    let first = mia.get(&format!("{PAGE}?kind=invitation.created")).await;
    let second = mia.get(&first.link_to("Older")).await;
    let mut all = [first.rows(), second.rows()].concat();
    all.sort();
    all.dedup();
    assert_eq!((first.rows().len(), second.rows().len(), all.len()), (50, 10, 60));
}

#[tokio::test]
async fn nothing_crosses_from_one_organization_to_another() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut beta = app.another("Beta", "beta", "bea@beta.com").await;
    let mia = app.user("acme", "mia@acme.com").await.unwrap().id;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let page = beta.manager.get(PAGE).await;
    assert!(!page.says("acme.com") && !page.says("Ada") && !page.says("Mia"), "{}", page.words());
    for about in [mia.to_string(), "mia@acme.com".to_owned()] {
        assert!(beta.manager.get(&format!("{PAGE}?about={about}")).await.says("Nothing like this happened"), "{about}");
    }
}

#[tokio::test]
async fn what_visitors_are_refused_is_counted_by_hour() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut mia = acme.manager.clone();
    assert!(mia.get(PAGE).await.says("Refused at the door"));
    for _ in 0..3 {
        app.browser().post("/o/acme/login", &[("email", "mia@acme.com"), ("password", "not the password")]).await;
    }
    app.advance(HOUR);
    app.browser().post("/o/acme/login", &[("email", "mia@acme.com"), ("password", "not the password")]).await;
    let page = mia.get(PAGE).await;
    assert!(page.says("Wrong address or password 2026-11-22 15:00 UTC 1"), "{}", page.words());
    assert!(page.says("Wrong address or password 2026-11-22 14:00 UTC 3"), "{}", page.words());
    assert!(!mia.get(&format!("{PAGE}?kind=session.started")).await.says("Refused at the door"));
}

#[tokio::test]
async fn whoever_comes_by_an_ended_link_is_counted() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let version = acme.manager.get("/settings/identity").await.input("version");
    acme.manager.post("/settings/identity", &[("version", &*version), ("login_method", "password")]).await;
    assert_eq!(app.browser().get(&acme.link).await.status, 410);
    assert_eq!(app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await.status, 410);
    for server in app.replicas() {
        worker::write_tallies(server).await.unwrap();
    }
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("Link off, replaced, expired or full 2026-11-22 14:00 UTC 2"), "{}", page.words());
}
