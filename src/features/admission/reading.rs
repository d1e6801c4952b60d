//! The editor's live reading: how each pasted piece is understood, and what a manager should know before saving.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_security::MixedScript;

use super::free_mail::{FREE_MAIL, is_free_mail};
use super::likeness::{appearance, hash_of, is_one_slip, shortened};
use super::rules::{AllowlistEntry, split_pasted};
use crate::values::{Domain, Invalid};

/// A list as typed and as understood, piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// One for each piece, in the order typed.
    pub lines: Vec<ReadLine>,
}

/// One piece of what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLine {
    /// The piece as typed, to show back, escaped.
    pub typed: String,
    /// The entry it was understood as, or why it is none.
    pub outcome: Result<AllowlistEntry, Invalid>,
    /// Set where an earlier line is the same entry: the index of that line, with which this one is merged.
    pub duplicate_of: Option<usize>,
    /// What a manager should know. None of it keeps the entry from being saved.
    pub warnings: Vec<Warning>,
}

/// What a manager should know about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The entry names a public suffix, under which anyone may register a domain.
    PublicSuffix {
        /// The suffix, as A-labels.
        suffix: String,
        /// True for `*.co.uk`: addresses of everybody below it may register. False for `co.uk`: only those at it itself.
        every: bool,
    },
    /// Anyone can get an address of this domain.
    FreeMail,
    /// A label mixes scripts, as imitations of other names do.
    MixedScripts {
        /// The entry as A-labels.
        ascii: String,
        /// The entry as it reads.
        unicode: String,
    },
    /// The entry reads like another domain, or is one slip of the finger away from it.
    LooksLike {
        /// The other domain, as it reads.
        other: String,
    },
}

/// Reads what was pasted into the editor.
pub fn read_entries(pasted: &str) -> Reading {
    read_pieces(split_pasted(pasted))
}

/// Reads a list whose pieces are entries already, such as an array; they are never split.
pub fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Reading {
    let mut seen = HashMap::new();
    let mut lines: Vec<ReadLine> =
        pieces.into_iter().enumerate().map(|(at, typed)| read(typed, at, &mut seen)).collect();
    let list = Lookalikes::of(lines.iter().filter_map(ReadLine::entry).map(AllowlistEntry::domain));
    let entries = lines.iter_mut().filter(|line| line.entry().is_some());
    for (line, look) in entries.zip(&list.looks) {
        line.warnings = line.entry().map(|entry| warnings(entry, look, &list)).unwrap_or_default();
    }
    Reading { lines }
}

fn read(typed: &str, at: usize, seen: &mut HashMap<AllowlistEntry, usize>) -> ReadLine {
    let outcome: Result<AllowlistEntry, Invalid> = typed.parse();
    let first = outcome.as_ref().ok().map(|entry| *seen.entry(entry.clone()).or_insert(at));
    ReadLine {
        typed: typed.to_owned(),
        outcome,
        duplicate_of: first.filter(|first| *first != at),
        warnings: Vec::new(),
    }
}

impl Reading {
    /// The entries to save, each once, in the order typed.
    pub fn entries(&self) -> impl Iterator<Item = &AllowlistEntry> {
        self.lines.iter().filter_map(ReadLine::entry)
    }

    /// The pieces that keep the list from being saved, with their reasons.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &Invalid)> {
        self.lines.iter().filter_map(|line| line.outcome.as_ref().err().map(|reason| (line.typed.as_str(), reason)))
    }

    /// Whether every piece is an entry, so that the list may be saved.
    pub fn is_valid(&self) -> bool {
        self.refused().next().is_none()
    }
}

impl ReadLine {
    /// The entry that this line adds to the list; None where it is invalid or merged with an earlier line.
    pub fn entry(&self) -> Option<&AllowlistEntry> {
        self.outcome.as_ref().ok().filter(|_| self.duplicate_of.is_none())
    }
}

fn warnings(entry: &AllowlistEntry, look: &Look, list: &Lookalikes) -> Vec<Warning> {
    [public_suffix(entry), free_mail(entry), mixed_scripts(entry)]
        .into_iter()
        .flatten()
        .chain(looks_like(entry.domain(), look, list))
        .collect()
}

fn public_suffix(entry: &AllowlistEntry) -> Option<Warning> {
    let suffix = entry.domain().to_string();
    match entry {
        AllowlistEntry::Exact(_) => is_public_suffix(&suffix).then_some(Warning::PublicSuffix { suffix, every: false }),
        // Some suffixes are only known by a rule for what stands below them: `*.kawasaki.jp`.
        AllowlistEntry::Subdomains(_) => (is_public_suffix(&suffix)
            || is_public_suffix(&format!("any-other.{suffix}")))
        .then_some(Warning::PublicSuffix { suffix, every: true }),
    }
}

fn is_public_suffix(domain: &str) -> bool {
    psl::suffix_str(domain) == Some(domain)
}

fn free_mail(entry: &AllowlistEntry) -> Option<Warning> {
    matches!(entry, AllowlistEntry::Exact(domain) if is_free_mail(domain.as_str())).then_some(Warning::FreeMail)
}

fn mixed_scripts(entry: &AllowlistEntry) -> Option<Warning> {
    let mixed = entry.domain().unicode().split('.').any(|label| !label.is_single_script());
    mixed.then(|| Warning::MixedScripts { ascii: entry.to_string(), unicode: entry.unicode() })
}

/// The first free-mail domain and the first other entry that this one could be taken for.
fn looks_like(domain: &Domain, look: &Look, list: &Lookalikes) -> Vec<Warning> {
    static FREE: LazyLock<Lookalikes> = LazyLock::new(|| {
        Lookalikes::of(FREE_MAIL.iter().filter_map(|text| text.parse().ok()).collect::<Vec<_>>().iter())
    });
    if is_free_mail(domain.as_str()) {
        return Vec::new();
    }
    let mut others: Vec<&str> =
        [FREE.find(look, FREE_NAME_MINIMUM), list.find(look, NAME_MINIMUM)].into_iter().flatten().collect();
    others.dedup();
    others.into_iter().map(|other| Warning::LooksLike { other: other.to_owned() }).collect()
}

/// Names shorter than these are one slip from many honest ones: `aol.com` and `sol.com`, `a.com` and `b.com`.
const FREE_NAME_MINIMUM: usize = 4;
const NAME_MINIMUM: usize = 3;

/// Of thousands that differ in one character from one another, so many are compared with each: the warning names one.
const COMPARED: usize = 100;

/// A domain as a person sees it.
struct Look {
    unicode: String,
    appearance: String,
    /// The domain that was bought, as A-labels; none for a public suffix itself.
    registrable: Option<String>,
    /// What stands before the public suffix, and the suffix.
    name: String,
    suffix: String,
    /// Two domains of which one could be taken for the other share at least one of these.
    keys: Vec<u64>,
}

impl Look {
    fn of(domain: &Domain) -> Self {
        let unicode = domain.unicode();
        let suffix = psl::suffix_str(domain.as_str()).unwrap_or_default().to_owned();
        let name = domain.as_str().strip_suffix(&suffix).unwrap_or_default().trim_end_matches('.').to_owned();
        let registrable = psl::domain_str(domain.as_str()).map(str::to_owned);
        let appearance = appearance(&unicode);
        let mut keys = shortened(&unicode);
        keys.push(hash_of(&appearance));
        Self { unicode, appearance, registrable, name, suffix, keys }
    }

    fn could_be_taken_for(&self, other: &Self, name_minimum: usize) -> bool {
        if self.unicode == other.unicode || (self.registrable.is_some() && self.registrable == other.registrable) {
            return false;
        }
        self.appearance == other.appearance
            || (is_one_slip(&self.unicode, &other.unicode) && self.is_worth_saying(other, name_minimum))
    }

    /// One name under several suffixes is how organizations are (`acme.de`, `acme.dk`), unless it could be meant for `.com`.
    fn is_worth_saying(&self, other: &Self, name_minimum: usize) -> bool {
        if self.name == other.name {
            return self.suffix == "com" || other.suffix == "com";
        }
        self.name.len().min(other.name.len()) >= name_minimum
    }
}

/// Domains by what they could be taken for, so that a list of thousands is read at once.
struct Lookalikes {
    looks: Vec<Look>,
    by_key: HashMap<u64, Vec<usize>>,
}

impl Lookalikes {
    fn of<'a>(domains: impl Iterator<Item = &'a Domain>) -> Self {
        let looks: Vec<Look> = domains.map(Look::of).collect();
        let mut by_key: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, look) in looks.iter().enumerate() {
            for key in &look.keys {
                by_key.entry(*key).or_default().push(at);
            }
        }
        Self { looks, by_key }
    }

    /// The first domain, in the order given, that this one could be taken for.
    fn find(&self, look: &Look, name_minimum: usize) -> Option<&str> {
        let alike =
            |at: &&usize| self.looks.get(**at).is_some_and(|other| look.could_be_taken_for(other, name_minimum));
        let of_key = |key| self.by_key.get(key).and_then(|same| same.iter().take(COMPARED).find(alike));
        look.keys.iter().filter_map(of_key).min().and_then(|at| self.looks.get(*at)).map(|other| other.unicode.as_str())
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
