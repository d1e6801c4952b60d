use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::Invalid;

const MINIMUM: usize = 3;
const MAXIMUM: usize = 40;

/// Words that stand in addresses of the server itself, or that would let an organization pass for the operator.
const RESERVED: &[&str] = &[
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "auth",
    "oauth",
    "oidc",
    "scim",
    "login",
    "logout",
    "signin",
    "signup",
    "register",
    "join",
    "invite",
    "verify",
    "reset",
    "account",
    "settings",
    "static",
    "public",
    "setup",
    "confirm",
    "invitation",
    "waiting",
    "details",
    "code",
    "resend",
    "address",
    "health",
    "healthz",
    "metrics",
    "docs",
    "help",
    "support",
    "status",
    "security",
    "well-known",
    "www",
    "mail",
    "root",
    "system",
    "vestibule",
];

/// The name of an organization in addresses: 3 to 40 of `a-z`, `0-9` and inner hyphens. Refused, never repaired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// The slug as it stands in addresses.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A slug made from an organization's name, for a slug left empty: marks dropped, what is not an ASCII letter or
    /// digit becomes a hyphen, `-team` appended where the result is too short or reserved. None where nothing is left.
    pub fn from_name(name: &str) -> Option<Self> {
        let words = hyphenated(name);
        let cut = words.get(..MAXIMUM).unwrap_or(&words).trim_end_matches('-');
        if cut.is_empty() {
            return None;
        }
        cut.parse().or_else(|_| format!("{cut}-team").parse()).ok()
    }
}

fn hyphenated(name: &str) -> String {
    let mut slug = String::new();
    for c in name.nfkd().filter(|c| !is_combining_mark(*c)).map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug
}

impl FromStr for Slug {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        if !has_shape(typed) {
            return Err(Invalid::SlugShape);
        }
        if RESERVED.contains(&typed) {
            return Err(Invalid::SlugReserved);
        }
        Ok(Self(typed.to_owned()))
    }
}

/// No `--` in the third and fourth place, which marks A-labels and their kind.
fn has_shape(typed: &str) -> bool {
    (MINIMUM..=MAXIMUM).contains(&typed.len())
        && typed.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !typed.starts_with('-')
        && !typed.ends_with('-')
        && typed.get(2..4) != Some("--")
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slug_is_taken_as_it_is_or_refused() {
        for slug in ["abc", "a1b", "123", "a-b", "a--b", "abc--d", "acme-team", &"a".repeat(40)] {
            assert_eq!(slug.parse::<Slug>().unwrap().as_str(), slug);
        }
        for typed in [
            "",
            "a",
            "ab",
            "-ab",
            "ab-",
            "ab--c",
            "xn--abc",
            "Abc",
            "a b",
            " abc",
            "abc\n",
            "a_b",
            "a.b",
            "äbc",
            "a/b",
            "abé",
            &"a".repeat(41),
        ] {
            assert_eq!(typed.parse::<Slug>(), Err(Invalid::SlugShape), "{typed:?}");
        }
    }

    #[test]
    fn every_reserved_word_is_refused() {
        assert_eq!(RESERVED.len(), 44);
        for word in RESERVED {
            assert_eq!(word.parse::<Slug>(), Err(Invalid::SlugReserved), "{word}");
            assert!(format!("{word}s1").parse::<Slug>().is_ok());
        }
    }

    #[test]
    fn a_name_gives_a_slug_where_it_can() {
        for (name, slug) in [
            ("Acme", Some("acme")),
            ("  Ácme & Söhne, GmbH. ", Some("acme-sohne-gmbh")),
            ("Ａｃｍｅ", Some("acme")),
            ("X", Some("x-team")),
            ("Admin", Some("admin-team")),
            ("ab--c", Some("ab-c")),
            ("李小龙", None),
            ("---", None),
            ("", None),
        ] {
            assert_eq!(Slug::from_name(name).as_ref().map(Slug::as_str), slug, "{name}");
        }
        let long = format!("{} b", "a".repeat(39));
        assert_eq!(Slug::from_name(&long).unwrap().as_str(), "a".repeat(39));
    }

    proptest! {
        #[test]
        fn a_slug_made_from_a_name_is_a_slug(name in any::<String>()) {
            if let Some(slug) = Slug::from_name(&name) {
                prop_assert_eq!(slug.to_string().parse::<Slug>(), Ok(slug));
            }
        }

        #[test]
        fn a_name_with_a_latin_letter_always_gives_a_slug(name in ".{0,60}[a-zA-Z].{0,60}") {
            prop_assert!(Slug::from_name(&name).is_some());
        }
    }
}
