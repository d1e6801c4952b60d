use std::collections::HashMap;

use super::{Found, Link, LinkKind, Policy};
use crate::{
    platform::{
        Fault,
        db::{Db, Tx, query},
        keys::MOST,
        limits::Funnel,
    },
    values::{LinkCodeId, LinkId, OrganizationId, kinds},
};

pub(super) fn insert_own(tx: &mut Tx, organization: OrganizationId) -> LinkId {
    let id = tx.new_id::<kinds::Link>();
    query("insert into links (id, organization_id, kind, paused, used, created_at) values ($1, $2, $3, $4, 0, $5)")
        .bind(id)
        .bind(organization)
        .bind(LinkKind::Own)
        .bind(false)
        .bind(tx.now)
        .later(tx);
    id
}

pub(super) fn insert_code(
    tx: &mut Tx,
    organization: OrganizationId,
    link: LinkId,
    (id, hash, sealed): (LinkCodeId, Vec<u8>, Vec<u8>),
) {
    query("insert into link_codes (id, organization_id, link_id, code_hash, sealed, created_at) values ($1, $2, $3, $4, $5, $6)")
        .bind(id)
        .bind(organization)
        .bind(link)
        .bind(hash)
        .bind(sealed)
        .bind(tx.now)
        .later(tx);
}

pub(super) fn end_codes(tx: &mut Tx, link: LinkId) {
    let now = tx.now;
    query("update link_codes set replaced_at = $1 where link_id = $2 and replaced_at is null")
        .bind(now)
        .bind(link)
        .later(tx);
}

pub(super) async fn find(db: &Db, [newest, second, third, oldest]: [Vec<u8>; MOST]) -> Result<Option<Found>, Fault> {
    query(
        "select l.id as link_id, c.id as code_id, c.replaced_at, o.id as organization_id, o.name as organization_name,
                o.slug as organization_slug, o.self_service, l.paused, l.opens_at, l.expires_at as link_expires_at, l.maximum, l.used
           from link_codes c join links l on l.id = c.link_id join organizations o on o.id = c.organization_id
          where c.code_hash in ($1, $2, $3, $4)",
    )
    .bind(newest)
    .bind(second)
    .bind(third)
    .bind(oldest)
    .optional(db)
    .await
}

/// The policy of a link inside a write, for deciding again when a user is created. The organization is locked before.
pub async fn in_transaction(tx: &mut Tx, organization: OrganizationId, link: LinkId) -> Result<Option<Policy>, Fault> {
    query(
        "select o.self_service, l.paused, l.opens_at, l.expires_at as link_expires_at, l.maximum, l.used
           from links l join organizations o on o.id = l.organization_id where l.organization_id = $1 and l.id = $2",
    )
    .bind(organization)
    .bind(link)
    .optional(tx)
    .await
}

/// One more person has joined: exact, also when fifty finish at once, and only while the link opens. `false` when it
/// does not, for whichever reason. The organization is locked, and its switch was asked before.
pub async fn count_use(tx: &mut Tx, organization: OrganizationId, link: LinkId) -> Result<bool, Fault> {
    let now = tx.now;
    let counted = query(
        "update links set used = used + 1, last_used_at = $1
          where organization_id = $2 and id = $3 and not paused and (opens_at is null or opens_at <= $1)
            and (expires_at is null or expires_at > $1) and (maximum is null or used < maximum)",
    )
    .bind(now)
    .bind(organization)
    .bind(link)
    .execute(tx)
    .await?;
    Ok(counted == 1)
}

/// Writes what came of links, gathered in memory.
pub fn write_funnel(tx: &mut Tx, funnel: &HashMap<uuid::Uuid, Funnel>) {
    // In one order for every server: two that write the same rows never wait for each other.
    let mut links: Vec<_> = funnel.iter().collect();
    links.sort_by_key(|(link, _)| **link);
    for (link, steps) in links {
        query(
            "insert into link_days (link_id, day, shown, sent, finished) values ($1, $2, $3, $4, $5)
             on conflict (link_id, day) do update
                set shown = link_days.shown + $3, sent = link_days.sent + $4, finished = link_days.finished + $5",
        )
        .bind(LinkId::from_uuid(*link))
        .bind(tx.now.day())
        .bind(steps.shown)
        .bind(steps.sent)
        .bind(steps.finished)
        .later(tx);
    }
}

pub(super) async fn current_code(
    db: &Db,
    organization: OrganizationId,
) -> Result<Option<(LinkCodeId, Vec<u8>)>, Fault> {
    query(
        "select c.id, c.sealed from link_codes c join links l on l.id = c.link_id
          where l.organization_id = $1 and l.kind = $2 and c.replaced_at is null",
    )
    .bind(organization)
    .bind(LinkKind::Own)
    .optional(db)
    .await
}

/// A code's id, its hash and its seal.
pub(super) type Sealed = (LinkCodeId, Vec<u8>, Vec<u8>);

/// Codes with their hashes and seals, by id, for making them anew. Of every organization: the key is the server's.
pub(super) async fn codes_after(db: &Db, after: Option<LinkCodeId>, limit: i64) -> Result<Vec<Sealed>, Fault> {
    query("select id, code_hash, sealed from link_codes where ($1 is null or id > $1) order by id limit $2")
        .bind(after)
        .bind(limit)
        .all(db)
        .await
}

pub(super) fn seal_code_anew(tx: &mut Tx, (id, hash, sealed): Sealed) {
    query("update link_codes set code_hash = $1, sealed = $2 where id = $3").bind(hash).bind(sealed).bind(id).later(tx);
}

pub(super) async fn own_in(tx: &mut Tx, organization: OrganizationId) -> Result<Option<LinkId>, Fault> {
    let found: Option<(LinkId,)> = query("select id from links where organization_id = $1 and kind = $2")
        .bind(organization)
        .bind(LinkKind::Own)
        .optional(tx)
        .await?;
    Ok(found.map(|(id,)| id))
}

/// The organization's own link with what came of it.
pub async fn of_organization(db: &Db, organization: OrganizationId) -> Result<Option<Link>, Fault> {
    query("select id, used, last_used_at from links where organization_id = $1 and kind = $2")
        .bind(organization)
        .bind(LinkKind::Own)
        .optional(db)
        .await
}
