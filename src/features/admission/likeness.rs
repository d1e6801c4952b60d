//! When two domains look alike to a person who reads or types them.

use unicode_security::skeleton;

/// What a text looks like: equal for two texts that a reader would take for each other (UTS-39, and `0` for `o`).
pub(super) fn appearance(text: &str) -> String {
    skeleton(text).flat_map(char::to_lowercase).collect()
}

/// Whether one slip of the finger leads from one text to the other: a character too many, too few, another one, or two
/// neighbours exchanged.
pub(super) fn is_one_slip(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (&*one, &*other) } else { (&*other, &*one) };
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (Some(short), Some(long)) = (short.get(same..), long.get(same..)) else { return false };
    match (short, long) {
        (short, [_, long @ ..]) if short.len() == long.len() => short == long,
        ([a, b, short @ ..], [c, d, long @ ..]) if a == d && b == c && short == long => true,
        ([_, short @ ..], [_, long @ ..]) => short == long,
        _ => false,
    }
}

/// Every text that is this one without one character, and the text itself: two texts one slip apart share at least one,
/// so that a long list is searched by lookup instead of pair by pair.
pub(super) fn shortened(text: &str) -> Vec<String> {
    let without = |(at, c): (usize, char)| {
        let (before, rest) = (text.get(..at).unwrap_or_default(), text.get(at + c.len_utf8()..).unwrap_or_default());
        format!("{before}{rest}")
    };
    text.char_indices().map(without).chain([text.to_owned()]).collect()
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
