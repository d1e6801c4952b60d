//! A new password: asked for by anybody, set by whoever reads the mailbox, or by a link from a shell.

use super::store::{self, PasswordLink, RecoveryRequest};
use crate::{
    features::{
        address_changes::{self, ChangeEnd},
        audit::{self, Actor, ActorKind, Authority, EventKind, Happened, Refused},
        organizations::Organization,
        sessions, users,
        users::{Proved, User},
    },
    platform::{
        App, Fault,
        db::Tx,
        hashing::HashError,
        limits::{self, Limit},
        mail::{Cause, Kind, outbox},
        tokens::{self, NewToken, Purpose},
        web::Visitor,
    },
    values::{Digest, EmailAddress, Password, Secret, UserId},
};

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Used, or too old.
    #[error("token over")]
    Over,
    /// The hash pool is full.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Requests worked off in one go.
const BATCH: i64 = 50;

/// Somebody asks for a new password. The same one row is written for every address, so that neither the answer
/// nor its time says who has an account; what it means is found out by [`work_off`], a moment later.
pub(super) async fn ask(
    app: &App,
    organization: &Organization,
    address: &EmailAddress,
    visitor: &Visitor,
) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    store::insert(&mut tx, organization.id, address, visitor);
    tx.wakes_the_worker();
    tx.commit().await
}

/// Writes the messages that were asked for. An address without an account takes its budget all the same.
pub async fn work_off(app: &App) -> Result<(), Fault> {
    loop {
        let requests = store::list_oldest(&app.db, BATCH).await?;
        if requests.is_empty() {
            return Ok(());
        }
        for request in requests {
            let mut tx = app.db.write().await?;
            if store::take(&mut tx, request.id).await? {
                answer(app, &mut tx, &request).await?;
                tx.commit().await?;
            }
        }
    }
}

async fn answer(app: &App, tx: &mut Tx, request: &RecoveryRequest) -> Result<(), Fault> {
    let organization = request.organization_id;
    let identity = request.email.identity();
    let of: [&[u8]; 2] = [&organization.uuid().into_bytes(), identity.as_bytes()];
    if limits::count(app, tx, Limit::SameRecovery, &of).await?.is_err() {
        return Ok(());
    }
    let Some(user) = users::by_address(&mut *tx, organization, &request.email).await? else {
        outbox::count_only(app, tx, organization, &request.email).await?;
        audit::count_refused(tx, organization, Refused::Recovery);
        return Ok(());
    };
    write_recovery(app, tx, &user, Cause::Anonymous, None).await?;
    let actor = Actor {
        kind: ActorKind::Visitor,
        user: None,
        request: Some(request.request_id),
        address: request.client_address.parse().ok(),
    };
    audit::record(tx, organization, &actor, Happened::to(EventKind::RecoveryAsked, user.id));
    Ok(())
}

/// Writes the mail that leads to `/reset/{token}`. For a deactivated user it says whom to ask, without a token.
pub async fn write_recovery(
    app: &App,
    tx: &mut Tx,
    user: &User,
    cause: Cause,
    actor: Option<UserId>,
) -> Result<(), Fault> {
    write(app, tx, user, (Kind::Recovery, Purpose::Recovery), cause, actor).await
}

/// Writes the mail with which a user whom a manager made sets a first password.
pub async fn write_first_password(app: &App, tx: &mut Tx, user: &User, actor: Option<UserId>) -> Result<(), Fault> {
    write(app, tx, user, (Kind::FirstPassword, Purpose::FirstPassword), Cause::Member, actor).await
}

async fn write(
    app: &App,
    tx: &mut Tx,
    user: &User,
    (kind, purpose): (Kind, Purpose),
    cause: Cause,
    actor: Option<UserId>,
) -> Result<(), Fault> {
    let message = outbox::NewMessage {
        organization: user.organization_id,
        kind,
        cause,
        to: user.email.clone(),
        subject: user.id.subject(),
        actor,
    };
    let message = outbox::write(app, tx, message).await?;
    tokens::issue(
        app,
        tx,
        NewToken { purpose, organization: user.organization_id, subject: user.id.subject() },
        message,
        false,
    );
    Ok(())
}

/// A one-time link to set a password, shown once on the command line: changes neither role nor status.
pub async fn make_link(app: &App, by: &Authority, user: &User) -> Result<Secret, Fault> {
    let mut tx = app.db.write().await?;
    let new = NewToken { purpose: Purpose::BreakGlass, organization: by.organization, subject: user.id.subject() };
    let secret = tokens::issue_shown(&mut tx, new);
    audit::record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::RecoveryLinkMade, user.id));
    tx.commit().await?;
    Ok(secret)
}

/// Sets the password and ends every session and every open link of the user. Never signs in by itself.
/// The link was looked at before: nobody hashes without one.
pub(super) async fn reset(
    app: &App,
    (good, digest): (&PasswordLink, &Digest),
    password: Password,
    visitor: &Visitor,
) -> Result<(), ResetError> {
    let hash = app.hashing.hash(password, &visitor.source()).await?;
    let user = &good.user;
    let mut tx = app.db.write().await?;
    // A user who was deleted since has no row, and no links that still work.
    if !users::set_password(&mut tx, user.id, &hash).await? {
        return Err(ResetError::Over);
    }
    if !tokens::use_up_for_password(&mut tx, digest, user.id.subject()).await? {
        return Err(ResetError::Over);
    }
    address_changes::end_open_of(&mut tx, user.id, ChangeEnd::Withdrawn).await?;
    sessions::end_all_of(&mut tx, user.id);
    if good.token.purpose != Purpose::BreakGlass {
        users::mark_proved(&mut tx, user.id, Proved::by_token(good.token.handed_over_by));
    }
    let happened = Happened::to(EventKind::PasswordSet, user.id);
    audit::record(&mut tx, user.organization_id, &Actor::visitor(visitor), happened);
    if user.has_password {
        write_notice(app, &mut tx, user).await?;
    }
    Ok(tx.commit().await?)
}

/// Tells the stored address that its password was changed.
pub async fn write_notice(app: &App, tx: &mut Tx, user: &User) -> Result<(), Fault> {
    let message = outbox::NewMessage {
        organization: user.organization_id,
        kind: Kind::PasswordChanged,
        cause: Cause::Notice,
        to: user.email.clone(),
        subject: user.id.subject(),
        actor: None,
    };
    outbox::write(app, tx, message).await?;
    Ok(())
}
