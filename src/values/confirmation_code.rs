use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::Invalid;

const DIGITS: usize = 6;

/// The six digits of a confirmation mail. Blanks and hyphens that come with pasting are no part of it.
#[derive(Clone)]
pub struct ConfirmationCode(Zeroizing<String>);

impl ConfirmationCode {
    /// A code from uniform random or derived bits. Of 2^64 values the excess of any code over another is below 10^-13.
    pub fn from_bytes(bits: u64) -> Self {
        Self(Zeroizing::new(format!("{:06}", bits % 1_000_000)))
    }

    /// The six digits, for the mail and for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfirmationCode {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        let mut digits = Zeroizing::new(String::with_capacity(DIGITS));
        for c in typed.chars().filter(|c| !is_separator(*c)) {
            if !c.is_ascii_digit() || digits.len() == DIGITS {
                return Err(Invalid::CodeShape);
            }
            digits.push(c);
        }
        if digits.len() == DIGITS { Ok(Self(digits)) } else { Err(Invalid::CodeShape) }
    }
}

/// Blanks, the hyphen, and the hyphens and dashes that programs make of it.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Hides the code: it never goes to a log.
impl fmt::Debug for ConfirmationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfirmationCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_and_hyphens_are_removed() {
        for typed in ["012345", " 012 345\r\n", "012-345", "0 1 2 3 4 5", "012\u{a0}345", "012\u{2011}345"] {
            assert_eq!(typed.parse::<ConfirmationCode>().unwrap().expose(), "012345", "{typed:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for typed in [
            "",
            "12345",
            "1234567",
            "12345a",
            "１２３４５６",
            "٠١٢٣٤٥",
            "+12345",
            "1.2345",
            "012345\0",
            "012\u{200b}345",
        ] {
            assert_eq!(typed.parse::<ConfirmationCode>().unwrap_err(), Invalid::CodeShape, "{typed:?}");
        }
    }

    #[test]
    fn nothing_is_shown_of_a_code() {
        assert_eq!(format!("{:?}", ConfirmationCode::from_bytes(7)), "ConfirmationCode(…)");
    }

    #[test]
    fn small_numbers_are_padded() {
        assert_eq!(ConfirmationCode::from_bytes(7).expose(), "000007");
        assert_eq!(ConfirmationCode::from_bytes(1_999_999).expose(), "999999");
    }

    proptest! {
        #[test]
        fn every_code_that_is_made_can_be_typed(bits in any::<u64>()) {
            let code = ConfirmationCode::from_bytes(bits);
            let typed: ConfirmationCode = code.expose().parse().unwrap();
            prop_assert_eq!(typed.expose(), code.expose());
        }

        #[test]
        fn no_text_makes_it_panic(typed in any::<String>()) {
            let _ = typed.parse::<ConfirmationCode>();
        }
    }
}
