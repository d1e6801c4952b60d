use std::fmt;

use url::{Position, Url};

const MAXIMUM: usize = 2048;

/// Where to go after signing in: a place on this server and nowhere else.
///
/// Kept as the public URL resolved it (path, query, fragment; ASCII), so that what was checked is what a browser is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The place, if it is one; `typed` has been decoded once by the query parser. None means the default page.
    pub fn parse(typed: &str, public_url: &Url) -> Option<Self> {
        if typed.len() > MAXIMUM || !is_local_path(typed) {
            return None;
        }
        let resolved = public_url.join(typed).ok()?;
        if resolved.origin() != public_url.origin() || resolved.path().starts_with("//") {
            return None;
        }
        Some(Self(resolved[Position::BeforePath..].to_owned()))
    }

    /// The place, beginning with one `/`: fit for a `Location` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One `/` first and not a second; nothing anywhere that browsers read as a slash or drop.
fn is_local_path(typed: &str) -> bool {
    typed.strip_prefix('/').is_some_and(|rest| !rest.starts_with('/'))
        && !typed.chars().any(|c| c == '\\' || c.is_control() || c.is_whitespace())
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(typed: &str) -> Option<String> {
        let public_url = Url::parse("https://id.company.com").unwrap();
        ReturnTo::parse(typed, &public_url).map(|place| place.to_string())
    }

    #[test]
    fn places_on_this_server_are_followed() {
        for (typed, place) in [
            ("/", "/"),
            ("/account", "/account"),
            ("/account?tab=a&next=https://evil.com#top", "/account?tab=a&next=https://evil.com#top"),
            ("/a/../b", "/b"),
            ("/a//b", "/a//b"),
            ("/%2f%2fevil.com", "/%2f%2fevil.com"),
            ("/%5cevil.com", "/%5cevil.com"),
            ("/@evil.com", "/@evil.com"),
            ("/:80", "/:80"),
            ("/https://evil.com", "/https://evil.com"),
            ("/ü", "/%C3%BC"),
            ("/../..", "/"),
        ] {
            assert_eq!(parsed(typed).as_deref(), Some(place), "{typed}");
        }
    }

    #[test]
    fn every_other_place_is_refused() {
        for typed in [
            "",
            "account",
            "//evil.com",
            "///evil.com",
            "/\\evil.com",
            "\\\\evil.com",
            "/a\\b",
            "https://evil.com",
            "https://id.company.com/",
            "javascript:alert(1)",
            " /a",
            "/a b",
            "/\t/evil.com",
            "/\n/evil.com",
            "/a\u{0}",
            "/\u{7f}",
            "/a\u{a0}",
            "/a\u{2028}",
            "/a\u{3000}",
            "/a\u{85}",
            "/.//evil.com",
            "/..//evil.com",
            "/a/..//evil.com",
            "/%2e//evil.com",
            "/%2e%2e//evil.com",
            "/./\u{2f}evil.com",
            "?a=/b",
            "#a",
            ".",
            "@evil.com",
        ] {
            assert_eq!(parsed(typed), None, "{typed:?}");
        }
    }

    #[test]
    fn the_length_is_counted_in_octets() {
        assert!(parsed(&format!("/{}", "a".repeat(2047))).is_some());
        assert!(parsed(&format!("/{}", "a".repeat(2048))).is_none());
        assert!(parsed(&format!("/{}", "ü".repeat(1024))).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_followed_stays_on_the_origin(typed in "/[/\\\\.%2e5cf@:?#a-z\u{ff0f}\u{2024}]{0,12}|\\PC{0,20}") {
            let public_url = Url::parse("http://127.0.0.1:8080").unwrap();
            if let Some(place) = ReturnTo::parse(&typed, &public_url) {
                let target = public_url.join(place.as_str()).unwrap();
                prop_assert_eq!(target.origin(), public_url.origin());
                prop_assert!(place.as_str().is_ascii() && !place.as_str().starts_with("//"));
                prop_assert_eq!(ReturnTo::parse(place.as_str(), &public_url), Some(place));
            }
        }
    }
}
