//! What outlives a request: mail that is due, counts gathered in memory, and the clean-up.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use crate::{
    features::{
        account, address_changes,
        audit::{self, Actor, EventKind, Happened, Refused},
        invitations, join, links, sessions, settings, sign_in, users,
    },
    platform::{
        App, Fault, chores,
        db::{CLEANED_AT_ONCE, Tx},
        limits,
        mail::{
            Kind, Mail,
            delivery::{self, Words},
            outbox::{self, Message},
        },
        tokens,
    },
    values::OrganizationId,
};

/// How often the worker looks by itself; what is written wakes it at once.
const PULSE: Duration = Duration::from_secs(5);
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
            Kind::Confirmation => join::mail_failed(tx, message.subject_id.of()),
            Kind::Invitation => invitations::mail_failed(tx, message.subject_id.of()),
            _ => {}
        }
        let details = serde_json::json!({ "kind": message.kind.as_str() });
        let happened =
            Happened { kind: EventKind::MessageFailed, subject: Some(message.subject_id), parameters: details };
        audit::record(tx, message.organization_id, &Actor::server(), happened);
        Ok(())
    }
}

/// The words of one message, for handing it over.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    Letters.words(app, message).await
}

/// Works off what was asked for, and delivers everything that is due now.
pub async fn deliver(app: &App) -> Result<(), Fault> {
    deliver_until(app, || false).await
}

async fn deliver_until(app: &App, stopped: impl Fn() -> bool) -> Result<(), Fault> {
    sign_in::work_off(app).await?;
    delivery::deliver_due(app, &Letters, stopped).await
}

/// Writes what was gathered in memory: sessions used, forms shown, ended links opened.
pub async fn write_tallies(app: &App) -> Result<(), Fault> {
    let (seen, funnel) = (app.tallies.take_seen(), app.tallies.take_funnel());
    // In one order for every server: two that write the same rows never wait for each other.
    let ended: BTreeMap<OrganizationId, i64> = app.tallies.take_ended().into_iter().collect();
    if seen.is_empty() && funnel.is_empty() && ended.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    links::write_funnel(&mut tx, &funnel);
    for (organization, count) in ended {
        audit::count_all_refused(&mut tx, organization, Refused::Link, count);
    }
    let users_seen = sessions::write_seen(&mut tx, &seen).await?;
    tx.commit().await?;
    let mut tx = app.db.write().await?;
    for (user, at) in users_seen {
        users::mark_seen(&mut tx, user, at);
    }
    tx.commit().await
}

/// Forgets what has grown old. Nothing waits for it: every expiry is asked when something is used.
pub async fn clean_up(app: &App) -> Result<(), Fault> {
    for what in Old::ALL {
        while forget(app, *what).await? >= CLEANED_AT_ONCE.unsigned_abs() {}
    }
    Ok(())
}

/// Forgets some of it, in one short write. How many rows.
async fn forget(app: &App, what: Old) -> Result<u64, Fault> {
    let mut tx = app.db.write().await?;
    let forgotten = match what {
        Old::Tokens => tokens::clean_up(&mut tx).await?,
        Old::Limits => limits::clean_up(&mut tx).await?,
        Old::Messages => outbox::clean_up(&mut tx).await?,
        Old::Sessions => sessions::clean_up(&mut tx).await?,
        Old::Bars => users::clean_up(&mut tx).await?,
        Old::Registrations => join::clean_up(&mut tx).await?,
        Old::Invitations => invitations::clean_up(&mut tx).await?,
        Old::AddressChanges => address_changes::clean_up(&mut tx).await?,
    };
    tx.commit().await?;
    Ok(forgotten)
}

/// What grows old.
#[derive(Debug, Clone, Copy)]
enum Old {
    Tokens,
    Limits,
    Messages,
    Sessions,
    Bars,
    Registrations,
    Invitations,
    AddressChanges,
}

impl Old {
    const ALL: &'static [Self] = &[
        Self::Tokens,
        Self::Limits,
        Self::Messages,
        Self::Sessions,
        Self::Bars,
        Self::Registrations,
        Self::Invitations,
        Self::AddressChanges,
    ];
}

/// Of all servers on one database one cleans up, once in [`CLEAN_EVERY`].
async fn clean_up_in_turn(app: &App) -> Result<(), Fault> {
    let Some(turn) = chores::take(app, "clean-up", CLEAN_EVERY).await? else { return Ok(()) };
    for what in Old::ALL {
        // Renewed before each short write: of a long clean-up the turn stays here.
        while chores::renew(app, &turn).await? && forget(app, *what).await? >= CLEANED_AT_ONCE.unsigned_abs() {}
    }
    chores::done(app, turn).await
}

/// Works until it is told to stop; what is in hand is finished first. Each kind of work goes at its own pace, so that a
/// mail server that hangs holds up nothing else.
pub async fn run(app: App, stop: watch::Receiver<bool>) {
    if !app.db.is_shared() {
        report("freeing what was in hand", outbox::free_leases(&app).await);
    }
    let stopping = stop.clone();
    let delivering = async {
        let mut stop = stop.clone();
        while goes_on(&stopping) {
            report("delivering mail", deliver_until(&app, || !goes_on(&stopping)).await);
            tokio::select! {
                () = app.db.woken() => {}
                () = tokio::time::sleep(PULSE) => {}
                // Changed, or the sender is gone: both mean stop.
                _ = stop.changed() => {}
            }
        }
    };
    tokio::join!(
        delivering,
        Work::WriteCounts.again_and_again(&app, stop.clone()),
        Work::CleanUp.again_and_again(&app, stop.clone()),
        Work::FollowKey.again_and_again(&app, stop.clone()),
        Work::ShareCounts.again_and_again(&app, stop.clone()),
        Work::SetClock.again_and_again(&app, stop.clone()),
    );
    report("writing counts", write_tallies(&app).await);
}

/// What is done now and then.
#[derive(Debug, Clone, Copy)]
enum Work {
    WriteCounts,
    CleanUp,
    FollowKey,
    ShareCounts,
    SetClock,
}

impl Work {
    const fn pause(self) -> Duration {
        match self {
            Self::WriteCounts => Duration::from_mins(1),
            Self::FollowKey => Duration::from_mins(10),
            Self::ShareCounts => Duration::from_secs(1),
            // Cleaning up is asked about so often, so that of a server that died in the middle another goes on; it is done once in
            // `CLEAN_EVERY`.
            Self::CleanUp | Self::SetClock => Duration::from_secs(10),
        }
    }

    async fn run(self, app: &App) {
        match self {
            Self::WriteCounts => report("writing counts", write_tallies(app).await),
            Self::CleanUp => report("cleaning up", clean_up_in_turn(app).await),
            Self::FollowKey => report("following a new key", links::follow_key_in_use(app).await),
            Self::ShareCounts => report("sharing counts", limits::shared::share(app).await),
            Self::SetClock => report("setting the clock", app.db.set_clock().await),
        }
    }

    async fn again_and_again(self, app: &App, mut stop: watch::Receiver<bool>) {
        let mut ticking = tokio::time::interval(self.pause());
        ticking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticking.tick() => self.run(app).await,
                _ = stop.changed() => return,
            }
        }
    }
}

fn goes_on(stopping: &watch::Receiver<bool>) -> bool {
    !*stopping.borrow() && stopping.has_changed().is_ok()
}

fn report(what: &str, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        fault.log_what_is_tried_again(&format!("{what} failed"));
    }
}
