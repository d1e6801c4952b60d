//! `/account/address`: asking for another address, and the links that confirm or stop the change.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Deserialize;

use super::{
    AccountError,
    address::{self, Act},
    web::{Shown, refusal},
};
use crate::{
    features::sessions::Member,
    platform::{
        App,
        web::{Form, PageError, Portal, go, left, page},
    },
    values::{Digest, Domain, EmailAddress, Invalid, Secret},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/account/address", get(left::show).post(begin))
        .route("/account/address/{token}", get(show).post(act))
}

#[derive(Template)]
#[template(path = "features/account/address.html")]
struct AddressPage<'a> {
    portal: Portal,
    token: &'a str,
    act: Act,
    old: &'a EmailAddress,
    new: &'a EmailAddress,
}

#[derive(Template)]
#[template(path = "features/account/address_over.html")]
struct AddressOverPage<'a> {
    portal: Portal,
    email: &'a EmailAddress,
    why: Over,
}

/// Every way in which a link does nothing any more.
enum Over {
    Ended,
    NotYours,
    Taken,
    Domain(Domain),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AddressForm {
    email: String,
    current_password: String,
}

async fn begin(State(app): State<App>, member: Member, Form(form): Form<AddressForm>) -> Result<Response, PageError> {
    let shown = Shown::of(&member).with_address(&form.email);
    let new: EmailAddress = match form.email.parse() {
        Ok(new) => new,
        Err(why) => return shown.refused(&app, &member, "email", why).await,
    };
    if new.identity() == member.email.identity() {
        return shown.refused(&app, &member, "email", Invalid::AddressUnchanged).await;
    }
    let (field, why) = match address::begin(&app, &member, &new, &form.current_password).await {
        Ok(()) => return Ok(go("/account#address-title")),
        Err(AccountError::OtherDomain(domain)) => ("email", Invalid::DomainNotHere { domain }),
        Err(AccountError::PasswordWrong) => ("address_password", Invalid::PasswordWrong),
        Err(AccountError::Busy) => ("address_password", Invalid::Busy),
        Err(error) => return Err(refusal(error)),
    };
    shown.refused(&app, &member, field, why).await
}

fn digest(app: &App, member: &Member, token: &str) -> Result<Digest, PageError> {
    token.parse::<Secret>().map(|secret| secret.digest()).map_err(|_| unknown(app, member))
}

/// 404, or 429 for who has tried too many.
fn unknown(app: &App, member: &Member) -> PageError {
    match app.tallies.unknown.count(&member.visitor.source(), app.db.now()) {
        Ok(()) => PageError::NotFound,
        Err(too_many) => too_many.into(),
    }
}

fn over(app: &App, member: &Member, error: AccountError) -> PageError {
    let (status, why) = match error {
        AccountError::Unknown => return unknown(app, member),
        AccountError::Over => (StatusCode::GONE, Over::Ended),
        AccountError::NotYours => (StatusCode::FORBIDDEN, Over::NotYours),
        AccountError::Taken => (StatusCode::UNPROCESSABLE_ENTITY, Over::Taken),
        AccountError::OtherDomain(domain) => (StatusCode::UNPROCESSABLE_ENTITY, Over::Domain(domain)),
        error => return refusal(error),
    };
    PageError::page(status, &AddressOverPage { portal: member.portal("account"), email: &member.email, why })
}

/// Changes nothing, and without sign-in shows nothing.
async fn show(State(app): State<App>, member: Member, Path(token): Path<String>) -> Result<Response, PageError> {
    let digest = digest(&app, &member, &token)?;
    let (act, change) = address::look(&app, &member, &digest).await.map_err(|error| over(&app, &member, error))?;
    let shown = AddressPage {
        portal: member.portal("account"),
        token: &token,
        act,
        old: &member.email,
        new: &change.new_email,
    };
    page(StatusCode::OK, &shown)
}

async fn act(State(app): State<App>, member: Member, Path(token): Path<String>) -> Result<Response, PageError> {
    let digest = digest(&app, &member, &token)?;
    match address::act(&app, &member, &digest).await {
        Ok(Act::Confirm) => Ok(go("/account?notice=address")),
        Ok(Act::Stop) => Ok(go("/account?notice=stopped")),
        Err(error) => Err(over(&app, &member, error)),
    }
}
