//! Vestibule, the front door of an organization: share one link, and the right people let themselves in.

pub mod features;
pub mod values;
