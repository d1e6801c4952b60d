//! The messages about passwords.

use askama::Template;

use crate::{
    features::{organizations, users},
    platform::{
        App, Fault,
        mail::{Kind, Mail, compose, outbox::Message},
        tokens,
    },
    values::OrganizationName,
};

/// What the message says.
enum Says {
    FirstPassword { link: String },
    Recovery { link: String },
    Deactivated,
    PasswordChanged { forgot: String },
}

#[derive(Template)]
#[template(path = "features/sign_in/mail.txt")]
struct Text<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

#[derive(Template)]
#[template(path = "features/sign_in/mail.html")]
struct Html<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

/// The words of a message about a password; nothing when its user is gone or its link was ended before it left.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    let Some(organization) = organizations::by_id(&app.db, message.organization_id).await? else { return Ok(None) };
    let Some(user) = users::by_id(&app.db, organization.id, message.subject_id.of()).await? else { return Ok(None) };
    let link = || app.config.address(&format!("/reset/{}", tokens::token_of(app, message.id).expose()));
    let says = match message.kind {
        Kind::PasswordChanged => {
            Says::PasswordChanged { forgot: app.config.address(&format!("/o/{}/forgot-password", organization.slug)) }
        }
        _ if !user.is_active() => Says::Deactivated,
        _ if tokens::of_message(&app.db, message.id).await?.is_some_and(|token| token.was_ended()) => return Ok(None),
        Kind::FirstPassword => Says::FirstPassword { link: link() },
        _ => Says::Recovery { link: link() },
    };
    let name = &organization.name;
    Ok(Some(compose(
        message,
        name,
        &Text { organization: name, says: &says },
        &Html { organization: name, says: &says },
    )?))
}
