//! `/join/waiting`: the code is typed, asked for again, or the address changed.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Deserialize;

use super::{AddressForm, Mine, Which, mine, sign_in, to_waiting};
use crate::{
    features::join::{
        self, Begin, Entered, JoinError,
        counted::{counted, counted_address, counted_code},
    },
    platform::{
        App,
        mail::{State as MailState, outbox},
        metrics::Step,
        web::{Errors, Form, PageError, Visitor, cookies::Cookie, go, page},
    },
    values::{ConfirmationCode, EmailAddress, Invalid, RegistrationId, Timestamp},
};

#[derive(Template)]
#[template(path = "features/join/waiting.html")]
struct WaitingPage<'a> {
    organization: &'a str,
    sign_in: String,
    registration: RegistrationId,
    asked: i64,
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

/// `asked` is when mail had been asked for last, as the page knew it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AgainForm {
    registration: String,
    asked: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CodeForm {
    registration: String,
    code: String,
}

pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &which.registration).await?;
    join::must_look_open(&app, &mine.registration).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
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
        asked: mine.registration.asked_at.micros(),
        email: &mine.registration.email,
        sender: app.mailer.sender(),
        standing,
        again,
        new_email,
        errors,
    };
    page(status, &waiting)
}

pub(super) async fn enter_code(
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
    let entered = join::enter_code(&app, &mine.registration, &code, &visitor).await;
    match counted_code(entered).map_err(|error| mine.refusal(&app, &visitor, error))? {
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

pub(super) async fn resend(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<AgainForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    // A form without it asks because of what stands now.
    let seen = match form.asked.as_str() {
        "" => Some(mine.registration.asked_at),
        asked => asked.parse().ok().map(Timestamp::from_micros),
    };
    join::resend(&app, &mine.registration, seen, &visitor)
        .await
        .map_err(|error| mine.refusal(&app, &visitor, error))?;
    Ok(go(&format!("/join/waiting?registration={}&again=1", mine.registration.id)))
}

pub(super) async fn change_address(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<AddressForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    let refused = |why| {
        waiting_page(&app, &mine, &form.email, Errors::one("email", why), (StatusCode::UNPROCESSABLE_ENTITY, false))
    };
    let address = match counted_address(&form.email) {
        Ok(address) => address,
        Err(why) => return refused(why).await,
    };
    let begun =
        join::change_address(&app, &mine.registration, &Begin { address, browser: mine.browser }, &visitor).await;
    match counted(Step::Begun, begun) {
        Ok(id) => Ok(to_waiting(&app, id, None)),
        Err(JoinError::OtherDomain(domain)) => refused(Invalid::DomainRefused { domain }).await,
        Err(error) => Err(mine.refusal(&app, &visitor, error)),
    }
}
