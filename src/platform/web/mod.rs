//! The web edge: pages, forms, cookies, the guard against forged requests, and the one place where faults become answers.

pub mod assets;
pub mod cookies;
mod dress;
mod forms;
mod guard;
pub mod health;
pub mod left;
pub mod paging;
mod portal;
mod request;
pub mod scrape;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};

use super::{App, Fault, hashing::HashError, limits::TooMany};
use crate::values::ReturnTo;

pub use assets::{script, style_sheet};
pub use dress::dress;
pub use forms::{Errors, Form};
pub use portal::Portal;
pub use request::Visitor;

/// How a handler that answers with pages fails.
#[derive(Debug)]
pub enum PageError {
    /// A page of its own says why: a refusal, with its words in a template.
    Page(Box<Response>),
    /// No such page, or nothing that this visitor may know of.
    NotFound,
    /// Signed in, but not allowed.
    Forbidden,
    /// Sign in first, then go on there.
    SignIn(Option<ReturnTo>),
    /// Too often.
    TooMany(TooMany),
    /// Every place in the hash pool is taken.
    Busy,
    /// Something broke.
    Fault(Fault),
}

impl From<Fault> for PageError {
    fn from(fault: Fault) -> Self {
        if fault.is_busy() { Self::Busy } else { Self::Fault(fault) }
    }
}

impl From<HashError> for PageError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Fault(fault) => fault.into(),
        }
    }
}

impl From<TooMany> for PageError {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

impl PageError {
    /// A refusal's own page.
    pub fn page(status: StatusCode, template: &impl Template) -> Self {
        page(status, template).map_or_else(|error| error, |response| Self::Page(Box::new(response)))
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::Page(response) => *response,
            Self::NotFound => dress::bare(StatusCode::NOT_FOUND),
            Self::Forbidden => dress::bare(StatusCode::FORBIDDEN),
            Self::SignIn(to) => Redirect::to(&sign_in_address(to.as_ref())).into_response(),
            Self::TooMany(TooMany { retry_after }) => {
                retry_after_header(dress::bare(StatusCode::TOO_MANY_REQUESTS), retry_after.as_secs())
            }
            Self::Busy => retry_after_header(dress::bare(StatusCode::SERVICE_UNAVAILABLE), BUSY_SECONDS),
            Self::Fault(fault) => dress::broken(fault),
        }
    }
}

/// When to come back to a full hash pool: it empties within two seconds.
pub const BUSY_SECONDS: u64 = 3;

fn sign_in_address(to: Option<&ReturnTo>) -> String {
    match to {
        None => "/login".to_owned(),
        Some(to) => format!(
            "/login?return_to={}",
            url::form_urlencoded::byte_serialize(to.as_str().as_bytes()).collect::<String>()
        ),
    }
}

/// Adds `Retry-After` to an answer that says "not now".
pub fn retry_after_header(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// Answers with a page. A form that is shown again with reasons is `422`.
pub fn page(status: StatusCode, template: &impl Template) -> Result<Response, PageError> {
    let html = template.render().map_err(Fault::from)?;
    Ok((status, Html(html)).into_response())
}

/// Goes on to a page of this server after a form was sent (303, so that a reload sends nothing again).
pub fn go(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// Everything around the routes: the guard, the limits on bodies and time, headers, and the dress of bare answers.
pub fn around(router: axum::Router<App>, app: &App) -> axum::Router {
    use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
    /// The largest form is a list of addresses to invite.
    const LARGEST_BODY: usize = 512 * 1024;
    const LONGEST: std::time::Duration = std::time::Duration::from_secs(30);
    router
        .fallback(|| async { PageError::NotFound })
        .method_not_allowed_fallback(|| async { dress::bare(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(axum::extract::DefaultBodyLimit::max(LARGEST_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, LONGEST))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            dress::bare(StatusCode::INTERNAL_SERVER_ERROR)
        }))
        .layer(axum::middleware::from_fn_with_state(app.clone(), dress))
        .with_state(app.clone())
}
