//! Another address: the new mailbox confirms, the old one is told and can stop it. Both links ask for sign-in first,
//! so that a mail scanner that opens or presses them achieves nothing (decision R5).

use super::{AccountError, must_be_password, own_user};
use crate::{
    features::{
        address_changes::{self, AddressChange, ChangeEnd},
        admission::{self, RefusedDomain},
        audit::{self, EventKind, Happened},
        join, organizations,
        sessions::Member,
        users::{self, Proved, User},
    },
    platform::{
        App, Fault,
        db::Tx,
        limits::{self, Limit},
        mail::{Cause, Kind, outbox},
        tokens::{self, NewToken, Purpose, Token},
    },
    values::{Digest, EmailAddress, SubjectId},
};

impl From<RefusedDomain> for AccountError {
    fn from(refused: RefusedDomain) -> Self {
        Self::OtherDomain(refused.domain)
    }
}

/// Begins a change, in the place of one that is open. Answers the same whoever the new address belongs to: what it
/// means is decided when the message leaves.
pub(super) async fn begin(
    app: &App,
    member: &Member,
    new: &EmailAddress,
    current_password: &str,
) -> Result<(), AccountError> {
    // Told before the password is compared: it depends on the domain and the list alone.
    admission::admit(&app.db, member.organization, new).await?.admitted()?;
    must_be_password(app, member, current_password).await?;
    let mut tx = app.db.write().await?;
    let user = own_user(&mut tx, member).await?;
    if address_changes::has_just_begun(&mut tx, user.organization_id, user.id, new).await? {
        return Ok(());
    }
    if let Err(too_many) = limits::count(app, &mut tx, Limit::AddressChange, &[user.id.uuid().as_bytes()]).await? {
        tx.commit().await?;
        return Err(AccountError::TooMany(too_many));
    }
    admission::admit(&mut tx, member.organization, new).await?.admitted()?;
    let change = address_changes::begin(&mut tx, user.organization_id, user.id, (&user.email, new)).await?.subject();
    let confirmation = (Kind::AddressConfirmation, Purpose::AddressConfirmation, Cause::Member);
    write(app, &mut tx, &user, change, new, confirmation).await?;
    let notice = (Kind::AddressChanging, Purpose::AddressStop, Cause::Notice);
    write(app, &mut tx, &user, change, &user.email, notice).await?;
    audit::record(&mut tx, user.organization_id, &member.actor(), Happened::to(EventKind::AddressChangeBegun, user.id));
    Ok(tx.commit().await?)
}

async fn write(
    app: &App,
    tx: &mut Tx,
    user: &User,
    change: SubjectId,
    to: &EmailAddress,
    (kind, purpose, cause): (Kind, Purpose, Cause),
) -> Result<(), Fault> {
    let message = outbox::NewMessage {
        organization: user.organization_id,
        kind,
        cause,
        to: to.clone(),
        subject: change,
        actor: Some(user.id),
    };
    let message = outbox::write(app, tx, message).await?;
    tokens::issue(app, tx, NewToken { purpose, organization: user.organization_id, subject: change }, message, false);
    Ok(())
}

/// What a link of a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The new address takes the place of the old one.
    Confirm,
    /// It stays as it is.
    Stop,
}

impl Act {
    const ALL: [Self; 2] = [Self::Confirm, Self::Stop];

    const fn purpose(self) -> Purpose {
        match self {
            Self::Confirm => Purpose::AddressConfirmation,
            Self::Stop => Purpose::AddressStop,
        }
    }
}

/// The open change behind a link of the signed-in user's own, and what the link does. Changes nothing.
pub(super) async fn look(app: &App, member: &Member, digest: &Digest) -> Result<(Act, AddressChange), AccountError> {
    for act in Act::ALL {
        let Some(token) = tokens::find(&app.db, act.purpose(), digest).await? else { continue };
        if token.organization_id != Some(member.organization) {
            return Err(AccountError::NotYours);
        }
        let change = address_changes::find(&app.db, member.organization, token.subject_id.of()).await?;
        let change = change.ok_or(AccountError::Over)?;
        if change.user_id != member.user {
            return Err(AccountError::NotYours);
        }
        let is_open = token.is_open(app.db.now()) && change.ended_at.is_none();
        return if is_open { Ok((act, change)) } else { Err(AccountError::Over) };
    }
    Err(AccountError::Unknown)
}

/// Does what the link is for.
pub(super) async fn act(app: &App, member: &Member, digest: &Digest) -> Result<Act, AccountError> {
    let (act, _) = look(app, member, digest).await?;
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, member.organization).await?.ok_or(AccountError::SignedOut)?;
    let user = own_user(&mut tx, member).await?;
    let token = tokens::use_up(&mut tx, act.purpose(), digest).await?.ok_or(AccountError::Over)?;
    let change = address_changes::find(&mut tx, user.organization_id, token.subject_id.of())
        .await?
        .filter(|change| change.user_id == user.id)
        .ok_or(AccountError::Over)?;
    match act {
        Act::Confirm => confirm(app, &mut tx, member, &user, &change, &token).await?,
        Act::Stop => stop(&mut tx, member, &change).await?,
    }
    tx.commit().await?;
    Ok(act)
}

/// Decides about the address again, behind the organization's lock. Ends every other link of the user, and tells
/// the old address.
async fn confirm(
    app: &App,
    tx: &mut Tx,
    member: &Member,
    user: &User,
    change: &AddressChange,
    token: &Token,
) -> Result<(), AccountError> {
    admission::admit(&mut *tx, user.organization_id, &change.new_email).await?.admitted()?;
    end(tx, change, ChangeEnd::Confirmed).await?;
    if !users::set_address(tx, user, &change.new_email, Proved::by_token(token.handed_over_by)).await? {
        return Err(AccountError::Taken);
    }
    join::forget_former_address(tx, user).await?;
    users::end_open_tokens(tx, user.id).await?;
    audit::record(tx, user.organization_id, &member.actor(), Happened::to(EventKind::AddressChanged, user.id));
    let notice = outbox::NewMessage {
        organization: user.organization_id,
        kind: Kind::AddressChanged,
        cause: Cause::Notice,
        to: user.email.clone(),
        subject: user.id.subject(),
        actor: None,
    };
    outbox::write(app, tx, notice).await?;
    Ok(())
}

async fn stop(tx: &mut Tx, member: &Member, change: &AddressChange) -> Result<(), AccountError> {
    end(tx, change, ChangeEnd::Stopped).await?;
    let happened = Happened::to(EventKind::AddressChangeStopped, change.user_id);
    audit::record(tx, change.organization_id, &member.actor(), happened);
    Ok(())
}

async fn end(tx: &mut Tx, change: &AddressChange, why: ChangeEnd) -> Result<(), AccountError> {
    if !address_changes::end(tx, change.id, why).await? {
        return Err(AccountError::Over);
    }
    address_changes::end_links(tx, change.id);
    Ok(())
}
