//! Sign-in with a password, and recovery.
//!
//! Address and password are compared the same way for everybody: known, unknown, deactivated. Failures in a row
//! are counted for the address; from the tenth on each must wait, and after a hundred only a reset or a browser that is
//! known lets in (NIST SP 800-63B section 3.2.2).
//!
//! Tables: `recovery_requests`. Messages: `first password`, `recovery`, `password changed`.

pub mod mail;
mod recovery;
mod store;
mod web;
mod web_recovery;

use std::time::Duration;

pub use recovery::{make_link, work_off, write_first_password, write_notice};
pub use store::{Candidate, Door};
pub use web::routes;

use super::{
    audit::{self, Actor, EventKind, Happened, Refused},
    sessions::{self, Brought, Started},
    users,
};
use crate::{
    platform::{
        App, Fault,
        hashing::{Compared, HashError},
        limits::{
            self, Limit, TooMany,
            failures::{self, Alone, Row, RowKey, WithOthers},
        },
        web::{PageError, Visitor},
    },
    values::{EmailAddress, HOUR, Invalid, MINUTE, OrganizationId, Password, Secret, Timestamp},
};

/// From this many failures in a row on, each next one must wait.
const DELAYED_FROM: i64 = 10;
/// After this many in a row only a reset or a known browser lets in.
const MOST: i64 = 100;

/// Why somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Address and password do not belong together here, whatever the reason.
    #[error("no match")]
    Mismatch,
    /// Too many wrong passwords; when the next may be tried.
    #[error("too many wrong passwords")]
    TooMany(TooMany),
    /// So many in a row at this address that only a reset or a known browser lets in; when they are forgotten.
    #[error("too many wrong passwords in a row")]
    OnlyReset(TooMany),
    /// The hash pool is full, or so many try from one source that it may turn out to be too many.
    #[error("busy")]
    Busy,
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<HashError> for SignInError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Fault(fault) => fault.into(),
        }
    }
}

/// What a sign-in comes with.
pub struct Attempt {
    /// The address as given.
    pub email: EmailAddress,
    /// The password as given.
    pub password: Password,
    /// The session that the browser has, which the new one replaces.
    pub before: Option<Secret>,
    /// The mark of a browser that has signed somebody in.
    pub known: Option<Secret>,
}

/// Signs in, or says that it does not match.
pub async fn sign_in(app: &App, door: Door, attempt: Attempt, visitor: &Visitor) -> Result<Started, SignInError> {
    let organization = door.organization_id;
    let candidate = door.candidate.0.filter(|candidate| candidate.user.is_active());
    let is_known =
        |mark: &&Secret| candidate.as_ref().is_some_and(|found| sessions::is_known_browser(app, &found.user, mark));
    let known = attempt.known.as_ref().filter(is_known);
    let stored = candidate.as_ref().and_then(|candidate| candidate.password_hash.clone());
    let row = row_of(app, (organization, &attempt.email), stored.as_deref(), known);
    let admitted = may_try(app, &row, visitor).await?;
    // A hash that must be made anew is made from the same password, after it is known to be right.
    let again = Password::parse_existing(attempt.password.expose()).ok();
    let compared = compare(app, &row, &admitted, attempt.password, stored.clone(), &visitor.source()).await?;
    let (Some(Candidate { user, .. }), Some(stored), true) = (candidate, stored, compared != Compared::Wrong) else {
        note_failure(app, organization, &row, &admitted, &visitor.source()).await?;
        return Err(SignInError::Mismatch);
    };
    let stronger = match (compared, again) {
        (Compared::RightButWeak, Some(password)) => Some(app.hashing.hash(password, &visitor.source()).await?),
        _ => None,
    };
    let mut tx = app.db.write().await?;
    let brought = Brought { before: attempt.before.as_ref(), known };
    // Where it decides nothing any more, the next try compares with what is stored then.
    let Some(started) = sessions::start_after_comparing(app, &mut tx, (&user, &stored), visitor, brought).await? else {
        return Err(SignInError::Busy);
    };
    if admitted.counted {
        failures::forget(&mut tx, &row);
    }
    if let Some(hash) = stronger {
        users::set_password(&mut tx, user.id, &hash).await?;
    }
    audit::record(&mut tx, organization, &Actor::user(user.id, visitor), Happened::to(EventKind::SignedIn, user.id));
    tx.commit().await?;
    Ok(started)
}

/// The failures in a row that count here: the address's, or those of this known browser alone, so that strangers who
/// guess do not shut the owner out. They are failures at the password with this hash: with a new one, a reset's for
/// instance, another row begins, and lets the owner in however many there were.
fn row_of(
    app: &App,
    (organization, email): (OrganizationId, &EmailAddress),
    stored: Option<&str>,
    known: Option<&Secret>,
) -> RowKey {
    let (organization, identity) = (organization.uuid(), email.identity());
    let stored = stored.unwrap_or_default().as_bytes();
    match known.map(Secret::digest) {
        None => RowKey::of(app, &[organization.as_bytes(), identity.as_bytes(), stored]),
        Some(mark) => RowKey::of(app, &[organization.as_bytes(), identity.as_bytes(), stored, mark.bytes()]),
    }
}

/// A try that may be made.
struct MayTry<'a> {
    /// Whether it counts as a failure already, until it turns out to be none.
    counted: bool,
    _alone: Option<Alone<'a>>,
    _with_others: WithOthers<'a>,
}

/// Refuses before anything is compared where there were too many wrong passwords. Whoever has failures in a row, or is
/// not alone in trying, is counted now, so that a thousand guesses at once are counted like a thousand in a row.
async fn may_try<'a>(app: &'a App, row: &RowKey, visitor: &Visitor) -> Result<MayTry<'a>, SignInError> {
    let source = visitor.source();
    let with_others = app.trying.with_others(&source);
    let before = failures::before_trying(app, &app.db, row, &source).await?;
    let left = before.left_to_source.map_err(SignInError::TooMany)?;
    must_not_wait(before.row, app.db.now())?;
    // Each of them may turn out to be wrong. Most people are right: whoever comes too many at once comes again.
    if with_others.others >= left {
        return Err(SignInError::Busy);
    }
    let alone = app.trying.alone(row);
    if before.row.is_none() && alone.is_some() {
        return Ok(MayTry { counted: false, _alone: alone, _with_others: with_others });
    }
    let mut tx = app.db.write().await?;
    let before = failures::locked(&mut tx, row).await?;
    must_not_wait(before, tx.now)?;
    failures::add(&mut tx, row);
    tx.commit().await?;
    Ok(MayTry { counted: true, _alone: alone, _with_others: with_others })
}

fn must_not_wait(failures: Option<Row>, now: Timestamp) -> Result<(), SignInError> {
    let Some(row) = failures else { return Ok(()) };
    match (TooMany { retry_after: wait_for(row.count, row.last_at, now) }) {
        none if none.retry_after.is_zero() => Ok(()),
        wait if row.count >= MOST => Err(SignInError::OnlyReset(wait)),
        wait => Err(SignInError::TooMany(wait)),
    }
}

/// Compares, after [`may_try`]. What was not compared was no failure: a busy server does not use up anybody's tries.
async fn compare(
    app: &App,
    row: &RowKey,
    admitted: &MayTry<'_>,
    password: Password,
    stored: Option<String>,
    source: &str,
) -> Result<Compared, SignInError> {
    let compared = app.hashing.compare(password, stored, source).await;
    if matches!(compared, Err(HashError::Busy)) && admitted.counted {
        let mut tx = app.db.write().await?;
        failures::take_back(&mut tx, row);
        tx.commit().await?;
    }
    Ok(compared?)
}

/// How long after so many failures in a row the next one must wait.
fn wait_for(failures: i64, last_at: Timestamp, now: Timestamp) -> Duration {
    if failures < DELAYED_FROM {
        return Duration::ZERO;
    }
    if failures >= MOST {
        return 24 * HOUR;
    }
    let doublings = u32::try_from((failures - DELAYED_FROM).min(10)).unwrap_or(10);
    let pause = (Duration::from_secs(1) * 2_u32.pow(doublings)).min(15 * MINUTE);
    now.until(last_at + pause)
}

async fn note_failure(
    app: &App,
    organization: OrganizationId,
    row: &RowKey,
    admitted: &MayTry<'_>,
    source: &str,
) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    if !admitted.counted {
        failures::add(&mut tx, row);
    }
    // Counted, whatever it says: the check before the next attempt is what refuses.
    let _ = limits::count(app, &mut tx, Limit::WrongPasswordBySource, &[source.as_bytes()]).await?;
    audit::count_refused(&mut tx, organization, Refused::SignIn);
    tx.commit().await
}

/// Whether this is the current password of a signed-in user, for acts that ask for it. Counted like a sign-in.
pub async fn is_current_password(app: &App, member: &sessions::Member, typed: &str) -> Result<bool, SignInError> {
    let Ok(password) = Password::parse_existing(typed) else { return Ok(false) };
    let source = member.visitor.source();
    let (organization, identity, session) =
        (member.organization.uuid(), member.email.identity(), member.session.uuid());
    let row = RowKey::of(app, &[organization.as_bytes(), identity.as_bytes(), session.as_bytes()]);
    let admitted = may_try(app, &row, &member.visitor).await?;
    let stored = users::find_secret(&app.db, member.user).await?;
    if compare(app, &row, &admitted, password, stored, &source).await? == Compared::Wrong {
        note_failure(app, member.organization, &row, &admitted, &source).await?;
        return Ok(false);
    }
    let mut tx = app.db.write().await?;
    if admitted.counted {
        failures::forget(&mut tx, &row);
    }
    member.mark_password(&mut tx);
    tx.commit().await?;
    Ok(true)
}

/// What a dangerous act asks of a signed-in user: the password again, unless it was given in the last fifteen
/// minutes. `None` when the act may go on, else the reason beside the password.
pub async fn ask_password_again(
    app: &App,
    member: &sessions::Member,
    typed: &str,
) -> Result<Option<Invalid>, PageError> {
    if member.is_fresh(app.db.now()) {
        return Ok(None);
    }
    if typed.is_empty() {
        return Ok(Some(Invalid::PasswordNeeded));
    }
    match is_current_password(app, member, typed).await {
        Ok(true) => Ok(None),
        Ok(false) | Err(SignInError::Mismatch) => Ok(Some(Invalid::PasswordWrong)),
        Err(SignInError::TooMany(too_many) | SignInError::OnlyReset(too_many)) => Err(too_many.into()),
        Err(SignInError::Busy) => Ok(Some(Invalid::Busy)),
        Err(SignInError::Fault(fault)) => Err(fault.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_begins_with_the_tenth_failure_and_grows() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(wait_for(9, now, now), Duration::ZERO);
        assert_eq!(wait_for(10, now, now), Duration::from_secs(1));
        assert_eq!(wait_for(15, now, now), Duration::from_secs(32));
        assert_eq!(wait_for(99, now, now), 15 * MINUTE);
        assert_eq!(wait_for(15, now, now + MINUTE), Duration::ZERO);
        assert_eq!(wait_for(100, now, now + 24 * HOUR), 24 * HOUR, "only a reset or a known browser lets in now");
    }
}
