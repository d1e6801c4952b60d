//! `vestibule org`: make an organization, list those there are.

use serde_json::json;

use super::{CommandError, out::Out, reason::parsed, reason::reason};
use crate::{
    features::{organizations, set_up},
    platform::{App, config::Config},
    values::{EmailAddress, Invalid, OrganizationName, Slug},
};

/// Organizations read at once.
const PAGE: i64 = 500;

#[derive(clap::Subcommand)]
pub(super) enum OrgCommand {
    /// Make an organization and its first manager; prints the manager's one-time link
    Create {
        /// What it is called
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Its short name in addresses, like acme
        #[arg(long, value_name = "SLUG")]
        slug: String,
        /// The address of its first manager
        #[arg(long, value_name = "ADDRESS")]
        manager: String,
    },
    /// List the organizations
    List,
}

pub(super) async fn run(command: OrgCommand, config: Config, out: Out) -> Result<(), CommandError> {
    match command {
        OrgCommand::Create { name, slug, manager } => {
            let new = (parsed("name", &name)?, parsed("short name", &slug)?, parsed("address", &manager)?);
            create(&super::open_for_command(config).await?, &new, out).await
        }
        OrgCommand::List => list(&super::open_existing(config).await?, out).await,
    }
}

async fn create(
    app: &App,
    (name, slug, manager): &(OrganizationName, Slug, EmailAddress),
    out: Out,
) -> Result<(), CommandError> {
    let Some((id, secret)) = set_up::create_from_command_line(app, name, slug, manager.clone()).await? else {
        return Err(CommandError::Refused(reason(&Invalid::SlugTaken)?));
    };
    let link = app.config.address(&format!("/reset/{}", secret.expose()));
    let object =
        json!({ "id": id, "slug": slug.as_str(), "name": name.as_str(), "manager": manager.as_str(), "link": link });
    let facts = [
        ("Organization", name.as_str()),
        ("Short name", slug.as_str()),
        ("Manager", manager.as_str()),
        ("Link", link.as_str()),
        ("", "Give the link to the manager: it sets the password, works once and for 24 hours."),
    ];
    Ok(out.facts(&facts, &object)?)
}

async fn list(app: &App, out: Out) -> Result<(), CommandError> {
    let mut after: Option<Slug> = None;
    loop {
        let page = organizations::list(&app.db, after.as_ref(), PAGE).await?;
        for organization in &page {
            let (slug, name) = (organization.slug.as_str(), organization.name.as_str());
            out.row(&[(20, slug), (0, name)], &json!({ "id": organization.id, "slug": slug, "name": name }))?;
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last.slug),
            None => return Ok(()),
        }
    }
}
