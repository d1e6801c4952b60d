//! Admission: who may register through a link, decided by the organization's domain allowlist.
//!
//! One function decides, for every way in, and always says which rule decided ([`decide`], pure, in `rules`).
//! What it makes, [`Admitted`], is the only thing that a user can be created from.
//!
//! Tables: `allowlist_entries`.

pub mod reading;
pub mod rules;

mod free_mail;
mod likeness;
mod store;

pub use rules::{Admission, AdmissionRule, Admitted, Allowlist, AllowlistEntry, RefusedDomain, decide};
pub use store::{allowlist, for_domain, save, whole};

use crate::{
    platform::{
        Fault,
        db::Target,
        metrics::{self, Verdict},
    },
    values::{EmailAddress, OrganizationId},
};

/// Decides about one address, reading only the rows of its domain and that domain's parents.
pub async fn admit<'a>(
    on: impl Into<Target<'a>>,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Admission, Fault> {
    let list = for_domain(on, organization, address.domain()).await?;
    let decided = decide(address, &list);
    metrics::admission(match decided {
        Admission::Admitted(_) => Verdict::Admit,
        Admission::Refused(_) => Verdict::RefuseDomain,
    });
    Ok(decided)
}
