//! A server on which every address leads somewhere: each placeholder has something real, each form its right fields.

use std::collections::BTreeMap;

use super::{
    Browser, Opened as _, PASSWORD, TestApp,
    acts::{action, invite, message_to, organization},
};

/// Who may come: nobody who is signed in, a member, a manager.
pub const PEOPLE: [Option<&str>; 3] = [None, Some("mel@acme.com"), Some("mia@acme.com")];

/// The addresses that have begun to join, each for one form.
const BEGUN: [&str; 5] = ["code@acme.com", "resend@acme.com", "address@acme.com", "details@acme.com", "link@acme.com"];

pub struct House {
    pub app: TestApp,
    /// Has begun registrations.
    visitor: Browser,
    /// With which members have signed in before.
    known: BTreeMap<&'static str, Browser>,
    /// What stands for the beginning of an address.
    real: BTreeMap<&'static str, String>,
    /// Of each address that has begun: its registration, and its code.
    begun: BTreeMap<&'static str, (String, String)>,
    version: String,
}

impl House {
    pub async fn start() -> Self {
        Self::on(TestApp::start().await).await
    }

    /// On a server on which nothing is yet.
    pub async fn on(app: TestApp) -> Self {
        let mut acme = app.acme().await;
        let mut real = BTreeMap::from([
            ("/assets/{hash}/{name}", vestibule::platform::web::style_sheet().to_owned()),
            ("/join/{code}", acme.link.clone()),
            ("/o/{slug}", "/o/acme".to_owned()),
        ]);
        settle_members(&app, &acme.link, &mut real).await;
        let manager = &mut acme.manager;
        let version = manager.get("/settings/identity").await.input("version");
        let mut house =
            Self { visitor: app.browser(), known: BTreeMap::new(), app, real, begun: BTreeMap::new(), version };
        house.begin(&acme.link).await;
        house.settle_managed(manager).await;
        house
    }

    /// Several registrations of one browser, one of them with its code entered.
    async fn begin(&mut self, link: &str) {
        self.visitor.get(link).await;
        for email in BEGUN {
            let sent = self.visitor.post(link, &[("email", email)]).await;
            let registration = self.visitor.follow(sent).await.input("registration");
            let mail = self.app.mail_to(email).await;
            self.begun.insert(email, (registration, mail.code()));
            self.real.insert("/confirm/{token}", mail.link());
        }
        let (registration, code) = &self.begun["details@acme.com"];
        let fields = [("registration", registration.as_str()), ("code", code)];
        assert_eq!(self.visitor.post("/join/code", &fields).await.status, 303);
        self.real.insert("/join/details", format!("/join/details?registration={registration}"));
        let (waiting, _) = &self.begun["code@acme.com"];
        self.real.insert("/join/waiting", format!("/join/waiting?registration={waiting}"));
    }

    /// Somebody invited, somebody created, and a message that waits.
    async fn settle_managed(&mut self, manager: &mut Browser) {
        invite(manager, "ivo@acme.com", "member").await;
        let pending = action(&manager.get("/settings/invitations").await, "ivo@acme.com", "/resend");
        self.real.insert("/settings/invitations/{id}", pending.strip_suffix("/resend").unwrap().to_owned());
        self.real.insert("/invitation/{token}", self.app.mail_to("ivo@acme.com").await.link());
        for email in ["bob@acme.com", "waiting@acme.com"] {
            self.app.deliver().await;
            let fields = [("email", email), ("full_name", "Bob"), ("role", "member")];
            assert_eq!(manager.post("/settings/users/new", &fields).await.status, 303);
        }
        let bob = self.app.user("acme", "bob@acme.com").await.unwrap();
        self.real.insert("/settings/users/{id}", format!("/settings/users/{}", bob.id));
        self.real.insert("/settings/mail/{id}", message_to(manager, "waiting@acme.com").await);
    }

    /// Each of [`PEOPLE`] with a browser of their own.
    pub async fn people(&mut self) -> Vec<Browser> {
        let mut people = Vec::new();
        for who in PEOPLE {
            people.push(self.browser_of(who).await);
        }
        people
    }

    /// The browser that has begun to join, with one of [`PEOPLE`] at it.
    pub async fn browser_of(&mut self, who: Option<&'static str>) -> Browser {
        let Some(email) = who else { return self.visitor.clone() };
        // Mel's address changes with the form that confirms it.
        let address = self.app.user("acme", email).await.map_or("melanie@acme.com", |_| email);
        let browser = self.known.entry(email).or_insert_with(|| self.visitor.clone());
        self.app.sign_in(browser, "acme", address).await;
        browser.clone()
    }

    /// Learns the link that opens by now.
    pub async fn renew_link(&mut self) {
        let acme = organization(&self.app).await;
        let link = vestibule::features::links::path_of_own(&self.app.app, acme).await.unwrap();
        self.real.insert("/join/{code}", link);
    }

    /// An address with something real in each place. One for which nothing is known fails its test: settle it here.
    pub fn fill(&self, path: &str) -> String {
        let known = self.real.iter().find(|(known, _)| path.starts_with(**known));
        let filled = known.map_or_else(|| path.to_owned(), |(known, real)| path.replacen(known, real, 1));
        assert!(!filled.contains('{'), "what stands for the placeholder in {path}?");
        filled
    }

    /// The fields that a form takes, all of them right; none where nobody has written them down.
    pub fn form(&self, path: &str) -> Vec<(&str, &str)> {
        let of = |email: &str| self.begun[email].0.as_str();
        let again = ("current_password", PASSWORD);
        let details = [("full_name", "Eve"), ("password", PASSWORD)];
        match path {
            "/join/{code}" => vec![("email", "eve@acme.com")],
            "/join/code" => vec![("registration", of("code@acme.com")), ("code", &self.begun["code@acme.com"].1)],
            "/join/resend" => vec![("registration", of("resend@acme.com"))],
            "/join/address" => vec![("registration", of("address@acme.com")), ("email", "evi@acme.com")],
            "/join/details" => [&[("registration", of("details@acme.com"))], &details[..]].concat(),
            "/confirm/{token}" | "/invitation/{token}" => details.to_vec(),
            "/reset/{token}" => vec![("password", PASSWORD)],
            "/login" => vec![("slug", "acme")],
            "/o/{slug}/login" => vec![("email", "mia@acme.com"), ("password", PASSWORD)],
            "/o/{slug}/forgot-password" => vec![("email", "mia@acme.com")],
            "/setup" => [&[("organization_name", "Evil"), ("email", "eve@acme.com")], &details[..]].concat(),
            "/account/name" => vec![("full_name", "Eve")],
            "/account/password" => vec![again, ("password", PASSWORD)],
            "/account/address" => vec![again, ("email", "eva@acme.com")],
            "/settings/identity" | "/settings/identity/check" => vec![
                ("version", &self.version),
                ("login_method", "password"),
                ("self_service", "on"),
                ("allowed_domains", "acme.com, evil.com"),
            ],
            "/settings/identity/replacement" => vec![("cancel", "on")],
            "/settings/invitations" => vec![("emails", "ira@acme.com"), ("role", "manager"), again],
            "/settings/mail/{id}/hand-over" => vec![again],
            "/settings/users/new" => vec![("email", "nora@acme.com"), ("role", "manager"), again],
            "/settings/users/{id}/role" => vec![("role", "manager"), again],
            "/settings/users/{id}/deletion" => vec![("may_return", "yes"), again],
            _ => Vec::new(),
        }
    }
}

/// A member with two sessions who changes the address, and one who has forgotten the password.
async fn settle_members(app: &TestApp, link: &str, real: &mut BTreeMap<&'static str, String>) {
    let mut mel = app.join(link, "mel@acme.com", "Mel").await;
    app.sign_in(&mut app.browser(), "acme", "mel@acme.com").await;
    let account = mel.get("/account").await;
    let session = account.html.split("action=\"").find(|rest| rest.starts_with("/account/sessions/ses_")).unwrap();
    real.insert("/account/sessions/{id}", session.split("/end\"").next().unwrap().to_owned());
    mel.post("/account/address", &[("email", "melanie@acme.com"), ("current_password", PASSWORD)]).await;
    real.insert("/account/address/{token}", app.mail_to("melanie@acme.com").await.link());
    app.join(link, "rita@acme.com", "Rita").await;
    app.browser().post("/o/acme/forgot-password", &[("email", "rita@acme.com")]).await;
    real.insert("/reset/{token}", app.mail_to("rita@acme.com").await.link());
}
