//! `vestibule key`: a new key for the server, while it serves. Why so: `docs/decisions/0007-keys.md`.

use std::time::Duration;

use serde_json::json;

use super::{CommandError, out::Out};
use crate::{
    features::links,
    platform::{App, config::Config, db::Lock},
    values::{MINUTE, Timestamp},
};

#[derive(clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Add a new key to the key file, and seal anew what the old one sealed
    Rotate(Rotate),
}

#[derive(clap::Args)]
pub(super) struct Rotate {
    /// Only add the key, to be used in so many minutes: the time to copy the key file to every server. They seal
    /// anew by themselves within minutes after that; the same command without this does it at once
    #[arg(long, value_name = "MINUTES", conflicts_with = "shared_file")]
    prepare: Option<u32>,
    /// Every server of this `PostgreSQL` database reads this very key file
    #[arg(long, help = "Every server of this PostgreSQL database reads this very key file")]
    shared_file: bool,
}

/// Every process that reads the file reads it again before its next use; a write that is under way now is over by then.
const SOON: Duration = MINUTE;

const WHICH: &str = "several servers may work on this database. Where all of them read this very key file, say --shared-file; \
                     else begin with --prepare MINUTES and copy the key file to every server within that time";

pub(super) async fn run(command: KeyCommand, config: Config, out: Out) -> Result<(), CommandError> {
    let KeyCommand::Rotate(asked) = command;
    let app = super::open_existing(config).await?;
    let file = &app.config.key_file;
    let Some(_turning) = Lock::for_turning(file).map_err(|error| super::cannot_lock(file, &error))? else {
        return Err(CommandError::Refused("another vestibule key rotate runs. Wait for it".to_owned()));
    };
    let is_turned = app.keys.is_turned(&app.db).await?;
    let coming = app.keys.newest().from();
    match asked.prepare {
        Some(_) if !is_turned => Err(CommandError::Refused(format!(
            "a new key is there already, used from {}. Copy the key file to every server before",
            coming.rfc3339()
        ))),
        Some(minutes) => {
            let from = add(&app, MINUTE * minutes.max(1))?;
            report(out, from, None)
        }
        None if is_turned => {
            if app.db.is_shared() && !asked.shared_file {
                return Err(CommandError::Refused(WHICH.to_owned()));
            }
            let from = add(&app, SOON)?;
            report(out, from, Some(links::follow_key(&app).await?))
        }
        // Prepared, or stopped halfway.
        None if app.db.is_shared() && !asked.shared_file && coming > app.db.now() => {
            Err(CommandError::Refused(format!(
                "the new key is used from {}: until then a server may not have the key file. Come back after that",
                coming.rfc3339()
            )))
        }
        None => report(out, coming, Some(links::follow_key(&app).await?)),
    }
}

/// Adds a key to the file, used from then on. A file tells moments to the second.
fn add(app: &App, wait: Duration) -> Result<Timestamp, CommandError> {
    let from = app.db.now() + wait;
    let from = Timestamp::from_rfc3339(&from.rfc3339()).unwrap_or(from);
    app.keys.add(&app.config.key_file, &app.randomness, from)?;
    Ok(from)
}

fn report(out: Out, from: Timestamp, sealed_anew: Option<usize>) -> Result<(), CommandError> {
    let object = json!({ "used_from": from.rfc3339(), "sealed_anew": sealed_anew });
    let from = from.rfc3339();
    let (sealed, then) = match sealed_anew {
        Some(count) => {
            (format!("{count} link codes"), "Keep a copy of the key file: backups of before need its old lines.")
        }
        None => ("nothing yet".to_owned(), "Copy the key file to every server before that moment."),
    };
    Ok(out.facts(&[("Used from", &*from), ("Sealed anew", &*sealed), ("", then)], &object)?)
}
