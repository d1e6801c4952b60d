//! Ids: uuid v7, each knowing what it identifies. Shown as a kind and 26 Crockford characters.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use uuid::Uuid;

use super::{Invalid, Timestamp};

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The name of a kind of thing, and the prefix that its ids wear: `usr_01j9…`.
pub trait Kind {
    /// Three letters that stay for ever: they are in databases, logs and addresses.
    const PREFIX: &'static str;
}

/// An id that knows what it identifies, so that a user is never passed for an organization.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

impl<K> Id<K> {
    /// A new id (RFC 9562, version 7) of this moment and this randomness.
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id with these bits, as a database keeps it.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// When it was made, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        let millis = i64::try_from(self.0.as_u128() >> 80).unwrap_or(0);
        Timestamp::from_micros(millis * 1000)
    }

    /// The bits, for a database and for keyed hashes.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.as_u128();
        write!(f, "{}_", K::PREFIX)?;
        for place in (0..26).rev() {
            let digit = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
            write!(f, "{}", char::from(CROCKFORD.get(digit).copied().unwrap_or(b'0')))?;
        }
        Ok(())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        let digits = typed.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(Invalid::Id)?;
        if digits.len() != 26 || !digits.starts_with(|first: char| ('0'..='7').contains(&first)) {
            return Err(Invalid::Id);
        }
        let mut bits = 0_u128;
        for digit in digits.bytes() {
            let value = CROCKFORD.iter().position(|known| *known == digit).ok_or(Invalid::Id)?;
            bits = (bits << 5) | u128::try_from(value).unwrap_or(0);
        }
        Ok(Self::from_uuid(Uuid::from_u128(bits)))
    }
}

impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kinds::{OrganizationId, UserId};
    use super::*;

    #[test]
    fn an_id_of_another_kind_does_not_parse() {
        let user = UserId::new(Timestamp::from_micros(1_795_356_123_456_789), [7; 10]);
        assert!(user.to_string().starts_with("usr_"));
        assert_eq!(user.to_string().parse::<UserId>().unwrap(), user);
        assert!(user.to_string().parse::<OrganizationId>().is_err());
        assert!(user.to_string().to_uppercase().parse::<UserId>().is_err());
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let early = UserId::new(Timestamp::from_micros(1_000_000), [255; 10]).to_string();
        let late = UserId::new(Timestamp::from_micros(2_000_000), [0; 10]).to_string();
        assert!(early < late);
    }

    proptest! {
        #[test]
        fn every_id_comes_back_from_its_text(bits: u128) {
            let id = UserId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<UserId>().unwrap(), id);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<UserId>();
            let _ = format!("usr_{text}").parse::<UserId>();
        }
    }
}
