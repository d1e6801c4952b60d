use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use zeroize::Zeroizing;

use super::{Domain, Invalid};

const MINIMUM: usize = 12;
const MAXIMUM: usize = 128;
const OCTETS_MAXIMUM: usize = 1024;

/// A password is common when a guesser who knows lists and habits finds it among this many first tries.
const COMMON_GUESSES: u64 = 1_000_000;
/// As much as is given to the estimate at once: its cost grows faster than the length.
const WINDOW: usize = 32;
/// Symbols that can stand for letters multiply the estimate's work. Habits never use so many readings at once.
const READINGS_MAXIMUM: usize = 64;
/// Each letter and the symbols that the estimate takes for it (zxcvbn's own table).
const SYMBOLS_FOR_LETTERS: &[&str] = &["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];

/// Passwords of every leaked list whose habit the estimate does not know, in lower case.
const KNOWN: &[&str] = &[
    "!qaz2wsx#edc",
    "1a2b3c4d5e6f",
    "1qaz@wsx3edc",
    "3.14159265358",
    "3.14159265359",
    "a1b2c3d4e5f6",
    "a1b2c3d4e5f6g7",
    "contraseña123",
    "contrasena123",
    "godisgreat123",
    "thisismypassword",
    "zaq12wsxcde3",
    "zaq1@wsxcde3",
    "zxcv1234zxcv",
];
/// A sign or two at the end are the first thing that people add, and guessers too.
const ADDED_SIGNS: usize = 2;

const WORD_MINIMUM: usize = 3;
/// A password that keeps fewer letters and digits than this once the person's own words are taken out is made of them.
const OWN_MINIMUM: usize = 5;

/// A password: NFC, otherwise untouched (nothing trimmed, folded or cut). Erased from memory when dropped.
pub struct Password(Zeroizing<String>);

/// What a guesser knows about the person who chooses a password. Parts not known are left empty.
#[derive(Clone, Copy, Default)]
pub struct PersonalWords<'a> {
    /// The person's name.
    pub full_name: &'a str,
    /// The person's address.
    pub email: &'a str,
    /// The organization's name.
    pub organization: &'a str,
}

impl Password {
    /// A new password: 12 to 128 characters counted after NFC, not a common one, not made of the person's own words.
    ///
    /// Takes some milliseconds for the longest ones: check tokens before this.
    pub fn parse_new(typed: &str, about: &PersonalWords<'_>) -> Result<Self, Invalid> {
        let password = Self::parse_existing(typed)?;
        let characters = password.expose().chars().count();
        if characters < MINIMUM {
            return Err(Invalid::PasswordTooShort { minimum: MINIMUM });
        }
        if characters > MAXIMUM {
            return Err(Invalid::PasswordTooLong { maximum: MAXIMUM });
        }
        if is_personal(password.expose(), about) {
            return Err(Invalid::PasswordPersonal);
        }
        if is_common(password.expose()) {
            return Err(Invalid::PasswordCommon);
        }
        Ok(password)
    }

    /// A password to sign in with: only what no password may be is refused, since a wrong one is just wrong.
    pub fn parse_existing(typed: &str) -> Result<Self, Invalid> {
        if typed.len() > OCTETS_MAXIMUM {
            return Err(Invalid::PasswordTooLong { maximum: MAXIMUM });
        }
        if typed.chars().any(char::is_control) {
            return Err(Invalid::PasswordControl);
        }
        Ok(Self(collect_erasable(typed.nfc(), typed.len())))
    }

    /// The password itself, for hashing and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Hides the password: it never goes to a log.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hides the person: these are names and addresses.
impl fmt::Debug for PersonalWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalWords(…)")
    }
}

/// Collected with room to spare, so that no reallocation leaves a copy behind: NFC makes no text longer than three times
/// its octets.
fn collect_erasable(chars: impl Iterator<Item = char>, octets: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(octets.saturating_mul(3)));
    text.extend(chars);
    text
}

/// Whether the password is among the first guesses, as it is or without the signs added at its end.
fn is_common(password: &str) -> bool {
    let added = password.chars().rev().take(ADDED_SIGNS).take_while(char::is_ascii_punctuation).count();
    let bare = password.get(..password.len().saturating_sub(added)).unwrap_or(password);
    is_known(password) || is_guessed(password) || (added > 0 && (is_known(bare) || is_guessed(bare)))
}

fn is_known(password: &str) -> bool {
    let lower = collect_erasable(password.chars().flat_map(char::to_lowercase), password.len());
    KNOWN.contains(&lower.as_str())
}

/// Whether every part of the password is among the first guesses; up to 32 characters the only part is the whole.
fn is_guessed(password: &str) -> bool {
    let characters = password.chars().count();
    let last = characters.saturating_sub(WINDOW);
    // The last part ends with the password, so that a strong end is never cut to pieces.
    (0..last).step_by(WINDOW).chain([last]).all(|start| {
        let part = collect_erasable(password.chars().skip(start).take(WINDOW), password.len());
        readings(&part) <= READINGS_MAXIMUM && zxcvbn::zxcvbn(&part, &[]).guesses() <= COMMON_GUESSES
    })
}

/// In how many ways the symbols can be read as letters.
fn readings(part: &str) -> usize {
    SYMBOLS_FOR_LETTERS
        .iter()
        .map(|symbols| symbols.chars().filter(|symbol| part.contains(*symbol)).count().max(1))
        .product()
}

fn is_personal(password: &str, about: &PersonalWords<'_>) -> bool {
    let folded = fold(password);
    let mut own = collect_erasable(folded.chars(), folded.len());
    for word in about.words() {
        // A blank in place of the word, so that what stood around it does not grow together.
        own = Zeroizing::new(own.replace(&word, " "));
    }
    own != folded && own.chars().filter(|c| c.is_alphanumeric()).count() < OWN_MINIMUM
}

/// Without case and marks, so that `Ádá` is found in `ADA`.
fn fold(text: &str) -> Zeroizing<String> {
    let folded = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    collect_erasable(folded, text.len().saturating_mul(2))
}

impl PersonalWords<'_> {
    /// Every word of three letters or more, and each name without its blanks, longest first.
    fn words(&self) -> Vec<String> {
        let (local, domain) = self.email.rsplit_once('@').unwrap_or((self.email, ""));
        let mut words = vec![fold(local).to_string()];
        for text in
            [self.full_name, local, self.organization].into_iter().chain(labels(domain).iter().map(String::as_str))
        {
            let folded = fold(text);
            words.extend(folded.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
            words.push(folded.chars().filter(|c| c.is_alphanumeric()).collect());
        }
        words.retain(|word| word.chars().count() >= WORD_MINIMUM);
        words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
        words.dedup();
        words
    }
}

/// The labels of a domain without its public suffix, which everybody shares: as people read them.
fn labels(domain: &str) -> Vec<String> {
    let Ok(domain) = domain.trim().parse::<Domain>() else { return vec![domain.to_owned()] };
    let suffix = psl::suffix_str(domain.as_str()).map_or(1, |suffix| suffix.split('.').count());
    let unicode = domain.unicode();
    unicode.rsplit('.').skip(suffix).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADA: PersonalWords<'_> = PersonalWords {
        full_name: "Ada Lovelace",
        email: "countess.byron@analytical.co.uk",
        organization: "Société Générale",
    };

    fn refused(typed: &str) -> Option<Invalid> {
        Password::parse_new(typed, &ADA).err()
    }

    #[test]
    fn a_good_password_is_kept_as_typed() {
        for typed in [
            "correct horse battery staple",
            "  leading and trailing  ",
            "пароль-из-многих-слов",
            "🦀🐙🦑🐡🐠🐟🐬🐳🐋🦈🐊🐅",
            "\u{200b}kX9#vLq2!mZw",
        ] {
            assert_eq!(Password::parse_new(typed, &ADA).unwrap().expose(), typed);
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_composition() {
        assert_eq!(refused("kX9#vLq2!mZ"), Some(Invalid::PasswordTooShort { minimum: 12 }));
        assert_eq!(refused("kX9#vLq2!mZw"), None);
        let decomposed = "e\u{301}u\u{308}o\u{302}a\u{300}i\u{308}n\u{303}";
        assert_eq!(refused(decomposed), Some(Invalid::PasswordTooShort { minimum: 12 }));
        let long: String = ('!'..='~').chain('¡'..='Ā').take(128).collect();
        assert_eq!(refused(&long), None);
        assert_eq!(refused(&format!("{long}x")), Some(Invalid::PasswordTooLong { maximum: 128 }));
    }

    #[test]
    fn over_1024_octets_are_refused_before_anything_else() {
        for typed in ["a".repeat(1025), "\0".repeat(1025)] {
            assert_eq!(refused(&typed), Some(Invalid::PasswordTooLong { maximum: 128 }));
            assert_eq!(Password::parse_existing(&typed).unwrap_err(), Invalid::PasswordTooLong { maximum: 128 });
        }
        assert!(Password::parse_existing(&"a".repeat(1024)).is_ok());
    }

    #[test]
    fn control_characters_are_refused_always() {
        for c in ['\0', '\t', '\n', '\r', '\u{7f}', '\u{85}', '\u{9f}'] {
            let typed = format!("kX9#vLq2{c}!mZw");
            assert_eq!(refused(&typed), Some(Invalid::PasswordControl), "{c:?}");
            assert_eq!(Password::parse_existing(&typed).unwrap_err(), Invalid::PasswordControl);
        }
    }

    #[test]
    fn an_existing_password_may_be_short_and_is_composed() {
        assert_eq!(Password::parse_existing("").unwrap().expose(), "");
        assert_eq!(Password::parse_existing(" e\u{301} ").unwrap().expose(), " é ");
    }

    #[test]
    fn common_passwords_are_refused() {
        for typed in [
            "password1234",
            "!@#$%^&*()_+",
            "1234567890-=",
            "P@ssw0rd123!",
            "Welcome2024!",
            "Autumn2024!!",
            "ThisIsMyPassword",
            "zaq12wsxCDE3!",
            "passwordpasswordpasswordpasswordpassword",
            "aaaaaaaaaaaa",
            "123456789012",
            "qwertyuiopas",
            "abcdefghijkl",
            "passwordpassword",
            "111111111111",
            "qwertyqwerty",
            "P@ssw0rd1234",
            "iloveyou1234",
            &"a".repeat(128),
        ] {
            assert_eq!(refused(typed), Some(Invalid::PasswordCommon), "{typed}");
        }
    }

    #[test]
    fn a_weak_beginning_of_a_long_password_is_not_the_whole_of_it() {
        let typed = format!("{}kX9#vLq2!mZw-tR7$pY4&nB6*", "a".repeat(100));
        assert_eq!(refused(&typed), None);
    }

    #[test]
    fn symbols_that_could_be_many_letters_cost_no_more_than_others() {
        let many = "4@8({[<369&#!1/|0$5+7%2";
        assert!(readings(many) > READINGS_MAXIMUM && readings("P@ssw0rd123!") == 2);
        assert_eq!(refused(&many.repeat(5)), None);
    }

    #[test]
    fn passwords_made_of_own_words_are_refused() {
        for typed in [
            "adalovelace1",
            "Lovelace-Ada-18",
            "ÁDÁ.LÖVELACE!",
            "countess.byron",
            "countessbyron12",
            "analytical1815",
            "SocieteGenerale",
            "lovelacelovelace",
            "Analytical!Ada!1",
            "byronbyronbyron1",
        ] {
            assert_eq!(refused(typed), Some(Invalid::PasswordPersonal), "{typed}");
        }
    }

    #[test]
    fn own_words_among_enough_others_are_no_harm() {
        assert_eq!(refused("ada rides a purple walrus"), None);
        assert_eq!(refused("!#%&/()=?*+~{}[]"), None);
        let unknown = PersonalWords::default();
        assert!(Password::parse_new("countess of lovelace", &unknown).is_ok());
    }

    #[test]
    fn the_public_suffix_is_nobodys_own_word() {
        assert_eq!(labels("mail.acme.co.uk"), ["acme", "mail"]);
        assert_eq!(labels("münchen.de"), ["münchen"]);
        assert!(
            !PersonalWords { email: "x@acme.museum", ..PersonalWords::default() }
                .words()
                .contains(&"museum".to_owned())
        );
    }

    #[test]
    fn nothing_is_shown_of_a_password() {
        let password = Password::parse_existing("kX9#vLq2!mZw").unwrap();
        assert_eq!(format!("{password:?} {ADA:?}"), "Password(…) PersonalWords(…)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_makes_it_panic(typed in "\\PC{0,140}", name in "\\PC{0,30}", email in "\\PC{0,30}") {
            let _ = Password::parse_new(&typed, &PersonalWords { full_name: &name, email: &email, organization: &typed });
        }
    }
}
