//! What is asked before a user is deleted or gets another role: a page of its own, and the password again.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Deserialize;

use super::user::{found, refusal};
use crate::{
    features::{
        provisioning,
        sessions::Manager,
        sign_in,
        users::{self, Role, User},
    },
    platform::{
        App,
        web::{Errors, Form, PageError, Portal, go, page},
    },
    values::Invalid,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/users/{id}/deletion", get(ask_deletion).post(delete))
        .route("/settings/users/{id}/role", get(ask_role).post(change_role))
}

#[derive(Template)]
#[template(path = "features/settings/user_deletion.html")]
struct DeletionPage {
    portal: Portal,
    user: User,
    is_me: bool,
    may_return: bool,
    asks_password: bool,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/settings/user_role.html")]
struct RolePage {
    portal: Portal,
    user: User,
    is_me: bool,
    /// What the user is to be.
    role: Role,
    asks_password: bool,
    errors: Errors,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeletionForm {
    may_return: String,
    current_password: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RoleForm {
    role: String,
    current_password: String,
}

async fn ask_deletion(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    page(StatusCode::OK, &deletion_page(&app, &manager, user))
}

/// Whoever leaves may come back, whom a manager removes may not, unless the manager says otherwise.
fn deletion_page(app: &App, manager: &Manager, user: User) -> DeletionPage {
    let is_me = user.id == manager.user;
    DeletionPage {
        portal: manager.portal("users"),
        user,
        is_me,
        may_return: is_me,
        asks_password: !manager.is_fresh(app.db.now()),
        errors: Errors::default(),
    }
}

async fn delete(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Form(form): Form<DeletionForm>,
) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    let may_return = !matches!(form.may_return.as_str(), "" | "no");
    if let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await? {
        let shown = deletion_page(&app, &manager, user);
        let errors = Errors::one("current_password", why);
        return page(StatusCode::UNPROCESSABLE_ENTITY, &DeletionPage { may_return, errors, ..shown });
    }
    match provisioning::delete(&app, &manager.authority(), user.id, may_return).await {
        Ok(()) => Ok(go("/settings/users?notice=deleted")),
        Err(error) => Err(refusal(&manager, user, error)),
    }
}

async fn ask_role(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    let role = if user.is_manager() { Role::Member } else { Role::Manager };
    page(StatusCode::OK, &role_page(&app, &manager, user, role, Errors::default()))
}

fn role_page(app: &App, manager: &Manager, user: User, role: Role, errors: Errors) -> RolePage {
    RolePage {
        portal: manager.portal("users"),
        is_me: user.id == manager.user,
        user,
        role,
        asks_password: !manager.is_fresh(app.db.now()),
        errors,
    }
}

async fn change_role(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Form(form): Form<RoleForm>,
) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    let refused = |user, role, field, why| {
        let shown = role_page(&app, &manager, user, role, Errors::one(field, why));
        page(StatusCode::UNPROCESSABLE_ENTITY, &shown)
    };
    let Some(role) = Role::from_word(&form.role) else {
        let role = if user.is_manager() { Role::Member } else { Role::Manager };
        return refused(user, role, "role", Invalid::Choice);
    };
    if let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await? {
        return refused(user, role, "current_password", why);
    }
    match users::change_role(&app, &manager.authority(), user.id, role).await {
        Ok(_) => Ok(go(&format!("/settings/users/{id}?notice=role"))),
        Err(error) => Err(refusal(&manager, user, error)),
    }
}
