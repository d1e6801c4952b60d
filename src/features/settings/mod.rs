//! Settings: what managers see and change, under Identity and Access Management. Owns no table.

mod identity;
mod qr;
mod replacement;

use axum::{Router, routing::get};

use crate::platform::{App, web::go};

/// `/settings/…`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/settings", get(async || go("/settings/identity")))
        .merge(identity::routes())
        .merge(replacement::routes())
}
