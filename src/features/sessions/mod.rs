//! Sessions: who is signed in, and how sure we are. One session a browser.
//!
//! Only the SHA-256 of a session's secret is stored. A [`Member`] or [`Manager`] is a proof that a request came
//! with a living session; verbs that act for somebody ask for one.
//!
//! Tables: `sessions`; `known_browsers`, which the first release filled, empties itself.

mod extract;
mod known;
mod store;

use std::time::Duration;

pub use extract::{Manager, Member, current};
pub use store::{Session, end, end_all_of, end_everybodys, end_others_of, list_of, write_seen};

use super::users::{Role, User};
use crate::{
    platform::{App, Fault, config::Config, db::Tx, web::Visitor, web::cookies::Cookie},
    values::{DAY, HOUR, MINUTE, Secret, Timestamp},
};

/// No session is older.
const LONGEST: Duration = Duration::from_hours(720);
/// How long the password counts as just given, for dangerous acts.
const FRESH: Duration = Duration::from_mins(15);

/// How long a session may stand unused.
pub const fn idle(role: Role) -> Duration {
    match role {
        Role::Manager => Duration::from_hours(12),
        Role::Member => Duration::from_hours(168),
    }
}

/// A session that has just begun: the secret that goes into the cookie, and the mark of a known browser.
pub struct Started {
    session: Secret,
    known: Secret,
}

impl Started {
    fn new(app: &App, tx: &Tx, user: &User, brought: Brought<'_>) -> Self {
        Self { session: tx.new_secret(), known: brought.known.cloned().unwrap_or_else(|| known::mark(app, user.id)) }
    }

    /// Puts the cookies on an answer.
    pub fn set_cookies(&self, config: &Config, response: &mut axum::response::Response) {
        let headers = response.headers_mut();
        headers.append(axum::http::header::SET_COOKIE, Cookie::Session.set(config, &self.session));
        headers.append(axum::http::header::SET_COOKIE, Cookie::Known.set(config, &self.known));
    }
}

/// What a browser brings when a session starts in it.
#[derive(Default, Clone, Copy)]
pub struct Brought<'a> {
    /// The session that it has: it ends, since signing in to another organization replaces it.
    pub before: Option<&'a Secret>,
    /// Its mark, where it is known to have signed this very user in before.
    pub known: Option<&'a Secret>,
}

/// Starts a session with a new secret: a planted cookie is never adopted.
pub fn start(app: &App, tx: &mut Tx, user: &User, visitor: &Visitor, brought: Brought<'_>) -> Started {
    let (started, until) = (Started::new(app, tx, user, brought), tx.now + LONGEST);
    store::insert(tx, user, &started.session.digest(), until, visitor);
    end_before(tx, brought);
    started
}

/// The same after a password was compared with this hash. `None` when the user has another by now or may not sign in
/// any more: asked again in the write, since a manager may have deactivated them or a reset ended every session.
pub async fn start_after_comparing(
    app: &App,
    tx: &mut Tx,
    (user, password_hash): (&User, &str),
    visitor: &Visitor,
    brought: Brought<'_>,
) -> Result<Option<Started>, Fault> {
    let (started, until) = (Started::new(app, tx, user, brought), tx.now + LONGEST);
    if !store::insert_after_comparing(tx, (user, password_hash), &started.session.digest(), until, visitor).await? {
        return Ok(None);
    }
    end_before(tx, brought);
    Ok(Some(started))
}

/// Ends the session that the browser had, after its user is locked.
fn end_before(tx: &mut Tx, brought: Brought<'_>) {
    if let Some(before) = brought.before {
        store::end_by_secret(tx, &before.digest());
    }
}

/// Whether a browser with this mark has signed this user in before.
pub fn is_known_browser(app: &App, user: &User, mark: &Secret) -> bool {
    known::is_marked(app, user.id, mark)
}

/// Whether the password was given a moment ago.
pub fn is_fresh(password_at: Timestamp, now: Timestamp) -> bool {
    now < password_at + FRESH
}

/// Forgets sessions that have grown old, and browsers not seen for a year.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    store::delete_old(tx, 7 * DAY, 365 * DAY).await
}

const _: () = assert!(FRESH.as_secs() == 15 * MINUTE.as_secs() && idle(Role::Manager).as_secs() == 12 * HOUR.as_secs());
