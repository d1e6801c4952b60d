use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    Attempt, SignInError,
    recovery::{self, ResetError},
    store::{self, PasswordLink},
};
use crate::{
    features::{
        audit::{self, EventKind, Happened},
        organizations::{self, Organization},
        sessions::{self, Member},
    },
    platform::{
        App,
        hashing::HashError,
        limits::{self, Limit, TooMany},
        tokens,
        web::{BUSY_SECONDS, Errors, Form, PageError, Visitor, cookies::Cookie, go, page, retry_after_header},
    },
    values::{Digest, EmailAddress, Invalid, OrganizationName, Password, PersonalWords, ReturnTo, Secret, Slug},
};

/// `/login`, `/logout`, `/o/{slug}/…` and `/reset/{token}`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/login", get(which).post(choose))
        .route("/logout", post(sign_out))
        .route("/o/{slug}/login", get(show).post(send))
        .route("/o/{slug}/forgot-password", get(forgot).post(ask))
        .route("/reset/{token}", get(reset_page).post(reset))
}

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
    let refused = |why| {
        let shown = WhichPage { slug: &form.slug, return_to: &form.return_to, errors: Errors::one("slug", why) };
        page(StatusCode::UNPROCESSABLE_ENTITY, &shown)
    };
    let slug: Slug = match form.slug.trim().to_ascii_lowercase().parse() {
        Ok(slug) => slug,
        Err(why) => return refused(why),
    };
    match organizations::by_slug(&app.db, &slug).await? {
        Some(found) => Ok(go(&login_address(&found.slug, &form.return_to))),
        None => refused(Invalid::SlugUnknown),
    }
}

async fn organization(app: &App, slug: &str) -> Result<Organization, PageError> {
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
    SignInPage { return_to: &asked.return_to, notice: Notice::of(&asked.notice), ..sign_in_page(&organization) }
        .answer(StatusCode::OK)
}

fn sign_in_page(organization: &Organization) -> SignInPage<'_> {
    SignInPage {
        organization: organization.name.as_str(),
        slug: &organization.slug,
        email: "",
        return_to: "",
        notice: None,
        too_many: None,
        errors: Errors::default(),
    }
}

impl SignInPage<'_> {
    fn answer(&self, status: StatusCode) -> Result<Response, PageError> {
        page(status, self)
    }
}

async fn send(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Form(form): Form<SignInForm>,
) -> Result<Response, PageError> {
    let organization = organization(&app, &slug).await?;
    let shown = SignInPage { email: &form.email, return_to: &form.return_to, ..sign_in_page(&organization) };
    let mut errors = Errors::default();
    let email = errors.take("email", form.email.parse());
    let password = errors.take("password", Password::parse_existing(&form.password));
    let (Some(email), Some(password)) = (email, password) else {
        return SignInPage { errors, ..shown }.answer(StatusCode::UNPROCESSABLE_ENTITY);
    };
    let before = Cookie::Session.read(&app.config, &headers);
    let known = Cookie::Known.read(&app.config, &headers);
    match super::sign_in(&app, &organization, Attempt { email, password, before, known }, &visitor).await {
        Ok(started) => {
            let to = ReturnTo::parse(&form.return_to, &app.config.public_url);
            let mut response = go(to.as_ref().map_or("/account", ReturnTo::as_str));
            started.set_cookies(&app.config, &mut response);
            Ok(response)
        }
        Err(SignInError::Mismatch) => SignInPage { errors: Errors::one("password", Invalid::SignInMismatch), ..shown }
            .answer(StatusCode::UNPROCESSABLE_ENTITY),
        Err(SignInError::TooMany(too_many)) => {
            let seconds = too_many.retry_after.as_secs();
            let response = SignInPage { too_many: Some(too_many), ..shown }.answer(StatusCode::TOO_MANY_REQUESTS)?;
            Ok(retry_after_header(response, seconds))
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
    audit::record(&mut tx, member.organization, &member.actor(), Happened::to(EventKind::SignedOut, member.user))
        .await?;
    Ok(tx.commit().await?)
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
