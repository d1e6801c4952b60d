use crate::{
    platform::db::FromRow,
    values::{LinkCodeId, LinkId, OrganizationId, OrganizationName, Slug, Timestamp},
};

crate::words! {
    /// Whose a link is.
    LinkKind {
        /// The organization's own, on Identity Configuration.
        Own = "own",
    }
}

crate::words! {
    /// Whether a link opens now, and if not, the true reason.
    LinkState {
        /// It opens.
        Open = "open",
        /// Joining by link is switched off.
        Off = "off",
        /// Its time has not come.
        NotYetOpen = "not yet open",
        /// Its time is over.
        Expired = "expired",
        /// As many people have joined as may.
        Full = "full",
        /// A manager paused it.
        Paused = "paused",
        /// Another link has taken its place.
        Replaced = "replaced",
    }
}

/// What decides whether a link opens, but for its code.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Policy {
    /// The organization's switch.
    pub self_service: bool,
    /// A manager paused it.
    pub paused: bool,
    /// Not before.
    pub opens_at: Option<Timestamp>,
    /// Not after.
    #[sqlx(rename = "link_expires_at")]
    pub expires_at: Option<Timestamp>,
    /// At most so many people.
    pub maximum: Option<i64>,
    /// So many have joined.
    pub used: i64,
}

impl Policy {
    /// Whether the link opens at this moment. The switch says first: one setting never overrides another silently.
    pub fn state(&self, now: Timestamp) -> LinkState {
        if !self.self_service {
            LinkState::Off
        } else if self.paused {
            LinkState::Paused
        } else if self.expires_at.is_some_and(|end| now >= end) {
            LinkState::Expired
        } else if self.opens_at.is_some_and(|start| now < start) {
            LinkState::NotYetOpen
        } else if self.maximum.is_some_and(|most| self.used >= most) {
            LinkState::Full
        } else {
            LinkState::Open
        }
    }
}

/// A link, as its organization sees it.
#[derive(Debug, Clone, FromRow)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// How many people have joined with it.
    pub used: i64,
    /// When the last one did.
    pub last_used_at: Option<Timestamp>,
}

/// What stands behind a code.
#[derive(Debug, Clone, FromRow)]
pub struct Found {
    /// The link.
    pub link_id: LinkId,
    /// The code.
    pub code_id: LinkCodeId,
    /// When the code was replaced, if it was.
    pub replaced_at: Option<Timestamp>,
    /// Whose link it is.
    pub organization_id: OrganizationId,
    /// The organization's name.
    pub organization_name: OrganizationName,
    /// The organization's short name in addresses.
    pub organization_slug: Slug,
    /// The policy.
    #[sqlx(flatten)]
    pub policy: Policy,
}

impl Found {
    /// Whether a registration may begin with this code now.
    pub fn state(&self, now: Timestamp) -> LinkState {
        if self.replaced_at.is_some() { LinkState::Replaced } else { self.policy.state(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::HOUR;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const OPEN: Policy =
        Policy { self_service: true, paused: false, opens_at: None, expires_at: None, maximum: None, used: 7 };

    #[test]
    fn a_plain_link_is_open() {
        assert_eq!(OPEN.state(NOW), LinkState::Open);
    }

    #[test]
    fn the_switch_wins_always() {
        assert_eq!(Policy { self_service: false, paused: true, maximum: Some(1), ..OPEN }.state(NOW), LinkState::Off);
    }

    #[test]
    fn every_ended_link_says_its_own_reason() {
        assert_eq!(Policy { paused: true, ..OPEN }.state(NOW), LinkState::Paused);
        assert_eq!(Policy { expires_at: Some(NOW), ..OPEN }.state(NOW), LinkState::Expired);
        assert_eq!(Policy { expires_at: Some(NOW + HOUR), ..OPEN }.state(NOW), LinkState::Open);
        assert_eq!(Policy { opens_at: Some(NOW + HOUR), ..OPEN }.state(NOW), LinkState::NotYetOpen);
        assert_eq!(Policy { opens_at: Some(NOW), ..OPEN }.state(NOW), LinkState::Open);
        assert_eq!(Policy { maximum: Some(7), ..OPEN }.state(NOW), LinkState::Full);
        assert_eq!(Policy { maximum: Some(8), ..OPEN }.state(NOW), LinkState::Open);
    }
}
