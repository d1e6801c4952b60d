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

/// How long one delivery may take before another worker may try.
const LEASE: Duration = Duration::from_mins(2);

/// Undelivered mail is retried this long, then shown as failed.
const GIVE_UP: Duration = DAY;

/// Messages delivered at once.
const BATCH: i64 = 8;

/// What the outbox asks of the features: the words of a message when it leaves, and to be told when it failed.
pub trait Words: Send + Sync {
    /// The message's words, or nothing when its cause has ended.
    fn words(&self, app: &App, message: &Message) -> impl Future<Output = Result<Option<Mail>, Fault>> + Send;
    /// The message was refused for good.
    fn failed(&self, tx: &mut Tx, message: &Message) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Delivers what is due. Says whether there was anything.
pub async fn deliver_due<W: Words + Clone + 'static>(app: &App, words: &W) -> Result<bool, Fault> {
    if !app.mailer.delivers() {
        return Ok(false);
    }
    let claimed = claim(app).await?;
    let found = !claimed.is_empty();
    let mut deliveries = tokio::task::JoinSet::new();
    for message in claimed {
        let (app, words) = (app.clone(), words.clone());
        let span = tracing::debug_span!("deliver a message", kind = message.kind.as_str(), attempts = message.attempts);
        deliveries.spawn(async move { deliver(&app, &words, &message).await }.instrument(span));
    }
    while let Some(delivery) = deliveries.join_next().await {
        if let Ok(Err(fault)) = delivery {
            tracing::error!(error = %fault, "a message stays in the outbox");
        }
    }
    Ok(found)
}

const CLAIM: &str = "update messages set lease_until = $1, attempts = attempts + 1, first_tried_at = coalesce(first_tried_at, $2)
  where id in (select id from messages
                where state = 'waiting' and due_at <= $2 and (lease_until is null or lease_until < $2)
                order by due_at, id limit $3)
 returning id, organization_id, kind, to_email, subject_id, actor_id, state, due_at, attempts, first_tried_at, last_error, created_at";

async fn claim(app: &App) -> Result<Vec<Message>, Fault> {
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
    let claimed: Vec<Message> = query(CLAIM).bind(now + LEASE).bind(now).bind(BATCH).all(&mut tx).await?;
    for message in &claimed {
        tokens::going_out(&mut tx, message.id).await?;
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
    let sent = app.mailer.send(&mail).await;
    let mut tx = app.db.write().await?;
    let outcome = match sent {
        Ok(()) => {
            tokens::delivered(&mut tx, message.id, None).await?;
            end(&mut tx, message.id, State::Delivered).await?;
            Delivery::Delivered
        }
        Err(error) => not_sent(&mut tx, words, message, &error).await?,
    };
    tx.commit().await?;
    metrics::delivery(outcome);
    Ok(())
}

async fn not_sent<W: Words>(tx: &mut Tx, words: &W, message: &Message, error: &SendError) -> Result<Delivery, Fault> {
    let now = tx.now;
    let retry_at = now + wait_after(message.attempts);
    let too_late = message.first_tried_at.unwrap_or(now) + GIVE_UP < retry_at;
    let for_good = matches!(error, SendError::Permanent(_)) || too_late;
    tracing::warn!(id = %message.id, attempts = message.attempts, for_good, "a message was not delivered");
    query("update messages set last_error = $1, due_at = $2, lease_until = null where id = $3 and state = $4")
        .bind(error.to_string())
        .bind(if for_good { message.due_at } else { retry_at })
        .bind(message.id)
        .bind(State::Waiting)
        .execute(&mut *tx)
        .await?;
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
