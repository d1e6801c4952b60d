//! The message of an invitation.

use askama::Template;

use super::by_id;
use crate::{
    features::organizations,
    platform::{
        App, Fault,
        mail::{Mail, compose, outbox::Message},
        tokens,
    },
    values::OrganizationName,
};

#[derive(Template)]
#[template(path = "features/invitations/mail.txt")]
struct Text<'a> {
    organization: &'a OrganizationName,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "features/invitations/mail.html")]
struct Html<'a> {
    organization: &'a OrganizationName,
    link: &'a str,
}

/// The words of an invitation; nothing when it is over.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    let invitation = by_id(&app.db, message.organization_id, message.subject_id.of()).await?;
    if !invitation.is_some_and(|invitation| invitation.is_open()) {
        return Ok(None);
    }
    let Some(organization) = organizations::by_id(&app.db, message.organization_id).await? else { return Ok(None) };
    let link = app.config.address(&format!("/invitation/{}", tokens::token_of(app, message.id).expose()));
    let name = &organization.name;
    Ok(Some(compose(
        message,
        name,
        &Text { organization: name, link: &link },
        &Html { organization: name, link: &link },
    )?))
}
