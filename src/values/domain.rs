use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::Invalid;
use super::characters::is_invisible;

/// A whole domain of at least two labels, as lowercase A-labels.
///
/// Compared as a whole: `evilacme.com` never matches `acme.com`. Whatever was typed (capitals, U-labels, full-width
/// letters) is brought to this one form by UTS-46, so equality of the text is equality of the domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// The A-label form: what is stored, compared and sent to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The U-label form, for people to read beside the A-label form; never to be compared or stored.
    pub fn unicode(&self) -> String {
        let (unicode, _) = Uts46::new().to_unicode(self.0.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        unicode.into_owned()
    }

    /// As people read it, with the A-labels where these are others: `münchen.de (xn--mnchen-3ya.de)`.
    pub fn shown(&self) -> String {
        let unicode = self.unicode();
        if unicode == self.0 { unicode } else { format!("{unicode} ({})", self.0) }
    }

    /// The strict parents that are domains themselves, nearest first: `b.c.com` and `c.com` for `a.b.c.com`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |domain| {
            domain.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'))
        })
        .skip(1)
    }
}

impl FromStr for Domain {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        if typed.chars().any(is_invisible) {
            return Err(Invalid::DomainInvisible);
        }
        let ascii = to_a_labels(typed).ok_or(Invalid::DomainShape)?;
        let Some((_, last)) = ascii.rsplit_once('.') else { return Err(Invalid::DomainSingleLabel) };
        if !is_last_label(last) {
            return Err(Invalid::DomainShape);
        }
        Ok(Self(ascii.into_owned()))
    }
}

/// UTS-46, non-transitional, with every check but that for hyphens in the third and fourth place.
fn to_a_labels(typed: &str) -> Option<Cow<'_, str>> {
    Uts46::new().to_ascii(typed.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify).ok()
}

/// Letters only, or an A-label: so that no IP address is ever a domain.
fn is_last_label(label: &str) -> bool {
    label.starts_with("xn--") || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase()))
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lets a set of domains be asked about a parent, which is only a slice. `Eq`, `Ord` and `Hash` agree with those of `str`.
impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn domain(typed: &str) -> Domain {
        typed.parse().unwrap()
    }

    #[test]
    fn capitals_wide_letters_and_u_labels_come_to_one_form() {
        for typed in ["münchen.de", "MÜNCHEN.DE", "mu\u{308}nchen.de", "XN--MNCHEN-3YA.de", "münchen\u{3002}de"] {
            assert_eq!(domain(typed).as_str(), "xn--mnchen-3ya.de", "{typed}");
        }
        assert_eq!(domain("xn--mnchen-3ya.de").unicode(), "münchen.de");
        assert_eq!(domain("straße.de").as_str(), "xn--strae-oqa.de");
    }

    #[test]
    fn a_single_label_has_its_own_reason() {
        assert_eq!("localhost".parse::<Domain>(), Err(Invalid::DomainSingleLabel));
        assert_eq!("рф".parse::<Domain>(), Err(Invalid::DomainSingleLabel));
    }

    #[test]
    fn what_is_not_a_domain_is_refused() {
        for typed in [
            "",
            ".",
            "a..com",
            ".a.com",
            "a.com.",
            "a.com\u{3002}",
            "-a.com",
            "a-.com",
            "a_b.com",
            "a.123",
            "a.c0m",
            "127.0.0.1",
            "[::1]",
            "a.com:25",
            "xn--.com",
            "xn--company-.com",
            "a.xn--",
            "a/b.com",
            "a%2eb.com",
            "a*.com",
            "\u{ff20}a.com",
            "a.com\u{ff0f}b",
        ] {
            assert_eq!(typed.parse::<Domain>(), Err(Invalid::DomainShape), "{typed}");
        }
        for typed in [" a.com", "a.com\n", "a\u{200b}.com", "a\u{ad}.com", "a.com\u{85}", "a\u{fe0f}.com"] {
            assert_eq!(typed.parse::<Domain>(), Err(Invalid::DomainInvisible), "{typed:?}");
        }
    }

    #[test]
    fn hyphens_in_the_third_and_fourth_place_are_allowed() {
        assert_eq!(domain("ab--cd.com").as_str(), "ab--cd.com");
    }

    #[test]
    fn parents_stop_before_the_last_label() {
        assert_eq!(domain("a.b.c.com").parents().collect::<Vec<_>>(), ["b.c.com", "c.com"]);
        assert_eq!(domain("c.com").parents().count(), 0);
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(typed in "\\PC{0,12}\\.\\PC{1,4}|[a-zä-ü0-9.-]{1,20}\\.[a-z]{1,4}") {
            if let Ok(domain) = typed.parse::<Domain>() {
                prop_assert_eq!(Ok(domain.clone()), domain.to_string().parse());
                prop_assert_eq!(Ok(domain.clone()), domain.unicode().parse());
                prop_assert!(domain.as_str().is_ascii() && !domain.as_str().contains(|c: char| c.is_ascii_uppercase()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(typed in any::<String>()) {
            let _ = typed.parse::<Domain>();
        }
    }
}
