//! What outlives a request: mail that is due, counts gathered in memory, and the clean-up.

use std::time::Duration;

use crate::{
    features::{
        account, address_changes,
        audit::{self, Actor, EventKind, Happened},
        invitations, join, links, sessions, settings, sign_in, users,
    },
    platform::{
        App, Fault,
        db::Tx,
        limits,
        mail::{
            Kind, Mail,
            delivery::{self, Words},
            outbox::{self, Message},
        },
        tokens,
    },
};

/// How often the worker looks by itself; what is written wakes it at once.
const PULSE: Duration = Duration::from_secs(5);
/// How often what was gathered in memory is written.
const WRITE_EVERY: Duration = Duration::from_mins(1);
/// How often what has grown old is forgotten.
const CLEAN_EVERY: Duration = Duration::from_hours(1);

/// Knows the words of every kind of message.
#[derive(Clone)]
struct Letters;

impl Words for Letters {
    async fn words(&self, app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
        match message.kind {
            Kind::Confirmation => join::mail::words(app, message).await,
            Kind::Invitation => invitations::mail::words(app, message).await,
            Kind::FirstPassword | Kind::Recovery | Kind::PasswordChanged => sign_in::mail::words(app, message).await,
            Kind::AddressConfirmation | Kind::AddressChanging | Kind::AddressChanged | Kind::RoleChanged => {
                account::mail::words(app, message).await
            }
            Kind::Test => settings::mail::words(app, message).await,
        }
    }

    async fn failed(&self, tx: &mut Tx, message: &Message) -> Result<(), Fault> {
        match message.kind {
            Kind::Confirmation => join::mail_failed(tx, message.subject_id.of()).await?,
            Kind::Invitation => invitations::mail_failed(tx, message.subject_id.of()).await?,
            _ => {}
        }
        let details = serde_json::json!({ "kind": message.kind.as_str() });
        let happened =
            Happened { kind: EventKind::MessageFailed, subject: Some(message.subject_id), parameters: details };
        audit::record(tx, message.organization_id, &Actor::server(), happened).await
    }
}

/// The words of one message, for handing it over.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    Letters.words(app, message).await
}

/// Works off what was asked for, and delivers everything that is due now.
pub async fn deliver(app: &App) -> Result<(), Fault> {
    sign_in::work_off(app).await?;
    while delivery::deliver_due(app, &Letters).await? {}
    Ok(())
}

/// Writes what was gathered in memory: sessions used, forms shown.
pub async fn write_tallies(app: &App) -> Result<(), Fault> {
    let (seen, shown) = (app.tallies.take_seen(), app.tallies.take_shown());
    if seen.is_empty() && shown.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    sessions::write_seen(&mut tx, &seen).await?;
    links::write_shown(&mut tx, &shown).await?;
    tx.commit().await
}

/// Forgets what has grown old. Nothing waits for it: every expiry is asked when something is used.
pub async fn clean_up(app: &App) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    tokens::clean_up(&mut tx).await?;
    limits::clean_up(&mut tx).await?;
    outbox::clean_up(&mut tx).await?;
    sessions::clean_up(&mut tx).await?;
    users::clean_up(&mut tx).await?;
    join::clean_up(&mut tx).await?;
    invitations::clean_up(&mut tx).await?;
    address_changes::clean_up(&mut tx).await?;
    tx.commit().await
}

/// Works until it is told to stop; what is in hand is finished first.
pub async fn run(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    report("freeing what was in hand", outbox::free_leases(&app).await);
    let mut writing = tokio::time::interval(WRITE_EVERY);
    let mut cleaning = tokio::time::interval(CLEAN_EVERY);
    loop {
        report("delivering mail", deliver(&app).await);
        tokio::select! {
            () = app.db.woken() => {}
            () = tokio::time::sleep(PULSE) => {}
            _ = writing.tick() => report("writing counts", write_tallies(&app).await),
            _ = cleaning.tick() => {
                report("cleaning up", clean_up(&app).await);
                report("following a new key", links::follow_key_in_use(&app).await);
            }
            // Changed, or the sender is gone: both mean stop.
            _ = stop.changed() => break,
        }
    }
    report("writing counts", write_tallies(&app).await);
}

fn report(what: &str, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        tracing::error!(error = %fault, "{what} failed; it is tried again");
    }
}
