//! `vestibule backup`: everything as it is at one moment, while the server serves. The key is not in it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CommandError, out::Out};
use crate::platform::{
    config::Config,
    db::{self, DatabaseUrl},
};

#[derive(clap::Args)]
pub(super) struct Backup {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Overwrite the file where there is one
    #[arg(long)]
    force: bool,
}

const KEY_APART: &str = "The key is not in it. Keep a copy of the key file too, and in another place: \
                         without it invite links cannot be shown and codes not be read.";

pub(super) async fn run(asked: Backup, config: Config, out: Out) -> Result<(), CommandError> {
    let database = file_of(&config, "backup")?;
    if !database.exists() {
        return Err(CommandError::NoDatabase(database.to_owned()));
    }
    let size = db::write_copy(database, &asked.file, asked.force).await?;
    let (file, key) = (asked.file.display().to_string(), config.key_file.display().to_string());
    let object = json!({ "file": file, "bytes": size, "key_file": key, "key_in_backup": false });
    let written = format!("{file} ({size} bytes)");
    Ok(out.facts(&[("Written", &*written), ("Key file", &*key), ("", KEY_APART)], &object)?)
}

/// The database file; a server of `PostgreSQL` has programs of its own for this.
pub(super) fn file_of<'a>(config: &'a Config, act: &str) -> Result<&'a Path, CommandError> {
    match &config.database {
        DatabaseUrl::Sqlite(path) => Ok(path),
        DatabaseUrl::Postgres(_) => Err(CommandError::Refused(format!(
            "{act} works on SQLite. For PostgreSQL use pg_dump and pg_restore, then vestibule restore --in-place, and keep the key \
             file with care (docs/operating.md, \"Back up and restore\")"
        ))),
    }
}
