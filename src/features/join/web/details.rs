//! The details page: name and password, after a code or behind the mail's link.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Deserialize;

use super::{Which, not_mine, refusal, unknown};
use crate::{
    features::{
        join::{Details, JoinError, Proof, counted::counted_finish, finish, store::Opened},
        sessions,
    },
    platform::{
        App,
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, cookies::Cookie, go, left, page, retry_after_header},
    },
    values::{EmailAddress, FullName, Password, PersonalWords, RegistrationId, Secret},
};

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

/// The details as typed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DetailsForm {
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

impl DetailsPage<'_> {
    pub(super) fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        let response = page(status, self)?;
        Ok(if self.busy { retry_after_header(response, BUSY_SECONDS) } else { response })
    }
}

pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    if which.registration.is_empty() && sessions::current(&app, &visitor, &headers).await?.is_none() {
        return left::show().await;
    }
    let (opened, _) = of_mine(&app, &visitor, &headers, &which.registration).await?;
    details_of(&opened).answer(StatusCode::OK)
}

/// A registration of this browser whose code was accepted, if it still may be finished.
async fn of_mine(app: &App, visitor: &Visitor, headers: &HeaderMap, id: &str) -> Result<(Opened, Proof), PageError> {
    let (Ok(id), Some(secret)) = (id.parse(), Cookie::Browser.read(&app.config, headers)) else {
        return Err(not_mine(app, visitor, headers).await);
    };
    let browser = secret.digest();
    let proof = Proof::Code(id, browser);
    match finish::find(app, &proof, Some(&browser)).await {
        Ok(opened) => Ok((open(app, visitor, opened, &proof)?, proof)),
        Err(JoinError::Fault(fault)) => Err(fault.into()),
        Err(_) => Err(not_mine(app, visitor, headers).await),
    }
}

fn open(app: &App, visitor: &Visitor, opened: Opened, proof: &Proof) -> Result<Opened, PageError> {
    match opened.must_be_open(proof, app.db.now()) {
        Ok(()) => Ok(opened),
        Err(error) => Err(refusal(app, visitor, opened.organization_name.as_str(), &opened.organization_slug, error)),
    }
}

fn details_of(opened: &Opened) -> DetailsPage<'_> {
    DetailsPage {
        organization: opened.organization_name.as_str(),
        email: &opened.registration.email,
        action: "/join/details".to_owned(),
        leaves_to: "",
        registration: Some(opened.registration.id),
        full_name: "",
        errors: Errors::default(),
        busy: false,
    }
}

pub(super) async fn finish_by_code(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let (opened, proof) = of_mine(&app, &visitor, &headers, &form.registration).await?;
    finish(&app, (&visitor, &headers), (&opened, &proof), &form, details_of(&opened)).await
}

/// The page behind the mail's link. A scanner that opens it achieves nothing.
pub(super) async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    let (opened, _) = behind(&app, &visitor, &headers, &token).await?;
    details_behind(&opened, &token).answer(StatusCode::OK)
}

/// A registration that a mail's link opens, from any device, if it still may be finished.
async fn behind(app: &App, visitor: &Visitor, headers: &HeaderMap, token: &str) -> Result<(Opened, Proof), PageError> {
    let Ok(secret) = token.parse::<Secret>() else { return Err(unknown(app, visitor)) };
    let proof = Proof::Link(secret.digest());
    let browser = Cookie::Browser.read(&app.config, headers).map(|secret| secret.digest());
    match finish::find(app, &proof, browser.as_ref()).await {
        Ok(opened) => Ok((open(app, visitor, opened, &proof)?, proof)),
        Err(JoinError::Fault(fault)) => Err(fault.into()),
        Err(_) => Err(unknown(app, visitor)),
    }
}

fn details_behind<'a>(opened: &'a Opened, token: &str) -> DetailsPage<'a> {
    DetailsPage {
        organization: opened.organization_name.as_str(),
        email: &opened.registration.email,
        action: format!("/confirm/{token}"),
        leaves_to: "/join/details",
        registration: None,
        full_name: "",
        errors: Errors::default(),
        busy: false,
    }
}

pub(super) async fn finish_by_link(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(token): Path<String>,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let (opened, proof) = behind(&app, &visitor, &headers, &token).await?;
    finish(&app, (&visitor, &headers), (&opened, &proof), &form, details_behind(&opened, &token)).await
}

async fn finish(
    app: &App,
    (visitor, headers): (&Visitor, &HeaderMap),
    (opened, proof): (&Opened, &Proof),
    form: &DetailsForm,
    shown: DetailsPage<'_>,
) -> Result<Response, PageError> {
    let details = match form.parse(shown.email, shown.organization) {
        Ok(details) => details,
        Err(errors) => {
            return DetailsPage { full_name: &form.full_name, errors, ..shown }
                .answer(StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let before = Cookie::Session.read(&app.config, headers);
    match counted_finish(proof, finish::finish(app, (opened, proof), details, visitor, before.as_ref()).await) {
        Ok(started) => {
            let mut response = go("/account");
            started.set_cookies(&app.config, &mut response);
            // The browser's secret goes at the end, unless another registration of this browser still needs it.
            if opened.others == 0 && Cookie::Browser.read(&app.config, headers).is_some() {
                response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.remove(&app.config));
            }
            Ok(response)
        }
        Err(JoinError::Busy) => {
            DetailsPage { full_name: &form.full_name, busy: true, ..shown }.answer(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error) => Err(refusal(app, visitor, shown.organization, &opened.organization_slug, error)),
    }
}
