//! `vestibule migrate`: brings the schema up to date. The server does the same when it starts.

use serde_json::json;

use super::{CommandError, out::Out};
use crate::{
    platform::{
        config::Config,
        db::{self, Db, NEWEST},
    },
    values::{Clock, Randomness},
};

#[derive(clap::Args)]
pub(super) struct Migrate {
    /// Only say whether there is something to do, and end with status 1 where there is
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(asked: Migrate, config: Config, out: Out) -> Result<(), CommandError> {
    let file = config.database.file();
    let Some(looked) = db::look(&config.database).await? else {
        return Err(CommandError::NoDatabase(file.unwrap_or(&config.data_dir).to_owned()));
    };
    let from = looked.schema.unwrap_or(0);
    if asked.check && from < NEWEST {
        return Err(CommandError::Refused(format!(
            "the schema is {from} and this version works with {NEWEST}. Run vestibule migrate, or start the server"
        )));
    }
    if !asked.check || !looked.suits() {
        Db::open(&config.database, Clock::running(), Randomness::System).await?.close().await;
    }
    let to = from.max(NEWEST);
    let words = match from {
        _ if from == NEWEST => format!("{NEWEST}, up to date"),
        _ if from > NEWEST => format!("{from}, made by a newer version that works beside this one"),
        _ => format!("from {from} to {NEWEST}"),
    };
    Ok(out.facts(&[("Schema", &*words)], &json!({ "from": from, "to": to, "changed": from < NEWEST }))?)
}
