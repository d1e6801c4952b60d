//! Users: who belongs to an organization, how they came, and how their address was proved.
//!
//! [`create`] is the only way in, and it takes what the admission decision made.
//!
//! Tables: `users`, `barred_addresses`.

/// The columns that a [`User`] is read from, of the table or the alias that is given: `""`, `"u."`.
macro_rules! user_columns {
    ($of:literal) => {
        concat!(
            $of,
            "id, ",
            $of,
            "organization_id, ",
            $of,
            "email, ",
            $of,
            "full_name, ",
            $of,
            "role, ",
            $of,
            "status, ",
            $of,
            "password_hash is not null as has_password, ",
            $of,
            "proved_how, ",
            $of,
            "proved_by, ",
            $of,
            "proved_at, ",
            $of,
            "came_by, ",
            $of,
            "created_at, ",
            $of,
            "deactivated_at, ",
            $of,
            "seen_at"
        )
    };
}
pub(crate) use user_columns;

mod model;
mod store;

pub use model::{CameBy, NewUser, Proved, ProvedHow, Role, Status, User};
pub use store::{
    Filter, Place, by_address, by_id, clean_up, count, count_by_domain, find_secret, is_barred, list, lock,
    mark_proved, mark_seen, names, rename, set_address, set_password, unbar,
};

use super::{
    address_changes::{self, ChangeEnd},
    audit::{self, Actor, Authority, EventKind, Happened},
    organizations,
};
use crate::{
    platform::{App, Fault, db::Tx, mail::outbox, tokens, web::Visitor},
    values::{EmailAddress, FullName, UserId},
};

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user in this organization.
    #[error("no such user")]
    Unknown,
    /// The last active manager who can sign in stays one (decision U1).
    #[error("the last manager")]
    LastManager,
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Makes a user. `None` when the address has one already, which the unique index decides, or when it may not come back
/// through the link.
pub async fn create(app: &App, tx: &mut Tx, new: NewUser, actor: &Actor) -> Result<Option<User>, Fault> {
    let Some(user) = store::insert(app, tx, tx.new_id(), new).await? else { return Ok(None) };
    audit::record(tx, user.organization_id, actor, created(&user));
    Ok(Some(user))
}

/// Makes a user who is signed in with it. `id` is theirs from now on, so that what leads here may name it beforehand.
pub async fn create_signed_in(
    app: &App,
    tx: &mut Tx,
    id: UserId,
    new: NewUser,
    visitor: &Visitor,
) -> Result<Option<User>, Fault> {
    let Some(user) = store::insert(app, tx, id, new).await? else { return Ok(None) };
    let signed_in = (&Actor::user(user.id, visitor), Happened::to(EventKind::SignedIn, user.id));
    audit::record_both(tx, user.organization_id, (&Actor::visitor(visitor), created(&user)), signed_in);
    Ok(Some(user))
}

fn created(user: &User) -> Happened {
    let details = serde_json::json!({ "role": user.role.as_str(), "came_by": user.came_by.as_str(), "proved": user.proved_how.as_str() });
    Happened::to(EventKind::UserCreated, user.id).with(details)
}

/// Ends a user's access; everything else stays. Holds at the next request.
pub async fn deactivate(app: &App, by: &Authority, id: UserId) -> Result<(), UserError> {
    let mut tx = app.db.write().await?;
    let user = for_change(&mut tx, by, id).await?;
    if !user.is_active() {
        return Ok(());
    }
    keep_one_manager(&mut tx, &user).await?;
    store::set_status(&mut tx, id, Status::Deactivated);
    end_open_tokens(&mut tx, id).await?;
    store::end_sessions(&mut tx, id);
    audit::record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::UserDeactivated, id));
    Ok(tx.commit().await?)
}

/// Gives a user their access back.
pub async fn reactivate(app: &App, by: &Authority, id: UserId) -> Result<(), UserError> {
    let mut tx = app.db.write().await?;
    if for_change(&mut tx, by, id).await?.is_active() {
        return Ok(());
    }
    store::set_status(&mut tx, id, Status::Active);
    audit::record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::UserReactivated, id));
    Ok(tx.commit().await?)
}

/// Makes a user a manager or a member. Their sessions end, so that no old one keeps old rights.
pub async fn change_role(app: &App, by: &Authority, id: UserId, role: Role) -> Result<User, UserError> {
    let mut tx = app.db.write().await?;
    let user = for_change(&mut tx, by, id).await?;
    if user.role == role {
        return Ok(user);
    }
    if role == Role::Member {
        keep_one_manager(&mut tx, &user).await?;
    }
    store::set_role(&mut tx, id, role);
    store::end_sessions(&mut tx, id);
    let details = serde_json::json!({ "role": role.as_str() });
    audit::record(&mut tx, by.organization, &by.actor, Happened::to(EventKind::RoleChanged, id).with(details));
    store::write_notice(app, &mut tx, &user, crate::platform::mail::Kind::RoleChanged).await?;
    tx.commit().await?;
    Ok(User { role, ..user })
}

/// Deletes a user for good: the account, its sessions, and its name and address in the audit log. Unless
/// `may_return`, the address may not register through the link for two years (decision R13).
///
/// What else is kept of the address belongs to features above this one: `provisioning::delete` forgets that too.
pub async fn delete(app: &App, tx: &mut Tx, by: &Authority, id: UserId, may_return: bool) -> Result<User, UserError> {
    let user = for_change(tx, by, id).await?;
    keep_one_manager(tx, &user).await?;
    outbox::forget_about(tx, id.subject());
    end_open_tokens(tx, id).await?;
    let had_before = address_changes::forget_of(tx, id).await?;
    if !may_return {
        store::bar(app, tx, user.organization_id, &user.email);
        // Nobody comes back by an address that they gave up a moment before; whoever has it now stays.
        for email in had_before {
            if by_address(&mut *tx, user.organization_id, &email).await?.is_none() {
                store::bar(app, tx, user.organization_id, &email);
            }
        }
    }
    store::delete(tx, &user);
    audit::erase_name(tx, id.subject());
    let details = serde_json::json!({ "may_return": may_return });
    audit::record(tx, by.organization, &by.actor, Happened::to(EventKind::UserDeleted, id).with(details));
    Ok(user)
}

async fn for_change(tx: &mut Tx, by: &Authority, id: UserId) -> Result<User, UserError> {
    organizations::lock(tx, by.organization).await?.ok_or(UserError::Unknown)?;
    lock(tx, by.organization, id).await?.ok_or(UserError::Unknown)
}

/// The last active manager with a credential stays (decision U1). The organization is locked, so that two
/// managers who remove each other cannot both succeed.
async fn keep_one_manager(tx: &mut Tx, user: &User) -> Result<(), UserError> {
    let counts = user.role == Role::Manager && user.status == Status::Active && user.has_password;
    if counts && store::count_other_managers(tx, user).await? == 0 {
        return Err(UserError::LastManager);
    }
    Ok(())
}

/// Ends every link that could set this user's password or change their address.
pub async fn end_open_tokens(tx: &mut Tx, id: UserId) -> Result<(), Fault> {
    tokens::end_all_for_password(tx, id.subject());
    address_changes::end_open_of(tx, id, ChangeEnd::Withdrawn).await
}

/// What a user is called before they say: the part of the address before the `@`.
pub fn name_from_address(address: &EmailAddress) -> FullName {
    address.local().parse().unwrap_or_else(|_| FullName::of_nobody_yet())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_name_yet_is_called_by_the_address() {
        let called = |address: &str| name_from_address(&address.parse().unwrap()).to_string();
        assert_eq!(called("ada.lovelace@acme.com"), "ada.lovelace");
        assert_eq!(called("#$@acme.com"), "New user");
    }
}
