//! `/healthz` and `/readyz`, for whoever watches the server.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use tokio::time::Instant;

use super::PageError;
use crate::platform::App;

/// Whoever asked for `/readyz` within this time is a load balancer that goes on asking.
const WATCHED_WITHIN: Duration = Duration::from_secs(30);
/// How long a balancer has for hearing that this server leaves: one that asks every second or two has heard it.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// Whether a load balancer asks whether this server is ready, and whether it is told that the server leaves.
#[derive(Debug, Default)]
pub struct Watched {
    asked: Mutex<Option<Instant>>,
    leaving: AtomicBool,
}

impl Watched {
    /// From now on `/readyz` says no. How much longer requests must be taken, so that none comes to a closed door: not at
    /// all where nobody asks.
    pub fn leave(&self) -> Duration {
        self.leaving.store(true, Ordering::Relaxed);
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|at| at.elapsed() < WATCHED_WITHIN) { HEARD_WITHIN } else { Duration::ZERO }
    }

    fn is_asked(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// `/healthz`: the process answers. `/readyz`: the database does too, for reading and for writing, and the server stays.
pub fn routes() -> Router<App> {
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready))
}

async fn ready(State(app): State<App>) -> Result<&'static str, PageError> {
    app.watched.is_asked();
    if !app.watched.leaving.load(Ordering::Relaxed) && app.db.is_ready().await {
        Ok("ready")
    } else {
        Err(PageError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_is_watched_waits_before_it_leaves() {
        let watched = Watched::default();
        assert_eq!(watched.leave(), Duration::ZERO);
        watched.is_asked();
        assert_eq!(watched.leave(), HEARD_WITHIN);
    }
}
