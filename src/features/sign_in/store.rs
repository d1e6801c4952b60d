use crate::{
    platform::{
        Fault,
        db::{Db, FromRow, Tx, query},
        web::Visitor,
    },
    values::{EmailAddress, OrganizationId, RecoveryRequestId, RequestId, kinds},
};

/// Somebody who asked for a new password, before it is known whether there is an account.
#[derive(Debug, Clone, FromRow)]
pub(super) struct RecoveryRequest {
    pub id: RecoveryRequestId,
    pub organization_id: OrganizationId,
    pub email: EmailAddress,
    pub request_id: RequestId,
    pub client_address: String,
}

pub(super) async fn insert(
    tx: &mut Tx,
    organization: OrganizationId,
    email: &EmailAddress,
    visitor: &Visitor,
) -> Result<(), Fault> {
    query(
        "insert into recovery_requests (id, organization_id, email, asked_at, request_id, client_address)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tx.new_id::<kinds::RecoveryRequest>())
    .bind(organization)
    .bind(email)
    .bind(tx.now)
    .bind(visitor.request)
    .bind(visitor.address.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// The oldest ones.
pub(super) async fn list_oldest(db: &Db, limit: i64) -> Result<Vec<RecoveryRequest>, Fault> {
    query("select * from recovery_requests order by asked_at, id limit $1").bind(limit).all(db).await
}

/// Takes one to work it off: of two workers, one gets it.
pub(super) async fn take(tx: &mut Tx, id: RecoveryRequestId) -> Result<bool, Fault> {
    Ok(query("delete from recovery_requests where id = $1").bind(id).execute(tx).await? == 1)
}
