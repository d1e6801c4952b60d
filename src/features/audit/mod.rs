//! Audit: who did what to whom, when and from where. Appended in the transaction of the act, never edited.
//!
//! An event holds ids and a closed list of kinds; its sentences are in templates. Names and addresses stand
//! apart by id, so that a deletion erases them. What anonymous visitors are refused is counted by hour.
//!
//! Tables: `audit_events`, `audit_names`, `audit_counts`.

mod store;

use std::net::IpAddr;

pub use store::{
    Counted, Event, Filter, count_all_refused, count_refused, erase_name, list, list_refused, name, names, record,
    record_both,
};

use crate::{
    platform::web::Visitor,
    values::{OrganizationId, RequestId, SubjectId, UserId},
};

crate::words! {
    /// What happened. Append only: the words are in databases.
    EventKind {
        /// The organization and its first manager were made.
        OrganizationCreated = "organization.created",
        /// A user came to exist.
        UserCreated = "user.created",
        /// A user was deactivated.
        UserDeactivated = "user.deactivated",
        /// A user was reactivated.
        UserReactivated = "user.reactivated",
        /// A user was deleted.
        UserDeleted = "user.deleted",
        /// A user became a manager or a member.
        RoleChanged = "user.role_changed",
        /// A user changed their name.
        NameChanged = "user.name_changed",
        /// A user changed their password.
        PasswordChanged = "user.password_changed",
        /// A password was set by a link.
        PasswordSet = "user.password_set",
        /// Somebody asked for a new password of a user.
        RecoveryAsked = "user.recovery_asked",
        /// A one-time link to set a password was made on the command line.
        RecoveryLinkMade = "user.recovery_link_made",
        /// A change of address began.
        AddressChangeBegun = "user.address_change_begun",
        /// An address was changed.
        AddressChanged = "user.address_changed",
        /// A change of address was stopped.
        AddressChangeStopped = "user.address_change_stopped",
        /// A user signed in.
        SignedIn = "session.started",
        /// A user signed out.
        SignedOut = "session.ended",
        /// A user ended other sessions of their own.
        SessionsEnded = "session.others_ended",
        /// Identity Configuration was saved.
        SettingsSaved = "settings.saved",
        /// The invite link was replaced.
        LinkReplaced = "link.replaced",
        /// A registration began.
        RegistrationBegun = "registration.begun",
        /// Another message with a link and a code was asked for.
        ConfirmationAsked = "registration.mail_asked",
        /// A confirmation code was accepted.
        RegistrationConfirmed = "registration.confirmed",
        /// A registration ended without a user.
        RegistrationEnded = "registration.ended",
        /// An address was invited.
        Invited = "invitation.created",
        /// An invitation was sent again.
        InvitationRenewed = "invitation.renewed",
        /// An invitation was taken back.
        InvitationRevoked = "invitation.revoked",
        /// An invitation was accepted.
        InvitationAccepted = "invitation.accepted",
        /// A waiting message was handed over.
        MessageHandedOver = "mail.handed_over",
        /// A message was refused for good.
        MessageFailed = "mail.failed",
        /// A test message was asked for.
        TestMessageSent = "mail.test_sent",
        /// The database was put back from a backup.
        Restored = "server.restored",
    }
}

crate::words! {
    /// Who acts.
    ActorKind {
        /// Somebody who is not signed in.
        Visitor = "visitor",
        /// A signed-in user.
        User = "user",
        /// Whoever has a shell on the server.
        CommandLine = "command line",
        /// The server itself.
        Server = "server",
    }
}

crate::words! {
    /// What an anonymous visitor was refused; counted, not recorded one by one.
    Refused {
        /// An address of a domain that is not on the list.
        Domain = "registration.domain",
        /// The link was off, full, expired or replaced.
        Link = "registration.link",
        /// Too many at once.
        TooMany = "registration.too_many",
        /// A wrong confirmation code.
        Code = "registration.code",
        /// A sign-in that did not match.
        SignIn = "session.password",
        /// A new password for an address without an account.
        Recovery = "session.recovery",
    }
}

/// Who acts, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// The user, where it is one.
    pub user: Option<UserId>,
    /// The request, where there is one.
    pub request: Option<RequestId>,
    /// The client's address, where there is one.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Somebody at the door.
    pub const fn visitor(visitor: &Visitor) -> Self {
        Self { kind: ActorKind::Visitor, user: None, request: Some(visitor.request), address: Some(visitor.address) }
    }

    /// A signed-in user.
    pub const fn user(user: UserId, visitor: &Visitor) -> Self {
        Self { kind: ActorKind::User, user: Some(user), request: Some(visitor.request), address: Some(visitor.address) }
    }

    /// Whoever has a shell.
    pub const fn command_line() -> Self {
        Self { kind: ActorKind::CommandLine, user: None, request: None, address: None }
    }

    /// The server itself.
    pub const fn server() -> Self {
        Self { kind: ActorKind::Server, user: None, request: None, address: None }
    }
}

/// A proof that somebody may manage an organization: a signed-in manager makes it, or the command line.
/// Verbs that change an organization ask for it.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The organization that may be managed, and no other.
    pub organization: OrganizationId,
    /// Who it is, for the audit log.
    pub actor: Actor,
}

impl Authority {
    /// Whoever has a shell on the server may manage every organization.
    pub const fn command_line(organization: OrganizationId) -> Self {
        Self { organization, actor: Actor::command_line() }
    }
}

/// What happened, to what.
pub struct Happened {
    /// The kind.
    pub kind: EventKind,
    /// What it happened to.
    pub subject: Option<SubjectId>,
    /// Details: words and numbers, no sentences, no names, no addresses, no secrets.
    pub parameters: serde_json::Value,
}

impl Happened {
    /// Something that needs no details.
    pub fn to<K>(kind: EventKind, subject: crate::values::Id<K>) -> Self {
        Self { kind, subject: Some(subject.subject()), parameters: serde_json::json!({}) }
    }

    /// With details.
    #[must_use]
    pub fn with(self, parameters: serde_json::Value) -> Self {
        Self { parameters, ..self }
    }
}
