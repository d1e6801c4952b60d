//! Delivery: what is due is claimed by a lease, rendered, sent at least once, and tried again with growing waits.

use std::time::Duration;

use tracing::Instrument as _;

use super::{
    SendError, State,
    outbox::{Message, end},
};
use crate::{
    platform::{
        App, Fault,
        db::{Tx, query},
        mail::Mail,
        metrics::{self, Delivery},
        tokens,
    },
    values::{DAY, MINUTE, MessageId},
};

/// How long a message belongs to whoever delivers it. It is renewed while the delivery goes on, so that of a server that
/// died or froze others take over within half a minute.
const LEASE: Duration = Duration::from_secs(20);
const RENEWED: Duration = Duration::from_secs(5);

/// Undelivered mail is retried this long, then shown as failed.
const GIVE_UP: Duration = DAY;

/// Messages on their way at once.
const AT_ONCE: usize = 16;

/// How long a mail server that takes nothing is left alone at most.
const STALLED: Duration = Duration::from_mins(5);

/// What the outbox asks of the features: the words of a message when it leaves, and to be told when it failed.
pub trait Words: Send + Sync {
    /// The message's words, or nothing when its cause has ended.
    fn words(&self, app: &App, message: &Message) -> impl Future<Output = Result<Option<Mail>, Fault>> + Send;
    /// The message was refused for good.
    fn failed(&self, tx: &mut Tx, message: &Message) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Delivers what is due, until nothing is or `stopped` says so; what is on its way is finished. One that dawdles holds up
/// nobody else.
pub async fn deliver_due<W: Words + Clone + 'static>(
    app: &App,
    words: &W,
    stopped: impl Fn() -> bool,
) -> Result<(), Fault> {
    if !app.mailer.delivers() {
        return Ok(());
    }
    let mut deliveries = tokio::task::JoinSet::new();
    loop {
        let places = AT_ONCE - deliveries.len();
        let claimed = if places > 0 && !stopped() { claim(app, places).await? } else { Vec::new() };
        for message in claimed {
            let (app, words) = (app.clone(), words.clone());
            let span =
                tracing::debug_span!("deliver a message", kind = message.kind.as_str(), attempts = message.attempts);
            deliveries.spawn(async move { deliver(&app, &words, &message).await }.instrument(span));
        }
        match deliveries.join_next().await {
            None => return Ok(()),
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(fault))) => fault.log_what_is_tried_again("a message stays in the outbox"),
            Some(Err(error)) => tracing::error!(%error, "a delivery broke off"),
        }
    }
}

/// The messages that are due longest and that nobody has in hand. Servers that ask at once get different ones.
macro_rules! claim {
    ($skip_locked:literal) => {
        concat!(
            "update messages set lease_until = $1, leased_by = $2, attempts = attempts + 1, first_tried_at = coalesce(first_tried_at, $3)
              where id in (select id from messages
                            where state = 'waiting' and due_at <= $3 and (lease_until is null or lease_until < $3)
                            order by due_at, id limit $4 ",
            $skip_locked,
            ") returning id, organization_id, kind, to_email, subject_id, actor_id, state, due_at, attempts, first_tried_at, last_error, created_at"
        )
    };
}

async fn claim(app: &App, places: usize) -> Result<Vec<Message>, Fault> {
    let any: Option<(MessageId,)> =
        query("select id from messages where state = 'waiting' and due_at <= $1 and (lease_until is null or lease_until < $1) limit 1")
            .bind(app.db.now())
            .optional(&app.db)
            .await?;
    if any.is_none() {
        return Ok(Vec::new());
    }
    let mut tx = app.db.write().await?;
    let now = tx.now;
    let claimed: Vec<Message> = query(claim!(""))
        .on_postgres(claim!("for update skip locked"))
        .bind(now + LEASE)
        .bind(app.server)
        .bind(now)
        .bind(i64::try_from(places).unwrap_or(1))
        .all(&mut tx)
        .await?;
    for message in &claimed {
        tokens::going_out(&mut tx, message.id);
    }
    tx.commit().await?;
    Ok(claimed)
}

async fn deliver<W: Words>(app: &App, words: &W, message: &Message) -> Result<(), Fault> {
    let Some(mail) = words.words(app, message).await? else {
        let mut tx = app.db.write().await?;
        end(&mut tx, message.id, State::Dropped).await?;
        tx.commit().await?;
        metrics::delivery(Delivery::Dropped);
        return Ok(());
    };
    let sent = send_holding(app, &mail).await;
    let mut tx = app.db.write().await?;
    let outcome = match sent {
        Ok(()) => {
            end(&mut tx, message.id, State::Delivered).await?;
            tokens::delivered(&mut tx, message.id, None).await?;
            Delivery::Delivered
        }
        Err(error) => not_sent(app, &mut tx, words, message, &error).await?,
    };
    tx.commit().await?;
    metrics::delivery(outcome);
    if outcome == Delivery::Delivered { free_stalled(app).await } else { Ok(()) }
}

/// Sends, and renews the lease until it is done.
async fn send_holding(app: &App, mail: &Mail) -> Result<(), SendError> {
    let sending = app.mailer.send(mail);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            sent = &mut sending => return sent,
            () = tokio::time::sleep(RENEWED) => {
                if let Err(fault) = renew(app, mail.id).await {
                    tracing::warn!(error = %fault, "a lease was not renewed; another server may deliver the same message");
                }
            }
        }
    }
}

async fn renew(app: &App, id: MessageId) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    let until = tx.now + LEASE;
    query("update messages set lease_until = $1 where id = $2 and leased_by = $3 and state = 'waiting'")
        .bind(until)
        .bind(id)
        .bind(app.server)
        .later(&mut tx);
    tx.commit().await
}

/// One has left, so that the mail server is back: what it did not take leaves now, the oldest first. A write of its own:
/// whatever becomes of it, what was delivered stays delivered.
async fn free_stalled(app: &App) -> Result<(), Fault> {
    let any: Option<(MessageId,)> =
        query("select id from messages where stalled and state = 'waiting' limit 1").optional(&app.db).await?;
    if any.is_none() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    query("update messages set due_at = created_at, stalled = false where stalled and state = 'waiting' and lease_until is null")
        .later(&mut tx);
    tx.commit().await
}

async fn not_sent<W: Words>(
    app: &App,
    tx: &mut Tx,
    words: &W,
    message: &Message,
    error: &SendError,
) -> Result<Delivery, Fault> {
    let now = tx.now;
    let stalled = matches!(error, SendError::Stalled(_));
    let wait = wait_after(message.attempts);
    let retry_at = now + if stalled { wait.min(STALLED) } else { wait };
    let too_late = message.first_tried_at.unwrap_or(now) + GIVE_UP < retry_at;
    let for_good = matches!(error, SendError::Permanent(_)) || too_late;
    tracing::warn!(id = %message.id, attempts = message.attempts, for_good, "a message was not delivered");
    let still_ours = query(
        "update messages set last_error = $1, due_at = $2, stalled = $3, lease_until = null
          where id = $4 and state = 'waiting' and leased_by = $5",
    )
    .bind(error.to_string())
    .bind(if for_good { message.due_at } else { retry_at })
    .bind(stalled && !for_good)
    .bind(message.id)
    .bind(app.server)
    .execute(&mut *tx)
    .await?;
    if still_ours == 0 {
        // This server froze, and another has the message in hand: how it ends is for that one to say.
        return Ok(Delivery::Retried);
    }
    if for_good {
        // Handed over while the mail server answered: then nothing failed.
        if end(tx, message.id, State::Failed).await? {
            words.failed(tx, message).await?;
        }
        return Ok(Delivery::Failed);
    }
    Ok(Delivery::Retried)
}

/// Half a minute, then twice as long each time, at most an hour.
fn wait_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 8)).unwrap_or(8) - 1;
    (MINUTE / 2 * 2_u32.pow(doublings)).min(60 * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_attempts_grows_to_an_hour() {
        assert_eq!(wait_after(1), MINUTE / 2);
        assert_eq!(wait_after(2), MINUTE);
        assert_eq!(wait_after(8), 60 * MINUTE);
        assert_eq!(wait_after(1_000), 60 * MINUTE);
    }
}
