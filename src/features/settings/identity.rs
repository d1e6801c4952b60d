//! Identity Configuration: the login method, the switch, the allowlist with its live reading, and the link.
//! Nothing on this page takes effect before Save.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::qr;
use crate::{
    features::{
        admission::{
            self, Admission, AdmissionRule, Allowlist, AllowlistEntry, decide,
            reading::{self, Reading, Warning},
            rules::split_pasted,
        },
        audit::{self, Authority, EventKind, Happened},
        join::{self, EndedWhy},
        links::{self, Link},
        organizations::{self, LoginMethod, Moved, Organization},
        sessions::Manager,
        users,
    },
    platform::{
        App, Fault,
        web::{Errors, Form, PageError, Portal, go, page},
    },
    values::{DAY, Domain, EmailAddress, Invalid},
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/identity", get(show).post(save)).route("/settings/identity/check", post(check))
}

/// How long a change of the server's address is pointed out.
const MOVED_FOR_DAYS: u32 = 30;

/// Addresses that "Try" reads at once: a page stays a page.
const TRIED_AT_ONCE: usize = 200;

#[derive(Template)]
#[template(path = "features/settings/identity.html")]
struct IdentityPage<'a> {
    portal: Portal,
    form: &'a IdentityForm,
    version: i64,
    reading: ReadingPart,
    tried: Vec<Tried>,
    not_tried: usize,
    errors: Errors,
    saved: Option<usize>,
    replaced: bool,
    returned: bool,
    link: String,
    link_qr: qr::Drawn,
    used: Link,
    misfits: Vec<Misfit>,
    moved: Option<Moved>,
}

/// How each line is understood: part of the page, and the answer to the live reading.
#[derive(Template)]
#[template(path = "features/settings/reading.html")]
struct ReadingPart {
    reading: Reading,
    /// Open registrations that the form as it stands does not let finish.
    would_stop: i64,
    /// Whether the form holds something that is not saved.
    is_unsaved: bool,
}

#[derive(Template)]
#[template(path = "features/settings/conflict.html")]
struct ConflictPage<'a> {
    portal: Portal,
    form: &'a IdentityForm,
    theirs: &'a Organization,
    their_domains: Vec<String>,
    my_domains: Vec<String>,
    who: Option<String>,
}

/// What an address that was tried may do, and why.
struct Tried {
    typed: String,
    outcome: Result<Admission, Invalid>,
    nearest: Option<AllowlistEntry>,
}

/// Users of a domain that the list no longer admits. They stay; the list is about registration.
struct Misfit {
    domain: Domain,
    users: i64,
}

/// The form as typed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct IdentityForm {
    version: String,
    login_method: String,
    self_service: String,
    allowed_domains: String,
    emails: String,
    part: String,
}

/// What a valid form asks for.
struct Wanted {
    version: i64,
    login_method: LoginMethod,
    self_service: bool,
    entries: Vec<AllowlistEntry>,
}

impl IdentityForm {
    fn of(organization: &Organization, stored: &[String]) -> Self {
        Self {
            version: organization.settings_version.to_string(),
            login_method: organization.login_method.as_str().to_owned(),
            self_service: if organization.self_service { "on".to_owned() } else { String::new() },
            allowed_domains: stored.iter().map(|entry| as_typed(entry)).collect::<Vec<_>>().join("\n"),
            ..Self::default()
        }
    }

    const fn is_on(&self) -> bool {
        !self.self_service.is_empty()
    }

    /// Whether it holds something that is not saved. Addresses to try are never saved.
    fn differs_from(&self, saved: &Self) -> bool {
        self.login_method != saved.login_method
            || self.is_on() != saved.is_on()
            || !self.allowed_domains.split_whitespace().eq(saved.allowed_domains.split_whitespace())
    }

    fn reading(&self) -> Reading {
        reading::read_entries(&self.allowed_domains)
    }

    fn parse(&self) -> Result<Wanted, Errors> {
        let mut errors = Errors::default();
        let version = errors.take("version", self.version.parse().map_err(|_| Invalid::Choice));
        let login_method =
            errors.take("login_method", LoginMethod::from_word(&self.login_method).ok_or(Invalid::Choice));
        let reading = self.reading();
        for (typed, why) in reading.refused() {
            match why {
                Invalid::EntryWholeAddress { .. } => errors.add("allowed_domains", why.clone()), // names it itself
                _ => errors.add_about("allowed_domains", typed, why.clone()),
            }
        }
        let (Some(version), Some(login_method), true) = (version, login_method, errors.is_empty()) else {
            return Err(errors);
        };
        let entries = reading.entries().cloned().collect();
        Ok(Wanted { version, login_method, self_service: self.is_on(), entries })
    }
}

/// The list as it was read. A line that is no entry still makes it a list.
fn allowlist(reading: &Reading) -> Allowlist {
    Allowlist::from_part(reading.entries().cloned(), !reading.lines.is_empty())
}

/// An entry as managers write it: `@acme.com`, with the letters that people read.
fn as_typed(stored: &str) -> String {
    match stored.parse::<AllowlistEntry>() {
        Ok(AllowlistEntry::Exact(domain)) => format!("@{}", domain.unicode()),
        Ok(entry) => entry.unicode(),
        Err(_) => stored.to_owned(),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    saved: String,
    replaced: String,
}

async fn show(State(app): State<App>, manager: Manager, Query(said): Query<Said>) -> Result<Response, PageError> {
    let organization = of(&app, &manager).await?;
    let form = IdentityForm::of(&organization, &admission::whole(&app.db, organization.id).await?);
    let shown = identity_page(&app, &manager, &organization, &form, false).await?;
    page(StatusCode::OK, &IdentityPage { saved: said.saved.parse().ok(), replaced: !said.replaced.is_empty(), ..shown })
}

async fn of(app: &App, manager: &Manager) -> Result<Organization, PageError> {
    organizations::by_id(&app.db, manager.organization).await?.ok_or(PageError::NotFound)
}

async fn identity_page<'a>(
    app: &App,
    manager: &Manager,
    organization: &Organization,
    form: &'a IdentityForm,
    is_unsaved: bool,
) -> Result<IdentityPage<'a>, Fault> {
    let link = app.config.address(&links::path_of_own(app, organization.id).await?);
    let saved_list = admission::allowlist(&app.db, organization.id).await?;
    Ok(IdentityPage {
        portal: manager.portal("identity"),
        version: form.version.parse().unwrap_or(organization.settings_version),
        reading: reading_part(app, organization, form, is_unsaved).await?,
        tried: Vec::new(),
        not_tried: 0,
        errors: Errors::default(),
        saved: None,
        replaced: false,
        returned: is_unsaved,
        link_qr: qr::draw(&link),
        link,
        used: links::of_organization(&app.db, organization.id)
            .await?
            .ok_or(Fault::Data("an organization has no link"))?,
        misfits: misfits(app, organization, &saved_list).await?,
        moved: organizations::moved_since(&app.db, app.db.now() - MOVED_FOR_DAYS * DAY).await?,
        form,
    })
}

/// How the lines are understood, and how many open registrations saving them would stop (decision A10).
async fn reading_part(
    app: &App,
    organization: &Organization,
    form: &IdentityForm,
    is_unsaved: bool,
) -> Result<ReadingPart, Fault> {
    let reading = form.reading();
    let list = allowlist(&reading);
    let open = join::count_open_by_domain(&app.db, organization.id).await?;
    let stopped = open.iter().filter(|(domain, _)| !form.is_on() || !list.admits(domain));
    let would_stop = stopped.map(|(_, count)| count).sum();
    Ok(ReadingPart { reading, would_stop, is_unsaved })
}

/// Users whose domain the saved list does not admit (decision A11).
async fn misfits(app: &App, organization: &Organization, list: &Allowlist) -> Result<Vec<Misfit>, Fault> {
    let users = users::count_by_domain(&app.db, organization.id).await?;
    let mut misfits: Vec<Misfit> = users
        .into_iter()
        .filter(|(domain, _)| !list.admits(domain))
        .map(|(domain, users)| Misfit { domain, users })
        .collect();
    misfits.sort_by(|one, other| other.users.cmp(&one.users).then_with(|| one.domain.cmp(&other.domain)));
    Ok(misfits)
}

/// Reads the form as it stands and saves nothing: the live reading's fragment, or the whole page with the
/// addresses that were tried.
async fn check(
    State(app): State<App>,
    manager: Manager,
    Form(form): Form<IdentityForm>,
) -> Result<Response, PageError> {
    let organization = of(&app, &manager).await?;
    let saved = IdentityForm::of(&organization, &admission::whole(&app.db, organization.id).await?);
    let is_unsaved = form.differs_from(&saved);
    if form.part == "reading" {
        return page(StatusCode::OK, &reading_part(&app, &organization, &form, is_unsaved).await?);
    }
    let shown = identity_page(&app, &manager, &organization, &form, is_unsaved).await?;
    let (tried, not_tried) = tried(&form.emails, &allowlist(&shown.reading.reading));
    page(StatusCode::OK, &IdentityPage { tried, not_tried, ..shown })
}

/// What comes of each address, and how many there are beyond those that are tried at once.
fn tried(emails: &str, list: &Allowlist) -> (Vec<Tried>, usize) {
    let one = |typed: &str| match typed.parse::<EmailAddress>() {
        Err(why) => Tried { typed: typed.to_owned(), outcome: Err(why), nearest: None },
        Ok(address) => {
            let outcome = decide(&address, list);
            let nearest =
                matches!(outcome, Admission::Refused(_)).then(|| list.nearest(address.domain()).cloned()).flatten();
            Tried { typed: typed.to_owned(), outcome: Ok(outcome), nearest }
        }
    };
    let all = split_pasted(emails);
    let not_tried = all.len().saturating_sub(TRIED_AT_ONCE);
    (all.into_iter().take(TRIED_AT_ONCE).map(one).collect(), not_tried)
}

async fn save(State(app): State<App>, manager: Manager, Form(form): Form<IdentityForm>) -> Result<Response, PageError> {
    let organization = of(&app, &manager).await?;
    let wanted = match form.parse() {
        Ok(wanted) => wanted,
        Err(errors) => {
            let shown = identity_page(&app, &manager, &organization, &form, true).await?;
            return page(StatusCode::UNPROCESSABLE_ENTITY, &IdentityPage { errors, ..shown });
        }
    };
    match save_settings(&app, &manager.authority(), wanted).await? {
        Saved::Done { stopped } => Ok(go(&format!("/settings/identity?saved={stopped}"))),
        Saved::SomebodyElseDid => conflict(&app, &manager, &form).await,
    }
}

/// The second of two managers sees what changed and chooses (decision A12).
async fn conflict(app: &App, manager: &Manager, form: &IdentityForm) -> Result<Response, PageError> {
    let theirs = of(app, manager).await?;
    let who = match theirs.settings_by {
        Some(id) => users::by_id(&app.db, theirs.id, id).await?.map(|user| user.full_name.to_string()),
        None => None,
    };
    let shown = ConflictPage {
        portal: manager.portal("identity"),
        form,
        their_domains: admission::whole(&app.db, theirs.id).await?,
        my_domains: form.reading().entries().map(ToString::to_string).collect(),
        theirs: &theirs,
        who,
    };
    page(StatusCode::CONFLICT, &shown)
}

/// What saving did.
enum Saved {
    /// It is in effect; so many open registrations were stopped by the switch.
    Done { stopped: usize },
    /// Another manager saved since the form was opened; nothing was changed.
    SomebodyElseDid,
}

async fn save_settings(app: &App, by: &Authority, wanted: Wanted) -> Result<Saved, Fault> {
    let mut tx = app.db.write().await?;
    let before = organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    let settings = (wanted.login_method, wanted.self_service);
    if organizations::save_settings(&mut tx, before.id, wanted.version, settings, by.actor.user).await?.is_none() {
        return Ok(Saved::SomebodyElseDid);
    }
    let old: BTreeSet<String> = admission::whole(&mut tx, before.id).await?.into_iter().collect();
    let new: BTreeSet<String> = wanted.entries.iter().map(ToString::to_string).collect();
    admission::save(&mut tx, before.id, &wanted.entries);
    let mut stopped = 0;
    if before.self_service && !wanted.self_service {
        // Switched on again, the link works; what was unfinished does not revive (decision L3).
        stopped = join::end_all_open(&mut tx, before.id, EndedWhy::LinkOff, &by.actor).await?;
    }
    let details = serde_json::json!({
        "login_method": wanted.login_method.as_str(),
        "self_service": wanted.self_service,
        "added": new.difference(&old).collect::<Vec<_>>(),
        "removed": old.difference(&new).collect::<Vec<_>>(),
    });
    audit::record(&mut tx, before.id, &by.actor, Happened::to(EventKind::SettingsSaved, before.id).with(details));
    tx.commit().await?;
    Ok(Saved::Done { stopped })
}
