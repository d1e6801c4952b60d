//! The details page: name and password, after a code or behind the mail's link.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Deserialize;

use super::{Mine, Which, mine, refusal, unknown};
use crate::{
    features::{
        join::{self, Details, JoinError, Proof, Registration, counted::counted_finish},
        organizations::{self, Organization},
    },
    platform::{
        App, Fault,
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, cookies::Cookie, go, page, retry_after_header},
    },
    values::{EmailAddress, FullName, Password, PersonalWords, RegistrationId, Secret, Slug},
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
    let mine = mine(&app, &visitor, &headers, &which.registration).await?;
    let proof = Proof::Code(mine.registration.id, mine.browser);
    join::look(&app, &proof).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
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

pub(super) async fn finish_by_code(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let mine = mine(&app, &visitor, &headers, &form.registration).await?;
    let proof = Proof::Code(mine.registration.id, mine.browser);
    join::look(&app, &proof).await.map_err(|error| mine.refusal(&app, &visitor, error))?;
    finish(&app, (&visitor, &headers), &proof, &form, (details_of(&mine), &mine.organization.slug)).await
}

/// The page behind the mail's link. A scanner that opens it achieves nothing.
pub(super) async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
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
    let (id, looked) = match join::look(app, &proof).await {
        Ok(registration) => (registration.organization_id, Ok(registration)),
        // A database that is away is not asked a second time: that would be another wait.
        Err(JoinError::Fault(fault)) => return Err(fault.into()),
        Err(error) => {
            (join::finish::organization_behind(app, &proof).await?.ok_or_else(|| unknown(app, visitor))?, Err(error))
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

pub(super) async fn finish_by_link(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(token): Path<String>,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let theirs = behind(&app, &visitor, &token).await?;
    finish(
        &app,
        (&visitor, &headers),
        &theirs.proof,
        &form,
        (details_behind(&theirs, &token), &theirs.organization.slug),
    )
    .await
}

async fn finish(
    app: &App,
    (visitor, headers): (&Visitor, &HeaderMap),
    proof: &Proof,
    form: &DetailsForm,
    (shown, slug): (DetailsPage<'_>, &Slug),
) -> Result<Response, PageError> {
    let details = match form.parse(shown.email, shown.organization) {
        Ok(details) => details,
        Err(errors) => {
            return DetailsPage { full_name: &form.full_name, errors, ..shown }
                .answer(StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let before = Cookie::Session.read(&app.config, headers);
    match counted_finish(proof, join::finish(app, proof, details, visitor, before.as_ref()).await) {
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
    if !join::store::browser_has_open(&app.db, &secret.digest()).await? {
        response.headers_mut().append(header::SET_COOKIE, Cookie::Browser.remove(&app.config));
    }
    Ok(())
}
