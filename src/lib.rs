//! Vestibule, the front door of an organization: share one link, and the right people let themselves in.
//!
//! Three floors, each leaning only on those below: `features` → `platform` (database, web, mail) → `values`
//! (parsed nouns). [`router`] merges the features' addresses, [`worker`] does what outlives a request.

pub mod cli;
pub mod features;
pub mod platform;
pub mod values;
pub mod worker;

use axum::Router;
use features::{account, join, set_up, settings, sign_in};
use platform::{
    App,
    web::{self, assets, health},
};

/// Every address of the server.
pub fn router(app: &App) -> Router {
    let routes = Router::new()
        .merge(health::routes())
        .merge(assets::routes())
        .merge(set_up::routes())
        .merge(join::routes())
        .merge(sign_in::routes())
        .merge(account::routes())
        .merge(settings::routes());
    web::around(routes, app)
}
