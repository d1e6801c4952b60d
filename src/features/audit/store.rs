use std::collections::HashMap;

use super::{Actor, ActorKind, EventKind, Happened, Refused};
use crate::{
    platform::{
        Fault,
        db::{Db, FromRow, Query, Tx, query},
    },
    values::{AuditEventId, OrganizationId, RequestId, SubjectId, Timestamp, UserId},
};

/// Appends an event.
pub fn record(tx: &mut Tx, organization: OrganizationId, actor: &Actor, happened: Happened) {
    appended(query(
        "insert into audit_events (id, organization_id, kind, actor_kind, actor_id, subject_id, at, request_id, client_address, parameters)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    ), tx, organization, actor, happened)
        .later(tx);
}

/// Appends two events that happen together, in their order.
pub fn record_both(
    tx: &mut Tx,
    organization: OrganizationId,
    (actor, happened): (&Actor, Happened),
    (then_actor, then): (&Actor, Happened),
) {
    let both = query(
        "insert into audit_events (id, organization_id, kind, actor_kind, actor_id, subject_id, at, request_id, client_address, parameters)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), ($11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    );
    let first = appended(both, tx, organization, actor, happened);
    appended(first, tx, organization, then_actor, then).later(tx);
}

fn appended(query: Query, tx: &Tx, organization: OrganizationId, actor: &Actor, happened: Happened) -> Query {
    query
        .bind(tx.new_id::<crate::values::kinds::AuditEvent>())
        .bind(organization)
        .bind(happened.kind)
        .bind(actor.kind)
        .bind(actor.user)
        .bind(happened.subject)
        .bind(tx.now)
        .bind(actor.request)
        .bind(actor.address.map(|address| address.to_string()))
        .bind(happened.parameters)
}

/// Remembers what something is called, apart from the events about it.
pub fn name(tx: &mut Tx, organization: OrganizationId, id: SubjectId, name: &str) {
    query("insert into audit_names (id, organization_id, name) values ($1, $2, $3) on conflict (id) do update set name = $3")
        .bind(id)
        .bind(organization)
        .bind(name)
        .later(tx);
}

/// Forgets what something was called; the events stay.
pub fn erase_name(tx: &mut Tx, id: SubjectId) {
    query("delete from audit_names where id = $1").bind(id).later(tx);
}

/// Counts what an anonymous visitor was refused, by hour.
pub fn count_refused(tx: &mut Tx, organization: OrganizationId, kind: Refused) {
    count_all_refused(tx, organization, kind, 1);
}

/// Counts what so many anonymous visitors were refused.
pub fn count_all_refused(tx: &mut Tx, organization: OrganizationId, kind: Refused, count: i64) {
    let hour = tx.now.hour();
    query(
        "insert into audit_counts (organization_id, kind, hour, count) values ($1, $2, $3, $4)
         on conflict (organization_id, kind, hour) do update set count = audit_counts.count + $4",
    )
    .bind(organization)
    .bind(kind)
    .bind(hour)
    .bind(count)
    .later(tx);
}

/// An event as it is kept.
#[derive(Debug, Clone, FromRow)]
pub struct Event {
    /// Its id.
    pub id: AuditEventId,
    /// What happened.
    pub kind: EventKind,
    /// What kind of actor.
    pub actor_kind: ActorKind,
    /// The user who acted.
    pub actor_id: Option<UserId>,
    /// What it happened to.
    pub subject_id: Option<SubjectId>,
    /// When.
    pub at: Timestamp,
    /// In which request.
    pub request_id: Option<RequestId>,
    /// From where.
    pub client_address: Option<String>,
    /// Details.
    pub parameters: serde_json::Value,
}

/// Which events to list: everything left empty is every one.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// About or by this user, invitation, registration or message.
    pub about: Option<SubjectId>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// The place of the last event of the page before.
    pub before: Option<(Timestamp, AuditEventId)>,
}

/// A page of events, newest first; one more than asked for says that there is another page.
pub async fn list(db: &Db, organization: OrganizationId, filter: &Filter, limit: i64) -> Result<Vec<Event>, Fault> {
    let (at, id) = filter.before.unzip();
    query(
        "select id, kind, actor_kind, actor_id, subject_id, at, request_id, client_address, parameters
           from audit_events
          where organization_id = $1 and ($2 is null or kind = $2) and ($3 is null or subject_id = $3 or actor_id = $3)
            and ($4 is null or at >= $4) and ($5 is null or at < $5) and ($6 is null or (at, id) < ($6, $7))
          order by at desc, id desc limit $8",
    )
    .bind(organization)
    .bind(filter.kind.map(EventKind::as_str))
    .bind(filter.about)
    .bind(filter.from)
    .bind(filter.until)
    .bind(at)
    .bind(id)
    .bind(limit + 1)
    .all(db)
    .await
}

/// What these ids are called, where it is still known.
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
        let found: Option<(String,)> = query("select name from audit_names where organization_id = $1 and id = $2")
            .bind(organization)
            .bind(*id)
            .optional(db)
            .await?;
        if let Some((name,)) = found {
            names.insert(*id, name);
        }
    }
    Ok(names)
}

/// How often something was refused in an hour.
#[derive(Debug, Clone, FromRow)]
pub struct Counted {
    /// What was refused.
    pub kind: Refused,
    /// The hour.
    pub hour: Timestamp,
    /// How often.
    pub count: i64,
}

/// What was refused since a moment, newest hour first.
pub async fn list_refused(db: &Db, organization: OrganizationId, since: Timestamp) -> Result<Vec<Counted>, Fault> {
    query("select kind, hour, count from audit_counts where organization_id = $1 and hour >= $2 order by hour desc, kind limit 200")
        .bind(organization)
        .bind(since)
        .all(db)
        .await
}
