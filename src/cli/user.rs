//! `vestibule user`: the users of an organization, and the way back in for one who has lost the password.

use serde_json::json;

use super::{
    CommandError,
    out::{Out, shown},
    reason::{parsed, reason},
};
use crate::{
    features::{
        audit::Authority,
        organizations::Organization,
        provisioning::{self, Asked, Created},
        sign_in,
        users::{self, Filter, Place, Role, User, UserError},
    },
    platform::{App, config::Config},
    values::{EmailAddress, Invalid, Timestamp},
};

/// Users read at once.
const PAGE: i64 = 500;

#[derive(clap::Args)]
pub(super) struct Org {
    /// The short name of the organization
    #[arg(long, value_name = "SLUG")]
    org: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum RoleWord {
    /// The own account only
    Member,
    /// All of Settings
    Manager,
}

#[derive(clap::Subcommand)]
pub(super) enum UserCommand {
    /// List the users, by address
    List {
        #[command(flatten)]
        org: Org,
        /// Only those with this text in their name or address
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Make a user; a message leads them to setting a password
    Create {
        #[command(flatten)]
        org: Org,
        /// The address
        address: String,
        /// The full name [default: the part of the address before the @]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleWord::Member)]
        role: RoleWord,
    },
    /// End a user's access; everything else stays
    Deactivate {
        #[command(flatten)]
        org: Org,
        /// The address
        address: String,
    },
    /// Delete a user for good
    Delete {
        #[command(flatten)]
        org: Org,
        /// The address
        address: String,
        /// Let the address join again through the invite link
        #[arg(long)]
        may_return: bool,
    },
    /// Print a one-time link to set a password; changes neither role nor status
    Recover {
        #[command(flatten)]
        org: Org,
        /// The address
        address: String,
    },
}

impl UserCommand {
    const fn org(&self) -> &Org {
        match self {
            Self::List { org, .. }
            | Self::Create { org, .. }
            | Self::Deactivate { org, .. }
            | Self::Delete { org, .. }
            | Self::Recover { org, .. } => org,
        }
    }
}

pub(super) async fn run(command: UserCommand, config: Config, out: Out) -> Result<(), CommandError> {
    let app = super::open_existing(config).await?;
    let organization = super::organization(&app, &command.org().org).await?;
    let by = Authority::command_line(organization.id);
    match command {
        UserCommand::List { search, .. } => list(&app, &organization, search, out).await,
        UserCommand::Create { address, name, role, .. } => {
            let email: EmailAddress = parsed("address", &address)?;
            let full_name = name.map(|name| parsed("name", &name)).transpose()?;
            let role = if matches!(role, RoleWord::Manager) { Role::Manager } else { Role::Member };
            match provisioning::create(&app, &by, None, Asked { email, full_name, role }).await? {
                Created::User(user) => print(&user, out),
                // Nobody's mail is counted on the command line.
                Created::Taken | Created::TooMuchMail(_) => Err(CommandError::Refused(reason(&Invalid::AddressTaken)?)),
            }
        }
        UserCommand::Deactivate { address, .. } => {
            let user = find(&app, &organization, &address).await?;
            users::deactivate(&app, &by, user.id).await.map_err(|error| refused(error, &user))?;
            print(&find(&app, &organization, &address).await?, out)
        }
        UserCommand::Delete { address, may_return, .. } => {
            let user = find(&app, &organization, &address).await?;
            provisioning::delete(&app, &by, user.id, may_return).await.map_err(|error| refused(error, &user))?;
            let object = json!({ "id": user.id, "email": user.email.as_str(), "deleted": true });
            Ok(out.facts(&[("Deleted", user.email.as_str())], &object)?)
        }
        UserCommand::Recover { address, .. } => recover(&app, &organization, &by, &address, out).await,
    }
}

async fn list(app: &App, organization: &Organization, search: Option<String>, out: Out) -> Result<(), CommandError> {
    let mut filter = Filter { search, ..Filter::default() };
    loop {
        let mut page = users::list(&app.db, organization.id, &filter, PAGE).await?;
        let there_is_more = i64::try_from(page.len()).unwrap_or(0) > PAGE;
        if there_is_more {
            page.pop();
        }
        for user in &page {
            print(user, out)?;
        }
        match page.last() {
            Some(last) if there_is_more => {
                filter.after = Some(Place { address: last.email.identity(), id: last.id });
            }
            _ => return Ok(()),
        }
    }
}

fn print(user: &User, out: Out) -> Result<(), CommandError> {
    let object = json!({
        "id": user.id,
        "email": user.email.as_str(),
        "full_name": user.full_name.as_str(),
        "role": user.role.as_str(),
        "status": user.status.as_str(),
        "has_password": user.has_password,
        "proved": user.proved_how.as_str(),
        "came_by": user.came_by.as_str(),
        "created_at": user.created_at.rfc3339(),
        "seen_at": user.seen_at.map(Timestamp::rfc3339),
    });
    let cells =
        [(36, user.email.as_str()), (7, user.role.as_str()), (11, user.status.as_str()), (0, user.full_name.as_str())];
    Ok(out.row(&cells, &object)?)
}

async fn find(app: &App, organization: &Organization, typed: &str) -> Result<User, CommandError> {
    let email: EmailAddress = parsed("address", typed)?;
    let user = users::by_address(&app.db, organization.id, &email).await?;
    user.ok_or_else(|| {
        CommandError::Refused(format!("there is no user {} in {}", shown(typed), organization.slug.as_str()))
    })
}

fn refused(error: UserError, user: &User) -> CommandError {
    let email = user.email.as_str();
    match error {
        UserError::Unknown => CommandError::Refused(format!("there is no user {email} any more")),
        UserError::LastManager => CommandError::Refused(format!(
            "{email} is the last active manager who can sign in. Make another user a manager first"
        )),
        UserError::Fault(fault) => fault.into(),
    }
}

async fn recover(
    app: &App,
    organization: &Organization,
    by: &Authority,
    typed: &str,
    out: Out,
) -> Result<(), CommandError> {
    let user = find(app, organization, typed).await?;
    let secret = sign_in::make_link(app, by, &user).await?;
    let link = app.config.address(&format!("/reset/{}", secret.expose()));
    let object = json!({ "id": user.id, "email": user.email.as_str(), "status": user.status.as_str(), "link": link });
    let mut facts = vec![
        ("User", user.email.as_str()),
        ("Link", link.as_str()),
        ("", "It sets a new password, works once and for 24 hours."),
    ];
    if !user.is_active() {
        facts.push(("", "This user is deactivated and stays so: a new password alone does not let them in."));
    }
    Ok(out.facts(&facts, &object)?)
}
