//! How often something may happen: counters in the database, and tallies in memory for what a GET may count.
//!
//! Keys are keyed hashes: the store remembers how often, not who. The numbers are those of `docs/operating.md`.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    App, Fault,
    db::{FromRow, Tx, query},
    keys::Purpose,
};
use crate::values::{DAY, EmailAddress, HOUR, MINUTE, MessageId, SessionId, Timestamp};

/// Something that is counted within a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Registrations begun from one source.
    BeginBySource,
    /// Registrations begun through one link; beyond it answers are slowed, never refused.
    BeginByLink,
    /// Wrong confirmation codes from one source.
    WrongCodeBySource,
    /// Wrong confirmation codes in one organization.
    WrongCodeByOrganization,
    /// Wrong passwords from one source.
    WrongPasswordBySource,
    /// Mail that one manager causes to one address.
    ManagerMail,
    /// Changes of address that one user begins: each sends mail to an address of their choice.
    AddressChange,
}

impl Limit {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::BeginBySource => b"begin/source",
            Self::BeginByLink => b"begin/link",
            Self::WrongCodeBySource => b"code/source",
            Self::WrongCodeByOrganization => b"code/organization",
            Self::WrongPasswordBySource => b"password/source",
            Self::ManagerMail => b"mail/manager",
            Self::AddressChange => b"address/user",
        }
    }

    const fn most(self) -> i64 {
        match self {
            Self::BeginBySource => 400,
            Self::BeginByLink => 2_000,
            Self::WrongCodeBySource => 50,
            Self::WrongCodeByOrganization => 500,
            Self::WrongPasswordBySource => 100,
            Self::ManagerMail | Self::AddressChange => 5,
        }
    }

    const fn window(self) -> Duration {
        match self {
            Self::BeginBySource | Self::BeginByLink => Duration::from_mins(10),
            Self::WrongCodeBySource | Self::WrongPasswordBySource | Self::ManagerMail | Self::AddressChange => HOUR,
            Self::WrongCodeByOrganization => DAY,
        }
    }
}

/// Too often; when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How long until there is room again.
    pub retry_after: Duration,
}

#[derive(FromRow)]
struct Counted {
    count: i64,
    began_at: Timestamp,
}

fn key(app: &App, limit: Limit, of: &[&[u8]]) -> Vec<u8> {
    app.keys.mac(Purpose::Counting, &[&[limit.label()], of].concat())
}

/// Counts one more, and says whether that is too many.
pub async fn count(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) -> Result<Result<(), TooMany>, Fault> {
    let now = tx.now;
    let counted: Counted = query(
        "insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)
         on conflict (key_hash) do update
            set count = case when counters.began_at <= $3 then 1 else counters.count + 1 end,
                began_at = case when counters.began_at <= $3 then $2 else counters.began_at end,
                last_at = $2
         returning count, began_at",
    )
    .bind(key(app, limit, of))
    .bind(now)
    .bind(now - limit.window())
    .one(tx)
    .await?;
    Ok(judge(limit, now, counted.count - 1, counted.began_at))
}

/// Whether one more would be too many, without counting it.
pub async fn check(app: &App, tx: &mut Tx, limit: Limit, of: &[&[u8]]) -> Result<Result<(), TooMany>, Fault> {
    let now = tx.now;
    let counted: Option<Counted> = query("select count, began_at from counters where key_hash = $1 and began_at > $2")
        .bind(key(app, limit, of))
        .bind(now - limit.window())
        .optional(tx)
        .await?;
    Ok(counted.map_or(Ok(()), |counted| judge(limit, now, counted.count, counted.began_at)))
}

fn judge(limit: Limit, now: Timestamp, before: i64, began_at: Timestamp) -> Result<(), TooMany> {
    if before < limit.most() {
        return Ok(());
    }
    Err(TooMany { retry_after: now.until(began_at + limit.window()).max(Duration::from_secs(1)) })
}

/// Failures in a row, each without a window: the count ends with a success.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Row {
    /// How many in a row.
    pub count: i64,
    /// When the last one was.
    pub last_at: Timestamp,
}

fn row_key(app: &App, of: &[&[u8]]) -> Vec<u8> {
    app.keys.mac(Purpose::Counting, &[&[b"row".as_slice()], of].concat())
}

/// How many failures in a row there are.
pub async fn failures(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<Option<Row>, Fault> {
    query("select count, last_at from counters where key_hash = $1").bind(row_key(app, of)).optional(tx).await
}

/// One more failure.
pub async fn fail(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<(), Fault> {
    let now = tx.now;
    query(
        "insert into counters (key_hash, count, began_at, last_at) values ($1, 1, $2, $2)
         on conflict (key_hash) do update set count = counters.count + 1, last_at = $2",
    )
    .bind(row_key(app, of))
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A success, or a reset: no failures in a row any more.
pub async fn succeed(app: &App, tx: &mut Tx, of: &[&[u8]]) -> Result<(), Fault> {
    query("delete from counters where key_hash = $1").bind(row_key(app, of)).execute(tx).await?;
    Ok(())
}

/// One anonymous message leaves for an address every three hours, and three may leave together: never more
/// than three in an hour and ten in a day, however they are asked for (`docs/decisions/0006-mail-budget.md`).
const SLOT: Duration = Duration::from_hours(3);
const BURST: u32 = 3;

/// When an anonymous message may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailSlot {
    /// From this moment on.
    pub due_at: Timestamp,
    /// The message that waited for this slot until now and is not sent any more.
    pub instead_of: Option<MessageId>,
}

#[derive(FromRow)]
struct Budget {
    spent_until: Timestamp,
    waiting_until: Timestamp,
    waiting_message: Option<MessageId>,
}

/// Takes a slot of the address's budget for `message`. Where none is free, the message waits for the next
/// one, in the place of a message that waited already: the newest is the one that is being waited for.
pub async fn take_mail_slot(
    app: &App,
    tx: &mut Tx,
    address: &EmailAddress,
    message: MessageId,
) -> Result<MailSlot, Fault> {
    let now = tx.now;
    let hash = app.keys.mac(Purpose::Counting, &[b"mail/address", address.counting_key().as_bytes()]);
    let budget = query("select spent_until, waiting_until, waiting_message from mail_budgets where key_hash = $1")
        .bind(hash.clone())
        .optional::<Budget>(&mut *tx)
        .await?
        .unwrap_or(Budget { spent_until: now, waiting_until: now, waiting_message: None });
    let (slot, after) = next_slot(&budget, now, message);
    query(
        "insert into mail_budgets (key_hash, spent_until, waiting_until, waiting_message) values ($1, $2, $3, $4)
         on conflict (key_hash) do update set spent_until = $2, waiting_until = $3, waiting_message = $4",
    )
    .bind(hash)
    .bind(after.spent_until)
    .bind(after.waiting_until)
    .bind(after.waiting_message)
    .execute(tx)
    .await?;
    Ok(slot)
}

fn next_slot(budget: &Budget, now: Timestamp, message: MessageId) -> (MailSlot, Budget) {
    if budget.waiting_until > now {
        let slot = MailSlot { due_at: budget.waiting_until, instead_of: budget.waiting_message };
        return (slot, Budget { waiting_message: Some(message), ..*budget });
    }
    let spent_until = budget.spent_until.max(now) + SLOT;
    let free_at = spent_until - SLOT * BURST;
    if free_at <= now {
        return (
            MailSlot { due_at: now, instead_of: None },
            Budget { spent_until, waiting_until: now, waiting_message: None },
        );
    }
    let slot = MailSlot { due_at: free_at, instead_of: None };
    (slot, Budget { spent_until, waiting_until: free_at, waiting_message: Some(message) })
}

/// Forgets what no longer limits anything.
pub async fn clean_up(tx: &mut Tx) -> Result<(), Fault> {
    let now = tx.now;
    query("delete from counters where last_at < $1").bind(now - 30 * DAY).execute(&mut *tx).await?;
    query("delete from mail_budgets where spent_until < $1").bind(now - DAY).execute(tx).await?;
    Ok(())
}

/// What is gathered in memory: the only things that a GET may count. Written in batches by the worker.
#[derive(Default)]
pub struct Tallies {
    unknown: Mutex<HashMap<String, (i64, Timestamp)>>,
    seen: Mutex<HashMap<SessionId, Timestamp>>,
    shown: Mutex<HashMap<uuid::Uuid, i64>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unknown codes and tokens that one source may try in an hour.
const UNKNOWN_MOST: i64 = 60;
/// Sources remembered at once; beyond it old windows are dropped, then all: memory stays bounded.
const UNKNOWN_SOURCES: usize = 100_000;

impl Tallies {
    /// Counts an unknown code or token; too many from one source are told to wait.
    pub fn unknown(&self, source: &str, now: Timestamp) -> Result<(), TooMany> {
        let mut unknown = locked(&self.unknown);
        if unknown.len() >= UNKNOWN_SOURCES {
            unknown.retain(|_, (_, began)| *began + HOUR > now);
            if unknown.len() >= UNKNOWN_SOURCES {
                unknown.clear();
            }
        }
        let (count, began) = unknown.entry(source.to_owned()).or_insert((0, now));
        if *began + HOUR <= now {
            (*count, *began) = (0, now);
        }
        *count += 1;
        if *count > UNKNOWN_MOST {
            return Err(TooMany { retry_after: now.until(*began + HOUR).max(MINUTE) });
        }
        Ok(())
    }

    /// Notes that a session was used.
    pub fn seen(&self, session: SessionId, now: Timestamp) {
        locked(&self.seen).insert(session, now);
    }

    /// Notes that a link's form was shown.
    pub fn shown(&self, link: uuid::Uuid) {
        *locked(&self.shown).entry(link).or_default() += 1;
    }

    /// Takes the sessions used since the last time.
    pub fn take_seen(&self) -> HashMap<SessionId, Timestamp> {
        std::mem::take(&mut locked(&self.seen))
    }

    /// Takes the forms shown since the last time, by link.
    pub fn take_shown(&self) -> HashMap<uuid::Uuid, i64> {
        std::mem::take(&mut locked(&self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn message(n: u8) -> MessageId {
        MessageId::new(START, [n; 10])
    }

    /// Asks for a message every minute of two days; the moments at which messages leave.
    fn leaving_under_attack() -> Vec<Timestamp> {
        let mut budget = Budget { spent_until: START, waiting_until: START, waiting_message: None };
        let mut leaving: Vec<Timestamp> = Vec::new();
        for minute in 0..2 * 24 * 60 {
            let now = START + MINUTE * minute;
            let (slot, after) = next_slot(&budget, now, message(1));
            if slot.instead_of.is_none() {
                leaving.push(slot.due_at);
            }
            budget = after;
        }
        leaving
    }

    #[test]
    fn never_more_than_three_in_an_hour_and_ten_in_a_day() {
        let leaving = leaving_under_attack();
        assert!(leaving.len() > 15);
        for start in &leaving {
            let within = |span: Duration| leaving.iter().filter(|at| **at >= *start && **at < *start + span).count();
            assert!(within(HOUR) <= 3, "{}", within(HOUR));
            assert!(within(DAY) <= 10, "{}", within(DAY));
        }
    }

    #[test]
    fn whoever_asks_during_an_attack_waits_at_most_three_hours() {
        let leaving = leaving_under_attack();
        assert!(leaving.windows(2).all(|pair| pair[0].until(pair[1]) <= SLOT));
    }

    #[test]
    fn one_message_waits_and_the_newest_takes_its_place() {
        let mut budget = Budget { spent_until: START, waiting_until: START, waiting_message: None };
        for n in 0..3 {
            let (slot, after) = next_slot(&budget, START, message(n));
            assert_eq!(slot, MailSlot { due_at: START, instead_of: None });
            budget = after;
        }
        let (fourth, budget) = next_slot(&budget, START, message(4));
        assert_eq!(fourth, MailSlot { due_at: START + SLOT, instead_of: None });
        let (fifth, _) = next_slot(&budget, START, message(5));
        assert_eq!(fifth, MailSlot { due_at: START + SLOT, instead_of: Some(message(4)) });
    }

    #[test]
    fn guesses_cost_the_guesser_and_nobody_else() {
        let tallies = Tallies::default();
        for _ in 0..60 {
            assert!(tallies.unknown("192.0.2.1", START).is_ok());
        }
        assert!(tallies.unknown("192.0.2.1", START).is_err());
        assert!(tallies.unknown("192.0.2.2", START).is_ok());
        assert!(tallies.unknown("192.0.2.1", START + HOUR).is_ok());
    }
}
