//! What must not stand among the arguments: every user of the machine can read those.

use std::ffi::OsString;

use crate::platform::config::holds_a_password;

/// Why the arguments are refused, where one of them holds the password of a database.
pub(super) fn password_in(arguments: impl Iterator<Item = OsString>) -> Option<String> {
    let holds = arguments.into_iter().any(|argument| has_password(&argument.to_string_lossy()));
    holds.then(|| {
        "a password stands among the arguments, where every user of this machine can read it. Give the URL without it and \
         the password as PGPASSWORD in the environment, or the whole URL as VESTIBULE_DATABASE_URL, VESTIBULE_COPY_FROM or \
         VESTIBULE_COPY_TO"
            .to_owned()
    })
}

/// `--flag=URL` and `URL` alike.
fn has_password(argument: &str) -> bool {
    let Some(start) = ["postgres://", "postgresql://"].iter().find_map(|scheme| argument.find(scheme)) else {
        return false;
    };
    holds_a_password(argument.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_wherever_a_url_can_hold_it() {
        let holds = |argument: &str| password_in([OsString::from(argument)].into_iter());
        for bad in [
            "postgres://door:geheim@h/d",
            "--database-url=postgresql://door:geheim@h:5432/d",
            "postgres://h/d?user=door&password=geheim",
            "postgres://door:geheim@[h/d",
        ] {
            let why = holds(bad).unwrap();
            assert!(!why.contains("geheim"), "{why}");
        }
        for good in ["postgres://door@h:5432/d", "sqlite:/var/lib/a:b@c", "admit", "postgres://h/d?sslmode=require"] {
            assert!(holds(good).is_none(), "{good}");
        }
    }
}
