//! The platform: database, web, mail, keys, limits, hashing. It knows the values and names no feature.

pub mod chores;
pub mod config;
pub mod db;
pub mod hashing;
pub mod keys;
pub mod limits;
pub mod log;
pub mod mail;
pub mod metrics;
pub mod together;
pub mod tokens;
pub mod traces;
pub mod web;

use std::sync::Arc;

use crate::values::{Randomness, RequestId, Secret, ServerId};

/// Everything that a request or a worker may need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// This process among those that work on the same database.
    pub server: ServerId,
    /// The database.
    pub db: db::Db,
    /// The settings, read once.
    pub config: Arc<config::Config>,
    /// The server's key.
    pub keys: Arc<keys::Keys>,
    /// The password hash pool.
    pub hashing: hashing::Hashing,
    /// How mail leaves.
    pub mailer: mail::Mailer,
    /// What is counted in memory and written in batches.
    pub tallies: Arc<limits::Tallies>,
    /// Who is trying a password at this moment.
    pub trying: Arc<limits::failures::Trying>,
    /// What a load balancer is told.
    pub watched: Arc<web::health::Watched>,
    /// Where randomness comes from outside a write.
    pub randomness: Randomness,
}

impl App {
    /// A new 256-bit secret, for a browser.
    pub fn new_secret(&self) -> Secret {
        self.randomness.secret()
    }

    /// A name for a request, in the log and in audit events.
    pub fn new_request_id(&self) -> RequestId {
        RequestId::new(self.db.now(), self.randomness.bytes())
    }
}

/// Something broke that no person can mend by typing differently. Logged once, at the edge, with the
/// request's id; shown as "something went wrong" with that id.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A page or a mail did not render.
    #[error("a template did not render: {0}")]
    Template(#[from] askama::Error),
    /// A key, a seal or a stored hash did not work.
    #[error("a cryptographic operation failed")]
    Crypto,
    /// Stored data breaks a rule of its own.
    #[error("stored data is not as it must be: {0}")]
    Data(&'static str),
}

impl Fault {
    /// Whether coming back in a moment may help: the database was busy or away, not broken.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Database(error) if db::is_passing(error))
    }

    /// Logs the fault of something that the server does again by itself. What passes is no error.
    pub fn log_what_is_tried_again(&self, what: &str) {
        if self.is_busy() {
            tracing::warn!(error = %self, "{what}; it is tried again");
        } else {
            tracing::error!(error = %self, "{what}; it is tried again");
        }
    }
}
