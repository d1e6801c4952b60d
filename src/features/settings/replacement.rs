//! Replace the invite link: an act of its own, with its own page that asks once.

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use serde::Deserialize;

use crate::{
    features::{join, links, sessions::Manager, sign_in},
    platform::{
        App,
        web::{Errors, Form, PageError, Portal, go, page},
    },
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/identity/replacement", get(show).post(replace))
}

#[derive(Template)]
#[template(path = "features/settings/replacement.html")]
struct ReplacementPage {
    portal: Portal,
    link: String,
    open: i64,
    cancel: bool,
    asks_password: bool,
    errors: Errors,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReplacementForm {
    cancel: String,
    current_password: String,
}

async fn show(State(app): State<App>, manager: Manager) -> Result<Response, PageError> {
    page(StatusCode::OK, &replacement_page(&app, &manager).await?)
}

async fn replacement_page(app: &App, manager: &Manager) -> Result<ReplacementPage, PageError> {
    Ok(ReplacementPage {
        portal: manager.portal("identity"),
        link: app.config.address(&links::path_of_own(app, manager.organization).await?),
        open: join::count_open_by_domain(&app.db, manager.organization).await?.values().sum(),
        cancel: true,
        asks_password: !manager.is_fresh(app.db.now()),
        errors: Errors::default(),
    })
}

async fn replace(
    State(app): State<App>,
    manager: Manager,
    Form(form): Form<ReplacementForm>,
) -> Result<Response, PageError> {
    let cancel = !form.cancel.is_empty();
    if let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await? {
        let shown = replacement_page(&app, &manager).await?;
        return page(
            StatusCode::UNPROCESSABLE_ENTITY,
            &ReplacementPage { cancel, errors: Errors::one("current_password", why), ..shown },
        );
    }
    join::replace_link(&app, &manager.authority(), cancel).await?;
    Ok(go("/settings/identity?replaced=1"))
}
