use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{Begin, Details, EndedWhy, Entered, JoinError, Proof, Registration};
use crate::{
    features::{
        links::{self, Found, LinkState},
        organizations::{self, Organization},
        sessions::{self, Member},
    },
    platform::{
        App, Fault,
        limits::TooMany,
        mail::{State as MailState, outbox},
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, cookies::Cookie, go, page, retry_after_header},
    },
    values::{
        ConfirmationCode, Digest, EmailAddress, FullName, Invalid, Password, PersonalWords, RegistrationId, Secret,
    },
};

/// `/join/…`, `/confirm/…` and `/invitation/…`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/join/waiting", get(waiting))
        .route("/join/code", post(enter_code))
        .route("/join/resend", post(resend))
        .route("/join/address", post(change_address))
        .route("/join/details", get(details).post(finish_by_code))
        .route("/join/{code}", get(show).post(begin))
        .route("/confirm/{token}", get(confirm).post(finish_by_link))
        .merge(super::web_invited::routes())
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
#[template(path = "features/join/waiting.html")]
struct WaitingPage<'a> {
    organization: &'a str,
    sign_in: String,
    registration: RegistrationId,
    email: &'a EmailAddress,
    sender: Option<String>,
    standing: Standing,
    again: bool,
    new_email: &'a str,
    errors: Errors,
}

/// What the waiting page truthfully says about the message; the same for every address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Sent,
    Delayed,
    Failed,
}

#[derive(Template)]
#[template(path = "features/join/details.html")]
pub(super) struct DetailsPage<'a> {
    pub organization: &'a str,
    pub email: &'a EmailAddress,
    pub action: String,
    pub leaves_to: &'static str,
    pub registration: Option<RegistrationId>,
    pub full_name: &'a str,
    pub errors: Errors,
    pub busy: bool,
}

#[derive(Template)]
#[template(path = "features/join/ended.html")]
pub(super) struct EndedPage<'a> {
    pub organization: &'a str,
    pub sign_in: String,
    pub why: Ended,
}

/// Every way in which joining is over, each with its own true reason and next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
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
struct AddressForm {
    registration: String,
    email: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CodeForm {
    registration: String,
    code: String,
}

/// The details as typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DetailsForm {
    registration: String,
    pub(super) full_name: String,
    password: String,
}

impl DetailsForm {
    pub(super) fn parse(&self, email: &EmailAddress, organization: &str) -> Result<Details, Errors> {
        let mut errors = Errors::default();
        let about = PersonalWords { full_name: &self.full_name, email: email.as_str(), organization };
        let full_name = errors.take("full_name", self.full_name.parse::<FullName>());
        let password = errors.take("password", Password::parse_new(&self.password, &about));
        let (Some(full_name), Some(password)) = (full_name, password) else { return Err(errors) };
        Ok(Details { full_name, password })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    registration: String,
    again: String,
}

fn sign_in(organization: &crate::values::Slug) -> String {
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
pub(super) fn unknown(app: &App, visitor: &Visitor) -> PageError {
    match app.tallies.unknown(&visitor.source(), app.db.now()) {
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
    app.tallies.shown(link.link_id.uuid());
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
        closed => Err(ended(link.organization_name.as_str(), &link.organization_slug, Ended::Link(closed))),
    }
}

fn ended(organization: &str, slug: &crate::values::Slug, why: Ended) -> PageError {
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
    let address: EmailAddress = match form.email.parse() {
        Ok(address) => address,
        Err(why) => return refused(why),
    };
    let browser = Cookie::Browser.read(&app.config, &headers).unwrap_or_else(|| app.new_secret());
    match super::begin(&app, &link, &Begin { address, browser: browser.digest() }, &visitor).await {
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
        return Err(unknown(app, visitor));
    };
    let browser = secret.digest();
    let registration = match super::of_browser(app, id, &browser).await {
        Ok(registration) => registration,
        Err(JoinError::Fault(fault)) => return Err(fault.into()),
        Err(_) => return Err(unknown(app, visitor)),
    };
    let organization = organizations::by_id(&app.db, registration.organization_id).await?.ok_or(PageError::NotFound)?;
    Ok(Mine { registration, organization, browser })
}

impl Mine {
    fn refusal(&self, app: &App, visitor: &Visitor, error: JoinError) -> PageError {
        refusal(app, visitor, self.organization.name.as_str(), &self.organization.slug, error)
    }
}

/// How each refusal looks on a page. What has already succeeded leads on; what ended says why.
pub(super) fn refusal(
    app: &App,
    visitor: &Visitor,
    organization: &str,
    slug: &crate::values::Slug,
    error: JoinError,
) -> PageError {
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

async fn waiting(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &which.registration).await?;
    super::must_be_open(&app, &mine.registration).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
    if mine.registration.is_confirmed(app.db.now()) {
        return Ok(go(&format!("/join/details?registration={}", mine.registration.id)));
    }
    waiting_page(&app, &mine, "", Errors::default(), (StatusCode::OK, which.again == "1")).await
}

async fn waiting_page(
    app: &App,
    mine: &Mine,
    new_email: &str,
    errors: Errors,
    (status, again): (StatusCode, bool),
) -> Result<Response, PageError> {
    let standing = match outbox::standing(&app.db, mine.registration.id.subject()).await? {
        Some(message) if message.state == MailState::Failed => Standing::Failed,
        Some(message)
            if message.state == MailState::Waiting && message.attempts > 0 && message.due_at > app.db.now() =>
        {
            Standing::Delayed
        }
        _ => Standing::Sent,
    };
    let waiting = WaitingPage {
        organization: mine.organization.name.as_str(),
        sign_in: sign_in(&mine.organization.slug),
        registration: mine.registration.id,
        email: &mine.registration.email,
        sender: app.mailer.sender(),
        standing,
        again,
        new_email,
        errors,
    };
    page(status, &waiting)
}

async fn enter_code(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<CodeForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    let refused =
        |why| waiting_page(&app, &mine, "", Errors::one("code", why), (StatusCode::UNPROCESSABLE_ENTITY, false));
    let code: ConfirmationCode = match form.code.parse() {
        Ok(code) => code,
        Err(why) => return refused(why).await,
    };
    let entered = super::enter_code(&app, &mine.registration, &mine.browser, &code, &visitor).await;
    match entered.map_err(|error| mine.refusal(&app, &visitor, error))? {
        Entered::Right(secret) => {
            let mut response = go(&format!("/join/details?registration={}", mine.registration.id));
            response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.set(&app.config, &secret));
            Ok(response)
        }
        Entered::Wrong(left) => refused(if left > 0 { Invalid::CodeWrong { left } } else { Invalid::CodeEnded }).await,
        Entered::NoCode => refused(Invalid::CodeEnded).await,
        Entered::OpenTheLink => refused(Invalid::CodeTooMany).await,
    }
}

async fn resend(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<AddressForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    super::resend(&app, &mine.registration, &visitor).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
    Ok(go(&format!("/join/waiting?registration={}&again=1", mine.registration.id)))
}

async fn change_address(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<AddressForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    let refused = |why| {
        waiting_page(&app, &mine, &form.email, Errors::one("email", why), (StatusCode::UNPROCESSABLE_ENTITY, false))
    };
    let address: EmailAddress = match form.email.parse() {
        Ok(address) => address,
        Err(why) => return refused(why).await,
    };
    match super::change_address(&app, &mine.registration, &Begin { address, browser: mine.browser }, &visitor).await {
        Ok(id) => Ok(to_waiting(&app, id, None)),
        Err(JoinError::OtherDomain(domain)) => refused(Invalid::DomainRefused { domain }).await,
        Err(error) => Err(mine.refusal(&app, &visitor, error)),
    }
}

async fn details(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &which.registration).await?;
    let proof = Proof::Code(mine.registration.id, mine.browser);
    super::look(&app, &proof).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
    details_of(&mine).answer(StatusCode::OK)
}

fn details_of(mine: &Mine) -> DetailsPage<'_> {
    DetailsPage {
        organization: mine.organization.name.as_str(),
        email: &mine.registration.email,
        action: "/join/details".to_owned(),
        leaves_to: "",
        registration: Some(mine.registration.id),
        full_name: "",
        errors: Errors::default(),
        busy: false,
    }
}

impl DetailsPage<'_> {
    pub(super) fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        let response = page(status, self)?;
        Ok(if self.busy { retry_after_header(response, BUSY_SECONDS) } else { response })
    }
}

async fn finish_by_code(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    let proof = Proof::Code(mine.registration.id, mine.browser);
    super::look(&app, &proof).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
    finish(&app, &visitor, &headers, &proof, &form, details_of(&mine), &mine.organization.slug).await
}

/// The page behind the mail's link. A scanner that opens it achieves nothing.
async fn confirm(State(app): State<App>, visitor: Visitor, Path(token): Path<String>) -> Result<Response, PageError> {
    let theirs = behind(&app, &visitor, &token).await?;
    details_behind(&theirs, &token).answer(StatusCode::OK)
}

/// A registration that a mail's link opens, from any device.
struct Theirs {
    registration: Registration,
    organization: Organization,
    proof: Proof,
}

async fn behind(app: &App, visitor: &Visitor, token: &str) -> Result<Theirs, PageError> {
    let Ok(secret) = token.parse::<Secret>() else { return Err(unknown(app, visitor)) };
    let proof = Proof::Link(secret.digest());
    let (id, looked) = match super::look(app, &proof).await {
        Ok(registration) => (registration.organization_id, Ok(registration)),
        Err(error) => {
            (super::organization_behind(app, &proof).await?.ok_or_else(|| unknown(app, visitor))?, Err(error))
        }
    };
    let organization = organizations::by_id(&app.db, id).await?.ok_or(PageError::NotFound)?;
    let registration =
        looked.map_err(|error| refusal(app, visitor, organization.name.as_str(), &organization.slug, error))?;
    Ok(Theirs { registration, organization, proof })
}

fn details_behind<'a>(theirs: &'a Theirs, token: &str) -> DetailsPage<'a> {
    DetailsPage {
        organization: theirs.organization.name.as_str(),
        email: &theirs.registration.email,
        action: format!("/confirm/{token}"),
        leaves_to: "/join/details",
        registration: None,
        full_name: "",
        errors: Errors::default(),
        busy: false,
    }
}

async fn finish_by_link(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(token): Path<String>,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let theirs = behind(&app, &visitor, &token).await?;
    finish(&app, &visitor, &headers, &theirs.proof, &form, details_behind(&theirs, &token), &theirs.organization.slug)
        .await
}

#[expect(
    clippy::too_many_arguments,
    reason = "both ways to finish meet here, and each argument is one thing that differs"
)]
async fn finish(
    app: &App,
    visitor: &Visitor,
    headers: &HeaderMap,
    proof: &Proof,
    form: &DetailsForm,
    shown: DetailsPage<'_>,
    slug: &crate::values::Slug,
) -> Result<Response, PageError> {
    let details = match form.parse(shown.email, shown.organization) {
        Ok(details) => details,
        Err(errors) => {
            return DetailsPage { full_name: &form.full_name, errors, ..shown }
                .answer(StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let before = Cookie::Session.read(&app.config, headers);
    match super::finish(app, proof, details, visitor, before.as_ref()).await {
        Ok(started) => {
            let mut response = go("/account");
            started.set_cookies(&app.config, &mut response);
            forget_browser(app, headers, &mut response).await?;
            Ok(response)
        }
        Err(JoinError::Busy) => {
            DetailsPage { full_name: &form.full_name, busy: true, ..shown }.answer(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error) => Err(refusal(app, visitor, shown.organization, slug, error)),
    }
}

/// The browser's secret goes at the end, unless another registration of this browser still needs it.
async fn forget_browser(app: &App, headers: &HeaderMap, response: &mut Response) -> Result<(), Fault> {
    let Some(secret) = Cookie::Browser.read(&app.config, headers) else { return Ok(()) };
    if !super::store::browser_has_open(&app.db, &secret.digest()).await? {
        response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.remove(&app.config));
    }
    Ok(())
}
