use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::Invalid;
use super::characters::{is_default_ignorable, is_noncharacter};

const MAXIMUM: usize = 100;
const MARKS_MAXIMUM: usize = 8;

/// A person's name, in any script, with marks and emoji; NFC. It is text and nothing else wherever it is shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName(String);

/// An organization's name, under the same rules as a person's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationName(String);

impl FullName {
    /// What an account is called whose owner has not said yet, and whose address has no letter or number to offer.
    pub fn of_nobody_yet() -> Self {
        Self("New user".to_owned())
    }

    /// The name as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OrganizationName {
    /// The name as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FullName {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        check(typed).map(Self)
    }
}

impl FromStr for OrganizationName {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        check(typed).map(Self)
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OrganizationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hides the name: a person's name never goes to a log.
impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FullName(…)")
    }
}

/// One checker for every name: trimmed, NFC, then whatever is not refused is kept as it is.
fn check(typed: &str) -> Result<String, Invalid> {
    let name: String = typed.trim().nfc().collect();
    if name.is_empty() {
        return Err(Invalid::NameEmpty);
    }
    if name.chars().nth(MAXIMUM).is_some() {
        return Err(Invalid::NameTooLong { maximum: MAXIMUM });
    }
    if name.chars().any(is_forbidden) {
        return Err(Invalid::NameCharacters);
    }
    if !name.chars().any(is_letter_or_number) {
        return Err(Invalid::NameNoLetter);
    }
    if most_marks_in_a_row(&name) > MARKS_MAXIMUM {
        return Err(Invalid::NameMarks { maximum: MARKS_MAXIMUM });
    }
    if name.contains("://") {
        return Err(Invalid::NameLink);
    }
    Ok(name)
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFD}')
        || c.general_category() == GeneralCategory::PrivateUse
        || is_noncharacter(c)
        || (is_default_ignorable(c) && !is_needed_by_writing(c))
}

/// The ignorable characters that scripts and emoji need: joiners, Mongolian selectors, text and emoji presentation.
fn is_needed_by_writing(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{180B}'..='\u{180F}' | '\u{FE0E}' | '\u{FE0F}')
}

fn is_letter_or_number(c: char) -> bool {
    matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

fn most_marks_in_a_row(name: &str) -> usize {
    let (most, _) = name.chars().fold((0, 0), |(most, run): (usize, usize), c| {
        let run = if c.general_category_group() == GeneralCategoryGroup::Mark { run + 1 } else { 0 };
        (most.max(run), run)
    });
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(typed: &str) -> String {
        typed.parse::<FullName>().unwrap().to_string()
    }

    fn why(typed: &str) -> Invalid {
        typed.parse::<FullName>().unwrap_err()
    }

    #[test]
    fn names_of_people_are_kept() {
        for name in [
            "Ada Lovelace",
            "X",
            "O'Brien-Ní Ṡúileaḃáin",
            "李小龙",
            "محمد عبد\u{200c}الله",
            "नरेन्द्र",
            "Müller 🦀",
            "Nguyễn Văn A",
            "क्\u{200d}ष",
            "ᠮᠣᠩᠭᠣᠯ\u{180b}",
            "❤\u{fe0f} A",
            "7of9",
            "Ⅷ",
            "=cmd|' /C calc'!A1",
            "<script>alert(1)</script>",
            "Robert'); drop table users;--",
            "👨\u{200d}👩\u{200d}👧 Smith",
            "a\u{3000}b",
            "a\u{a0}b",
            "A:/B",
            "{{7*7}}",
        ] {
            assert_eq!(kept(name), name.nfc().collect::<String>());
        }
    }

    #[test]
    fn white_space_is_trimmed_before_anything_is_checked() {
        assert_eq!(kept("\u{3000}\t\r\n Ada\u{85}\u{2028}\u{a0}"), "Ada");
        assert_eq!(why(" \u{2003}\u{a0}\n"), Invalid::NameEmpty);
        assert_eq!(why("\u{200b}"), Invalid::NameCharacters);
    }

    #[test]
    fn names_are_composed_before_they_are_counted() {
        assert_eq!(kept("Zoe\u{308}"), "Zoë");
        assert_eq!(kept(&"e\u{301}".repeat(100)).chars().count(), 100);
        assert_eq!(why(&"e".repeat(101)), Invalid::NameTooLong { maximum: 100 });
        assert_eq!(kept(&"𐐷".repeat(100)).chars().count(), 100);
        // U+0958 decomposes and is excluded from composition: one code point becomes two.
        assert_eq!(why(&"\u{958}".repeat(51)), Invalid::NameTooLong { maximum: 100 });
    }

    #[test]
    fn what_cannot_be_seen_or_exchanged_is_refused() {
        for c in [
            '\0',
            '\t',
            '\n',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9f}',
            '\u{2028}',
            '\u{2029}',
            '\u{e000}',
            '\u{f8ff}',
            '\u{f0000}',
            '\u{10fffd}',
            '\u{fdd0}',
            '\u{fdef}',
            '\u{fffe}',
            '\u{ffff}',
            '\u{1fffe}',
            '\u{10ffff}',
            '\u{fff9}',
            '\u{fffa}',
            '\u{fffb}',
            '\u{fffc}',
            '\u{fffd}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{17b4}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0d}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            assert_eq!(why(&format!("a{c}b")), Invalid::NameCharacters, "{:X}", u32::from(c));
        }
    }

    #[test]
    fn the_ignorable_characters_that_writing_needs_are_kept() {
        for c in
            ['\u{200c}', '\u{200d}', '\u{180b}', '\u{180c}', '\u{180d}', '\u{180e}', '\u{180f}', '\u{fe0e}', '\u{fe0f}']
        {
            assert_eq!(kept(&format!("a{c}b")), format!("a{c}b"));
        }
    }

    #[test]
    fn a_name_needs_a_letter_or_a_number() {
        for typed in ["-", "...", "🦀", "\u{301}", "❤\u{fe0f}", "( )", "€"] {
            assert_eq!(why(typed), Invalid::NameNoLetter, "{typed}");
        }
        assert_eq!(kept("½"), "½");
    }

    #[test]
    fn eight_marks_in_a_row_are_kept_and_nine_refused() {
        // U+0335 composes with nothing, so that every mark is counted.
        assert!(format!("a{}", "\u{335}".repeat(8)).parse::<FullName>().is_ok());
        assert_eq!(why(&format!("a{}", "\u{335}".repeat(9))), Invalid::NameMarks { maximum: 8 });
        let twice = format!("a{0}b{0}", "\u{335}".repeat(8));
        assert_eq!(kept(&twice), twice);
    }

    #[test]
    fn a_link_is_refused_in_every_name() {
        assert_eq!(why("Win at https://evil.example"), Invalid::NameLink);
        assert_eq!("a://b".parse::<OrganizationName>(), Err(Invalid::NameLink));
        assert_eq!(kept("evil.example"), "evil.example");
    }

    #[test]
    fn debug_hides_a_person_but_not_an_organization() {
        assert_eq!(format!("{:?}", "Ada".parse::<FullName>().unwrap()), "FullName(…)");
        assert_eq!(format!("{:?}", "Acme".parse::<OrganizationName>().unwrap()), "OrganizationName(\"Acme\")");
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read_back_unchanged(typed in any::<String>()) {
            if let Ok(name) = typed.parse::<FullName>() {
                prop_assert_eq!(name.to_string().parse::<FullName>(), Ok(name));
            }
        }
    }
}
