//! What becomes of registrations, counted for operators.

use super::{Entered, JoinError, Proof};
use crate::{
    platform::metrics::{self, Step, Verdict},
    values::{EmailAddress, Invalid},
};

/// The address that was typed; what is none is a verdict too.
pub(super) fn counted_address(typed: &str) -> Result<EmailAddress, Invalid> {
    let address = typed.parse();
    if address.is_err() {
        metrics::admission(Verdict::RefuseInvalid);
    }
    address
}

/// Counts whether a registration came to this step, and else why not.
pub(super) fn counted<T>(step: Step, outcome: Result<T, JoinError>) -> Result<T, JoinError> {
    match &outcome {
        Ok(_) => metrics::registration(step),
        Err(error) => metrics::registration_refused(step, reason(error)),
    }
    outcome
}

/// The same for a code, which can be wrong without an error.
pub(super) fn counted_code(outcome: Result<Entered, JoinError>) -> Result<Entered, JoinError> {
    let why = match &outcome {
        Ok(Entered::Right(_)) => None,
        Ok(Entered::Wrong(_)) => Some("wrong code"),
        Ok(Entered::NoCode) => Some("no code"),
        Ok(Entered::OpenTheLink) => Some("too many codes"),
        Err(error) => Some(reason(error)),
    };
    match why {
        None => metrics::registration(Step::Confirmed),
        Some(why) => metrics::registration_refused(Step::Confirmed, why),
    }
    outcome
}

/// The last step. Behind a message's link it proves the mailbox too: only opening it proves nothing.
pub(super) fn counted_finish<T>(proof: &Proof, outcome: Result<T, JoinError>) -> Result<T, JoinError> {
    if outcome.is_ok() && matches!(proof, Proof::Link(_)) {
        metrics::registration(Step::Confirmed);
    }
    counted(Step::Finished, outcome)
}

fn reason(error: &JoinError) -> &'static str {
    match error {
        JoinError::Unknown => "unknown",
        JoinError::Closed(state) => state.as_str(),
        JoinError::Ended(why) => why.as_str(),
        JoinError::TooOld => "too old",
        JoinError::OtherDomain(_) => "other domain",
        JoinError::Barred => "barred",
        JoinError::UseInvitation => "invitation needs its link",
        JoinError::AlreadyUser => "already a user",
        JoinError::TooMany(_) => "too many",
        JoinError::Busy => "busy",
        JoinError::Fault(_) => "fault",
    }
}
