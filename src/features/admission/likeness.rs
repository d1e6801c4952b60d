//! When two domains look alike to a person who reads or types them.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use unicode_security::skeleton;

/// What a text looks like: equal for two texts that a reader would take for each other (UTS-39, and `0` for `o`).
pub(super) fn appearance(text: &str) -> String {
    skeleton(text).flat_map(char::to_lowercase).collect()
}

/// Whether one slip of the finger leads from one text to the other: a character too many, too few, another one, or two
/// neighbours exchanged.
pub(super) fn is_one_slip(one: &str, other: &str) -> bool {
    let same: usize = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    let (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    let (mut after_one, mut after_other) = (one.chars(), other.chars());
    let (first, other_first) = (after_one.next(), after_other.next());
    if first.is_none() && other_first.is_none() {
        return false;
    }
    let (rest, other_rest) = (after_one.as_str(), after_other.as_str());
    if rest == other_rest || one == other_rest || rest == other {
        return true;
    }
    let (second, other_second) = (after_one.next(), after_other.next());
    first == other_second && second == other_first && after_one.as_str() == after_other.as_str()
}

/// What stands for a text where texts are only told apart. Two that share one by chance are looked at more closely.
pub(super) fn hash_of(text: &str) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SEED.hash_one(text)
}

/// The hashes of every text that is this one without one character, and of the text itself: two texts one slip apart
/// share at least one, so that a long list is searched by lookup instead of pair by pair.
pub(super) fn shortened(text: &str) -> Vec<u64> {
    let mut without = String::with_capacity(text.len());
    let mut hashes = vec![hash_of(text)];
    for (at, c) in text.char_indices() {
        without.clear();
        without.push_str(text.get(..at).unwrap_or_default());
        without.push_str(text.get(at + c.len_utf8()..).unwrap_or_default());
        hashes.push(hash_of(&without));
    }
    hashes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_slip_is_one_character_or_one_exchange() {
        for (one, other) in
            [("gmail", "gmai"), ("gmail", "gmial"), ("gmail", "qmail"), ("gmail", "ggmail"), ("ab", "ba")]
        {
            assert!(is_one_slip(one, other) && is_one_slip(other, one), "{one} {other}");
        }
        for (one, other) in
            [("gmail", "gmail"), ("gmail", "gmla"), ("gmail", "liamg"), ("abc", "cba"), ("a", "abc"), ("", "ab")]
        {
            assert!(!is_one_slip(one, other) && !is_one_slip(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_reads_the_same_has_one_appearance() {
        for (one, other) in
            [("company", "c\u{43e}mpany"), ("google", "g00gle"), ("rnail", "mail"), ("paypal", "paypa1")]
        {
            assert_eq!(appearance(one), appearance(other), "{one} {other}");
        }
        assert_ne!(appearance("company"), appearance("conpany"));
    }

    proptest! {
        #[test]
        fn texts_one_slip_apart_share_a_shortened_text(one in "[abc]{0,6}", other in "[abc]{0,6}") {
            let others = shortened(&other);
            if is_one_slip(&one, &other) {
                prop_assert!(shortened(&one).iter().any(|text| others.contains(text)));
            }
        }
    }
}
