//! An invitation is accepted: the address is fixed, and the list and the switch do not apply.

use super::{Details, JoinError, end_everything_of};
use crate::{
    features::{
        admission::Admitted,
        audit::{self, Actor, EventKind, Happened},
        invitations::{self, Invitation},
        organizations::{self, Organization},
        sessions::{self, Brought, Started},
        users::{self, CameBy, NewUser, Proved},
    },
    platform::{
        App,
        tokens::{self, Purpose, Token},
        web::Visitor,
    },
    values::{Digest, Secret},
};

/// An invitation that still may be accepted.
pub(super) struct Open {
    pub invitation: Invitation,
    pub organization: Organization,
}

/// The invitation behind a token, if it still may be accepted. Changes nothing.
pub(super) async fn look(app: &App, digest: &Digest) -> Result<Open, JoinError> {
    let token = tokens::find(&app.db, Purpose::Invitation, digest).await?.ok_or(JoinError::Unknown)?;
    let organization = token.organization_id.ok_or(JoinError::Unknown)?;
    let organization = organizations::by_id(&app.db, organization).await?.ok_or(JoinError::Unknown)?;
    let invitation =
        invitations::by_id(&app.db, organization.id, token.subject_id.of()).await?.ok_or(JoinError::Unknown)?;
    if users::by_address(&app.db, organization.id, &invitation.email).await?.is_some() {
        return Err(JoinError::AlreadyUser);
    }
    if !token.is_open(app.db.now()) || !invitation.is_open() {
        return Err(JoinError::TooOld);
    }
    Ok(Open { invitation, organization })
}

/// Makes the user with exactly the invited address, and signs them in. A barred address may come back.
pub(super) async fn accept(
    app: &App,
    digest: &Digest,
    details: Details,
    visitor: &Visitor,
    before: Option<&Secret>,
) -> Result<Started, JoinError> {
    let organization = look(app, digest).await?.organization.id; // nobody hashes without a token
    let password_hash = app.hashing.hash(details.password, &visitor.source()).await?;
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, organization).await?.ok_or(JoinError::Unknown)?;
    let token: Token = tokens::use_up(&mut tx, Purpose::Invitation, digest).await?.ok_or(JoinError::TooOld)?;
    let invitation =
        invitations::open_in(&mut tx, organization, token.subject_id.of()).await?.ok_or(JoinError::TooOld)?;
    let role = invitations::role_now(&mut tx, &invitation).await?;
    users::unbar(app, &mut tx, organization, &invitation.email);
    let new = NewUser {
        organization,
        admitted: Admitted::by_invitation(invitation.email),
        full_name: details.full_name,
        password_hash: Some(password_hash),
        role,
        proved: Proved::by_token(token.handed_over_by),
        came_by: CameBy::Invitation,
        came_by_id: Some(invitation.id.subject()),
    };
    let Some(user) = users::create(app, &mut tx, new, &Actor::visitor(visitor)).await? else {
        return Err(JoinError::AlreadyUser);
    };
    end_everything_of(&mut tx, &user, &Actor::visitor(visitor)).await?;
    let started = sessions::start(app, &mut tx, &user, visitor, Brought { before, known: None });
    audit::record(&mut tx, organization, &Actor::user(user.id, visitor), Happened::to(EventKind::SignedIn, user.id));
    tx.commit().await?;
    Ok(started)
}
