use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Attempt, SignInError, store};
use crate::{
    features::{
        audit::{self, EventKind, Happened},
        organizations::{self, Organization},
        sessions::{self, Member},
    },
    platform::{
        App,
        limits::TooMany,
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, cookies::Cookie, go, page, retry_after_header},
    },
    values::{EmailAddress, Invalid, OrganizationName, Password, ReturnTo, Slug},
};

/// `/login`, `/logout`, `/o/{slug}/…` and `/reset/{token}`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/login", get(which).post(choose))
        .route("/logout", post(sign_out))
        .route("/o/{slug}/login", get(show).post(send))
        .merge(super::web_recovery::routes())
}

/// Who has tried too often is told so this long after asking.
const TOLD_AFTER: Duration = Duration::from_millis(10);

#[derive(Template)]
#[template(path = "features/sign_in/which.html")]
struct WhichPage<'a> {
    slug: &'a str,
    return_to: &'a str,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/sign_in/sign_in.html")]
struct SignInPage<'a> {
    organization: &'a str,
    slug: &'a Slug,
    email: &'a str,
    return_to: &'a str,
    notice: Option<Notice>,
    too_many: Option<TooMany>,
    only_reset: bool,
    errors: Errors,
}

/// What has just happened, said above the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    PasswordSet,
    SignedOut,
}

impl Notice {
    fn of(word: &str) -> Option<Self> {
        match word {
            "password-set" => Some(Self::PasswordSet),
            "signed-out" => Some(Self::SignedOut),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    return_to: String,
    notice: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SlugForm {
    slug: String,
    return_to: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SignInForm {
    email: String,
    password: String,
    return_to: String,
}

fn login_address(slug: &Slug, return_to: &str) -> String {
    if return_to.is_empty() {
        return format!("/o/{slug}/login");
    }
    let encoded: String = url::form_urlencoded::byte_serialize(return_to.as_bytes()).collect();
    format!("/o/{slug}/login?return_to={encoded}")
}

/// Goes to the one organization there is; with several it asks for the short name, and never lists them.
async fn which(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    match organizations::only_one(&app.db).await? {
        Some(only) => Ok(go(&login_address(&only.slug, &asked.return_to))),
        None => page(StatusCode::OK, &WhichPage { slug: "", return_to: &asked.return_to, errors: Errors::default() }),
    }
}

async fn choose(State(app): State<App>, Form(form): Form<SlugForm>) -> Result<Response, PageError> {
    let refused = |status, why| {
        let shown = WhichPage { slug: &form.slug, return_to: &form.return_to, errors: Errors::one("slug", why) };
        page(status, &shown)
    };
    let slug: Slug = match form.slug.trim().to_ascii_lowercase().parse() {
        Ok(slug) => slug,
        Err(why) => return refused(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    match organizations::by_slug(&app.db, &slug).await? {
        Some(found) => Ok(go(&login_address(&found.slug, &form.return_to))),
        None => refused(StatusCode::NOT_FOUND, Invalid::SlugUnknown),
    }
}

pub(super) async fn organization(app: &App, slug: &str) -> Result<Organization, PageError> {
    let slug: Slug = slug.parse().map_err(|_| PageError::NotFound)?;
    organizations::by_slug(&app.db, &slug).await?.ok_or(PageError::NotFound)
}

async fn show(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let organization = organization(&app, &slug).await?;
    let here = sessions::current(&app, &visitor, &headers).await?;
    if here.is_some_and(|member| member.organization == organization.id) {
        return Ok(go(ReturnTo::parse(&asked.return_to, &app.config.public_url)
            .as_ref()
            .map_or("/account", ReturnTo::as_str)));
    }
    SignInPage {
        return_to: &asked.return_to,
        notice: Notice::of(&asked.notice),
        ..sign_in_page(&organization.name, &organization.slug)
    }
    .answer(StatusCode::OK)
}

fn sign_in_page<'a>(organization: &'a OrganizationName, slug: &'a Slug) -> SignInPage<'a> {
    SignInPage {
        organization: organization.as_str(),
        slug,
        email: "",
        return_to: "",
        notice: None,
        too_many: None,
        only_reset: false,
        errors: Errors::default(),
    }
}

impl SignInPage<'_> {
    fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        page(status, self)
    }

    /// Nothing is hashed here: whether a user had to be read would show in the time, so that it is the same for all.
    async fn too_many(&self, wait: Duration, began: Instant) -> Result<Response, PageError> {
        tokio::time::sleep_until(began + TOLD_AFTER).await;
        Ok(retry_after_header(self.answer(StatusCode::TOO_MANY_REQUESTS)?, wait.as_secs()))
    }
}

async fn send(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Form(form): Form<SignInForm>,
) -> Result<Response, PageError> {
    let began = Instant::now();
    let slug: Slug = slug.parse().map_err(|_| PageError::NotFound)?;
    let mut errors = Errors::default();
    let email: Option<EmailAddress> = errors.take("email", form.email.parse());
    let password = errors.take("password", Password::parse_existing(&form.password));
    let (Some(email), Some(password)) = (email, password) else {
        let organization = organizations::by_slug(&app.db, &slug).await?.ok_or(PageError::NotFound)?;
        let shown = sign_in_page(&organization.name, &slug);
        return SignInPage { email: &form.email, return_to: &form.return_to, errors, ..shown }
            .answer(StatusCode::UNPROCESSABLE_ENTITY);
    };
    let door = store::door(&app.db, &slug, &email).await?.ok_or(PageError::NotFound)?;
    let name = door.organization_name.clone();
    let shown = SignInPage { email: &form.email, return_to: &form.return_to, ..sign_in_page(&name, &slug) };
    let before = Cookie::Session.read(&app.config, &headers);
    let known = Cookie::Known.read(&app.config, &headers);
    match super::sign_in(&app, door, Attempt { email, password, before, known }, &visitor).await {
        Ok(started) => {
            let to = ReturnTo::parse(&form.return_to, &app.config.public_url);
            let mut response = go(to.as_ref().map_or("/account", ReturnTo::as_str));
            started.set_cookies(&app.config, &mut response);
            Ok(response)
        }
        Err(SignInError::Mismatch) => SignInPage { errors: Errors::one("password", Invalid::SignInMismatch), ..shown }
            .answer(StatusCode::UNPROCESSABLE_ENTITY),
        Err(SignInError::TooMany(too_many)) => {
            SignInPage { too_many: Some(too_many), ..shown }.too_many(too_many.retry_after, began).await
        }
        Err(SignInError::OnlyReset(too_many)) => {
            SignInPage { too_many: Some(too_many), only_reset: true, ..shown }
                .too_many(too_many.retry_after, began)
                .await
        }
        Err(SignInError::Busy) => {
            let response = SignInPage { errors: Errors::one("password", Invalid::Busy), ..shown }
                .answer(StatusCode::SERVICE_UNAVAILABLE)?;
            Ok(retry_after_header(response, BUSY_SECONDS))
        }
        Err(SignInError::Fault(fault)) => Err(fault.into()),
    }
}

async fn sign_out(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Result<Response, PageError> {
    let mut to = "/login".to_owned();
    if let Some(member) = sessions::current(&app, &visitor, &headers).await? {
        end_session(&app, &member).await?;
        to = format!("/o/{}/login?notice=signed-out", member.organization_slug);
    }
    let mut response = go(&to);
    response.headers_mut().append(header::SET_COOKIE, Cookie::Session.remove(&app.config));
    Ok(response)
}

async fn end_session(app: &App, member: &Member) -> Result<(), PageError> {
    let mut tx = app.db.write().await?;
    sessions::end(&mut tx, member.user, member.session).await?;
    audit::record(&mut tx, member.organization, &member.actor(), Happened::to(EventKind::SignedOut, member.user));
    Ok(tx.commit().await?)
}
