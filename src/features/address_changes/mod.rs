//! Changes of a user's address that wait for the new mailbox to confirm. Whose they are, and what becomes of the
//! address in the end, is up to the features above; here a change begins and ends, once.
//!
//! Tables: `address_changes`.

mod store;

use std::time::Duration;

pub use store::{AddressChange, clean_up, end, find, newest_of};

use crate::{
    platform::{
        Fault,
        db::Tx,
        mail::outbox,
        tokens::{self, Purpose},
    },
    values::{AddressChangeId, EmailAddress, OrganizationId, Timestamp, UserId},
};

/// How long a change is remembered, so that its links can say that they are over.
const KEPT: Duration = Duration::from_hours(720);

crate::words! {
    /// How a change of address ended.
    ChangeEnd {
        /// The new mailbox has confirmed.
        Confirmed = "confirmed",
        /// The user stopped it.
        Stopped = "stopped",
        /// The user asked for another address.
        Replaced = "replaced",
        /// Its user was deactivated, got a new password or a new address.
        Withdrawn = "withdrawn",
    }
}

impl AddressChange {
    /// Whether the page still says that it waits: as long as its message may reasonably be looked for.
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.created_at + Purpose::AddressConfirmation.lifetime()
    }
}

/// Whether the same form has begun the change to this address a moment ago.
pub async fn has_just_begun(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
    new: &EmailAddress,
) -> Result<bool, Fault> {
    let newest = newest_of(&mut *tx, organization, user).await?;
    Ok(newest.is_some_and(|change| {
        change.ended_at.is_none() && change.new_email == *new && tx.now < change.created_at + outbox::JUST_NOW
    }))
}

/// Begins a change, in the place of whichever the user has begun before.
pub async fn begin(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
    (old, new): (&EmailAddress, &EmailAddress),
) -> Result<AddressChangeId, Fault> {
    end_open_of(tx, user, ChangeEnd::Replaced).await?;
    Ok(store::insert(tx, organization, user, (old, new)))
}

/// Ends every open change of a user with its links. Messages about it that have not left stay behind.
pub async fn end_open_of(tx: &mut Tx, user: UserId, why: ChangeEnd) -> Result<(), Fault> {
    for id in store::list_open_of(tx, user).await? {
        end(tx, id, why).await?;
        end_links(tx, id);
    }
    Ok(())
}

/// Ends both links of a change: the one that confirms it and the one that stops it.
pub fn end_links(tx: &mut Tx, id: AddressChangeId) {
    outbox::drop_about(tx, id.subject());
    tokens::end_all(tx, Purpose::AddressConfirmation, id.subject());
    tokens::end_all(tx, Purpose::AddressStop, id.subject());
}

/// Forgets every change of a user who is being deleted, and the addresses in its messages. The addresses that they had
/// before, as far as that is still remembered.
pub async fn forget_of(tx: &mut Tx, user: UserId) -> Result<Vec<EmailAddress>, Fault> {
    let forgotten = store::delete_of(tx, user).await?;
    for change in &forgotten {
        outbox::forget_about(tx, change.id.subject());
    }
    let had = forgotten.into_iter().filter(|change| change.ended_why == Some(ChangeEnd::Confirmed));
    Ok(had.map(|change| change.old_email).collect())
}
