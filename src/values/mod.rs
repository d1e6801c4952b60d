//! Floor 0: what a person typed, parsed once at the edge. No I/O, no clock; behind these types nothing is validated again.

mod characters;
mod client_address;
mod confirmation_code;
mod domain;
mod email;
mod id;
mod invalid;
pub mod kinds;
mod name;
mod password;
mod return_to;
mod secret;
mod slug;
mod time;

pub use client_address::{client_address, source};
pub use confirmation_code::ConfirmationCode;
pub use domain::Domain;
pub use email::EmailAddress;
pub use id::{Id, Kind};
pub use invalid::Invalid;
pub use kinds::{
    AddressChangeId, AuditEventId, InvitationId, LinkCodeId, LinkId, MessageId, OrganizationId, RecoveryRequestId,
    RegistrationId, RequestId, ServerId, SessionId, SubjectId, UserId,
};
pub use name::{FullName, OrganizationName};
pub use password::{Password, PersonalWords};
pub use return_to::ReturnTo;
pub use secret::{Digest, Randomness, Secret};
pub use slug::Slug;
pub use time::{Clock, DAY, HOUR, MINUTE, Timestamp};
