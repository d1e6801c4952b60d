//! `vestibule config`: whether the settings are right, and what they are. Secrets are never shown.

use std::collections::BTreeMap;

use serde_json::json;

use super::{CommandError, out::Out};
use crate::platform::config::Config;

#[derive(clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Say whether the settings are right; reads and opens nothing else
    Check,
    /// Print every setting as it is in effect, without secrets
    Show,
}

pub(super) fn run(command: &ConfigCommand, config: &Config, out: Out) -> Result<(), CommandError> {
    match command {
        ConfigCommand::Check => {
            let mut facts = vec![("Settings", "right")];
            if config.is_plain_http() {
                facts.push(("Warning", super::PLAIN_HTTP));
            }
            let warnings: Vec<&str> = facts.iter().skip(1).map(|(_, warning)| *warning).collect();
            Ok(out.facts(&facts, &json!({ "right": true, "warnings": warnings }))?)
        }
        ConfigCommand::Show => {
            let shown = config.shown();
            let facts: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let object: BTreeMap<&str, &str> = facts.iter().copied().collect();
            Ok(out.facts(&facts, &json!(object))?)
        }
    }
}
