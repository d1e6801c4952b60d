use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    features::users::{Role, Status, User},
    platform::{
        Fault,
        db::{CLEANED_AT_ONCE, Db, FromRow, Tx, query},
        web::Visitor,
    },
    values::{
        Digest, EmailAddress, FullName, OrganizationId, OrganizationName, SessionId, Slug, Timestamp, UserId, kinds,
    },
};

/// A living session with its user and organization: all that a signed-in page needs, in one query.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Living {
    pub id: SessionId,
    pub seen_at: Timestamp,
    pub password_at: Timestamp,
    pub expires_at: Timestamp,
    pub user_id: UserId,
    pub email: EmailAddress,
    pub full_name: FullName,
    pub role: Role,
    pub status: Status,
    pub organization_id: OrganizationId,
    pub organization_name: OrganizationName,
    pub organization_slug: Slug,
}

pub(super) fn insert(tx: &mut Tx, user: &User, digest: &Digest, until: Timestamp, visitor: &Visitor) {
    query(
        "insert into sessions (id, organization_id, user_id, digest, created_at, seen_at, password_at, expires_at, client_address, user_agent)
         values ($1, $2, $3, $4, $5, $5, $5, $6, $7, $8)",
    )
    .bind(tx.new_id::<kinds::Session>())
    .bind(user.organization_id)
    .bind(user.id)
    .bind(digest)
    .bind(tx.now)
    .bind(until)
    .bind(visitor.address.to_string())
    .bind(visitor.user_agent.as_str())
    .later(tx);
}

/// A session of the user who still has this hash. On `PostgreSQL` the row that says so is locked by a word of its own; on
/// `SQLite` the one writer does.
macro_rules! of_the_compared {
    ($lock:literal) => {
        concat!(
            "insert into sessions (id, organization_id, user_id, digest, created_at, seen_at, password_at, expires_at, client_address, user_agent)
             select $1, organization_id, id, $2, $3, $3, $3, $4, $5, $6 from users where id = $7 and status = $8 and password_hash = $9",
            $lock
        )
    };
}

/// Starts a session for a user whose password was compared with `password_hash`, if it is still theirs and they may still
/// sign in; else what was compared decides nothing, and `false`. Whoever changes either waits for this write.
pub(super) async fn insert_after_comparing(
    tx: &mut Tx,
    (user, password_hash): (&User, &str),
    digest: &Digest,
    until: Timestamp,
    visitor: &Visitor,
) -> Result<bool, Fault> {
    let inserted = query(of_the_compared!(""))
        .on_postgres(of_the_compared!(" for no key update"))
        .bind(tx.new_id::<kinds::Session>())
        .bind(digest)
        .bind(tx.now)
        .bind(until)
        .bind(visitor.address.to_string())
        .bind(visitor.user_agent.as_str())
        .bind(user.id)
        .bind(Status::Active)
        .bind(password_hash)
        .execute(tx)
        .await?;
    Ok(inserted == 1)
}

pub(super) async fn find(db: &Db, digest: &Digest) -> Result<Option<Living>, Fault> {
    query(
        "select s.id, s.seen_at, s.password_at, s.expires_at, u.id as user_id, u.email, u.full_name, u.role, u.status,
                o.id as organization_id, o.name as organization_name, o.slug as organization_slug
           from sessions s join users u on u.id = s.user_id join organizations o on o.id = s.organization_id
          where s.digest = $1",
    )
    .bind(digest)
    .optional(db)
    .await
}

pub(super) fn end_by_secret(tx: &mut Tx, digest: &Digest) {
    query("delete from sessions where digest = $1").bind(digest).later(tx);
}

/// Notes that the password was given in this session just now.
pub(super) fn mark_password(tx: &mut Tx, id: SessionId) {
    let now = tx.now;
    query("update sessions set password_at = $1 where id = $2").bind(now).bind(id).later(tx);
}

/// Ends one session of a user. `false` when it is not theirs.
pub async fn end(tx: &mut Tx, user: UserId, id: SessionId) -> Result<bool, Fault> {
    Ok(query("delete from sessions where user_id = $1 and id = $2").bind(user).bind(id).execute(tx).await? == 1)
}

/// Ends every session of a user but this one. How many.
pub async fn end_others_of(tx: &mut Tx, user: UserId, but: SessionId) -> Result<u64, Fault> {
    query("delete from sessions where user_id = $1 and id <> $2").bind(user).bind(but).execute(tx).await
}

/// Ends every session of a user.
pub fn end_all_of(tx: &mut Tx, user: UserId) {
    query("delete from sessions where user_id = $1").bind(user).later(tx);
}

/// Ends every session of everybody. How many.
pub async fn end_everybodys(tx: &mut Tx) -> Result<u64, Fault> {
    query("delete from sessions").execute(tx).await
}

/// A session, as its own user sees it.
#[derive(Debug, Clone, FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was used last, to about a minute.
    pub seen_at: Timestamp,
    /// From where it began.
    pub client_address: String,
    /// What the browser calls itself.
    pub user_agent: String,
}

/// A user's living sessions, the newest first.
pub async fn list_of(db: &Db, user: UserId, idle: Duration) -> Result<Vec<Session>, Fault> {
    let now = db.now();
    query(
        "select id, created_at, seen_at, client_address, user_agent from sessions
          where user_id = $1 and expires_at > $2 and seen_at > $3 order by seen_at desc, id desc limit 100",
    )
    .bind(user)
    .bind(now)
    .bind(now - idle)
    .all(db)
    .await
}

/// Writes when sessions were used last, gathered in memory. Whose they are: users are written apart, since whoever ends
/// a user's sessions locks the user first.
pub async fn write_seen(
    tx: &mut Tx,
    seen: &HashMap<SessionId, Timestamp>,
) -> Result<BTreeMap<UserId, Timestamp>, Fault> {
    // In one order for every server: two that write the same rows never wait for each other.
    let seen: BTreeMap<SessionId, Timestamp> = seen.iter().map(|(id, at)| (*id, *at)).collect();
    let mut users = BTreeMap::new();
    for (id, at) in seen {
        let user: Option<(UserId,)> =
            query("update sessions set seen_at = $1 where id = $2 and seen_at < $1 returning user_id")
                .bind(at)
                .bind(id)
                .optional(&mut *tx)
                .await?;
        if let Some((user,)) = user {
            users.entry(user).and_modify(|last: &mut Timestamp| *last = at.max(*last)).or_insert(at);
        }
    }
    Ok(users)
}

pub(super) async fn delete_old(tx: &mut Tx, unused: Duration, unknown: Duration) -> Result<u64, Fault> {
    let now = tx.now;
    let sessions = query(
        "delete from sessions where id in (select id from sessions where expires_at < $1 or seen_at < $2 limit $3)",
    )
    .bind(now)
    .bind(now - unused)
    .bind(CLEANED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    let browsers = query(
        "delete from known_browsers where digest in (select digest from known_browsers where created_at < $1 limit $2)",
    )
    .bind(now - unknown)
    .bind(CLEANED_AT_ONCE)
    .execute(tx)
    .await?;
    Ok(sessions.max(browsers))
}
