//! Floor 2: one folder for each feature, with everything of it.
//!
//! Features call downhill only, in this order: `settings`, `account`, `set_up` → `join`, `sign_in` →
//! `invitations`, `links` → `sessions` → `users` → `admission` → `organizations` → `audit`.

pub mod admission;
pub mod audit;
pub mod invitations;
pub mod join;
pub mod links;
pub mod organizations;
pub mod sessions;
pub mod set_up;
pub mod settings;
pub mod sign_in;
pub mod users;
