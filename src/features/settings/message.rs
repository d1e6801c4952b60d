//! One message: how it stands, and handing it over. Opening the page shows no secret; only the answer to the form
//! does, after the password was given again and the audit log keeps it.
//!
//! A message that waits or failed can be handed over. One that was handed over can be shown again while its link
//! works, so that a page that was closed too early or reloaded strands nobody; each time is recorded. What a mail
//! server has delivered is its recipient's alone.

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    features::{
        audit::{self, EventKind, Happened},
        sessions::Manager,
        sign_in,
    },
    platform::{
        App, Fault,
        mail::{
            Mail, State as MailState,
            outbox::{self, Message},
        },
        tokens::{self, Carried},
        web::{Errors, Form, PageError, Portal, go, page},
    },
    values::{MessageId, Timestamp},
    worker,
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/mail/{id}", get(show)).route("/settings/mail/{id}/hand-over", post(hand_over))
}

#[derive(Template)]
#[template(path = "features/settings/message.html")]
struct MessagePage {
    portal: Portal,
    message: Message,
    now: Timestamp,
    delivers: bool,
    may: May,
    asks_password: bool,
    errors: Errors,
}

#[derive(Template)]
#[template(path = "features/settings/handed_over.html")]
struct HandedOverPage {
    portal: Portal,
    message: Message,
    now: Timestamp,
    subject: String,
    text: String,
    link: Option<String>,
    link_until: Option<Timestamp>,
    code: Option<String>,
    code_until: Option<Timestamp>,
    has_old_code: bool,
}

/// What a manager may do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum May {
    /// Hand it over: it has a link that works.
    HandOver,
    /// Read it: it is a notice, without a link of its own.
    Read { subject: String, text: String },
    /// Nothing: the mail server has delivered it.
    Delivered,
    /// Nothing: what it was about is over.
    Over,
}

/// The secrets that the words of a message carry; what they do not say is not passed on.
struct Carries {
    mail: Mail,
    token: Option<Carried>,
    link: Option<String>,
    code: Option<String>,
}

async fn carries(app: &App, message: &Message) -> Result<Option<Carries>, Fault> {
    let Some(mail) = worker::words(app, message).await? else { return Ok(None) };
    let token = tokens::of_message(&app.db, message.id).await?;
    let (secret, digits) = (tokens::token_of(app, message.id), tokens::code_of(app, message.id));
    let find = |says: &dyn Fn(&str) -> bool| {
        let mut lines = mail.text.lines().map(str::trim);
        lines.find(|line| token.is_some() && says(line)).map(str::to_owned)
    };
    let link = find(&|line| line.ends_with(secret.expose()));
    let code = find(&|line| line == digits.expose());
    Ok(Some(Carries { mail, token, link, code }))
}

fn may(message: &Message, carries: Option<&Carries>, now: Timestamp) -> May {
    if message.state == MailState::Delivered {
        return May::Delivered;
    }
    let Some(carries) = carries.filter(|_| message.state != MailState::Dropped) else { return May::Over };
    match (&carries.link, &carries.token) {
        (Some(_), Some(token)) if token.is_open(now) => May::HandOver,
        (Some(_), _) => May::Over,
        (None, _) => May::Read { subject: carries.mail.subject.clone(), text: carries.mail.text.clone() },
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HandOverForm {
    current_password: String,
}

async fn find(app: &App, manager: &Manager, id: &str) -> Result<Message, PageError> {
    let id: MessageId = id.parse().map_err(|_| PageError::NotFound)?;
    outbox::find(&app.db, manager.organization, id).await?.ok_or(PageError::NotFound)
}

fn message_page(app: &App, manager: &Manager, message: Message, may: May) -> MessagePage {
    MessagePage {
        portal: manager.portal("mail"),
        message,
        now: app.db.now(),
        delivers: app.mailer.delivers(),
        may,
        asks_password: !manager.is_fresh(app.db.now()),
        errors: Errors::default(),
    }
}

async fn show(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let message = find(&app, &manager, &id).await?;
    let carries = carries(&app, &message).await?;
    let may = may(&message, carries.as_ref(), app.db.now());
    page(StatusCode::OK, &message_page(&app, &manager, message, may))
}

async fn hand_over(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Form(form): Form<HandOverForm>,
) -> Result<Response, PageError> {
    let message = find(&app, &manager, &id).await?;
    let carries = carries(&app, &message).await?;
    let may = may(&message, carries.as_ref(), app.db.now());
    if matches!(may, May::Read { .. }) && message.can_be_handed_over() {
        // Nothing secret: the manager only notes that it was passed on.
        record(&app, &manager, &message).await?;
        return Ok(go("/settings/mail"));
    }
    let Some(carries) = carries.filter(|_| may == May::HandOver) else {
        return page(StatusCode::GONE, &message_page(&app, &manager, message, may));
    };
    if let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await? {
        let errors = Errors::one("current_password", why);
        let shown = MessagePage { errors, asks_password: true, ..message_page(&app, &manager, message, may) };
        return page(StatusCode::UNPROCESSABLE_ENTITY, &shown);
    }
    if !record(&app, &manager, &message).await? {
        // The mail server took it while the form was on its way.
        let message = find(&app, &manager, &id).await?;
        return page(StatusCode::GONE, &message_page(&app, &manager, message, May::Delivered));
    }
    handed_over_page(&app, &manager, message, carries).await
}

/// Hands over and records it, in one write. `false` when the message does not wait any more.
async fn record(app: &App, manager: &Manager, message: &Message) -> Result<bool, Fault> {
    let mut tx = app.db.write().await?;
    let again = message.state == MailState::HandedOver;
    if !again && !outbox::hand_over(&mut tx, manager.organization, message.id, manager.user).await? {
        return Ok(false);
    }
    let details = serde_json::json!({
        "kind": message.kind.as_str(),
        "message": message.id.to_string(),
        "again": again,
    });
    let happened = Happened::to(EventKind::MessageHandedOver, message.subject_id).with(details);
    audit::record(&mut tx, manager.organization, &manager.actor(), happened);
    tx.commit().await?;
    Ok(true)
}

async fn handed_over_page(
    app: &App,
    manager: &Manager,
    message: Message,
    carries: Carries,
) -> Result<Response, PageError> {
    let now = app.db.now();
    // Read again: its lifetimes began with the hand-over.
    let token = tokens::of_message(&app.db, message.id).await?;
    let (code, old_code) = match (carries.code, &token) {
        (Some(code), Some(token)) if token.code_is_open(now) => (Some(code), false),
        (code, _) => (None, code.is_some()),
    };
    let shown = HandedOverPage {
        portal: manager.portal("mail"),
        message,
        now,
        subject: carries.mail.subject,
        text: carries.mail.text,
        link: carries.link,
        link_until: token.as_ref().and_then(|token| token.lives_until),
        code_until: token.as_ref().and_then(|token| token.code_until),
        code,
        has_old_code: old_code,
    };
    page(StatusCode::OK, &shown)
}
