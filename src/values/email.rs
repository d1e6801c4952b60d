use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::characters::{is_default_ignorable, is_invisible};
use super::{Domain, Invalid};

const LOCAL_MAXIMUM: usize = 64;
const MAXIMUM: usize = 254;

/// A mail address in its canonical form: the local part as typed, and the domain as A-labels.
///
/// Narrower than RFC 5321 on purpose: no quoted local parts, no `%` or `!` (relays read them as routes), no `=?`
/// (decoders of RFC 2047 turn it into another address). `==` compares the canonical form; whether two addresses are the
/// same account is asked of [`EmailAddress::identity`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    canonical: String,
    domain: Domain,
}

impl EmailAddress {
    /// The canonical form: what is stored, and what mail is sent to.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// The part before the `@`, as typed.
    pub fn local(&self) -> &str {
        self.canonical.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// The part after the `@`, which admission looks at.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The key of uniqueness: capitals in the local part do not make another person. Plus tags and dots do.
    pub fn identity(&self) -> String {
        self.canonical.to_ascii_lowercase()
    }

    /// The identity without its plus tag. Only for counting mail against a budget, never for telling people apart.
    pub fn counting_key(&self) -> String {
        let local = self.local().to_ascii_lowercase();
        let mailbox = local.split_once('+').map_or(local.as_str(), |(mailbox, _)| mailbox);
        let mailbox = if mailbox.is_empty() { local.as_str() } else { mailbox };
        format!("{mailbox}@{}", self.domain)
    }
}

impl FromStr for EmailAddress {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        let text = typed.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() {
            return Err(Invalid::EmailEmpty);
        }
        check_visible(text)?;
        // Split before any Unicode mapping: a look-alike of `@` must stay one.
        let (local, domain) = text.split_once('@').ok_or(Invalid::EmailNoAt)?;
        if domain.contains('@') {
            return Err(Invalid::EmailManyAts);
        }
        check_local(local)?;
        let domain: Domain = domain.parse().map_err(|_| why_no_domain(domain))?;
        let canonical = format!("{local}@{domain}");
        if canonical.len() > MAXIMUM {
            return Err(Invalid::EmailTooLong { maximum: MAXIMUM });
        }
        Ok(Self { canonical, domain })
    }
}

/// Nothing in the whole text may be unseen; a plain blank is told apart, because a person can find and remove it.
fn check_visible(text: &str) -> Result<(), Invalid> {
    if !text.chars().any(is_invisible) {
        return Ok(());
    }
    let hidden = text.chars().any(|c| c != ' ' && (c.is_control() || is_default_ignorable(c)));
    Err(match text {
        _ if hidden => Invalid::EmailInvisible,
        _ if is_decorated(text) => Invalid::EmailDecorated,
        _ => Invalid::EmailBlank,
    })
}

fn is_decorated(text: &str) -> bool {
    text.contains(['<', '>', ',', ';']) || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("mailto:"))
}

/// Atoms of permitted characters, joined by single dots: 1 to 64 octets.
fn check_local(local: &str) -> Result<(), Invalid> {
    if local.is_empty() {
        return Err(Invalid::EmailLocalEmpty);
    }
    if let Some(character) = local.chars().find(|c| !is_atom(*c) && *c != '.') {
        return Err(why_no_atom(local, character));
    }
    if local.contains("=?") {
        return Err(Invalid::EmailLocalEncoded);
    }
    if local.split('.').any(str::is_empty) {
        return Err(Invalid::EmailLocalDots);
    }
    if local.len() > LOCAL_MAXIMUM {
        return Err(Invalid::EmailLocalTooLong { maximum: LOCAL_MAXIMUM });
    }
    Ok(())
}

/// RFC 5322's atom characters without `!` and `%`.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#$&'*+-/=?^_{|}~`".contains(c)
}

fn why_no_atom(local: &str, character: char) -> Invalid {
    match character {
        _ if is_decorated(local) => Invalid::EmailDecorated,
        c if !c.is_ascii() => Invalid::EmailLocalNotAscii,
        character => Invalid::EmailLocalPart { character },
    }
}

/// The most helpful reason for a domain that was refused already.
fn why_no_domain(domain: &str) -> Invalid {
    if domain.is_empty() {
        return Invalid::EmailDomainEmpty;
    }
    if is_decorated(domain) {
        return Invalid::EmailDecorated;
    }
    if domain.starts_with('[') || domain.parse::<IpAddr>().is_ok() {
        return Invalid::EmailIpAddress;
    }
    if domain.strip_suffix('.').is_some_and(|rest| rest.parse::<Domain>().is_ok()) {
        return Invalid::EmailTrailingDot;
    }
    match domain.parse::<Domain>() {
        Err(Invalid::DomainSingleLabel) => Invalid::EmailSingleLabel,
        _ => Invalid::EmailDomain,
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// Hides the local part: a whole address never goes to a log.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress(…@{})", self.domain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(typed: &str) -> EmailAddress {
        typed.parse().unwrap()
    }

    fn why(typed: &str) -> Invalid {
        typed.parse::<EmailAddress>().unwrap_err()
    }

    #[test]
    fn the_local_part_stays_as_typed_and_the_domain_is_folded() {
        let ada = address("\t Ada.Lovelace+X@MÜNCHEN.de\r\n");
        assert_eq!(ada.as_str(), "Ada.Lovelace+X@xn--mnchen-3ya.de");
        assert_eq!(ada.local(), "Ada.Lovelace+X");
        assert_eq!(ada.domain().as_str(), "xn--mnchen-3ya.de");
        assert_eq!(ada.identity(), "ada.lovelace+x@xn--mnchen-3ya.de");
        assert_eq!(ada.counting_key(), "ada.lovelace@xn--mnchen-3ya.de");
    }

    #[test]
    fn a_local_part_that_is_only_a_tag_counts_as_itself() {
        assert_eq!(address("+tag@a.com").counting_key(), "+tag@a.com");
        assert_eq!(address("a+b+c@a.com").counting_key(), "a@a.com");
    }

    #[test]
    fn debug_hides_the_person() {
        assert_eq!(format!("{:?}", address("ada@company.com")), "EmailAddress(…@company.com)");
    }

    #[test]
    fn each_mistake_has_its_own_reason() {
        for (typed, reason) in [
            ("", Invalid::EmailEmpty),
            (" \t\r\n\u{c}", Invalid::EmailEmpty),
            ("ada", Invalid::EmailNoAt),
            ("ada\u{ff20}a.com", Invalid::EmailNoAt),
            ("a@b@c.com", Invalid::EmailManyAts),
            ("@a.com", Invalid::EmailLocalEmpty),
            ("a@", Invalid::EmailDomainEmpty),
            ("a@company", Invalid::EmailSingleLabel),
            ("a@company.com.", Invalid::EmailTrailingDot),
            ("a@127.0.0.1", Invalid::EmailIpAddress),
            ("a@[IPv6:::1]", Invalid::EmailIpAddress),
            ("a@b..com", Invalid::EmailDomain),
            ("a@com_pany.com", Invalid::EmailDomain),
            (".a@b.com", Invalid::EmailLocalDots),
            ("a.@b.com", Invalid::EmailLocalDots),
            ("a..b@b.com", Invalid::EmailLocalDots),
            ("ü@b.com", Invalid::EmailLocalNotAscii),
            ("a%b@b.com", Invalid::EmailLocalPart { character: '%' }),
            ("b!a@b.com", Invalid::EmailLocalPart { character: '!' }),
            ("a=?b@b.com", Invalid::EmailLocalEncoded),
            ("\"a\"@b.com", Invalid::EmailLocalPart { character: '"' }),
            ("Ada L <ada@b.com>", Invalid::EmailDecorated),
            ("<ada@b.com>", Invalid::EmailDecorated),
            ("MailTo:ada@b.com", Invalid::EmailDecorated),
            ("a@b.com, c@d.com", Invalid::EmailDecorated),
            ("a b@c.com", Invalid::EmailBlank),
            ("\u{a0}a@c.com", Invalid::EmailBlank),
            ("a@c.com\u{2028}", Invalid::EmailBlank),
            ("a\u{200b}@c.com", Invalid::EmailInvisible),
            ("a@c.com\u{b}", Invalid::EmailInvisible),
            ("a\nb@c.com", Invalid::EmailInvisible),
            ("a\u{85}b@c.com", Invalid::EmailInvisible),
        ] {
            assert_eq!(why(typed), reason, "{typed:?}");
        }
    }

    #[test]
    fn lengths_are_counted_in_octets_of_the_canonical_form() {
        assert!(format!("{}@a.com", "a".repeat(64)).parse::<EmailAddress>().is_ok());
        assert_eq!(why(&format!("{}@a.com", "a".repeat(65))), Invalid::EmailLocalTooLong { maximum: 64 });
        let domain = |n: usize| format!("{0}.{0}.{1}.com", "b".repeat(63), "c".repeat(n));
        assert!(format!("{}@{}", "a".repeat(64), domain(57)).parse::<EmailAddress>().is_ok());
        assert_eq!(why(&format!("{}@{}", "a".repeat(64), domain(58))), Invalid::EmailTooLong { maximum: 254 });
    }

    #[test]
    fn every_permitted_symbol_and_no_other_ascii_stands_alone() {
        for c in ('!'..='~').filter(|c| *c != '@') {
            let permitted = c.is_ascii_alphanumeric() || "#$&'*+-/=?^_{|}~`".contains(c);
            assert_eq!(format!("{c}@a.com").parse::<EmailAddress>().is_ok(), permitted, "{c}");
        }
        assert!("a?=b@a.com".parse::<EmailAddress>().is_ok());
    }

    fn plausible() -> impl Strategy<Value = String> {
        "[ \t]?[a-zA-Z0-9.+_'=?-]{1,10}@[a-zA-Zäöß0-9-]{1,8}(\\.[a-zA-Zé]{1,6}){1,3}[ \r\n]?"
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(typed in plausible()) {
            if let Ok(address) = typed.parse::<EmailAddress>() {
                let again: EmailAddress = address.to_string().parse().unwrap();
                prop_assert_eq!(again.as_str(), address.as_str());
                prop_assert!(address == again && address.as_str().is_ascii() && address.as_str().len() <= 254);
                prop_assert_eq!(address.identity(), address.identity().parse::<EmailAddress>().unwrap().identity());
            }
        }

        #[test]
        fn two_ats_are_never_accepted(a in "\\PC{0,8}", b in "\\PC{0,8}", c in "\\PC{0,8}") {
            let typed = format!("{a}@{b}@{c}");
            prop_assert!(typed.parse::<EmailAddress>().is_err());
        }

        #[test]
        fn no_text_makes_it_panic(typed in any::<String>()) {
            let _ = typed.parse::<EmailAddress>();
        }

        #[test]
        fn an_invisible_character_anywhere_inside_refuses(typed in "[a-z]{1,5}@[a-z]{1,5}\\.com", at in 1usize..6,
            hidden in proptest::sample::select(vec!['\u{ad}', '\u{200b}', '\u{202e}', '\u{a0}', '\u{3000}', '\0', '\u{e0041}'])) {
            let mut typed = typed;
            typed.insert(at, hidden);
            prop_assert!(typed.parse::<EmailAddress>().is_err());
        }
    }
}
