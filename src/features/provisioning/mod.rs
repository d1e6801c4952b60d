//! Provisioning by a manager: a user is made, and taken away, with everything that hangs on the address.
//!
//! Owns no table.

use super::{
    admission::Admitted,
    audit::{Authority, EventKind, Happened, record},
    invitations, join, organizations, sign_in,
    users::{self, CameBy, NewUser, Proved, ProvedHow, Role, User, UserError},
};
use crate::{
    platform::{
        App, Fault,
        limits::TooMany,
        mail::{
            Kind,
            managers::{self, Another},
            outbox,
        },
    },
    values::{EmailAddress, FullName, Timestamp, UserId},
};

/// The user that a manager makes.
pub struct Asked {
    /// The address. The allowlist does not apply to it.
    pub email: EmailAddress,
    /// The name; without one the user is called by the address until they say.
    pub full_name: Option<FullName>,
    /// What they may do.
    pub role: Role,
}

impl Asked {
    /// Whether the same form has made this user a moment ago.
    fn has_just_made(&self, user: &User, now: Timestamp) -> bool {
        let name = self.full_name.as_ref();
        user.came_by == CameBy::Manager
            && now < user.created_at + outbox::JUST_NOW
            && user.role == self.role
            && name.is_none_or(|name| *name == user.full_name)
    }
}

/// What became of it.
pub enum Created {
    /// There is a user now, and a message on its way with which they set a password.
    User(Box<User>),
    /// The address has a user already.
    Taken,
    /// This manager has caused too much mail to this address.
    TooMuchMail(TooMany),
}

/// Makes an active user without a password; the mail leads to setting one and signs nobody in. Ends a bar on the
/// address, its open registrations and its invitation. `manager` is the signed-in one, whose mail is
/// limited; none on the command line.
pub async fn create(app: &App, by: &Authority, manager: Option<UserId>, asked: Asked) -> Result<Created, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    if let Some(user) = users::by_address(&mut tx, by.organization, &asked.email).await? {
        return Ok(if manager.is_some() && asked.has_just_made(&user, tx.now) {
            Created::User(Box::new(user))
        } else {
            Created::Taken
        });
    }
    if let Some(manager) = manager
        && let Err(too_many) = managers::count(app, &mut tx, manager, &asked.email).await?
    {
        tx.commit().await?;
        return Ok(Created::TooMuchMail(too_many));
    }
    users::unbar(app, &mut tx, by.organization, &asked.email);
    let new = NewUser {
        organization: by.organization,
        full_name: asked.full_name.unwrap_or_else(|| users::name_from_address(&asked.email)),
        admitted: Admitted::by_manager(asked.email),
        password_hash: None,
        role: asked.role,
        proved: Proved::by(ProvedHow::NotYet),
        came_by: if manager.is_some() { CameBy::Manager } else { CameBy::CommandLine },
        came_by_id: None,
    };
    let Some(user) = users::create(app, &mut tx, new, &by.actor).await? else { return Ok(Created::Taken) };
    join::end_everything_of(&mut tx, &user, &by.actor).await?;
    sign_in::write_first_password(app, &mut tx, &user, manager).await?;
    tx.commit().await?;
    Ok(Created::User(Box::new(user)))
}

/// Why the first message was not sent again.
#[derive(Debug, thiserror::Error)]
pub enum SendAgainError {
    /// No such user, or one who needs no such message: they have a password, or are deactivated.
    #[error("no message for this user")]
    NotNeeded,
    /// Too often.
    #[error("too many")]
    TooMany(TooMany),
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Sends the message once more with which a user sets a first password. Links already sent stay good.
pub async fn send_first_password_again(
    app: &App,
    by: &Authority,
    manager: UserId,
    id: UserId,
) -> Result<(), SendAgainError> {
    let mut tx = app.db.write().await?;
    let user = users::by_id(&mut tx, by.organization, id)
        .await?
        .filter(|user| user.is_active() && !user.has_password)
        .ok_or(SendAgainError::NotNeeded)?;
    let another = managers::another(app, &mut tx, manager, &user.email, (Kind::FirstPassword, id.subject())).await?;
    if another == Another::Write {
        sign_in::write_first_password(app, &mut tx, &user, Some(manager)).await?;
        record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::RecoveryAsked, id));
    }
    tx.commit().await?;
    if let Another::TooMany(too_many) = another { Err(SendAgainError::TooMany(too_many)) } else { Ok(()) }
}

/// Deletes a user with everything that is kept of the address. Unless `may_return`, the address may not register
/// through the link for two years; a new invitation, or a manager, always wins (decision R13).
pub async fn delete(app: &App, by: &Authority, id: UserId, may_return: bool) -> Result<(), UserError> {
    let mut tx = app.db.write().await?;
    let user = users::delete(app, &mut tx, by, id, may_return).await?;
    join::forget_address(&mut tx, user.organization_id, &user.email).await?;
    invitations::forget(&mut tx, &user).await?;
    Ok(tx.commit().await?)
}
