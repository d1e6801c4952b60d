use crate::{
    features::users::{User, user_columns},
    platform::{
        Fault,
        db::{Db, FromRow, Perhaps, Tx, query},
        tokens::{PASSWORD, Token},
        web::Visitor,
    },
    values::{Digest, EmailAddress, OrganizationId, OrganizationName, RecoveryRequestId, RequestId, Slug, kinds},
};

/// What a sign-in is decided by: the organization, and who could sign in there with an address.
#[derive(FromRow)]
pub struct Door {
    /// The organization behind it.
    #[sqlx(rename = "behind")]
    pub organization_id: OrganizationId,
    /// Its name.
    pub organization_name: OrganizationName,
    /// Whose address it is.
    #[sqlx(flatten)]
    pub candidate: Perhaps<Candidate>,
}

/// Who could sign in with an address: the user, and the hash of their password, which is never printed.
#[derive(FromRow)]
pub struct Candidate {
    /// The user.
    #[sqlx(flatten)]
    pub user: User,
    /// The hash of their password.
    pub password_hash: Option<String>,
}

/// The door of an organization, as somebody with this address stands before it. One question, whether or not there is
/// such a user, so that both take as long.
pub(super) async fn door(db: &Db, slug: &Slug, email: &EmailAddress) -> Result<Option<Door>, Fault> {
    query(concat!(
        "select o.id as behind, o.name as organization_name, u.password_hash, ",
        user_columns!("u."),
        " from organizations o left join users u on u.organization_id = o.id and u.email_key = $2 where o.slug = $1"
    ))
    .bind(slug)
    .bind(email.identity())
    .optional(db)
    .await
}

/// Somebody who asked for a new password, before it is known whether there is an account.
#[derive(Debug, Clone, FromRow)]
pub(super) struct RecoveryRequest {
    pub id: RecoveryRequestId,
    pub organization_id: OrganizationId,
    pub email: EmailAddress,
    pub request_id: RequestId,
    pub client_address: String,
}

pub(super) fn insert(tx: &mut Tx, organization: OrganizationId, email: &EmailAddress, visitor: &Visitor) {
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
    .later(tx);
}

/// The oldest ones.
pub(super) async fn list_oldest(db: &Db, limit: i64) -> Result<Vec<RecoveryRequest>, Fault> {
    query(
        "select id, organization_id, email, request_id, client_address from recovery_requests order by asked_at, id limit $1",
    )
    .bind(limit)
    .all(db)
    .await
}

/// Takes one to work it off: of two workers, one gets it.
pub(super) async fn take(tx: &mut Tx, id: RecoveryRequestId) -> Result<bool, Fault> {
    Ok(query("delete from recovery_requests where id = $1").bind(id).execute(tx).await? == 1)
}

/// A link that sets a password, with its user and organization as they are when it is looked at.
#[derive(Debug, Clone, FromRow)]
pub(super) struct PasswordLink {
    #[sqlx(flatten)]
    pub token: Token,
    #[sqlx(flatten)]
    pub user: User,
    pub organization_name: OrganizationName,
    pub organization_slug: Slug,
}

/// The link behind a token, used, old or open; nothing where its user is gone.
pub(super) async fn password_link(db: &Db, digest: &Digest) -> Result<Option<PasswordLink>, Fault> {
    let [one, two, three] = PASSWORD;
    query(concat!(
        "select t.purpose, t.subject_id, t.handed_over_by, t.message_id, t.lives_until, t.ended_at,
                o.name as organization_name, o.slug as organization_slug, ",
        user_columns!("u."),
        " from tokens t join users u on u.id = t.subject_id and u.organization_id = t.organization_id
           join organizations o on o.id = t.organization_id
          where t.digest = $1 and t.purpose in ($2, $3, $4)"
    ))
    .bind(digest)
    .bind(one)
    .bind(two)
    .bind(three)
    .optional(db)
    .await
}
