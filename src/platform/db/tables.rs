//! Every table, for copying a whole installation. A story fails where a migration adds one that is missing here.

/// A table and what its rows are read in the order of.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its primary key.
    pub key: &'static [&'static str],
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key }
}

/// Tables that triggers fill from others: they are there when those are. A name stands for all that begin with it.
pub const DERIVED: [&str; 3] = ["user_counts", "user_rows", "user_letters"];

/// Every table that a migration makes and that is not derived; one that refers to another stands after it.
pub const TABLES: [Table; 24] = [
    table("server", &["id"]),
    table("organizations", &["id"]),
    table("allowlist_entries", &["organization_id", "place"]),
    table("users", &["id"]),
    table("barred_addresses", &["organization_id", "address_hash"]),
    table("sessions", &["id"]),
    table("known_browsers", &["digest"]),
    table("links", &["id"]),
    table("link_codes", &["id"]),
    table("link_days", &["link_id", "day"]),
    table("registrations", &["id"]),
    table("invitations", &["id"]),
    table("address_changes", &["id"]),
    table("messages", &["id"]),
    table("tokens", &["digest"]),
    table("counters", &["key_hash"]),
    table("limit_counts", &["key_hash", "part"]),
    table("chores", &["name"]),
    table("recovery_requests", &["id"]),
    table("mail_budgets", &["key_hash"]),
    table("mail_waiting", &["key_hash", "organization_id", "kind"]),
    table("audit_events", &["id"]),
    table("audit_names", &["id"]),
    table("audit_counts", &["organization_id", "kind", "hour"]),
];
