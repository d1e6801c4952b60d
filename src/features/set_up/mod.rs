//! Set-up: while there is no organization, whoever holds the address printed at start makes the first one and
//! its first manager. The first organization ends every set-up address for ever.
//!
//! Owns no table.

mod web;

use super::{
    admission::Admitted,
    audit::{self, Actor, EventKind, Happened},
    links, organizations,
    sessions::{self, Brought, Started},
    users::{self, CameBy, NewUser, Proved, ProvedHow, Role},
};
use crate::{
    platform::{
        App, Fault,
        hashing::HashError,
        tokens::{self, Purpose, Token},
        web::Visitor,
    },
    values::{Digest, EmailAddress, FullName, OrganizationId, OrganizationName, Password, Secret, Slug},
};

pub use web::routes;

/// Why set-up did not go on.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// No such token.
    #[error("unknown")]
    Unknown,
    /// It is used up or too old, or there is an organization already.
    #[error("set-up over")]
    Over,
    /// The slug is taken.
    #[error("slug taken")]
    SlugTaken,
    /// The hash pool is full.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A fresh set-up address for this start; `None` once there is an organization.
pub async fn address_for_this_start(app: &App) -> Result<Option<String>, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock_all(&mut tx).await?;
    if organizations::any(&mut tx).await? {
        return Ok(None);
    }
    let token = tokens::issue_set_up(&mut tx);
    tx.commit().await?;
    Ok(Some(app.config.address(&format!("/setup?token={}", token.expose()))))
}

/// Whether this token may set the server up. Changes nothing.
async fn look(app: &App, token: &Digest) -> Result<(), SetUpError> {
    let found: Token = tokens::find(&app.db, Purpose::SetUp, token).await?.ok_or(SetUpError::Unknown)?;
    if found.is_open(app.db.now()) && !organizations::any(&app.db).await? { Ok(()) } else { Err(SetUpError::Over) }
}

/// What the set-up page asks for.
struct SetUp {
    organization: OrganizationName,
    slug: Slug,
    full_name: FullName,
    email: EmailAddress,
    password: Password,
}

/// Makes the first organization and its first manager, who is signed in. Exactly one, also when a hundred race.
async fn set_up(app: &App, token: &Digest, asked: SetUp, visitor: &Visitor) -> Result<Started, SetUpError> {
    look(app, token).await?;
    let password_hash = app.hashing.hash(asked.password, &visitor.source()).await?;
    let mut tx = app.db.write().await?;
    organizations::lock_all(&mut tx).await?;
    tokens::use_up(&mut tx, Purpose::SetUp, token).await?.ok_or(SetUpError::Over)?;
    if organizations::any(&mut tx).await? {
        return Err(SetUpError::Over);
    }
    let actor = Actor::visitor(visitor);
    let organization = create_organization(app, &mut tx, &asked.organization, &asked.slug, &actor)
        .await?
        .ok_or(SetUpError::SlugTaken)?;
    let new = NewUser {
        organization,
        admitted: Admitted::by_manager(asked.email),
        full_name: asked.full_name,
        password_hash: Some(password_hash),
        role: Role::Manager,
        proved: Proved::by(ProvedHow::SetUp),
        came_by: CameBy::SetUp,
        came_by_id: None,
    };
    let id = tx.new_id();
    let user = users::create_signed_in(app, &mut tx, id, new, visitor).await?.ok_or(SetUpError::Over)?;
    let started = sessions::start(app, &mut tx, &user, visitor, Brought::default());
    tx.commit().await?;
    Ok(started)
}

/// Makes an organization with its own link, and ends every set-up address. `None` when the slug is taken.
pub async fn create_organization(
    app: &App,
    tx: &mut crate::platform::db::Tx,
    name: &OrganizationName,
    slug: &Slug,
    actor: &Actor,
) -> Result<Option<OrganizationId>, Fault> {
    let Some(organization) = organizations::create(tx, name, slug).await? else { return Ok(None) };
    links::create_own(app, tx, organization)?;
    tokens::end_set_up(tx);
    audit::name(tx, organization, organization.subject(), name.as_str());
    audit::record(tx, organization, actor, Happened::to(EventKind::OrganizationCreated, organization));
    Ok(Some(organization))
}

/// Makes an organization and its first manager from the command line: the manager's one-time link to set a
/// password. `None` when the slug is taken.
pub async fn create_from_command_line(
    app: &App,
    name: &OrganizationName,
    slug: &Slug,
    manager: EmailAddress,
) -> Result<Option<(OrganizationId, Secret)>, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock_all(&mut tx).await?;
    let actor = Actor::command_line();
    let Some(organization) = create_organization(app, &mut tx, name, slug, &actor).await? else { return Ok(None) };
    let full_name = users::name_from_address(&manager);
    let new = NewUser {
        organization,
        admitted: Admitted::by_manager(manager),
        full_name,
        password_hash: None,
        role: Role::Manager,
        proved: Proved::by(ProvedHow::CommandLine),
        came_by: CameBy::CommandLine,
        came_by_id: None,
    };
    let user = users::create(app, &mut tx, new, &actor).await?.ok_or(Fault::Data("a new organization has a user"))?;
    let new = tokens::NewToken { purpose: Purpose::BreakGlass, organization, subject: user.id.subject() };
    let secret = tokens::issue_shown(&mut tx, new);
    tx.commit().await?;
    Ok(Some((organization, secret)))
}
