//! What people do again and again in the stories of the portal.

use vestibule::{features::organizations, values::OrganizationId};

use super::{Acme, Browser, ORIGIN, PASSWORD, Page, TestApp};

/// The details of somebody who joins.
pub const DETAILS: [(&str, &str); 2] = [("full_name", "Ada Lovelace"), ("password", PASSWORD)];

/// Begins a registration by the link; the browser and its waiting page.
pub async fn begin(app: &TestApp, acme: &Acme, email: &str) -> (Browser, Page) {
    let mut browser = app.browser();
    browser.get(&acme.link).await;
    let sent = browser.post(&acme.link, &[("email", email)]).await;
    let waiting = browser.follow(sent).await;
    (browser, waiting)
}

/// Asks for a new password.
pub async fn forgot(app: &TestApp, slug: &str, email: &str) {
    let page = app.browser().post(&format!("/o/{slug}/forgot-password"), &[("email", email)]).await;
    assert_eq!(page.status, 200);
    vestibule::features::sign_in::work_off(&app.app).await.unwrap();
}

/// The path of the newest message to an address.
pub async fn message_to(manager: &mut Browser, email: &str) -> String {
    let page = manager.get(&format!("/settings/mail?to={email}")).await;
    let body = page.html.split("<tbody>").nth(1).unwrap_or_else(|| panic!("no message: {}", page.words()));
    body.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// Hands the newest message to an address over; the page that shows it.
pub async fn hand_over(manager: &mut Browser, email: &str) -> Page {
    let message = message_to(manager, email).await;
    let page = manager.post(&format!("{message}/hand-over"), &[("current_password", PASSWORD)]).await;
    assert_eq!(page.status, 200, "{}", page.words());
    page
}

/// The path of the link that was handed over.
pub fn link_of(page: &Page) -> String {
    page.input("handed-link").strip_prefix(ORIGIN).unwrap().to_owned()
}

/// The one organization.
pub async fn organization(app: &TestApp) -> OrganizationId {
    organizations::only_one(&app.app.db).await.unwrap().unwrap().id
}

/// Invites addresses, one or many.
pub async fn invite(manager: &mut Browser, emails: &str, role: &str) -> Page {
    manager.post("/settings/invitations", &[("emails", emails), ("role", role)]).await
}

/// Where a button of the row of this address leads.
pub fn action(page: &Page, email: &str, act: &str) -> String {
    let row = page.html.split("<tr>").find(|row| row.contains(&format!("<th scope=\"row\">{email}</th>")));
    let row = row.unwrap_or_else(|| panic!("{email} is not pending: {}", page.words()));
    let path = row.split("formaction=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    path.into_iter().find(|path| path.ends_with(act)).unwrap().to_owned()
}

/// Presses a button of a pending invitation.
pub async fn act(manager: &mut Browser, email: &str, act: &str) -> Page {
    let path = action(&manager.get("/settings/invitations").await, email, act);
    let answer = manager.post(&path, &[]).await;
    manager.follow(answer).await
}

/// Saves an allowlist.
pub async fn allow(manager: &mut Browser, domains: &str) {
    let version = manager.get("/settings/identity").await.input("version");
    let fields =
        [("version", &*version), ("login_method", "password"), ("self_service", "on"), ("allowed_domains", domains)];
    assert_eq!(manager.post("/settings/identity", &fields).await.status, 303);
}
