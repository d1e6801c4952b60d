//! The pages of joining: the link's own here, what follows it in `waiting`, `details` and `invited`.

mod details;
mod invited;
mod waiting;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    Begin, EndedWhy, JoinError, Registration,
    counted::{counted, counted_address},
};
use crate::{
    features::{
        links::{self, Found, LinkState},
        organizations::{self, Organization},
        sessions::{self, Member},
    },
    platform::{
        App,
        limits::TooMany,
        metrics::Step,
        web::{Errors, Form, PageError, Visitor, cookies::Cookie, go, left, page},
    },
    values::{Digest, Invalid, RegistrationId, Secret, Slug},
};

/// `/join/…`, `/confirm/…` and `/invitation/…`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/join/waiting", get(waiting::show))
        .route("/join/code", post(waiting::enter_code))
        .route("/join/resend", post(waiting::resend))
        .route("/join/address", post(waiting::change_address))
        .route("/join/details", get(details::show).post(details::finish_by_code))
        .route("/join/{code}", get(show).post(begin))
        .route("/confirm/{token}", get(details::confirm).post(details::finish_by_link))
        .route("/invitation", get(left::show))
        .route("/invitation/{token}", get(invited::show).post(invited::accept))
}

#[derive(Template)]
#[template(path = "features/join/join.html")]
struct JoinPage<'a> {
    organization: &'a str,
    sign_in: String,
    action: String,
    email: &'a str,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/join/member.html")]
struct MemberPage<'a> {
    organization: &'a str,
    email: &'a str,
}

#[derive(Template)]
#[template(path = "features/join/ended.html")]
struct EndedPage<'a> {
    organization: &'a str,
    sign_in: String,
    why: Ended,
}

/// Every way in which joining is over, each with its own true reason and next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Link(LinkState),
    Registration(EndedWhy),
    TooOld,
    NotOnList,
    Barred,
    UseInvitation,
    InvitationOver,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AddressForm {
    registration: String,
    email: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Which {
    registration: String,
    again: String,
}

fn sign_in(organization: &Slug) -> String {
    format!("/o/{organization}/login")
}

/// The link behind a code; an unknown one tells nothing, and costs whoever guesses.
async fn link(app: &App, visitor: &Visitor, code: &str) -> Result<Found, PageError> {
    if let Some(found) = links::find(app, code).await? {
        return Ok(found);
    }
    Err(unknown(app, visitor))
}

/// 404, or 429 for who has tried too many.
fn unknown(app: &App, visitor: &Visitor) -> PageError {
    match app.tallies.unknown.count(&visitor.source(), app.db.now()) {
        Ok(()) => PageError::NotFound,
        Err(too_many) => PageError::TooMany(too_many),
    }
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Result<Response, PageError> {
    let link = link(&app, &visitor, &code).await?;
    if let Some(member) =
        sessions::current(&app, &visitor, &headers).await?.filter(|member| member.organization == link.organization_id)
    {
        return already_a_member(&link, &member);
    }
    must_open(&app, &link)?;
    app.tallies.funnel(link.link_id.uuid(), |funnel| funnel.shown += 1);
    let mut response = join_page(&link, &code, "", Errors::default(), StatusCode::OK)?;
    if Cookie::Browser.read(&app.config, &headers).is_none() {
        response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.set(&app.config, &app.new_secret()));
    }
    Ok(response)
}

fn already_a_member(link: &Found, member: &Member) -> Result<Response, PageError> {
    page(StatusCode::OK, &MemberPage { organization: link.organization_name.as_str(), email: member.email.as_str() })
}

fn must_open(app: &App, link: &Found) -> Result<(), PageError> {
    match link.state(app.db.now()) {
        LinkState::Open => Ok(()),
        closed => {
            app.tallies.ended_link(link.organization_id);
            Err(ended(link.organization_name.as_str(), &link.organization_slug, Ended::Link(closed)))
        }
    }
}

fn ended(organization: &str, slug: &Slug, why: Ended) -> PageError {
    PageError::page(StatusCode::GONE, &EndedPage { organization, sign_in: sign_in(slug), why })
}

fn join_page(link: &Found, code: &str, email: &str, errors: Errors, status: StatusCode) -> Result<Response, PageError> {
    let sign_in = sign_in(&link.organization_slug);
    page(
        status,
        &JoinPage {
            organization: link.organization_name.as_str(),
            sign_in,
            action: format!("/join/{code}"),
            email,
            errors,
        },
    )
}

async fn begin(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(code): Path<String>,
    Form(form): Form<AddressForm>,
) -> Result<Response, PageError> {
    let link = link(&app, &visitor, &code).await?;
    must_open(&app, &link)?;
    let refused =
        |why| join_page(&link, &code, &form.email, Errors::one("email", why), StatusCode::UNPROCESSABLE_ENTITY);
    let address = match counted_address(&form.email) {
        Ok(address) => address,
        Err(why) => return refused(why),
    };
    let browser = Cookie::Browser.read(&app.config, &headers).unwrap_or_else(|| app.new_secret());
    let begun = super::begin(&app, &link, &Begin { address, browser: browser.digest() }, &visitor).await;
    match counted(Step::Begun, begun) {
        Ok(id) => Ok(to_waiting(&app, id, Some(&browser))),
        Err(JoinError::OtherDomain(domain)) => refused(Invalid::DomainRefused { domain }),
        Err(JoinError::TooMany(too_many)) => Err(PageError::TooMany(too_many)),
        Err(error) => Err(refusal(&app, &visitor, link.organization_name.as_str(), &link.organization_slug, error)),
    }
}

fn to_waiting(app: &App, id: RegistrationId, browser: Option<&Secret>) -> Response {
    let mut response = go(&format!("/join/waiting?registration={id}"));
    if let Some(browser) = browser {
        response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.set(&app.config, browser));
    }
    response
}

/// A registration of this browser, with the organization that it leads to.
struct Mine {
    registration: Registration,
    organization: Organization,
    browser: Digest,
}

/// The registration that a form names, good only with this browser's secret. Tells nothing of any other.
async fn mine(app: &App, visitor: &Visitor, headers: &HeaderMap, id: &str) -> Result<Mine, PageError> {
    let (Ok(id), Some(secret)) = (id.parse(), Cookie::Browser.read(&app.config, headers)) else {
        return Err(not_mine(app, visitor, headers).await);
    };
    let browser = secret.digest();
    let registration = match super::of_browser(app, id, &browser).await {
        Ok(registration) => registration,
        Err(JoinError::Fault(fault)) => return Err(fault.into()),
        Err(_) => return Err(not_mine(app, visitor, headers).await),
    };
    let organization = organizations::by_id(&app.db, registration.organization_id).await?.ok_or(PageError::NotFound)?;
    Ok(Mine { registration, organization, browser })
}

/// Who has finished in another tab is signed in, and this browser's secret is gone: their account is where to go on.
async fn not_mine(app: &App, visitor: &Visitor, headers: &HeaderMap) -> PageError {
    match sessions::current(app, visitor, headers).await {
        Ok(Some(_)) => PageError::Page(Box::new(go("/account"))),
        Ok(None) => unknown(app, visitor),
        Err(fault) => fault.into(),
    }
}

impl Mine {
    fn refusal(&self, app: &App, visitor: &Visitor, error: JoinError) -> PageError {
        refusal(app, visitor, self.organization.name.as_str(), &self.organization.slug, error)
    }
}

/// How each refusal looks on a page. What has already succeeded leads on; what ended says why.
fn refusal(app: &App, visitor: &Visitor, organization: &str, slug: &Slug, error: JoinError) -> PageError {
    let why = match error {
        JoinError::Unknown => return unknown(app, visitor),
        JoinError::AlreadyUser | JoinError::Ended(EndedWhy::Finished | EndedWhy::JoinedElsewhere) => {
            return PageError::Page(Box::new(go(&sign_in(slug))));
        }
        JoinError::TooMany(TooMany { retry_after }) => return PageError::TooMany(TooMany { retry_after }),
        JoinError::Busy => return PageError::Busy,
        JoinError::Fault(fault) => return fault.into(),
        JoinError::Closed(state) => Ended::Link(state),
        JoinError::Ended(EndedWhy::LinkReplaced) => Ended::Link(LinkState::Replaced),
        JoinError::Ended(why) => Ended::Registration(why),
        JoinError::TooOld => Ended::TooOld,
        JoinError::OtherDomain(_) => Ended::NotOnList,
        JoinError::Barred => Ended::Barred,
        JoinError::UseInvitation => Ended::UseInvitation,
    };
    ended(organization, slug, why)
}
