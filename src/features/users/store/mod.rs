mod list;

use std::{collections::HashMap, time::Duration};

pub use list::{Filter, Place, count, count_by_domain, list};

use super::{NewUser, Proved, Role, Status, User};
use crate::{
    platform::{
        App, Fault,
        db::{CLEANED_AT_ONCE, Db, Target, Tx, query},
        keys::{MOST, Purpose},
        mail::{Cause, Kind, outbox},
    },
    values::{EmailAddress, FullName, OrganizationId, SubjectId, Timestamp, UserId},
};

/// How long an address that may not return is remembered (decision R13).
const BARRED: Duration = Duration::from_hours(17520);

/// What a search looks through: ASCII case does not matter, nothing has a meaning of its own.
fn search_key(email: &EmailAddress, name: &FullName) -> String {
    format!("{email}\n{name}").to_ascii_lowercase()
}

pub(in crate::features::users) async fn insert(
    app: &App,
    tx: &mut Tx,
    id: UserId,
    new: NewUser,
) -> Result<Option<User>, Fault> {
    let email = new.admitted.address();
    let now = tx.now;
    let [one, two, three, four] = address_hashes(app, new.organization, email);
    query(concat!(
        "insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status,
                password_hash, password_set_at, seen_at, proved_how, proved_by, proved_at, came_by, came_by_id, created_at)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14, $15, $16, $17
          where $15 <> 'link' or not exists (select 1 from barred_addresses
                                              where organization_id = $2 and until > $17 and address_hash in ($18, $19, $20, $21))
         on conflict (organization_id, email_key) do nothing
         returning ",
        user_columns!("")
    ))
    .bind(id)
    .bind(new.organization)
    .bind(email)
    .bind(email.identity())
    .bind(email.domain())
    .bind(&new.full_name)
    .bind(search_key(email, &new.full_name))
    .bind(new.role)
    .bind(Status::Active)
    .bind(new.password_hash.clone())
    .bind(new.password_hash.map(|_| now))
    .bind(new.proved.how)
    .bind(new.proved.by)
    .bind((new.proved.how != super::ProvedHow::NotYet).then_some(now))
    .bind(new.came_by)
    .bind(new.came_by_id)
    .bind(now)
    .bind(one)
    .bind(two)
    .bind(three)
    .bind(four)
    .optional(tx)
    .await
}

/// What these users are called, name and address, for the audit log. Of who was deleted nothing is known any more.
pub async fn names(
    db: &Db,
    organization: OrganizationId,
    ids: &[SubjectId],
) -> Result<HashMap<SubjectId, String>, Fault> {
    let mut names = HashMap::new();
    for id in ids {
        if names.contains_key(id) {
            continue;
        }
        if let Some(user) = by_id(db, organization, id.of()).await? {
            names.insert(*id, user.called());
        }
    }
    Ok(names)
}

/// By id, within one organization.
pub async fn by_id<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    id: UserId,
) -> Result<Option<User>, Fault> {
    query(concat!("select ", user_columns!(""), " from users where organization_id = $1 and id = $2"))
        .bind(organization)
        .bind(id)
        .optional(on)
        .await
}

/// By id, and nobody else changes this user until the end of this write. Whoever changes what hangs on a user (sessions,
/// tokens, messages) locks the user first, so that no two wait for each other (`docs/sql.md`).
pub async fn lock(tx: &mut Tx, organization: OrganizationId, id: UserId) -> Result<Option<User>, Fault> {
    query(concat!(
        "update users set status = status where organization_id = $1 and id = $2 returning ",
        user_columns!("")
    ))
    .bind(organization)
    .bind(id)
    .optional(tx)
    .await
}

/// By address, within one organization.
pub async fn by_address<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    email: &EmailAddress,
) -> Result<Option<User>, Fault> {
    query(concat!("select ", user_columns!(""), " from users where organization_id = $1 and email_key = $2"))
        .bind(organization)
        .bind(email.identity())
        .optional(on)
        .await
}

/// The stored hash of a user's password, for comparing and for nothing else.
pub async fn find_secret<'a>(on: impl Into<Target<'a>>, id: UserId) -> Result<Option<String>, Fault> {
    let found: Option<(Option<String>,)> =
        query("select password_hash from users where id = $1").bind(id).optional(on).await?;
    Ok(found.and_then(|(hash,)| hash))
}

pub(in crate::features::users) async fn count_other_managers(tx: &mut Tx, user: &User) -> Result<i64, Fault> {
    let (count,): (i64,) = query(
        "select count(*) from users
          where organization_id = $1 and role = $2 and status = $3 and password_hash is not null and id <> $4",
    )
    .bind(user.organization_id)
    .bind(Role::Manager)
    .bind(Status::Active)
    .bind(user.id)
    .one(tx)
    .await?;
    Ok(count)
}

pub(in crate::features::users) fn set_status(tx: &mut Tx, id: UserId, status: Status) {
    let since = (status == Status::Deactivated).then_some(tx.now);
    query("update users set status = $1, deactivated_at = $2 where id = $3")
        .bind(status)
        .bind(since)
        .bind(id)
        .later(tx);
}

pub(in crate::features::users) fn set_role(tx: &mut Tx, id: UserId, role: Role) {
    query("update users set role = $1 where id = $2").bind(role).bind(id).later(tx);
}

/// Ends a user's sessions with the change that ends their meaning. (A session is the sessions feature's; the
/// row goes with the user that it belongs to.)
pub(in crate::features::users) fn end_sessions(tx: &mut Tx, id: UserId) {
    query("delete from sessions where user_id = $1").bind(id).later(tx);
}

pub(in crate::features::users) async fn write_notice(
    app: &App,
    tx: &mut Tx,
    user: &User,
    kind: Kind,
) -> Result<(), Fault> {
    let notice = outbox::NewMessage {
        organization: user.organization_id,
        kind,
        cause: Cause::Notice,
        to: user.email.clone(),
        subject: user.id.subject(),
        actor: None,
    };
    outbox::write(app, tx, notice).await?;
    Ok(())
}

/// Stores the hash of a new password. `false` when the user is gone.
pub async fn set_password(tx: &mut Tx, id: UserId, hash: &str) -> Result<bool, Fault> {
    let now = tx.now;
    let stored = query("update users set password_hash = $1, password_set_at = $2 where id = $3")
        .bind(hash)
        .bind(now)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(stored == 1)
}

/// Notes how an address was proved, where nothing better was known.
pub fn mark_proved(tx: &mut Tx, id: UserId, proved: Proved) {
    let now = tx.now;
    query("update users set proved_how = $1, proved_by = $2, proved_at = $3 where id = $4 and proved_how <> 'mail'")
        .bind(proved.how)
        .bind(proved.by)
        .bind(now)
        .bind(id)
        .later(tx);
}

/// Stores a new name.
pub fn rename(tx: &mut Tx, user: &User, name: &FullName) {
    query("update users set full_name = $1, search_key = $2 where id = $3")
        .bind(name)
        .bind(search_key(&user.email, name))
        .bind(user.id)
        .later(tx);
}

/// Stores a new address with how it was proved. `false` when another user has it.
pub async fn set_address(tx: &mut Tx, user: &User, email: &EmailAddress, proved: Proved) -> Result<bool, Fault> {
    let now = tx.now;
    let changed = query(
        "update users set email = $1, email_key = $2, email_domain = $3, search_key = $4, proved_how = $5, proved_by = $6, proved_at = $7
          where id = $8 and not exists (select 1 from users other where other.organization_id = $9 and other.email_key = $2 and other.id <> $8)",
    )
    .bind(email)
    .bind(email.identity())
    .bind(email.domain())
    .bind(search_key(email, &user.full_name))
    .bind(proved.how)
    .bind(proved.by)
    .bind(now)
    .bind(user.id)
    .bind(user.organization_id)
    .execute(tx)
    .await?;
    Ok(changed == 1)
}

/// Writes when users were here last, gathered in memory.
pub fn mark_seen(tx: &mut Tx, id: UserId, at: Timestamp) {
    query("update users set seen_at = $1 where id = $2 and (seen_at is null or seen_at < $1)")
        .bind(at)
        .bind(id)
        .later(tx);
}

/// Deletes the row and everything that goes with it, the finished registrations of the address too.
pub(in crate::features::users) fn delete(tx: &mut Tx, user: &User) {
    query("delete from sessions where user_id = $1").bind(user.id).later(tx);
    query("delete from users where id = $1").bind(user.id).later(tx);
}

fn address_hash(app: &App, organization: OrganizationId, email: &EmailAddress) -> Vec<u8> {
    app.keys.mac(Purpose::BarredAddress, &[organization.uuid().as_bytes(), email.identity().as_bytes()])
}

/// The same under every key: an address was barred with whichever was used then.
fn address_hashes(app: &App, organization: OrganizationId, email: &EmailAddress) -> [Vec<u8>; MOST] {
    app.keys.macs(Purpose::BarredAddress, &[organization.uuid().as_bytes(), email.identity().as_bytes()])
}

pub(in crate::features::users) fn bar(app: &App, tx: &mut Tx, organization: OrganizationId, email: &EmailAddress) {
    let until = tx.now + BARRED;
    query(
        "insert into barred_addresses (organization_id, address_hash, until) values ($1, $2, $3)
         on conflict (organization_id, address_hash) do update set until = $3",
    )
    .bind(organization)
    .bind(address_hash(app, organization, email))
    .bind(until)
    .later(tx);
}

/// Whether an address may not come back through the link.
pub async fn is_barred<'a>(
    app: &App,
    on: impl Into<Target<'a>>,
    now: Timestamp,
    organization: OrganizationId,
    email: &EmailAddress,
) -> Result<bool, Fault> {
    let [newest, second, third, oldest] = address_hashes(app, organization, email);
    let found: Option<(Timestamp,)> = query(
        "select until from barred_addresses
          where organization_id = $1 and address_hash in ($2, $3, $4, $5) and until > $6 limit 1",
    )
    .bind(organization)
    .bind(newest)
    .bind(second)
    .bind(third)
    .bind(oldest)
    .bind(now)
    .optional(on)
    .await?;
    Ok(found.is_some())
}

/// Forgets the addresses whose two years are over.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let now = tx.now;
    query(
        "delete from barred_addresses where (organization_id, address_hash) in
             (select organization_id, address_hash from barred_addresses where until <= $1 limit $2)",
    )
    .bind(now)
    .bind(CLEANED_AT_ONCE)
    .execute(tx)
    .await
}

/// A new invitation always wins: the address may come back.
pub fn unbar(app: &App, tx: &mut Tx, organization: OrganizationId, email: &EmailAddress) {
    let [newest, second, third, oldest] = address_hashes(app, organization, email);
    query("delete from barred_addresses where organization_id = $1 and address_hash in ($2, $3, $4, $5)")
        .bind(organization)
        .bind(newest)
        .bind(second)
        .bind(third)
        .bind(oldest)
        .later(tx);
}
