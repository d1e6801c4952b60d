use std::time::Duration;

use super::{Invitation, InvitationEnd, Listed};
use crate::{
    features::users::{Role, User},
    platform::{
        Fault,
        db::{CLEANED_AT_ONCE, Db, Target, Tx, query},
        tokens::Purpose,
    },
    values::{DAY, EmailAddress, InvitationId, OrganizationId, Timestamp, UserId, kinds},
};

/// The columns of an invitation.
macro_rules! columns {
    () => {
        "id, organization_id, email, role, invited_by, created_at, renewed_at, mail_failed_at, ended_why"
    };
}

pub(super) async fn insert(
    tx: &mut Tx,
    organization: OrganizationId,
    address: &EmailAddress,
    role: Role,
    by: Option<UserId>,
) -> Result<Invitation, Fault> {
    query(concat!(
        "insert into invitations (id, organization_id, email, email_key, role, invited_by, created_at, renewed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7) returning ",
        columns!()
    ))
    .bind(tx.new_id::<kinds::Invitation>())
    .bind(organization)
    .bind(address)
    .bind(address.identity())
    .bind(role)
    .bind(by)
    .bind(tx.now)
    .one(tx)
    .await
}

pub(super) async fn find_pending(
    tx: &mut Tx,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Option<Invitation>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from invitations where organization_id = $1 and email_key = $2 and ended_at is null"
    ))
    .bind(organization)
    .bind(address.identity())
    .optional(tx)
    .await
}

/// The pending invitation of an address whose link still works, for whoever comes another way (decision R2): it was
/// not delivered yet, or less than seven days ago.
pub async fn pending_for<'a>(
    on: impl Into<Target<'a>>,
    now: Timestamp,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Option<Invitation>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from invitations
          where organization_id = $1 and email_key = $2 and ended_at is null
            and exists (select 1 from tokens where subject_id = invitations.id and purpose = $3
                         and tokens.ended_at is null and (lives_until is null or lives_until > $4))"
    ))
    .bind(organization)
    .bind(address.identity())
    .bind(Purpose::Invitation)
    .bind(now)
    .optional(on)
    .await
}

pub(super) fn renew(tx: &mut Tx, pending: &Invitation, role: Role, by: Option<UserId>) {
    // Later than before, so that a page that was shown before can be told from one that was shown after.
    let now = tx.now.max(pending.renewed_at + Duration::from_micros(1));
    query("update invitations set role = $1, invited_by = $2, renewed_at = $3, mail_failed_at = null where id = $4")
        .bind(role)
        .bind(by)
        .bind(now)
        .bind(pending.id)
        .later(tx);
}

/// Ends a pending invitation: of two who do, one gets the row.
pub(super) async fn end(
    tx: &mut Tx,
    organization: OrganizationId,
    id: InvitationId,
    why: InvitationEnd,
    user: Option<UserId>,
) -> Result<bool, Fault> {
    let now = tx.now;
    let ended = query(
        "update invitations set ended_at = $1, ended_why = $2, user_id = $3 where organization_id = $4 and id = $5 and ended_at is null",
    )
    .bind(now)
    .bind(why)
    .bind(user)
    .bind(organization)
    .bind(id)
    .execute(tx)
    .await?;
    Ok(ended == 1)
}

/// By id, within one organization.
pub async fn by_id(db: &Db, organization: OrganizationId, id: InvitationId) -> Result<Option<Invitation>, Fault> {
    query(concat!("select ", columns!(), " from invitations where organization_id = $1 and id = $2"))
        .bind(organization)
        .bind(id)
        .optional(db)
        .await
}

/// The pending invitation with this id, inside the write that accepts it.
pub async fn open_in(tx: &mut Tx, organization: OrganizationId, id: InvitationId) -> Result<Option<Invitation>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from invitations where organization_id = $1 and id = $2 and ended_at is null"
    ))
    .bind(organization)
    .bind(id)
    .optional(tx)
    .await
}

/// The place of an invitation in the list.
pub type Place = (Timestamp, InvitationId);

/// A page of pending invitations, newest first; one more than asked for says that there is another page.
pub async fn list(
    db: &Db,
    organization: OrganizationId,
    before: Option<Place>,
    limit: i64,
) -> Result<Vec<Listed>, Fault> {
    let (at, id) = before.unzip();
    query(
        "select i.id, i.email, i.role, i.invited_by, i.renewed_at, m.id as message_id, m.state as mail, t.lives_until
           from invitations i
           left join tokens t on t.subject_id = i.id and t.purpose = $1 and t.ended_at is null
           left join messages m on m.id = t.message_id
          where i.organization_id = $2 and i.ended_at is null and ($3 is null or (i.renewed_at, i.id) < ($3, $4))
          order by i.renewed_at desc, i.id desc limit $5",
    )
    .bind(Purpose::Invitation)
    .bind(organization)
    .bind(at)
    .bind(id)
    .bind(limit + 1)
    .all(db)
    .await
}

/// The newest invitation of an address, whatever has become of it.
pub async fn newest_of(
    db: &Db,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Option<Invitation>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from invitations where organization_id = $1 and email_key = $2 order by created_at desc, id desc limit 1"
    ))
    .bind(organization)
    .bind(address.identity())
    .optional(db)
    .await
}

/// The message of an invitation was refused for good (decision R11).
pub fn mail_failed(tx: &mut Tx, id: InvitationId) {
    let now = tx.now;
    query("update invitations set mail_failed_at = $1 where id = $2").bind(now).bind(id).later(tx);
}

pub(super) async fn delete_of(tx: &mut Tx, user: &User) -> Result<Vec<InvitationId>, Fault> {
    let deleted: Vec<(InvitationId,)> =
        query("delete from invitations where organization_id = $1 and (email_key = $2 or user_id = $3) returning id")
            .bind(user.organization_id)
            .bind(user.email.identity())
            .bind(user.id)
            .all(tx)
            .await?;
    Ok(deleted.into_iter().map(|(id,)| id).collect())
}

/// Those that ended long ago and that nobody accepted: some of them.
pub(super) async fn delete_unused(tx: &mut Tx) -> Result<Vec<InvitationId>, Fault> {
    let long_ago = tx.now - 90 * DAY;
    let deleted: Vec<(InvitationId,)> = query(
        "delete from invitations where id in (select id from invitations where ended_at < $1 and user_id is null limit $2) returning id",
    )
    .bind(long_ago)
    .bind(CLEANED_AT_ONCE)
    .all(tx)
    .await?;
    Ok(deleted.into_iter().map(|(id,)| id).collect())
}
