//! Who may register through a link: the domain allowlist, and the decision that explains itself.

pub mod reading;
pub mod rules;

mod free_mail;
mod likeness;
