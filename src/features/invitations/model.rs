use crate::{
    features::users::Role,
    platform::{
        db::FromRow,
        mail::{State, outbox::JUST_NOW},
    },
    values::{EmailAddress, Invalid, InvitationId, MessageId, OrganizationId, Timestamp, UserId},
};

crate::words! {
    /// How an invitation ended.
    InvitationEnd {
        /// Its address became a user.
        Accepted = "accepted",
        /// A manager took it back.
        Revoked = "revoked",
    }
}

/// A manager's offer to one address.
#[derive(Debug, Clone, FromRow)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Where it leads.
    pub organization_id: OrganizationId,
    /// The one address that it is for.
    pub email: EmailAddress,
    /// What the new user may do.
    pub role: Role,
    /// The manager who made or renewed it; nobody where it came from the command line.
    pub invited_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was sent last.
    pub renewed_at: Timestamp,
    /// When its message was refused for good.
    pub mail_failed_at: Option<Timestamp>,
    /// How it ended, if it did.
    pub ended_why: Option<InvitationEnd>,
}

impl Invitation {
    /// Whether it waits to be accepted.
    pub const fn is_open(&self) -> bool {
        self.ended_why.is_none()
    }

    /// Whether it was sent a moment ago, and may have arrived.
    pub fn was_sent_just_now(&self, now: Timestamp) -> bool {
        now < self.renewed_at + JUST_NOW && self.mail_failed_at.is_none()
    }

    /// Whether it was sent more than once.
    pub fn was_renewed(&self) -> bool {
        self.renewed_at > self.created_at
    }
}

/// A pending invitation in the list, with how its mail stands.
#[derive(Debug, Clone, FromRow)]
pub struct Listed {
    /// Its id.
    pub id: InvitationId,
    /// The one address that it is for.
    pub email: EmailAddress,
    /// What the new user may do.
    pub role: Role,
    /// The manager who made or renewed it.
    pub invited_by: Option<UserId>,
    /// When it was sent last.
    pub renewed_at: Timestamp,
    /// Its message, for as long as the outbox keeps it.
    pub message_id: Option<MessageId>,
    /// How that message stands.
    pub mail: Option<State>,
    /// Until when its link works, from the first delivery on.
    pub lives_until: Option<Timestamp>,
}

impl Listed {
    /// Its message, where that waits or failed and a manager may pass it on.
    pub fn to_hand_over(&self) -> Option<MessageId> {
        self.message_id.filter(|_| matches!(self.mail, Some(State::Waiting | State::Failed)))
    }
}

/// What inviting one address did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// It is invited now.
    Invited,
    /// It was invited before; the invitation is renewed and the old link dead.
    AgainInvited,
    /// It has a user.
    AlreadyUser {
        /// Whether that user may sign in.
        active: bool,
    },
    /// This manager has sent this address enough mail for now.
    TooMuchMail,
}

/// Why a line of a list of addresses invited nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The same address stands further up.
    Twice,
    /// It is no address.
    NotAnAddress(Invalid),
}

/// What came of one line of a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The line as typed.
    pub typed: String,
    /// What came of it.
    pub result: Result<Invited, Left>,
}
