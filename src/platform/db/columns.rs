//! How values live in columns: text parsed again on the way out, ids as uuid, moments as microseconds.

use sqlx::{
    Database, Decode, Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef, types::Oid},
    sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef},
};
use uuid::Uuid;

use super::Arg;
use crate::values::{Digest, Domain, EmailAddress, FullName, Id, OrganizationName, Slug, Timestamp};

/// Stores a value by its `Display` and parses it with `FromStr` on the way out, so that a row that
/// breaks the rules is an error and never a value.
macro_rules! text_columns {
    ($($type:ty),*) => {$(
        impl<DB: Database> Type<DB> for $type where String: Type<DB> {
            fn type_info() -> DB::TypeInfo {
                <String as Type<DB>>::type_info()
            }
            fn compatible(info: &DB::TypeInfo) -> bool {
                <String as Type<DB>>::compatible(info)
            }
        }
        impl<'r, DB: Database> Decode<'r, DB> for $type where String: Decode<'r, DB> {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
                Ok(<String as Decode<DB>>::decode(value)?.parse()?)
            }
        }
        impl From<&$type> for Arg {
            fn from(value: &$type) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }
    )*};
}
text_columns!(Domain, EmailAddress, FullName, OrganizationName, Slug);

impl<DB: Database, K> Type<DB> for Id<K>
where
    Uuid: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <Uuid as Type<DB>>::type_info()
    }
    fn compatible(info: &DB::TypeInfo) -> bool {
        <Uuid as Type<DB>>::compatible(info)
    }
}
impl<'r, DB: Database, K> Decode<'r, DB> for Id<K>
where
    Uuid: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_uuid(<Uuid as Decode<DB>>::decode(value)?))
    }
}
impl<K> From<Id<K>> for Arg {
    fn from(id: Id<K>) -> Self {
        Self::Uuid(Some(id.uuid()))
    }
}
impl<K> From<Option<Id<K>>> for Arg {
    fn from(id: Option<Id<K>>) -> Self {
        Self::Uuid(id.map(Id::uuid))
    }
}

impl From<&Digest> for Arg {
    fn from(digest: &Digest) -> Self {
        Self::Bytes(Some(digest.bytes().to_vec()))
    }
}

impl Type<Sqlite> for Timestamp {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(info: &SqliteTypeInfo) -> bool {
        // SQLite names a column by its declared type; `timestamptz` has numeric affinity and holds integers.
        <i64 as Type<Sqlite>>::compatible(info) || info.to_string().eq_ignore_ascii_case("numeric")
    }
}
impl Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Sqlite>>::encode(self.micros(), buffer)
    }
}
impl Decode<'_, Sqlite> for Timestamp {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self::from_micros(<i64 as Decode<Sqlite>>::decode(value)?))
    }
}

/// `timestamptz`, by the number that `PostgreSQL` gives it in every installation.
const TIMESTAMPTZ: Oid = Oid(1184);
/// `PostgreSQL` counts microseconds from the first moment of 2000.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}
impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode(self.micros().saturating_sub(POSTGRES_EPOCH), buffer)
    }
}
impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self::from_micros(<i64 as Decode<Postgres>>::decode(value)?.saturating_add(POSTGRES_EPOCH)))
    }
}

/// A closed list stored as words. The list's `as_str` and `FromStr` are the words.
macro_rules! word_column {
    ($type:ty) => {
        impl<DB: ::sqlx::Database> ::sqlx::Type<DB> for $type
        where
            String: ::sqlx::Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <String as ::sqlx::Type<DB>>::type_info()
            }
            fn compatible(info: &DB::TypeInfo) -> bool {
                <String as ::sqlx::Type<DB>>::compatible(info)
            }
        }
        impl<'r, DB: ::sqlx::Database> ::sqlx::Decode<'r, DB> for $type
        where
            String: ::sqlx::Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, ::sqlx::error::BoxDynError> {
                let word = <String as ::sqlx::Decode<DB>>::decode(value)?;
                <$type>::from_word(&word).ok_or_else(|| format!("unknown word {word}").into())
            }
        }
        impl From<$type> for $crate::platform::db::Arg {
            fn from(value: $type) -> Self {
                Self::Text(Some(value.as_str().to_owned()))
            }
        }
    };
}
pub(crate) use word_column;

/// A closed list of words: the enum, its words for columns and programs, and how it lives in a column.
#[macro_export]
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant),* }
        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The word kept in columns and given to programs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
            /// From its word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
        $crate::platform::db::word_column!($name);
    };
}
