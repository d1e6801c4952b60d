//! Invitations: a manager's offer to one address. The allowlist does not apply to it.
//!
//! Made, sent again and revoked here; accepted in `join`, which makes the user. One is pending for an address
//! at a time: inviting again renews it, and the old token dies.
//!
//! Tables: `invitations`. Messages: `invitation`.

pub mod mail;
mod model;
mod store;

pub use model::{Invitation, InvitationEnd, Invited, Left, Listed, Outcome};
pub use store::{Place, by_id, list, mail_failed, newest_of, open_in, pending_for};

use std::collections::HashSet;

use super::{
    audit::{self, Actor, Authority, EventKind, Happened},
    organizations,
    users::{self, Role, User},
};
use crate::{
    platform::{
        App, Fault,
        db::{Target, Tx},
        mail::{Cause, Kind, managers, outbox},
        tokens::{self, NewToken, Purpose},
    },
    values::{EmailAddress, InvitationId, Timestamp, UserId},
};

/// Invites one address, or renews its pending invitation. The answer says what happened.
pub async fn invite(
    app: &App,
    by: &Authority,
    manager: Option<UserId>,
    address: &EmailAddress,
    role: Role,
) -> Result<Invited, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    let invited = invite_in(app, &mut tx, by, (manager, address, role)).await?;
    tx.commit().await?;
    Ok(invited)
}

/// The organization is locked.
async fn invite_in(
    app: &App,
    tx: &mut Tx,
    by: &Authority,
    (manager, address, role): (Option<UserId>, &EmailAddress, Role),
) -> Result<Invited, Fault> {
    if let Some(user) = users::by_address(&mut *tx, by.organization, address).await? {
        return Ok(Invited::AlreadyUser { active: user.is_active() });
    }
    if let Some(pending) = store::find_pending(tx, by.organization, address).await? {
        // The same form a moment ago has done it.
        if pending.role == role && pending.invited_by == manager && pending.was_sent_just_now(tx.now) {
            return Ok(if pending.was_renewed() { Invited::AgainInvited } else { Invited::Invited });
        }
        return send_again(app, tx, by, (manager, role), &pending).await;
    }
    if too_much_mail(app, tx, manager, address).await? {
        return Ok(Invited::TooMuchMail);
    }
    let invitation = store::insert(tx, by.organization, address, role, manager).await?;
    send(app, tx, &invitation, manager).await?;
    record(tx, by, EventKind::Invited, &invitation, role);
    Ok(Invited::Invited)
}

/// Renews a pending invitation: it is sent again, and the old token dies.
async fn send_again(
    app: &App,
    tx: &mut Tx,
    by: &Authority,
    (manager, role): (Option<UserId>, Role),
    pending: &Invitation,
) -> Result<Invited, Fault> {
    if too_much_mail(app, tx, manager, &pending.email).await? {
        return Ok(Invited::TooMuchMail);
    }
    store::renew(tx, pending, role, manager);
    send(app, tx, pending, manager).await?;
    record(tx, by, EventKind::InvitationRenewed, pending, role);
    Ok(Invited::AgainInvited)
}

async fn too_much_mail(app: &App, tx: &mut Tx, manager: Option<UserId>, address: &EmailAddress) -> Result<bool, Fault> {
    let Some(manager) = manager else { return Ok(false) };
    Ok(managers::count(app, tx, manager, address).await?.is_err())
}

fn record(tx: &mut Tx, by: &Authority, kind: EventKind, invitation: &Invitation, role: Role) {
    audit::name(tx, by.organization, invitation.id.subject(), invitation.email.as_str());
    let details = serde_json::json!({ "role": role.as_str() });
    audit::record(tx, by.organization, &by.actor, Happened::to(kind, invitation.id).with(details));
}

/// Invites many: an answer for each line, and the good go out. An address that stands twice is invited once.
pub async fn invite_all(
    app: &App,
    by: &Authority,
    manager: UserId,
    lines: &[&str],
    role: Role,
) -> Result<Vec<Outcome>, Fault> {
    let mut seen = HashSet::new();
    let mut outcomes = Vec::with_capacity(lines.len());
    for line in lines {
        let result = match line.parse::<EmailAddress>() {
            Err(why) => Err(Left::NotAnAddress(why)),
            Ok(address) if !seen.insert(address.identity()) => Err(Left::Twice),
            Ok(address) => Ok(invite(app, by, Some(manager), &address, role).await?),
        };
        outcomes.push(Outcome { typed: (*line).to_owned(), result });
    }
    Ok(outcomes)
}

async fn send(app: &App, tx: &mut Tx, invitation: &Invitation, manager: Option<UserId>) -> Result<(), Fault> {
    outbox::drop_about(tx, invitation.id.subject());
    tokens::end_all(tx, Purpose::Invitation, invitation.id.subject());
    let message = outbox::NewMessage {
        organization: invitation.organization_id,
        kind: Kind::Invitation,
        cause: Cause::Member,
        to: invitation.email.clone(),
        subject: invitation.id.subject(),
        actor: manager,
    };
    let message = outbox::write(app, tx, message).await?;
    let token = NewToken {
        purpose: Purpose::Invitation,
        organization: invitation.organization_id,
        subject: invitation.id.subject(),
    };
    tokens::issue(app, tx, token, message, false);
    Ok(())
}

/// Sends a pending invitation again; the old token dies. `seen` is when the page that asks for it says that it was sent last: of one
/// page's button, however often it is pressed, one message comes. `None` when it is not pending any more.
pub async fn resend(
    app: &App,
    by: &Authority,
    manager: UserId,
    id: InvitationId,
    seen: Option<Timestamp>,
) -> Result<Option<Invited>, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    // Behind the lock: one that was revoked in the meantime is not made again.
    let Some(invitation) = open_in(&mut tx, by.organization, id).await? else { return Ok(None) };
    if let Some(user) = users::by_address(&mut tx, by.organization, &invitation.email).await? {
        return Ok(Some(Invited::AlreadyUser { active: user.is_active() }));
    }
    // What a page says is compared here and goes no further.
    if seen != Some(invitation.renewed_at) {
        return Ok(Some(Invited::AgainInvited));
    }
    let invited = send_again(app, &mut tx, by, (Some(manager), invitation.role), &invitation).await?;
    tx.commit().await?;
    Ok(Some(invited))
}

/// Takes a pending invitation back: its link ends at once. `false` when it is not pending any more.
pub async fn revoke(app: &App, by: &Authority, id: InvitationId) -> Result<bool, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    if !store::end(&mut tx, by.organization, id, InvitationEnd::Revoked, None).await? {
        return Ok(false);
    }
    end_links(&mut tx, id);
    audit::record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::InvitationRevoked, id));
    tx.commit().await?;
    Ok(true)
}

fn end_links(tx: &mut Tx, id: InvitationId) {
    outbox::drop_about(tx, id.subject());
    tokens::end_all(tx, Purpose::Invitation, id.subject());
}

/// What an invitation makes of whoever accepts it now. Nobody grants more than they hold, and that is asked again
/// when it is used: a manager only while whoever offered that is an active manager, else a member.
pub async fn role_now<'a>(on: impl Into<Target<'a>>, invitation: &Invitation) -> Result<Role, Fault> {
    let Some(by) = invitation.invited_by else { return Ok(invitation.role) };
    if invitation.role == Role::Member {
        return Ok(Role::Member);
    }
    let offered_by = users::by_id(on, invitation.organization_id, by).await?;
    let holds_it = offered_by.is_some_and(|user| user.is_active() && user.is_manager());
    Ok(if holds_it { Role::Manager } else { Role::Member })
}

/// Forgets the invitations of a deleted user, to the last address and to the one with which they came, the messages about them,
/// and the addresses in the audit log.
pub async fn forget(tx: &mut Tx, user: &User) -> Result<(), Fault> {
    for id in store::delete_of(tx, user).await? {
        outbox::forget_about(tx, id.subject());
        tokens::end_all(tx, Purpose::Invitation, id.subject());
        audit::erase_name(tx, id.subject());
    }
    Ok(())
}

/// Forgets invitations that ended long ago without a user, and the addresses in the audit log. Those of a user go with the user.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let forgotten = store::delete_unused(tx).await?;
    for id in &forgotten {
        audit::erase_name(tx, id.subject());
    }
    Ok(u64::try_from(forgotten.len()).unwrap_or_default())
}

/// Marks an address's pending invitation as accepted by its new user.
pub async fn accept_pending(tx: &mut Tx, user: &User, actor: &Actor) -> Result<(), Fault> {
    let Some(pending) = store::find_pending(tx, user.organization_id, &user.email).await? else { return Ok(()) };
    store::end(tx, user.organization_id, pending.id, InvitationEnd::Accepted, Some(user.id)).await?;
    end_links(tx, pending.id);
    audit::record(tx, user.organization_id, actor, Happened::to(EventKind::InvitationAccepted, pending.id));
    Ok(())
}
