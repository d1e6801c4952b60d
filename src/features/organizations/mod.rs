//! Organizations: the tenants, and the settings of each. Nothing crosses from one to another.
//!
//! Tables: `organizations`.

mod store;

pub use store::{
    Moved, Organization, any, by_id, by_slug, list, lock, lock_all, moved_since, only_one, remember_public_url,
    save_settings,
};

use crate::{
    platform::{Fault, db::Tx},
    values::{OrganizationId, OrganizationName, Slug},
};

crate::words! {
    /// How an organization's users prove themselves.
    LoginMethod {
        /// A password.
        Password = "password",
    }
}

/// Makes an organization with its settings as they are on the first day: everybody with the link may join.
/// `None` when the slug is taken.
pub async fn create(tx: &mut Tx, name: &OrganizationName, slug: &Slug) -> Result<Option<OrganizationId>, Fault> {
    store::insert(tx, name, slug).await
}
