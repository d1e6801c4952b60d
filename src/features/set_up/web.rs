use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::get,
};
use serde::Deserialize;

use super::{SetUp, SetUpError};
use crate::{
    features::{links, sessions::Manager},
    platform::{
        App,
        hashing::HashError,
        web::{BUSY_SECONDS, Errors, Form, PageError, Portal, Visitor, cookies::Cookie, go, page, retry_after_header},
    },
    values::{Invalid, OrganizationName, Password, PersonalWords, Secret, Slug},
};

/// `/setup`, and the page that it ends on.
pub fn routes() -> Router<App> {
    Router::new().route("/setup", get(show).post(send)).route("/settings/welcome", get(welcome))
}

#[derive(Template)]
#[template(path = "features/set_up/set_up.html")]
struct SetUpPage<'a> {
    form: &'a SetUpForm,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/set_up/welcome.html")]
struct WelcomePage {
    portal: Portal,
    link: String,
    delivers: bool,
}

#[derive(Template)]
#[template(path = "features/set_up/over.html")]
struct OverPage;

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SetUpForm {
    organization_name: String,
    slug: String,
    full_name: String,
    email: String,
    password: String,
}

impl SetUpForm {
    fn parse(&self) -> Result<SetUp, Errors> {
        let mut errors = Errors::default();
        let organization: Option<OrganizationName> = errors.take("organization_name", self.organization_name.parse());
        let slug = match (&organization, self.slug.trim()) {
            (Some(name), "") => errors.take("slug", Slug::from_name(name.as_str()).ok_or(Invalid::SlugNeeded)),
            (None, "") => None,
            (_, typed) => errors.take("slug", typed.parse()),
        };
        let full_name = errors.take("full_name", self.full_name.parse());
        let email = errors.take("email", self.email.parse());
        let about =
            PersonalWords { full_name: &self.full_name, email: &self.email, organization: &self.organization_name };
        let password = errors.take("password", Password::parse_new(&self.password, &about));
        let (Some(organization), Some(slug), Some(full_name), Some(email), Some(password)) =
            (organization, slug, full_name, email, password)
        else {
            return Err(errors);
        };
        Ok(SetUp { organization, slug, full_name, email, password })
    }
}

/// The token moves from the address into a cookie. Without a good one the page says what to do.
async fn show(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(query): Query<Token>,
) -> Result<Response, PageError> {
    if let Some(typed) = query.token {
        let Ok(token) = typed.parse::<Secret>() else { return Err(unknown(&app, &visitor)) };
        super::look(&app, &token.digest()).await.map_err(|error| refusal(&app, &visitor, error))?;
        let mut response = go("/setup");
        response.headers_mut().append(header::SET_COOKIE, Cookie::SetUp.set(&app.config, &token));
        return Ok(response);
    }
    let Some(token) = Cookie::SetUp.read(&app.config, &headers) else { return Err(over_page(StatusCode::NOT_FOUND)) };
    super::look(&app, &token.digest()).await.map_err(|error| refusal(&app, &visitor, error))?;
    page(StatusCode::OK, &SetUpPage { form: &SetUpForm::default(), errors: Errors::default() })
}

fn over_page(status: StatusCode) -> PageError {
    PageError::page(status, &OverPage)
}

/// An unknown token costs whoever guesses.
fn unknown(app: &App, visitor: &Visitor) -> PageError {
    match app.tallies.unknown.count(&visitor.source(), app.db.now()) {
        Ok(()) => over_page(StatusCode::NOT_FOUND),
        Err(too_many) => PageError::TooMany(too_many),
    }
}

fn refusal(app: &App, visitor: &Visitor, error: SetUpError) -> PageError {
    match error {
        SetUpError::Unknown => unknown(app, visitor),
        SetUpError::Over | SetUpError::SlugTaken => over_page(StatusCode::GONE),
        SetUpError::Hash(error) => error.into(),
        SetUpError::Fault(fault) => fault.into(),
    }
}

async fn send(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<SetUpForm>,
) -> Result<Response, PageError> {
    let Some(token) = Cookie::SetUp.read(&app.config, &headers) else { return Err(over_page(StatusCode::NOT_FOUND)) };
    super::look(&app, &token.digest()).await.map_err(|error| refusal(&app, &visitor, error))?;
    let again = |status, errors| page(status, &SetUpPage { form: &form, errors });
    let asked = match form.parse() {
        Ok(asked) => asked,
        Err(errors) => return again(StatusCode::UNPROCESSABLE_ENTITY, errors),
    };
    match super::set_up(&app, &token.digest(), asked, &visitor).await {
        Ok(started) => {
            let mut response = go("/settings/welcome");
            started.set_cookies(&app.config, &mut response);
            response.headers_mut().append(header::SET_COOKIE, Cookie::SetUp.remove(&app.config));
            Ok(response)
        }
        Err(SetUpError::SlugTaken) => again(StatusCode::UNPROCESSABLE_ENTITY, Errors::one("slug", Invalid::SlugTaken)),
        Err(SetUpError::Hash(HashError::Busy)) => Ok(retry_after_header(
            again(StatusCode::SERVICE_UNAVAILABLE, Errors::one("password", Invalid::Busy))?,
            BUSY_SECONDS,
        )),
        Err(error) => Err(refusal(&app, &visitor, error)),
    }
}

async fn welcome(State(app): State<App>, manager: Manager) -> Result<Response, PageError> {
    let link = app.config.address(&links::path_of_own(&app, manager.organization).await?);
    page(StatusCode::OK, &WelcomePage { portal: manager.portal("identity"), link, delivers: app.mailer.delivers() })
}
