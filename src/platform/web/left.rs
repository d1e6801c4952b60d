//! Where a page stands whose token has left the address bar. Reloading it brings nothing back but the next step.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{PageError, page};

#[derive(Template)]
#[template(path = "platform/web/left.html")]
struct LeftPage;

/// Says to open the message's link again.
pub async fn show() -> Result<Response, PageError> {
    page(StatusCode::OK, &LeftPage)
}
