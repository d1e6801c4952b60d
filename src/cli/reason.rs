//! The words of a refused value. They stand in `platform/web/words.html` and nowhere else; here they go to a terminal.

use askama::Template;

use super::CommandError;
use crate::values::Invalid;

#[derive(Template)]
#[template(path = "cli/reason.txt")]
struct Reason<'a> {
    invalid: &'a Invalid,
}

/// Why a value was refused, in the words that stand beside fields.
pub(super) fn reason(invalid: &Invalid) -> Result<String, CommandError> {
    let words = Reason { invalid }.render().map_err(crate::platform::Fault::from)?;
    Ok(words.trim().to_owned())
}

/// Parses an argument; the refusal names what was typed and says why.
pub(super) fn parsed<T: std::str::FromStr<Err = Invalid>>(what: &str, typed: &str) -> Result<T, CommandError> {
    match typed.parse() {
        Ok(value) => Ok(value),
        Err(invalid) => {
            Err(CommandError::Refused(format!("{} is no {what}. {}", super::out::shown(typed), reason(&invalid)?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_written_for_a_terminal_and_not_for_a_page() {
        assert_eq!(reason(&Invalid::EmailNoAt).unwrap(), "An address has an @ in it, like ada@example.com.");
        let words = reason(&Invalid::EmailLocalPart { character: '<' }).unwrap();
        assert!(words.starts_with("The character < can't"), "{words}");
    }
}
