//! Account: what users see and change of their own: name, password, address, sessions.
//!
//! Owns no table. Messages: `address confirmation`, `address changing`, `address changed`, `role changed`.

mod address;
mod device;
pub mod mail;
mod web;
mod web_address;

use super::{
    audit::{self, EventKind, Happened},
    sessions::{self, Brought, Member, Started},
    sign_in::{self, SignInError},
    users::{self, User},
};
use crate::{
    platform::{App, Fault, db::Tx, hashing::HashError, limits::TooMany},
    values::{Domain, FullName, Password, SessionId},
};

pub use web::routes;

/// Why something of the own account was not changed. The words are in the templates.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The session ended in the meantime.
    #[error("signed out")]
    SignedOut,
    /// That is not the current password.
    #[error("wrong password")]
    PasswordWrong,
    /// The domain of the new address is not on the list (decision R14).
    #[error("domain not on the list")]
    OtherDomain(Domain),
    /// No such link.
    #[error("unknown")]
    Unknown,
    /// The link belongs to another account.
    #[error("of another account")]
    NotYours,
    /// The change of address is over, or its link is too old.
    #[error("over")]
    Over,
    /// Another account has got the new address since.
    #[error("address taken")]
    Taken,
    /// Too often.
    #[error("too many")]
    TooMany(TooMany),
    /// The hash pool is full.
    #[error("busy")]
    Busy,
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<HashError> for AccountError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Fault(fault) => fault.into(),
        }
    }
}

impl From<SignInError> for AccountError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Mismatch => Self::PasswordWrong,
            SignInError::TooMany(too_many) | SignInError::OnlyReset(too_many) => Self::TooMany(too_many),
            SignInError::Busy => Self::Busy,
            SignInError::Fault(fault) => fault.into(),
        }
    }
}

/// The user behind a session, asked again inside a write, and locked: a manager may have acted in the meantime.
async fn own_user(tx: &mut Tx, member: &Member) -> Result<User, AccountError> {
    users::lock(tx, member.organization, member.user).await?.filter(User::is_active).ok_or(AccountError::SignedOut)
}

async fn must_be_password(app: &App, member: &Member, typed: &str) -> Result<(), AccountError> {
    if sign_in::is_current_password(app, member, typed).await? { Ok(()) } else { Err(AccountError::PasswordWrong) }
}

/// Stores another name.
async fn rename(app: &App, member: &Member, full_name: FullName) -> Result<(), AccountError> {
    let mut tx = app.db.write().await?;
    let user = own_user(&mut tx, member).await?;
    users::rename(&mut tx, &user, &full_name);
    audit::record(&mut tx, member.organization, &member.actor(), Happened::to(EventKind::NameChanged, user.id));
    Ok(tx.commit().await?)
}

/// Sets another password. Every session ends, and every open link of the user; this browser gets a session with a
/// new id, and the stored address is told.
async fn change_password(
    app: &App,
    member: &Member,
    current: &str,
    password: Password,
) -> Result<Started, AccountError> {
    must_be_password(app, member, current).await?;
    let hash = app.hashing.hash(password, &member.visitor.source()).await?;
    let mut tx = app.db.write().await?;
    let user = own_user(&mut tx, member).await?;
    // A reset may have ended this session while the hash was made; then the old password decides nothing any more.
    if !sessions::end(&mut tx, user.id, member.session).await? {
        return Err(AccountError::SignedOut);
    }
    users::set_password(&mut tx, user.id, &hash).await?;
    sessions::end_all_of(&mut tx, user.id);
    users::end_open_tokens(&mut tx, user.id).await?;
    sign_in::write_notice(app, &mut tx, &user).await?;
    let started = sessions::start(app, &mut tx, &user, &member.visitor, Brought::default());
    audit::record(&mut tx, member.organization, &member.actor(), Happened::to(EventKind::PasswordChanged, user.id));
    tx.commit().await?;
    Ok(started)
}

/// Ends every other session of the user. How many.
async fn end_other_sessions(app: &App, member: &Member) -> Result<u64, Fault> {
    let mut tx = app.db.write().await?;
    let ended = sessions::end_others_of(&mut tx, member.user, member.session).await?;
    record_ended(&mut tx, member, ended);
    tx.commit().await?;
    Ok(ended)
}

/// Ends one session of the user. `false` when it is none of theirs.
async fn end_session(app: &App, member: &Member, id: SessionId) -> Result<bool, Fault> {
    let mut tx = app.db.write().await?;
    if !sessions::end(&mut tx, member.user, id).await? {
        return Ok(false);
    }
    record_ended(&mut tx, member, 1);
    tx.commit().await?;
    Ok(true)
}

fn record_ended(tx: &mut Tx, member: &Member, ended: u64) {
    let happened = Happened::to(EventKind::SessionsEnded, member.user).with(serde_json::json!({ "ended": ended }));
    audit::record(tx, member.organization, &member.actor(), happened);
}
