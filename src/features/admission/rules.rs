//! The pure rules: what an entry is, what it matches, and the one decision.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::values::{Domain, EmailAddress, Invalid};

/// One line of a domain allowlist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AllowlistEntry {
    /// `company.com`: that domain and no other.
    Exact(Domain),
    /// `*.company.com`: every strict subdomain, at any depth, and not `company.com` itself.
    Subdomains(Domain),
}

impl AllowlistEntry {
    /// The domain as written in the entry, without its asterisk.
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Exact(domain) | Self::Subdomains(domain) => domain,
        }
    }

    /// The entry with U-labels, for people to read beside the canonical form.
    pub fn unicode(&self) -> String {
        match self {
            Self::Exact(domain) => domain.unicode(),
            Self::Subdomains(domain) => format!("*.{}", domain.unicode()),
        }
    }

    /// Whether an address of this domain may register because of this entry.
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Self::Exact(own) => own == domain,
            Self::Subdomains(base) => domain.parents().any(|parent| parent == base.as_str()),
        }
    }
}

impl FromStr for AllowlistEntry {
    type Err = Invalid;

    /// `["@"] ["*."] domain ["."]` within ASCII white space.
    fn from_str(typed: &str) -> Result<Self, Invalid> {
        let text = typed.trim_matches(|c: char| c.is_ascii_whitespace());
        let rest = text.strip_prefix('@').unwrap_or(text);
        let (base, wild) = rest.strip_prefix("*.").map_or((rest, false), |base| (base, true));
        let base = base.strip_suffix('.').unwrap_or(base);
        let domain: Domain = base.parse().map_err(|reason| why_no_entry(text, &reason))?;
        Ok(if wild { Self::Subdomains(domain) } else { Self::Exact(domain) })
    }
}

/// The most helpful reason for an entry that was refused already.
fn why_no_entry(text: &str, reason: &Invalid) -> Invalid {
    let bare = text.trim_start_matches('@').trim_end_matches('.');
    match reason {
        _ if bare.is_empty() => Invalid::EntryEmpty,
        Invalid::DomainInvisible => Invalid::EntryInvisible,
        _ if bare.trim_matches(['*', '.']).is_empty() => Invalid::EntryEverybody,
        _ if text.contains("://") => Invalid::EntryLink,
        Invalid::DomainSingleLabel => Invalid::EntrySingleLabel,
        _ if bare.strip_prefix('.').is_some_and(|rest| rest.parse::<Domain>().is_ok()) => Invalid::EntryLeadingDot,
        _ => match bare.parse() {
            Ok(address) => Invalid::EntryWholeAddress { address },
            Err(_) if bare.contains('*') => Invalid::EntryAsterisk,
            Err(_) => Invalid::EntryShape,
        },
    }
}

impl fmt::Display for AllowlistEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => write!(f, "{domain}"),
            Self::Subdomains(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// What was pasted into the editor, one piece an entry: split at commas, semicolons, blanks and line ends. Stored lists
/// and arrays are never split.
pub fn split_pasted(pasted: &str) -> Vec<&str> {
    pasted.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace()).filter(|piece| !piece.is_empty()).collect()
}

/// An organization's entries, ordered so that a decision looks up only the address's domain and its parents.
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    entries: BTreeSet<AllowlistEntry>,
    stored_any: bool,
}

impl Allowlist {
    /// The list as stored. What is not an entry (old data, a hand in the database) is skipped, but the list is then still
    /// a list: `[""]` admits nobody.
    pub fn from_stored<'a>(stored: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        for text in stored {
            list.stored_any = true;
            list.entries.extend(text.parse::<AllowlistEntry>());
        }
        list
    }

    /// A part of a stored list: enough to decide about one domain, if it holds every entry for that domain and its parents.
    /// `stored_any` says whether the whole list has any row, valid or not.
    pub fn from_part(entries: impl IntoIterator<Item = AllowlistEntry>, stored_any: bool) -> Self {
        let entries: BTreeSet<_> = entries.into_iter().collect();
        let stored_any = stored_any || !entries.is_empty();
        Self { entries, stored_any }
    }

    /// The valid entries in order, each once.
    pub fn entries(&self) -> impl Iterator<Item = &AllowlistEntry> {
        self.entries.iter()
    }

    /// Whether there is no list at all, so that everybody may register. A list of invalid entries is a list.
    pub fn admits_everybody(&self) -> bool {
        !self.stored_any
    }

    /// Whether addresses of this domain may register.
    pub fn admits(&self, domain: &Domain) -> bool {
        self.admits_everybody() || self.find(domain).is_some()
    }

    /// The entry that admits this domain: an exact one, else the wildcard of the nearest parent.
    fn find(&self, domain: &Domain) -> Option<&AllowlistEntry> {
        let exact = AllowlistEntry::Exact(domain.clone());
        self.entries.get(&exact).or_else(|| {
            let parents = domain.parents().filter_map(|parent| parent.parse().ok());
            parents.map(AllowlistEntry::Subdomains).find_map(|wildcard| self.entries.get(&wildcard))
        })
    }

    /// The entry that a refused domain comes closest to, for managers who try an address: one of a parent or child domain,
    /// or one that is a slip of the finger away. Looks at every entry, so it is no part of the decision.
    pub fn nearest(&self, domain: &Domain) -> Option<&AllowlistEntry> {
        let related = |entry: &&AllowlistEntry| is_related(entry.domain(), domain);
        let alike = |entry: &&AllowlistEntry| super::likeness::is_one_slip(entry.domain().as_str(), domain.as_str());
        self.entries.iter().find(related).or_else(|| self.entries.iter().find(alike))
    }
}

fn is_related(one: &Domain, other: &Domain) -> bool {
    one == other || is_below(one, other) || is_below(other, one)
}

fn is_below(child: &Domain, parent: &Domain) -> bool {
    child.as_str().strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether an address may register, and the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted(Admitted),
    /// Its domain is not on the list.
    Refused(RefusedDomain),
}

/// An address that may become a user. Made only by a decision, so that whoever holds one need not ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    address: EmailAddress,
    rule: AdmissionRule,
}

/// The rule that admitted an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmissionRule {
    /// There is no list.
    EveryDomain,
    /// This entry of the list.
    Entry(AllowlistEntry),
    /// A manager invited this address.
    Invitation,
    /// A manager made this user.
    Manager,
}

/// A domain that is not on the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("domain not on the list")]
pub struct RefusedDomain {
    /// The domain of the address that was typed.
    pub domain: Domain,
}

/// The one decision about a domain, for every way in: with the list as it is when the address is given, and again when the
/// user is created.
pub fn decide(address: &EmailAddress, list: &Allowlist) -> Admission {
    let rule = if list.admits_everybody() {
        Some(AdmissionRule::EveryDomain)
    } else {
        list.find(address.domain()).cloned().map(AdmissionRule::Entry)
    };
    match rule {
        Some(rule) => Admission::Admitted(Admitted { address: address.clone(), rule }),
        None => Admission::Refused(RefusedDomain { domain: address.domain().clone() }),
    }
}

impl Admission {
    /// The proof, for the verb that goes on with it; or the refusal, for `?`.
    pub fn admitted(self) -> Result<Admitted, RefusedDomain> {
        match self {
            Self::Admitted(admitted) => Ok(admitted),
            Self::Refused(refused) => Err(refused),
        }
    }

    /// The verdict for programs. A text that is no address never gets here; its verdict is `refuse-invalid`.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admit",
            Self::Refused(_) => "refuse-domain",
        }
    }

    /// The rule for programs: the canonical entry, or the name of the rule.
    pub fn rule_text(&self) -> String {
        match self {
            Self::Admitted(admitted) => admitted.rule.to_string(),
            Self::Refused(_) => "no-entry".to_owned(),
        }
    }

    /// Why, for programs and logs: one fixed text for each kind of rule.
    pub fn why(&self) -> &'static str {
        match self {
            Self::Admitted(admitted) => admitted.rule.why(),
            Self::Refused(_) => "no entry of the list matches the domain",
        }
    }
}

impl Admitted {
    /// For the address of an invitation: exempt from the list, because a manager has decided about this person.
    pub(crate) fn by_invitation(address: EmailAddress) -> Self {
        Self { address, rule: AdmissionRule::Invitation }
    }

    /// For a user whom a manager creates: exempt from the list, because a manager has decided about this person.
    pub(crate) fn by_manager(address: EmailAddress) -> Self {
        Self { address, rule: AdmissionRule::Manager }
    }

    /// The address that was decided about.
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }

    /// The rule that decided.
    pub fn rule(&self) -> &AdmissionRule {
        &self.rule
    }
}

impl AdmissionRule {
    fn why(&self) -> &'static str {
        match self {
            Self::EveryDomain => "there is no list, so every domain is admitted",
            Self::Entry(AllowlistEntry::Exact(_)) => "the domain is on the list",
            Self::Entry(AllowlistEntry::Subdomains(_)) => "the list admits the subdomains of a parent domain",
            Self::Invitation => "the address was invited",
            Self::Manager => "a manager created the user",
        }
    }
}

impl fmt::Display for AdmissionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryDomain => f.write_str("every-domain"),
            Self::Entry(entry) => write!(f, "{entry}"),
            Self::Invitation => f.write_str("invitation"),
            Self::Manager => f.write_str("manager"),
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
