//! What one server does for all of them, now and then: whoever comes first takes the turn, by a lease that ends by itself.

use std::time::Duration;

use super::{App, Fault, db::query};
use crate::values::Timestamp;

/// How long a turn belongs to whoever took it. Of a server that died another takes over within half a minute
/// (security requirement P1-15).
const LEASE: Duration = Duration::from_secs(15);

/// A turn that was taken.
#[derive(Debug)]
pub struct Turn(&'static str);

/// Takes the turn at a chore that was done longer ago than `pause`. `None` when it is not due, or another server does it.
pub async fn take(app: &App, name: &'static str, pause: Duration) -> Result<Option<Turn>, Fault> {
    if !is_due(app, name, pause).await? {
        return Ok(None);
    }
    let mut tx = app.db.write().await?;
    query("insert into chores (name) values ($1) on conflict (name) do nothing").bind(name).later(&mut tx);
    let now = tx.now;
    let taken = query(
        "update chores set lease_until = $1, leased_by = $2
          where name = $3 and (done_at is null or done_at <= $4) and (lease_until is null or lease_until < $5)",
    )
    .bind(now + LEASE)
    .bind(app.server)
    .bind(name)
    .bind(now - pause)
    .bind(now)
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok((taken == 1).then_some(Turn(name)))
}

/// Whether anybody has to do it now. Asked often, and writes nothing.
async fn is_due(app: &App, name: &'static str, pause: Duration) -> Result<bool, Fault> {
    let now = app.db.now();
    let found: Option<(Option<Timestamp>, Option<Timestamp>)> =
        query("select done_at, lease_until from chores where name = $1").bind(name).optional(&app.db).await?;
    Ok(found.is_none_or(|(done, lease)| {
        done.is_none_or(|done| done + pause <= now) && lease.is_none_or(|until| until < now)
    }))
}

/// It goes on: the turn stays with this server. `false` when another has taken it over.
pub async fn renew(app: &App, Turn(name): &Turn) -> Result<bool, Fault> {
    let mut tx = app.db.write().await?;
    let until = tx.now + LEASE;
    let renewed = query("update chores set lease_until = $1 where name = $2 and leased_by = $3")
        .bind(until)
        .bind(*name)
        .bind(app.server)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    Ok(renewed == 1)
}

/// It is done: the next turn is due after the pause.
pub async fn done(app: &App, Turn(name): Turn) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    let now = tx.now;
    query("update chores set done_at = $1, lease_until = null where name = $2 and leased_by = $3")
        .bind(now)
        .bind(name)
        .bind(app.server)
        .later(&mut tx);
    tx.commit().await
}
