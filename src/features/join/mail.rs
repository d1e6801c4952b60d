//! The message of a registration. What an address means is decided here, when the message leaves, so that
//! the pages can answer the same for everybody.

use askama::Template;

use super::store;
use crate::{
    features::{invitations, organizations, users},
    platform::{
        App, Fault,
        mail::{Mail, compose, outbox::Message},
        tokens,
    },
    values::OrganizationName,
};

/// What the message says, by whom it reaches.
enum Says {
    Confirm {
        link: String,
        code: String,
    },
    /// A manager's invitation is completed by a link only, so this message has no code.
    ConfirmManager {
        link: String,
    },
    AlreadyUser {
        sign_in: String,
        forgot: String,
    },
    AskAManager,
}

#[derive(Template)]
#[template(path = "features/join/mail.txt")]
struct Text<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

#[derive(Template)]
#[template(path = "features/join/mail.html")]
struct Html<'a> {
    organization: &'a OrganizationName,
    says: &'a Says,
}

/// The words of a confirmation message; nothing when its registration is over.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    let Some(registration) = store::find(&app.db, message.subject_id.of()).await? else { return Ok(None) };
    if registration.must_look_open(app.db.now()).is_err() {
        return Ok(None);
    }
    let Some(organization) = organizations::by_id(&app.db, registration.organization_id).await? else {
        return Ok(None);
    };
    let user = users::by_address(&app.db, organization.id, &registration.email).await?;
    let now = app.db.now();
    let offered = match invitations::pending_for(&app.db, now, organization.id, &registration.email).await? {
        Some(invitation) => Some(invitations::role_now(&app.db, &invitation).await?),
        None => None,
    };
    let barred = offered.is_none() && users::is_barred(app, &app.db, now, organization.id, &registration.email).await?;
    let link = app.config.address(&format!("/confirm/{}", tokens::token_of(app, message.id).expose()));
    let says = match user {
        Some(user) if user.is_active() => Says::AlreadyUser {
            sign_in: app.config.address(&format!("/o/{}/login", organization.slug)),
            forgot: app.config.address(&format!("/o/{}/forgot-password", organization.slug)),
        },
        Some(_) => Says::AskAManager,
        None if barred => Says::AskAManager,
        None if offered == Some(users::Role::Manager) => Says::ConfirmManager { link },
        None => Says::Confirm { link, code: tokens::code_of(app, message.id).expose().to_owned() },
    };
    let name = &organization.name;
    Ok(Some(compose(
        message,
        name,
        &Text { organization: name, says: &says },
        &Html { organization: name, says: &says },
    )?))
}
