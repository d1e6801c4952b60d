use super::{Allowlist, AllowlistEntry};
use crate::{
    platform::{
        Fault,
        db::{Db, Target, Tx, query},
    },
    values::{Domain, OrganizationId},
};

/// Names that one statement asks for. Real addresses have a handful.
const NAMES: usize = 12;

/// What of the list is about this domain: its own row, its parents', and whether there is any row at all.
/// A domain of more labels than anybody has is decided with the whole list.
pub async fn for_domain<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    domain: &Domain,
) -> Result<Allowlist, Fault> {
    let names: Vec<&str> = std::iter::once(domain.as_str()).chain(domain.parents()).collect();
    if names.len() > NAMES {
        let stored = whole(on, organization).await?;
        return Ok(Allowlist::from_stored(stored.iter().map(String::as_str)));
    }
    let mut asked = query(
        "select entry from allowlist_entries
          where organization_id = $1 and domain in ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         union all
         select '' from organizations where id = $1 and exists (select 1 from allowlist_entries where organization_id = $1)",
    )
    .bind(organization);
    for place in 0..NAMES {
        // No row is of the domain NULL, and an invalid row, whose domain is empty, is asked for by none.
        asked = asked.bind(names.get(place).copied());
    }
    let rows: Vec<(String,)> = asked.all(on).await?;
    Ok(Allowlist::from_stored(rows.iter().map(|(entry,)| entry.as_str())))
}

/// The whole list, as stored and in its order.
pub async fn whole<'a>(on: impl Into<Target<'a>>, organization: OrganizationId) -> Result<Vec<String>, Fault> {
    let rows: Vec<(String,)> = query("select entry from allowlist_entries where organization_id = $1 order by place")
        .bind(organization)
        .all(on)
        .await?;
    Ok(rows.into_iter().map(|(entry,)| entry).collect())
}

/// Replaces the list, in two statements however long it is: everybody who joins waits for this write.
pub fn save(tx: &mut Tx, organization: OrganizationId, entries: &[AllowlistEntry]) {
    query("delete from allowlist_entries where organization_id = $1").bind(organization).later(tx);
    let rows: Vec<[String; 2]> = entries.iter().map(|entry| [entry.to_string(), entry.domain().to_string()]).collect();
    query(
        "insert into allowlist_entries (organization_id, place, entry, domain)
         select $1, key, value ->> 0, value ->> 1 from json_each($2)",
    )
    .on_postgres(
        "insert into allowlist_entries (organization_id, place, entry, domain)
         select $1, place - 1, value ->> 0, value ->> 1 from jsonb_array_elements($2) with ordinality as list (value, place)",
    )
    .bind(organization)
    .bind(serde_json::json!(rows))
    .later(tx);
}

/// Every organization's list as the rules read it, for a decision on the command line.
pub async fn allowlist(db: &Db, organization: OrganizationId) -> Result<Allowlist, Fault> {
    let stored = whole(db, organization).await?;
    Ok(Allowlist::from_stored(stored.iter().map(String::as_str)))
}
