//! Sessions: who is signed in, and how sure we are. One session a browser.
//!
//! Only the SHA-256 of a session's secret is stored. A [`Member`] or [`Manager`] is a proof that a request came
//! with a living session; verbs that act for somebody ask for one.
//!
//! Tables: `sessions`, `known_browsers`.

mod extract;
mod store;

use std::time::Duration;

pub use extract::{Manager, Member, current};
pub use store::{Session, end, end_all_of, end_everybodys, is_known_browser, know_browser, list_of, write_seen};

use super::users::{Role, User};
use crate::{
    platform::{Fault, config::Config, db::Tx, web::Visitor, web::cookies::Cookie},
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
    /// Puts the cookies on an answer.
    pub fn set_cookies(&self, config: &Config, response: &mut axum::response::Response) {
        let headers = response.headers_mut();
        headers.append(axum::http::header::SET_COOKIE, Cookie::Session.set(config, &self.session));
        headers.append(axum::http::header::SET_COOKIE, Cookie::Known.set(config, &self.known));
    }
}

/// Starts a session with a new secret. A session that the browser had before ends: signing in to another
/// organization replaces it, and a planted cookie is never adopted.
pub async fn start(tx: &mut Tx, user: &User, visitor: &Visitor, before: Option<&Secret>) -> Result<Started, Fault> {
    if let Some(before) = before {
        store::end_by_secret(tx, &before.digest()).await?;
    }
    let session = tx.new_secret();
    let until = tx.now + LONGEST;
    store::insert(tx, user, &session.digest(), until, visitor).await?;
    let known = tx.new_secret();
    know_browser(tx, user.id, &known.digest()).await?;
    Ok(Started { session, known })
}

/// Whether the password was given a moment ago.
pub fn is_fresh(password_at: Timestamp, now: Timestamp) -> bool {
    now < password_at + FRESH
}

/// Forgets sessions that have grown old, and browsers not seen for a year.
pub async fn clean_up(tx: &mut Tx) -> Result<(), Fault> {
    store::delete_old(tx, 7 * DAY, 365 * DAY).await
}

const _: () = assert!(FRESH.as_secs() == 15 * MINUTE.as_secs() && idle(Role::Manager).as_secs() == 12 * HOUR.as_secs());
