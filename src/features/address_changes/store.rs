use super::{ChangeEnd, KEPT};
use crate::{
    platform::{
        Fault,
        db::{CLEANED_AT_ONCE, FromRow, Target, Tx, query},
    },
    values::{AddressChangeId, EmailAddress, OrganizationId, Timestamp, UserId, kinds},
};

/// A change of address as it is kept.
#[derive(Debug, Clone, FromRow)]
pub struct AddressChange {
    /// Its id.
    pub id: AddressChangeId,
    /// Whose organization.
    pub organization_id: OrganizationId,
    /// Whose address.
    pub user_id: UserId,
    /// The address when it began.
    pub old_email: EmailAddress,
    /// The address that is to be.
    pub new_email: EmailAddress,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

pub(super) fn insert(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
    (old, new): (&EmailAddress, &EmailAddress),
) -> AddressChangeId {
    let id = tx.new_id::<kinds::AddressChange>();
    query(
        "insert into address_changes (id, organization_id, user_id, old_email, new_email, created_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id)
    .bind(organization)
    .bind(user)
    .bind(old)
    .bind(new)
    .bind(tx.now)
    .later(tx);
    id
}

/// By id, whatever has become of it.
pub async fn find<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    id: AddressChangeId,
) -> Result<Option<AddressChange>, Fault> {
    query(
        "select id, organization_id, user_id, old_email, new_email, created_at, ended_at
           from address_changes where organization_id = $1 and id = $2",
    )
    .bind(organization)
    .bind(id)
    .optional(on)
    .await
}

/// The change that a user began last.
pub async fn newest_of<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<AddressChange>, Fault> {
    query(
        "select id, organization_id, user_id, old_email, new_email, created_at, ended_at
           from address_changes where organization_id = $1 and user_id = $2
          order by created_at desc, id desc limit 1",
    )
    .bind(organization)
    .bind(user)
    .optional(on)
    .await
}

pub(super) async fn list_open_of(tx: &mut Tx, user: UserId) -> Result<Vec<AddressChangeId>, Fault> {
    let rows: Vec<(AddressChangeId,)> =
        query("select id from address_changes where user_id = $1 and ended_at is null").bind(user).all(tx).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Ends a change: of two who do, one gets the row. `false` when it was over already.
pub async fn end(tx: &mut Tx, id: AddressChangeId, why: ChangeEnd) -> Result<bool, Fault> {
    let now = tx.now;
    let ended = query("update address_changes set ended_at = $1, ended_why = $2 where id = $3 and ended_at is null")
        .bind(now)
        .bind(why)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(ended == 1)
}

/// A change that is gone, with what it leaves to do.
#[derive(Debug, Clone, FromRow)]
pub struct Forgotten {
    /// Its id.
    pub id: AddressChangeId,
    /// The address that its user had before.
    pub old_email: EmailAddress,
    /// How it ended, if it did.
    pub ended_why: Option<ChangeEnd>,
}

pub(super) async fn delete_of(tx: &mut Tx, user: UserId) -> Result<Vec<Forgotten>, Fault> {
    query("delete from address_changes where user_id = $1 returning id, old_email, ended_why").bind(user).all(tx).await
}

/// Forgets changes that began long ago.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let long_ago = tx.now - KEPT;
    query("delete from address_changes where id in (select id from address_changes where created_at < $1 limit $2)")
        .bind(long_ago)
        .bind(CLEANED_AT_ONCE)
        .execute(tx)
        .await
}
