//! `/invitation/{token}`: the details page with the address fixed. Whoever is signed in, their session is not used.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

use super::{
    Ended, EndedPage,
    details::{DetailsForm, DetailsPage},
    unknown,
};
use crate::{
    features::{
        join::{JoinError, counted::counted, invited},
        organizations,
        sessions::Started,
    },
    platform::{
        App,
        metrics::Step,
        tokens::{self, Purpose},
        web::{Errors, Form, PageError, Visitor, cookies::Cookie, go},
    },
    values::{Digest, Secret},
};

pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    let (_, open) = look(&app, &visitor, &token).await?;
    details_of(&open, &token).answer(StatusCode::OK)
}

async fn look(app: &App, visitor: &Visitor, token: &str) -> Result<(Digest, invited::Open), PageError> {
    let Ok(secret) = token.parse::<Secret>() else { return Err(unknown(app, visitor)) };
    let digest = secret.digest();
    match invited::look(app, &digest).await {
        Ok(open) => Ok((digest, open)),
        Err(error) => Err(refusal(app, visitor, &digest, error).await),
    }
}

fn details_of<'a>(open: &'a invited::Open, token: &str) -> DetailsPage<'a> {
    DetailsPage {
        organization: open.organization.name.as_str(),
        email: &open.invitation.email,
        action: format!("/invitation/{token}"),
        leaves_to: "/invitation",
        registration: None,
        full_name: "",
        errors: Errors::default(),
        busy: false,
    }
}

async fn refusal(app: &App, visitor: &Visitor, digest: &Digest, error: JoinError) -> PageError {
    let organization = match tokens::find(&app.db, Purpose::Invitation, digest).await {
        Err(fault) => return fault.into(),
        Ok(token) => token.and_then(|token| token.organization_id),
    };
    let Some(organization) = organization else { return unknown(app, visitor) };
    let organization = match organizations::by_id(&app.db, organization).await {
        Err(fault) => return fault.into(),
        Ok(None) => return unknown(app, visitor),
        Ok(Some(organization)) => organization,
    };
    let sign_in = format!("/o/{}/login", organization.slug);
    match error {
        JoinError::AlreadyUser => PageError::Page(Box::new(go(&sign_in))),
        JoinError::Busy => PageError::Busy,
        JoinError::Fault(fault) => fault.into(),
        JoinError::Unknown => unknown(app, visitor),
        _ => PageError::page(
            StatusCode::GONE,
            &EndedPage { organization: organization.name.as_str(), sign_in, why: Ended::InvitationOver },
        ),
    }
}

pub(super) async fn accept(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(token): Path<String>,
    Form(form): Form<DetailsForm>,
) -> Result<Response, PageError> {
    let (digest, open) = look(&app, &visitor, &token).await?;
    let shown = details_of(&open, &token);
    let details = match form.parse(shown.email, shown.organization) {
        Ok(details) => details,
        Err(errors) => {
            return DetailsPage { full_name: &form.full_name, errors, ..shown }
                .answer(StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let before = Cookie::Session.read(&app.config, &headers);
    match counted(Step::Finished, invited::accept(&app, &digest, details, &visitor, before.as_ref()).await) {
        Ok(started) => Ok(welcome(&app, &started)),
        Err(JoinError::Busy) => {
            DetailsPage { full_name: &form.full_name, busy: true, ..shown }.answer(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error) => Err(refusal(&app, &visitor, &digest, error).await),
    }
}

fn welcome(app: &App, started: &Started) -> Response {
    let mut response = go("/account");
    started.set_cookies(&app.config, &mut response);
    response
}
