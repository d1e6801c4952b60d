//! `/healthz` and `/readyz`, for whoever watches the server.

use axum::{Router, extract::State, routing::get};

use super::PageError;
use crate::platform::App;

/// `/healthz`: the process answers. `/readyz`: the database does too, for reading and for writing.
pub fn routes() -> Router<App> {
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready))
}

async fn ready(State(app): State<App>) -> Result<&'static str, PageError> {
    if app.db.is_ready().await { Ok("ready") } else { Err(PageError::Busy) }
}
