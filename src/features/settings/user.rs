//! One user: who they are, how they came, and what a manager may do.

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    features::{
        provisioning::{self, SendAgainError},
        sessions::Manager,
        users::{self, CameBy, ProvedHow, User, UserError},
    },
    platform::{
        App,
        web::{PageError, Portal, go, page},
    },
    values::UserId,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/users/{id}", get(show))
        .route("/settings/users/{id}/deactivation", post(deactivate))
        .route("/settings/users/{id}/reactivation", post(reactivate))
        .route("/settings/users/{id}/first-password", post(send_again))
}

/// What has just happened, said above the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Created,
    Deactivated,
    Reactivated,
    RoleChanged,
    SentAgain,
}

impl Notice {
    fn of(word: &str) -> Option<Self> {
        match word {
            "created" => Some(Self::Created),
            "deactivated" => Some(Self::Deactivated),
            "reactivated" => Some(Self::Reactivated),
            "role" => Some(Self::RoleChanged),
            "sent" => Some(Self::SentAgain),
            _ => None,
        }
    }
}

#[derive(Template)]
#[template(path = "features/settings/user.html")]
struct UserPage {
    portal: Portal,
    user: User,
    /// The manager who handed the link over; none when they are gone.
    proved_by: Option<String>,
    is_me: bool,
    delivers: bool,
    notice: Option<Notice>,
}

#[derive(Template)]
#[template(path = "features/settings/last_manager.html")]
struct LastManagerPage {
    portal: Portal,
    user: User,
    is_me: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    notice: String,
}

/// The user that an address names, within the manager's organization and no other.
pub(super) async fn found(app: &App, manager: &Manager, id: &str) -> Result<User, PageError> {
    let id: UserId = id.parse().map_err(|_| PageError::NotFound)?;
    users::by_id(&app.db, manager.organization, id).await?.ok_or(PageError::NotFound)
}

/// How each refusal looks on a page.
pub(super) fn refusal(manager: &Manager, user: User, error: UserError) -> PageError {
    match error {
        UserError::Unknown => PageError::NotFound,
        UserError::LastManager => PageError::page(
            StatusCode::CONFLICT,
            &LastManagerPage { portal: manager.portal("users"), is_me: user.id == manager.user, user },
        ),
        UserError::Fault(fault) => fault.into(),
    }
}

async fn show(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    let proved_by = match user.proved_by {
        Some(by) => users::by_id(&app.db, manager.organization, by).await?.map(|by| by.full_name.to_string()),
        None => None,
    };
    let shown = UserPage {
        portal: manager.portal("users"),
        proved_by,
        is_me: user.id == manager.user,
        delivers: app.mailer.delivers(),
        notice: Notice::of(&asked.notice),
        user,
    };
    page(StatusCode::OK, &shown)
}

async fn deactivate(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    match users::deactivate(&app, &manager.authority(), user.id).await {
        Ok(()) => Ok(go(&format!("/settings/users/{id}?notice=deactivated"))),
        Err(error) => Err(refusal(&manager, user, error)),
    }
}

async fn reactivate(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    match users::reactivate(&app, &manager.authority(), user.id).await {
        Ok(()) => Ok(go(&format!("/settings/users/{id}?notice=reactivated"))),
        Err(error) => Err(refusal(&manager, user, error)),
    }
}

/// A user who has a password by now needs no such message: the page shows that.
async fn send_again(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let user = found(&app, &manager, &id).await?;
    match provisioning::send_first_password_again(&app, &manager.authority(), manager.user, user.id).await {
        Ok(()) => Ok(go(&format!("/settings/users/{id}?notice=sent"))),
        Err(SendAgainError::NotNeeded) => Ok(go(&format!("/settings/users/{id}"))),
        Err(SendAgainError::TooMany(too_many)) => Err(too_many.into()),
        Err(SendAgainError::Fault(fault)) => Err(fault.into()),
    }
}
