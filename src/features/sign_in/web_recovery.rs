//! `/o/{slug}/forgot-password` and `/reset/{token}`: asking for another password, and setting it.

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
    recovery::{self, ResetError},
    store::{self, PasswordLink},
    web::organization,
};
use crate::{
    features::organizations::{self, Organization},
    platform::{
        App,
        hashing::HashError,
        limits::{self, Limit},
        tokens,
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, go, left, page, retry_after_header},
    },
    values::{Digest, EmailAddress, Invalid, OrganizationName, Password, PersonalWords, Secret, Slug},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/o/{slug}/forgot-password", get(forgot).post(ask))
        .route("/reset", get(left::show))
        .route("/reset/{token}", get(reset_page).post(reset))
}

#[derive(Template)]
#[template(path = "features/sign_in/forgot.html")]
struct ForgotPage<'a> {
    organization: &'a str,
    slug: &'a Slug,
    email: &'a str,
    asked: bool,
    delivers: bool,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/sign_in/reset.html")]
struct ResetPage<'a> {
    organization: &'a str,
    email: &'a EmailAddress,
    token: &'a str,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/sign_in/reset_over.html")]
struct ResetOverPage<'a> {
    organization: &'a str,
    slug: &'a Slug,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ForgotForm {
    email: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResetForm {
    password: String,
}

async fn forgot(State(app): State<App>, Path(slug): Path<String>) -> Result<Response, PageError> {
    let organization = organization(&app, &slug).await?;
    page(StatusCode::OK, &forgot_page(&app, &organization, ""))
}

fn forgot_page<'a>(app: &App, organization: &'a Organization, email: &'a str) -> ForgotPage<'a> {
    ForgotPage {
        organization: organization.name.as_str(),
        slug: &organization.slug,
        email,
        asked: false,
        delivers: app.mailer.delivers(),
        errors: Errors::default(),
    }
}

async fn ask(
    State(app): State<App>,
    visitor: Visitor,
    Path(slug): Path<String>,
    Form(form): Form<ForgotForm>,
) -> Result<Response, PageError> {
    let organization = organization(&app, &slug).await?;
    let shown = forgot_page(&app, &organization, &form.email);
    let address: EmailAddress = match form.email.parse() {
        Ok(address) => address,
        Err(why) => {
            return page(StatusCode::UNPROCESSABLE_ENTITY, &ForgotPage { errors: Errors::one("email", why), ..shown });
        }
    };
    count(&app, &visitor).await?;
    recovery::ask(&app, &organization, &address, &visitor).await?;
    page(StatusCode::OK, &ForgotPage { asked: true, email: address.as_str(), ..shown })
}

/// Asking is limited by source like beginning a registration: both cause mail.
async fn count(app: &App, visitor: &Visitor) -> Result<(), PageError> {
    let mut tx = app.db.write().await?;
    let counted = limits::count(app, &mut tx, Limit::BeginBySource, &[visitor.source().as_bytes()]).await?;
    tx.commit().await?;
    Ok(counted?)
}

/// The link behind a token, if it still sets a password. Changes nothing.
async fn look(app: &App, visitor: &Visitor, token: &str) -> Result<(PasswordLink, Digest), PageError> {
    let unknown = || match app.tallies.unknown.count(&visitor.source(), app.db.now()) {
        Ok(()) => PageError::NotFound,
        Err(too_many) => PageError::TooMany(too_many),
    };
    let Ok(secret) = token.parse::<Secret>() else { return Err(unknown()) };
    let digest = secret.digest();
    if let Some(found) = store::password_link(&app.db, &digest).await? {
        let is_open = found.token.is_open(app.db.now());
        return if is_open {
            Ok((found, digest))
        } else {
            Err(over(&found.organization_name, &found.organization_slug))
        };
    }
    // Its user is gone, or there never was such a link.
    let token = tokens::find_for_password(&app.db, &digest).await?.ok_or_else(unknown)?;
    let id = token.organization_id.ok_or_else(unknown)?;
    let organization = organizations::by_id(&app.db, id).await?.ok_or_else(unknown)?;
    Err(over(&organization.name, &organization.slug))
}

fn over(organization: &OrganizationName, slug: &Slug) -> PageError {
    PageError::page(StatusCode::GONE, &ResetOverPage { organization: organization.as_str(), slug })
}

async fn reset_page(
    State(app): State<App>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    let (good, _) = look(&app, &visitor, &token).await?;
    page(
        StatusCode::OK,
        &ResetPage {
            organization: good.organization_name.as_str(),
            email: &good.user.email,
            token: &token,
            errors: Errors::default(),
        },
    )
}

async fn reset(
    State(app): State<App>,
    visitor: Visitor,
    Path(token): Path<String>,
    Form(form): Form<ResetForm>,
) -> Result<Response, PageError> {
    let (good, digest) = look(&app, &visitor, &token).await?;
    let again = |status, why| {
        let shown = ResetPage {
            organization: good.organization_name.as_str(),
            email: &good.user.email,
            token: &token,
            errors: Errors::one("password", why),
        };
        page(status, &shown)
    };
    let about = PersonalWords {
        full_name: good.user.full_name.as_str(),
        email: good.user.email.as_str(),
        organization: good.organization_name.as_str(),
    };
    let password = match Password::parse_new(&form.password, &about) {
        Ok(password) => password,
        Err(why) => return again(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    match recovery::reset(&app, (&good, &digest), password, &visitor).await {
        Ok(()) => Ok(go(&format!("/o/{}/login?notice=password-set", good.organization_slug))),
        Err(ResetError::Over) => Err(over(&good.organization_name, &good.organization_slug)),
        Err(ResetError::Hash(HashError::Busy)) => {
            Ok(retry_after_header(again(StatusCode::SERVICE_UNAVAILABLE, Invalid::Busy)?, BUSY_SECONDS))
        }
        Err(ResetError::Hash(error)) => Err(error.into()),
        Err(ResetError::Fault(fault)) => Err(fault.into()),
    }
}
