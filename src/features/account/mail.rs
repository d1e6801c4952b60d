//! The messages about a user's own address and role.

use askama::Template;

use crate::{
    features::{
        address_changes::{self, AddressChange},
        organizations::{self, Organization},
        users,
    },
    platform::{
        App, Fault,
        mail::{Kind, Mail, compose, outbox::Message},
        tokens,
    },
    values::{EmailAddress, OrganizationName},
};

/// What the message says.
enum Says {
    Confirm { link: String },
    Changing { to: EmailAddress, link: String },
    Changed,
    Manager { sign_in: String },
    Member { sign_in: String },
}

#[derive(Template)]
#[template(path = "features/account/mail.txt")]
struct Text<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

#[derive(Template)]
#[template(path = "features/account/mail.html")]
struct Html<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

/// The words of a message about an account; nothing when its cause has ended.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    let Some(organization) = organizations::by_id(&app.db, message.organization_id).await? else { return Ok(None) };
    let says = match message.kind {
        Kind::AddressConfirmation => confirmation(app, message).await?,
        Kind::AddressChanging => open_change(app, message)
            .await?
            .map(|change| Says::Changing { to: change.new_email, link: link(app, message) }),
        _ => about_user(app, message, &organization).await?,
    };
    let Some(says) = says else { return Ok(None) };
    let name = &organization.name;
    Ok(Some(compose(
        message,
        name,
        &Text { organization: name, says: &says },
        &Html { organization: name, says: &says },
    )?))
}

async fn open_change(app: &App, message: &Message) -> Result<Option<AddressChange>, Fault> {
    let change = address_changes::find(&app.db, message.organization_id, message.subject_id.of()).await?;
    Ok(change.filter(|change| change.ended_at.is_none()))
}

/// Nothing for an address that a user has already: nobody is asked to confirm what can't be, and whoever asked
/// learns nothing.
async fn confirmation(app: &App, message: &Message) -> Result<Option<Says>, Fault> {
    let Some(change) = open_change(app, message).await? else { return Ok(None) };
    let taken = users::by_address(&app.db, message.organization_id, &change.new_email).await?.is_some();
    Ok((!taken).then(|| Says::Confirm { link: link(app, message) }))
}

async fn about_user(app: &App, message: &Message, organization: &Organization) -> Result<Option<Says>, Fault> {
    let user = users::by_id(&app.db, message.organization_id, message.subject_id.of()).await?;
    let sign_in = app.config.address(&format!("/o/{}/login", organization.slug));
    Ok(user.map(|user| match message.kind {
        Kind::RoleChanged if user.is_manager() => Says::Manager { sign_in },
        Kind::RoleChanged => Says::Member { sign_in },
        _ => Says::Changed,
    }))
}

fn link(app: &App, message: &Message) -> String {
    app.config.address(&format!("/account/address/{}", tokens::token_of(app, message.id).expose()))
}
