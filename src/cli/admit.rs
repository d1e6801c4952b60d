//! `vestibule admit`: the admission decision and the rule that made it. With `--allow` or `-` it needs neither server
//! nor database.

use std::io::BufRead as _;

use serde::Deserialize;
use serde_json::json;

use super::{
    CommandError,
    out::{Out, shown},
    reason::reason,
};
use crate::{
    features::admission::{self, Allowlist, AllowlistEntry, decide, rules::split_pasted},
    platform::config::Config,
    values::EmailAddress,
};

#[derive(clap::Args)]
pub(super) struct Admit {
    /// Decide with the list of this organization
    #[arg(long, value_name = "SLUG", conflicts_with = "allow")]
    org: Option<String>,
    /// Decide with a list given here: entries like company.com or *.company.com, several of them split at commas and
    /// blanks. May be given more than once
    #[arg(long, value_name = "ENTRY")]
    allow: Option<Vec<String>>,
    /// The addresses to decide about; or - to read JSON lines {"email": …, "allowlist": […]}, each answered by one line
    #[arg(required = true)]
    addresses: Vec<String>,
}

/// A question of `admit -`. Its list is a list already: nothing in it is split.
#[derive(Deserialize)]
struct Question {
    email: String,
    allowlist: Vec<String>,
}

/// Decides with what is given: a list in the arguments, or one in each line. `None` when an organization's list decides.
pub(super) fn alone(asked: &Admit, out: Out) -> Option<Result<(), CommandError>> {
    if asked.org.is_some() {
        return None;
    }
    let dash = asked.addresses.iter().any(|address| address == "-");
    Some(match &asked.allow {
        None if dash && asked.addresses.len() == 1 => answer_lines(),
        _ if dash => Err(CommandError::Refused(OWN_LISTS.to_owned())),
        Some(pasted) => given(pasted).and_then(|list| answer_all(&asked.addresses, &list, out)),
        None => Err(CommandError::Refused(WHICH_LIST.to_owned())),
    })
}

const OWN_LISTS: &str = "- stands alone: each of its lines brings an allowlist of its own";
const WHICH_LIST: &str =
    "say which list decides: --org SLUG for an organization's, or --allow ENTRY for one that is given here";

/// Decides with an organization's list.
pub(super) async fn run(asked: Admit, config: Config, out: Out) -> Result<(), CommandError> {
    if asked.addresses.iter().any(|address| address == "-") {
        return Err(CommandError::Refused(OWN_LISTS.to_owned()));
    }
    let app = super::open_existing(config).await?;
    let organization = super::organization(&app, &asked.org.unwrap_or_default()).await?;
    let list = admission::allowlist(&app.db, organization.id).await?;
    answer_all(&asked.addresses, &list, out)
}

/// The list given in the arguments, split like what is pasted into the editor. Each entry must be one.
fn given(pasted: &[String]) -> Result<Allowlist, CommandError> {
    let mut entries = Vec::new();
    for piece in pasted.iter().flat_map(|text| split_pasted(text)) {
        match piece.parse::<AllowlistEntry>() {
            Ok(entry) => entries.push(entry),
            Err(invalid) => {
                return Err(CommandError::Refused(format!(
                    "{} is no entry of an allowlist. {}",
                    shown(piece),
                    reason(&invalid)?
                )));
            }
        }
    }
    Ok(Allowlist::from_part(entries, false))
}

struct Judged {
    verdict: &'static str,
    rule: String,
    why: String,
}

fn judge(email: &str, list: &Allowlist) -> Result<Judged, CommandError> {
    Ok(match email.parse::<EmailAddress>() {
        Ok(address) => {
            let admission = decide(&address, list);
            Judged { verdict: admission.verdict(), rule: admission.rule_text(), why: admission.why().to_owned() }
        }
        Err(invalid) => Judged { verdict: "refuse-invalid", rule: "not-an-address".to_owned(), why: reason(&invalid)? },
    })
}

fn object(email: &str, judged: &Judged) -> serde_json::Value {
    json!({ "email": email, "verdict": judged.verdict, "rule": judged.rule, "why": judged.why })
}

fn answer_all(addresses: &[String], list: &Allowlist, out: Out) -> Result<(), CommandError> {
    for email in addresses {
        let judged = judge(email, list)?;
        let cells = [(14, judged.verdict), (36, &*shown(email)), (20, &*judged.rule), (0, &*judged.why)];
        out.row(&cells, &object(email, &judged))?;
    }
    Ok(())
}

/// Answers line by line, so that it can stand in a pipe. What cannot be read ends it, with the line's number.
fn answer_lines() -> Result<(), CommandError> {
    for (number, line) in (1..).zip(std::io::stdin().lock().split(b'\n')) {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let question: Question = serde_json::from_slice(&line).map_err(|error| unreadable(number, &error))?;
        let list = Allowlist::from_stored(question.allowlist.iter().map(String::as_str));
        super::out::object(&object(&question.email, &judge(&question.email, &list)?))?;
    }
    Ok(())
}

fn unreadable(number: u64, error: &serde_json::Error) -> CommandError {
    let text = error.to_string();
    // The reader counts lines within the one that it was given.
    let why = text.split_once(" at line ").map_or(text.as_str(), |(why, _)| why);
    CommandError::Refused(format!(
        "line {number} is not an object like {{\"email\": \"ada@acme.com\", \"allowlist\": [\"acme.com\"]}}: {why}"
    ))
}
