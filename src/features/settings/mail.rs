//! Mail: what waits, what left and what failed; a test message. A message opens on its own page (`message`).

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    features::{
        audit::{self, EventKind, Happened},
        organizations,
        sessions::Manager,
        users,
    },
    platform::{
        App, Fault,
        mail::{
            Cause, Kind, Mail, State as MailState, compose,
            managers::{self, Another},
            outbox::{self, Filter, Message, NewMessage},
        },
        web::{
            PageError, Portal, go, page,
            paging::{PAGE, Paged, place_in_time, read_place_in_time},
        },
    },
    values::{MessageId, OrganizationName},
};

/// No address is longer than 254 octets.
const LONGEST: usize = 254;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/mail", get(show)).route("/settings/mail/test", post(test))
}

#[derive(Template)]
#[template(path = "features/settings/mail.html")]
struct MailPage {
    portal: Portal,
    sender: Option<String>,
    waiting: i64,
    failed: i64,
    to: String,
    state: Option<MailState>,
    messages: Paged<Message>,
    first_page: bool,
}

impl MailPage {
    /// The address of this list from a place on.
    fn from(&self, place: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("to", &self.to).append_pair("state", self.state.map_or("", MailState::as_str));
        if !place.is_empty() {
            query.append_pair("before", place);
        }
        format!("/settings/mail?{}", query.finish())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    to: String,
    state: String,
    before: String,
}

async fn show(State(app): State<App>, manager: Manager, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    let to = asked.to.trim();
    // A state that is none is every state: the list says which it shows.
    let state = MailState::from_word(&asked.state);
    let before = read_place_in_time(&asked.before);
    let filter = Filter { state, to: (!to.is_empty()).then(|| to.to_owned()), before };
    // A longer search finds nothing, and no database takes it amiss.
    let rows = if to.len() > LONGEST {
        Vec::new()
    } else {
        outbox::list(&app.db, manager.organization, &filter, PAGE).await?
    };
    let (waiting, failed) = outbox::backlog(&app.db, manager.organization).await?;
    let shown = MailPage {
        portal: manager.portal("mail"),
        sender: app.mailer.sender(),
        waiting,
        failed,
        to: to.to_owned(),
        state,
        messages: Paged::new(rows, |row| place_in_time(row.created_at, row.id)),
        first_page: before.is_none(),
    };
    page(StatusCode::OK, &shown)
}

/// Writes a message to the manager's own address, and goes on to the page that shows how it stands.
async fn test(State(app): State<App>, manager: Manager) -> Result<Response, PageError> {
    if !app.mailer.delivers() {
        return Ok(go("/settings/mail"));
    }
    let id = write_test(&app, &manager).await?;
    Ok(go(&format!("/settings/mail/{id}")))
}

async fn write_test(app: &App, manager: &Manager) -> Result<MessageId, PageError> {
    let mut tx = app.db.write().await?;
    let about = (Kind::Test, manager.user.subject());
    match managers::another(app, &mut tx, manager.user, &manager.email, about).await? {
        Another::Write => {}
        Another::Written(id) => {
            tx.commit().await?;
            return Ok(id);
        }
        Another::TooMany(too_many) => {
            tx.commit().await?;
            return Err(too_many.into());
        }
    }
    let message = NewMessage {
        organization: manager.organization,
        kind: Kind::Test,
        cause: Cause::Member,
        to: manager.email.clone(),
        subject: manager.user.subject(),
        actor: Some(manager.user),
    };
    let id = outbox::write(app, &mut tx, message).await?;
    let happened = Happened::to(EventKind::TestMessageSent, manager.user);
    audit::record(&mut tx, manager.organization, &manager.actor(), happened);
    tx.commit().await?;
    Ok(id)
}

#[derive(Template)]
#[template(path = "features/settings/test_mail.txt")]
struct Text<'a> {
    organization: &'a OrganizationName,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "features/settings/test_mail.html")]
struct Html<'a> {
    organization: &'a OrganizationName,
    link: &'a str,
}

/// The words of a test message; nothing when the manager who asked for it is gone.
pub async fn words(app: &App, message: &Message) -> Result<Option<Mail>, Fault> {
    let Some(organization) = organizations::by_id(&app.db, message.organization_id).await? else { return Ok(None) };
    if users::by_id(&app.db, organization.id, message.subject_id.of()).await?.is_none() {
        return Ok(None);
    }
    let (name, link) = (&organization.name, &app.config.address("/settings/mail"));
    Ok(Some(compose(message, name, &Text { organization: name, link }, &Html { organization: name, link })?))
}
