//! `vestibule copy`: a whole installation from one database into another, between `SQLite` and `PostgreSQL` either way.

use serde_json::json;

use super::{CommandError, out::Out};
use crate::{
    platform::{
        config::{Config, ConfigError},
        db::{self, DatabaseUrl},
        keys::Keys,
    },
    values::Clock,
};

#[derive(clap::Args)]
pub(super) struct Copy {
    /// Where everything is, as sqlite:PATH or `postgres://user@host:port/name`
    #[arg(
        long,
        env = "VESTIBULE_COPY_FROM",
        hide_env_values = true,
        value_name = "URL",
        help = "Where everything is, as sqlite:PATH or postgres://user@host:port/name; a password belongs into the environment"
    )]
    from: String,
    /// Where it shall be, likewise; nothing may be there yet
    #[arg(long, env = "VESTIBULE_COPY_TO", hide_env_values = true, value_name = "URL")]
    to: String,
}

pub(super) async fn run(asked: Copy, config: Config, out: Out) -> Result<(), CommandError> {
    let url = |text: String| text.parse::<DatabaseUrl>().map_err(ConfigError::from);
    let (from, to) = (url(asked.from)?, url(asked.to)?);
    let keys = Keys::open_existing(&config.key_file)?;
    let began = Clock::of_this_machine();
    let copied = db::copy(&from, &to, |key_check| keys.made(key_check)).await?;
    for table in &copied {
        let rows = table.rows.to_string();
        let object = json!({ "table": table.table, "from": table.rows, "to": table.rows });
        out.row(&[(20, table.table), (0, &rows)], &object)?;
    }
    let rows: i64 = copied.iter().map(|table| table.rows).sum();
    let millis = u64::try_from(began.until(Clock::of_this_machine()).as_millis()).unwrap_or(u64::MAX);
    let object = json!({ "rows": rows, "tables": copied.len(), "milliseconds": millis });
    let words = format!("{rows} rows in {} tables, counted on both sides", copied.len());
    Ok(out.row(&[(20, "everything"), (0, &words)], &object)?)
}
