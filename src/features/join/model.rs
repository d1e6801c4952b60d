use std::time::Duration;

use super::JoinError;
use crate::{
    platform::{db::FromRow, mail::outbox::JUST_NOW},
    values::{EmailAddress, LinkCodeId, LinkId, OrganizationId, RegistrationId, Timestamp, UserId},
};

crate::words! {
    /// A registration's place in the funnel.
    RegistrationState {
        /// An address was given.
        Begun = "begun",
        /// A code was accepted.
        Confirmed = "confirmed",
        /// There is a user.
        Finished = "finished",
        /// It ended without a user.
        Ended = "ended",
    }
}

crate::words! {
    /// Why a registration is over.
    EndedWhy {
        /// It became a user.
        Finished = "finished",
        /// The link was replaced, and the manager did not let it finish.
        LinkReplaced = "link replaced",
        /// Joining by link was switched off.
        LinkOff = "link off",
        /// Another address was given.
        AddressChanged = "address changed",
        /// The address became a user another way.
        JoinedElsewhere = "joined elsewhere",
        /// Seven days are over.
        Expired = "expired",
        /// The database was put back from a backup.
        Restored = "restored",
    }
}

/// A registration lives this long from its beginning.
pub const LIFETIME: Duration = Duration::from_hours(168);
/// After a right code the details page stands this long.
pub const DETAILS: Duration = Duration::from_hours(1);

/// An attempt to join that is not a user yet.
#[derive(Debug, Clone, FromRow)]
pub struct Registration {
    /// Its public id, good only with the browser's secret.
    pub id: RegistrationId,
    /// Where it leads.
    pub organization_id: OrganizationId,
    /// The link it came through.
    pub link_id: LinkId,
    /// The code of the link that it began with.
    pub link_code_id: LinkCodeId,
    /// The address that was given.
    pub email: EmailAddress,
    /// Its place in the funnel.
    pub state: RegistrationState,
    /// Why it is over.
    pub ended_why: Option<EndedWhy>,
    /// When its address was given, or mail was asked for, last.
    pub asked_at: Timestamp,
    /// Its end.
    pub expires_at: Timestamp,
    /// Until when the details page stands, after a right code.
    pub confirmed_until: Option<Timestamp>,
    /// The manager who passed the accepted code on.
    pub handed_over_by: Option<UserId>,
}

impl Registration {
    /// Refuses one that is over, with the reason.
    pub fn must_be_open(&self, now: Timestamp) -> Result<(), JoinError> {
        match self.ended_why {
            Some(why) => Err(JoinError::Ended(why)),
            None if now >= self.expires_at => Err(JoinError::Ended(EndedWhy::Expired)),
            None => Ok(()),
        }
    }

    /// The same for whoever waits and has not proved the mailbox: that the address became a user another way is not
    /// for them to know.
    pub fn must_look_open(&self, now: Timestamp) -> Result<(), JoinError> {
        match self.ended_why {
            Some(EndedWhy::JoinedElsewhere) if now < self.expires_at => Ok(()),
            Some(EndedWhy::JoinedElsewhere) => Err(JoinError::Ended(EndedWhy::Expired)),
            _ => self.must_be_open(now),
        }
    }

    /// Whether a code was accepted and the details page still stands.
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed_until.is_some_and(|end| now < end)
    }

    /// Whether the same form was sent a moment ago: the same registration, which sends nothing new.
    pub fn was_asked_just_now(&self, now: Timestamp) -> bool {
        now < self.asked_at + JUST_NOW
    }
}
