//! What is kept of an address goes with its user, or with the user's change to another one.

use super::store;
use crate::{
    features::users::User,
    platform::{
        Fault,
        db::Tx,
        mail::outbox,
        tokens::{self, Purpose},
    },
    values::{EmailAddress, OrganizationId, RegistrationId},
};

/// Forgets the registrations of an address whose user was deleted, and the messages about them.
pub async fn forget_address(tx: &mut Tx, organization: OrganizationId, address: &EmailAddress) -> Result<(), Fault> {
    for id in store::delete_of_address(tx, organization, address).await? {
        forget(tx, id);
    }
    Ok(())
}

/// Forgets how a user came who gets another address: nothing finds it by the old one when the user is deleted.
pub async fn forget_former_address(tx: &mut Tx, user: &User) -> Result<(), Fault> {
    for id in store::delete_finished_of(tx, user).await? {
        forget(tx, id);
    }
    Ok(())
}

fn forget(tx: &mut Tx, id: RegistrationId) {
    outbox::forget_about(tx, id.subject());
    tokens::end_all(tx, Purpose::Confirmation, id.subject());
}
