//! Settings: what managers see and change, under Identity and Access Management. Owns no table.

mod audit;
mod identity;
mod invitations;
pub mod mail;
mod message;
mod qr;
mod replacement;
mod user;
mod user_new;
mod user_questions;
mod users;

use axum::{Router, routing::get};

use crate::platform::{App, web::go};

/// `/settings/…`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/settings", get(async || go("/settings/identity")))
        .merge(audit::routes())
        .merge(identity::routes())
        .merge(invitations::routes())
        .merge(mail::routes())
        .merge(message::routes())
        .merge(replacement::routes())
        .merge(users::routes())
        .merge(user_new::routes())
        .merge(user::routes())
        .merge(user_questions::routes())
}
