//! `vestibule link`: the organization's own invite link.

use serde_json::json;

use super::{CommandError, out::Out};
use crate::{
    features::{audit::Authority, join, links},
    platform::config::Config,
};

#[derive(clap::Subcommand)]
pub(super) enum LinkCommand {
    /// Print the organization's invite link
    Show {
        /// The short name of the organization
        #[arg(long, value_name = "SLUG")]
        org: String,
    },
    /// End the organization's invite link and print a new one
    Replace {
        /// The short name of the organization
        #[arg(long, value_name = "SLUG")]
        org: String,
        /// Let registrations begun with the old link finish; without this they are cancelled
        #[arg(long)]
        keep_open: bool,
    },
}

pub(super) async fn run(command: LinkCommand, config: Config, out: Out) -> Result<(), CommandError> {
    let app = super::open_existing(config).await?;
    match command {
        LinkCommand::Show { org } => {
            let organization = super::organization(&app, &org).await?;
            let link = app.config.address(&links::path_of_own(&app, organization.id).await?);
            Ok(out.row(&[(0, &link)], &json!({ "slug": organization.slug.as_str(), "link": link }))?)
        }
        LinkCommand::Replace { org, keep_open } => {
            let organization = super::organization(&app, &org).await?;
            let by = Authority::command_line(organization.id);
            let (path, cancelled) = join::replace_link(&app, &by, !keep_open).await?;
            let link = app.config.address(&path);
            let object = json!({ "slug": organization.slug.as_str(), "link": link, "cancelled": cancelled });
            let open = if keep_open { "may still finish".to_owned() } else { format!("{cancelled} cancelled") };
            Ok(out.facts(&[("New link", link.as_str()), ("Open registrations", open.as_str())], &object)?)
        }
    }
}
