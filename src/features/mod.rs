//! Floor 2: one folder for each feature, with everything of it.
//!
//! Features call downhill only, in this order: `settings`, `account`, `set_up` → `provisioning` → `join`, `sign_in` →
//! `invitations`, `links` → `sessions` → `users` → `address_changes`, `admission` → `organizations` → `audit`.

pub mod account;
pub mod address_changes;
pub mod admission;
pub mod audit;
pub mod invitations;
pub mod join;
pub mod links;
pub mod organizations;
pub mod provisioning;
pub mod sessions;
pub mod set_up;
pub mod settings;
pub mod sign_in;
pub mod users;
