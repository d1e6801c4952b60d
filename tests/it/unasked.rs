//! What no form asks for: whoever sends it anyway changes nothing of any user with it.

use std::collections::BTreeMap;

use uuid::Uuid;
use vestibule::{platform::db::query, values::Timestamp};

use crate::support::{
    Browser,
    house::{House, PEOPLE},
    routes,
};

/// A user as the database has them: address, role, status, two ways, organization, id, hash, first moment.
type Row = (String, String, String, String, String, String, Uuid, Option<String>, Timestamp);

async fn users(house: &House) -> Vec<Row> {
    query(
        "select u.email, u.role, u.status, u.proved_how, u.came_by, o.slug, u.id, u.password_hash, u.created_at
           from users u join organizations o on o.id = u.organization_id order by u.email",
    )
    .all(&house.app.app.db)
    .await
    .unwrap()
}

/// Each user after a form: everything that a form might set. Ids and hashes differ from one server to the other, so of
/// those it tells whether they are the user's as before, and of which kind a hash is.
fn effect(before: &[Row], after: Vec<Row>) -> Vec<String> {
    let before: BTreeMap<&str, &Row> = before.iter().map(|row| (row.0.as_str(), row)).collect();
    let told = after.into_iter().map(|(email, role, status, proved, came, organization, id, hash, created)| {
        let old = before.get(email.as_str());
        let stays = old.map(|old| (old.6 == id, old.7 == hash));
        let kind = hash.map(|hash| hash.split('$').take(4).collect::<String>());
        format!("{email} {role} {status} {proved} {came} {organization} {stays:?} {kind:?} {created:?}")
    });
    told.collect()
}

/// What nobody documented, with values that would matter.
async fn extras(house: &House) -> Vec<(&'static str, String)> {
    house.app.second_organization().await;
    let otto = house.app.user("globex", "otto@globex.example").await.unwrap();
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let words = [
        ("role", "manager"),
        ("status", "deactivated"),
        ("email_verified", "true"),
        ("proved_how", "command line"),
        ("came_by", "set-up"),
        ("created_at", "2001-01-01T00:00:00Z"),
        ("password_hash", hash),
    ];
    let mut extras: Vec<_> = words.map(|(name, value)| (name, value.to_owned())).to_vec();
    extras.extend(["organization_id", "tenant_id"].map(|name| (name, otto.organization_id.to_string())));
    extras.push(("id", otto.id.to_string()));
    extras
}

/// The extras that a form does not have for itself.
fn beside<'a>(extras: &'a [(&'static str, String)], form: &[(&str, &str)], path: &str) -> Vec<(&'a str, &'a str)> {
    let asks = |name: &str| {
        let takes_a_role = path.ends_with("/role") || path == "/settings/users/new" || path == "/settings/invitations";
        form.iter().any(|(known, _)| *known == name) || (name == "role" && takes_a_role)
    };
    extras.iter().filter(|(name, _)| !asks(name)).map(|(name, value)| (*name, value.as_str())).collect()
}

/// Sends a form: its status, and every user afterwards.
async fn send(house: &House, mut browser: Browser, path: &str, more: &[(&str, &str)]) -> (u16, Vec<String>) {
    let before = users(house).await;
    let form = [&house.form(path)[..], more].concat();
    let page = browser.post(&house.fill(path), &form).await;
    (page.status, effect(&before, users(house).await))
}

#[tokio::test]
async fn nothing_that_a_form_does_not_ask_for_takes_effect() {
    let mut done = BTreeMap::new();
    for who in PEOPLE {
        let (mut plain, mut crowded) = (House::start().await, House::start().await);
        extras(&plain).await;
        let extras = extras(&crowded).await;
        for path in routes::forms(&plain.app).await {
            let more = beside(&extras, &plain.form(&path), &path);
            let browsers = (plain.browser_of(who).await, crowded.browser_of(who).await);
            let asked = send(&plain, browsers.0, &path, &[]).await;
            let crowded = send(&crowded, browsers.1, &path, &more).await;
            assert_eq!(asked, crowded, "{path} by {who:?} with {more:?}");
            *done.entry(path).or_insert(false) |= asked.0 < 400;
        }
    }
    done.remove("/setup");
    assert!(done.values().all(|done| *done), "each form was right for somebody: {done:?}");
}
