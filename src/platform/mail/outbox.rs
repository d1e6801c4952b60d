//! The outbox: messages written with their cause, claimed by a lease, delivered at least once.

use std::time::Duration;

use super::{
    Cause, Kind, State,
    budget::{self, Asked, Slot},
};
use crate::{
    platform::{
        App, Fault,
        db::{CLEANED_AT_ONCE, Db, FromRow, Tx, query},
        tokens,
    },
    values::{EmailAddress, MessageId, OrganizationId, SubjectId, Timestamp, UserId},
};

/// One form or button that is sent again within this time is the same one: it writes one message.
pub const JUST_NOW: Duration = Duration::from_mins(1);
/// How long ended messages are shown in the portal.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How long messages that never left are kept: their addresses may belong to nobody here.
const KEPT_UNSENT: Duration = Duration::from_hours(7 * 24);

/// A message in the outbox.
#[derive(Debug, Clone, FromRow)]
pub struct Message {
    /// Its id; its link and code are derived from it.
    pub id: MessageId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What it says.
    pub kind: Kind,
    /// Who it goes to.
    pub to_email: EmailAddress,
    /// What it is about; the kind says which kind of thing.
    pub subject_id: SubjectId,
    /// Who caused it.
    pub actor_id: Option<UserId>,
    /// Where it stands.
    pub state: State,
    /// When it may leave, or is tried again.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was tried first.
    pub first_tried_at: Option<Timestamp>,
    /// What the mail server said last.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

impl Message {
    /// Whether a manager may pass it on, if it carries something to pass on.
    pub fn can_be_handed_over(&self) -> bool {
        matches!(self.state, State::Waiting | State::Failed)
    }
}

/// What a new message is.
pub struct NewMessage {
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it says.
    pub kind: Kind,
    /// Who causes it.
    pub cause: Cause,
    /// Who it goes to.
    pub to: EmailAddress,
    /// What it is about.
    pub subject: SubjectId,
    /// Who causes it, where that is a user.
    pub actor: Option<UserId>,
}

/// Writes a message into the outbox. It leaves if, and only if, this transaction commits.
pub async fn write(app: &App, tx: &mut Tx, new: NewMessage) -> Result<MessageId, Fault> {
    let id = tx.new_id();
    let (mut due_at, mut state) = (tx.now, State::Waiting);
    if new.cause == Cause::Anonymous {
        let asked = Asked { address: &new.to, organization: new.organization, kind: new.kind };
        let slot = budget::take(app, tx, &asked, id).await?;
        (due_at, state) = slot.due_and_state();
        drop_older(tx, slot);
    }
    query(
        "insert into messages (id, organization_id, kind, cause, to_email, subject_id, actor_id, state, due_at, attempts, created_at, ended_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)",
    )
    .bind(id)
    .bind(new.organization)
    .bind(new.kind)
    .bind(new.cause)
    .bind(&new.to)
    .bind(new.subject)
    .bind(new.actor)
    .bind(state)
    .bind(due_at)
    .bind(tx.now)
    .bind((state == State::Dropped).then_some(tx.now))
    .later(tx);
    if app.mailer.delivers() {
        tx.wakes_the_worker();
    }
    Ok(id)
}

/// The message that the same button wrote about the same subject a moment ago, unless it has come to nothing.
pub async fn written_just_now(tx: &mut Tx, (kind, subject): (Kind, SubjectId)) -> Result<Option<MessageId>, Fault> {
    let a_moment_ago = tx.now - JUST_NOW;
    let written: Option<(MessageId,)> = query(
        "select id from messages
          where subject_id = $1 and kind = $2 and created_at > $3 and state in ('waiting', 'delivered', 'handed over')
          order by created_at desc limit 1",
    )
    .bind(subject)
    .bind(kind)
    .bind(a_moment_ago)
    .optional(tx)
    .await?;
    Ok(written.map(|(id,)| id))
}

/// An anonymous request that sends nothing takes the address's budget all the same: it tells nobody anything.
pub async fn count_only(app: &App, tx: &mut Tx, organization: OrganizationId, to: &EmailAddress) -> Result<(), Fault> {
    let nothing = tx.new_id();
    let slot = budget::take(app, tx, &Asked { address: to, organization, kind: Kind::Recovery }, nothing).await?;
    drop_older(tx, slot);
    Ok(())
}

/// Drops the message whose place another takes, on the way: it asks for no answer of its own.
fn drop_older(tx: &mut Tx, slot: Slot) {
    let Some(older) = slot.instead_of() else { return };
    query("update messages set state = $1, ended_at = $2, lease_until = null where id = $3 and state = 'waiting'")
        .bind(State::Dropped)
        .bind(tx.now)
        .bind(older)
        .later(tx);
}

/// Ends a waiting message. `false` when it does not wait any more: it was handed over or dropped in the meantime.
pub(super) async fn end(tx: &mut Tx, id: MessageId, state: State) -> Result<bool, Fault> {
    let now = tx.now;
    let ended =
        query("update messages set state = $1, ended_at = $2, lease_until = null where id = $3 and state = 'waiting'")
            .bind(state)
            .bind(now)
            .bind(id)
            .execute(tx)
            .await?;
    Ok(ended == 1)
}

/// Drops the waiting messages about a subject: their cause has ended.
pub fn drop_about(tx: &mut Tx, subject: SubjectId) {
    let now = tx.now;
    query("update messages set state = $1, ended_at = $2 where subject_id = $3 and state = 'waiting'")
        .bind(State::Dropped)
        .bind(now)
        .bind(subject)
        .later(tx);
}

/// Drops every waiting message: what waited when a backup was made has left since. How many.
pub async fn drop_everybodys(tx: &mut Tx) -> Result<u64, Fault> {
    let now = tx.now;
    query("update messages set state = $1, ended_at = $2 where state = 'waiting'")
        .bind(State::Dropped)
        .bind(now)
        .execute(tx)
        .await
}

/// Forgets every message about a subject: it was deleted, and its address with it.
pub fn forget_about(tx: &mut Tx, subject: SubjectId) {
    query("delete from messages where subject_id = $1").bind(subject).later(tx);
}

/// Frees what an earlier process had in hand when it ended, so that no message waits for a lease that nobody holds.
/// For a database that one server works on; what was half delivered leaves again, with the same Message-ID.
pub async fn free_leases(app: &App) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    // The literal, not a parameter: only so does the index of what waits serve, among a month of what has left.
    query("update messages set lease_until = null where state = 'waiting' and lease_until is not null").later(&mut tx);
    tx.commit().await
}

/// A manager passes a waiting message on by other means. `false` when it does not wait any more.
pub async fn hand_over(tx: &mut Tx, organization: OrganizationId, id: MessageId, by: UserId) -> Result<bool, Fault> {
    let now = tx.now;
    let changed = query(
        "update messages set state = $1, ended_at = $2, handed_over_by = $3
          where id = $4 and organization_id = $5 and state in ('waiting', 'failed')",
    )
    .bind(State::HandedOver)
    .bind(now)
    .bind(by)
    .bind(id)
    .bind(organization)
    .execute(&mut *tx)
    .await?;
    if changed == 0 {
        return Ok(false);
    }
    tokens::delivered(tx, id, Some(by)).await?;
    Ok(true)
}

/// One message of an organization.
pub async fn find(db: &Db, organization: OrganizationId, id: MessageId) -> Result<Option<Message>, Fault> {
    query(
        "select id, organization_id, kind, to_email, subject_id, actor_id, state, due_at, attempts, first_tried_at, last_error, created_at
           from messages where organization_id = $1 and id = $2",
    )
    .bind(organization)
    .bind(id)
    .optional(db)
    .await
}

/// Which messages to list: everything left empty is every one.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// To an address that has this in it.
    pub to: Option<String>,
    /// The place of the last message of the page before.
    pub before: Option<(Timestamp, MessageId)>,
}

/// A page of an organization's messages, newest first; one more than asked for says that there is another page.
pub async fn list(db: &Db, organization: OrganizationId, filter: &Filter, limit: i64) -> Result<Vec<Message>, Fault> {
    let (at, id) = filter.before.unzip();
    query(
        "select id, organization_id, kind, to_email, subject_id, actor_id, state, due_at, attempts, first_tried_at, last_error, created_at
           from messages
          where organization_id = $1 and ($2 is null or state = $2) and ($3 is null or lower(to_email) like $3 escape '\\')
            and ($4 is null or (created_at, id) < ($4, $5))
          order by created_at desc, id desc limit $6",
    )
    .bind(organization)
    .bind(filter.state.map(State::as_str))
    .bind(filter.to.as_deref().map(anywhere))
    .bind(at)
    .bind(id)
    .bind(limit + 1)
    .all(db)
    .await
}

fn anywhere(text: &str) -> String {
    let literal = text.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{literal}%")
}

/// How the newest message about a subject stands, and since when it waits.
#[derive(Debug, Clone, FromRow)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// When it may leave, or is tried again.
    pub due_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
}

/// How the newest message about a subject stands.
pub async fn standing(db: &Db, subject: SubjectId) -> Result<Option<Standing>, Fault> {
    query(
        "select state, due_at, attempts from messages where subject_id = $1 order by created_at desc, id desc limit 1",
    )
    .bind(subject)
    .optional(db)
    .await
}

/// How many messages of an organization wait, and how many failed.
pub async fn backlog(db: &Db, organization: OrganizationId) -> Result<(i64, i64), Fault> {
    query(
        "select (select count(*) from messages where organization_id = $1 and state = 'waiting'),
                (select count(*) from messages where organization_id = $1 and state = 'failed')",
    )
    .bind(organization)
    .one(db)
    .await
}

/// What waits in the whole outbox.
#[derive(Debug, Clone, FromRow)]
pub struct WholeBacklog {
    /// So many messages, those that may not leave yet included.
    pub waiting: i64,
    /// The earliest moment at which one may leave, or is tried again.
    pub due_since: Option<Timestamp>,
    /// When the one that was tried first was tried first.
    pub tried_since: Option<Timestamp>,
}

/// What waits in the whole outbox, for operators. Reads the index of waiting messages and those alone.
pub async fn whole_backlog(db: &Db) -> Result<WholeBacklog, Fault> {
    query(
        "select count(*) as waiting, min(due_at) as due_since, min(first_tried_at) as tried_since
           from messages where state = 'waiting'",
    )
    .one(db)
    .await
}

/// Forgets messages that ended long ago.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let (long_ago, a_while_ago) = (tx.now - KEPT, tx.now - KEPT_UNSENT);
    let messages = query(
        "delete from messages where id in
           (select id from messages where ended_at < $1 or (ended_at < $2 and state = $3) limit $4)",
    )
    .bind(long_ago)
    .bind(a_while_ago)
    .bind(State::Dropped)
    .bind(CLEANED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    Ok(messages.max(budget::clean_up(tx).await?))
}
