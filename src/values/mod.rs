//! Floor 0: what a person typed, parsed once at the edge. No I/O, no clock; behind these types nothing is validated again.

mod characters;
mod client_address;
mod confirmation_code;
mod domain;
mod email;
mod invalid;
mod name;
mod password;
mod return_to;
mod slug;

pub use client_address::{client_address, source};
pub use confirmation_code::ConfirmationCode;
pub use domain::Domain;
pub use email::EmailAddress;
pub use invalid::Invalid;
pub use name::{FullName, OrganizationName};
pub use password::{Password, PersonalWords};
pub use return_to::ReturnTo;
pub use slug::Slug;
