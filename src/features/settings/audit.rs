//! Audit log: one sentence for each event, found by kind, by whom or what it is about, and by day; and how often
//! visitors were refused, hour by hour.

use std::collections::HashMap;

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Deserialize;

use crate::{
    features::{
        audit::{self, ActorKind, Counted, Event, EventKind, Filter, Refused},
        invitations,
        sessions::Manager,
        users,
    },
    platform::{
        App, Fault,
        mail::Kind as MailKind,
        web::{
            Errors, PageError, Portal, page,
            paging::{PAGE, Paged, place_in_time, read_place_in_time},
        },
    },
    values::{
        DAY, EmailAddress, Invalid, InvitationId, MessageId, OrganizationId, RegistrationId, SubjectId, Timestamp,
        UserId,
    },
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/audit", get(show))
}

#[derive(Template)]
#[template(path = "features/settings/audit.html")]
struct AuditPage<'a> {
    portal: Portal,
    asked: &'a Asked,
    kind: Option<EventKind>,
    rows: Paged<Row>,
    refused: Vec<Counted>,
    errors: Errors,
}

/// An event with the names that are still known.
struct Row {
    event: Event,
    actor: Option<String>,
    subject: Option<String>,
}

impl Row {
    /// A detail that is one word of a closed list.
    fn word(&self, name: &str) -> &str {
        self.event.parameters.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    fn is_true(&self, name: &str) -> bool {
        self.event.parameters.get(name).and_then(serde_json::Value::as_bool).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<&str> {
        let list = self.event.parameters.get(name).and_then(serde_json::Value::as_array);
        list.into_iter().flatten().filter_map(serde_json::Value::as_str).collect()
    }

    fn mail_kind(&self) -> Option<MailKind> {
        MailKind::from_word(self.word("kind"))
    }

    /// The message that an event is about, whose page knows to whom it went.
    fn message(&self) -> Option<MessageId> {
        self.word("message").parse().ok()
    }

    /// The address of everything about the same, where there is more than one event about it.
    fn about(&self) -> Option<String> {
        let subject = self.event.subject_id?;
        let id = match about_what(&self.event, self.mail_kind())? {
            What::User => subject.of::<crate::values::kinds::User>().to_string(),
            What::Invitation => subject.of::<crate::values::kinds::Invitation>().to_string(),
            What::Registration => subject.of::<crate::values::kinds::Registration>().to_string(),
        };
        Some(format!("/settings/audit?about={id}"))
    }
}

/// What kind of thing an event is about.
enum What {
    User,
    Invitation,
    Registration,
}

fn about_what(event: &Event, mail: Option<MailKind>) -> Option<What> {
    match event.kind {
        EventKind::OrganizationCreated | EventKind::SettingsSaved | EventKind::LinkReplaced | EventKind::Restored => {
            None
        }
        EventKind::UserCreated
        | EventKind::UserDeactivated
        | EventKind::UserReactivated
        | EventKind::UserDeleted
        | EventKind::RoleChanged
        | EventKind::NameChanged
        | EventKind::PasswordChanged
        | EventKind::PasswordSet
        | EventKind::RecoveryAsked
        | EventKind::RecoveryLinkMade
        | EventKind::AddressChangeBegun
        | EventKind::AddressChanged
        | EventKind::AddressChangeStopped
        | EventKind::SignedIn
        | EventKind::SignedOut
        | EventKind::SessionsEnded
        | EventKind::TestMessageSent => Some(What::User),
        EventKind::RegistrationBegun
        | EventKind::ConfirmationAsked
        | EventKind::RegistrationConfirmed
        | EventKind::RegistrationEnded => Some(What::Registration),
        EventKind::Invited
        | EventKind::InvitationRenewed
        | EventKind::InvitationRevoked
        | EventKind::InvitationAccepted => Some(What::Invitation),
        EventKind::MessageHandedOver | EventKind::MessageFailed => Some(match mail? {
            MailKind::Confirmation => What::Registration,
            MailKind::Invitation => What::Invitation,
            MailKind::AddressConfirmation | MailKind::AddressChanging | MailKind::AddressChanged => return None,
            MailKind::FirstPassword
            | MailKind::Recovery
            | MailKind::PasswordChanged
            | MailKind::RoleChanged
            | MailKind::Test => What::User,
        }),
    }
}

/// The filters as typed, in the address bar.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    kind: String,
    about: String,
    from: String,
    until: String,
    before: String,
}

impl Asked {
    /// The address of this list from a place on.
    fn page_from(&self, place: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("kind", &self.kind), ("about", &self.about), ("from", &self.from), ("until", &self.until)]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if !place.is_empty() {
            query.append_pair("before", place);
        }
        format!("/settings/audit?{}", query.finish())
    }

    const fn asks_for_all(&self) -> bool {
        self.kind.is_empty() && self.about.is_empty() && self.from.is_empty() && self.until.is_empty()
    }

    fn parse(&self) -> Result<(Filter, Option<About>), Errors> {
        let mut errors = Errors::default();
        let kind = errors.take("kind", optional(&self.kind, |word| EventKind::from_word(word).ok_or(Invalid::Choice)));
        let about = errors.take("about", optional(&self.about, About::parse));
        let day = |typed: &str| Timestamp::from_day(typed).ok_or(Invalid::Day);
        let from = errors.take("from", optional(&self.from, day));
        let until = errors.take("until", optional(&self.until, day));
        let (Some(kind), Some(about), Some(from), Some(until)) = (kind, about, from, until) else {
            return Err(errors);
        };
        let before = read_place_in_time(&self.before);
        // The last day counts whole.
        Ok((Filter { kind, about: None, from, until: until.map(|day| day + DAY), before }, about))
    }
}

fn optional<T>(typed: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> Result<Option<T>, Invalid> {
    let typed = typed.trim();
    if typed.is_empty() { Ok(None) } else { parse(typed).map(Some) }
}

/// Whom or what the events are about: an id as the log shows it, or somebody's address.
enum About {
    Id(SubjectId),
    Address(EmailAddress),
}

impl About {
    fn parse(typed: &str) -> Result<Self, Invalid> {
        let id = (typed.parse::<UserId>().map(UserId::subject))
            .or_else(|_| typed.parse::<InvitationId>().map(InvitationId::subject))
            .or_else(|_| typed.parse::<RegistrationId>().map(RegistrationId::subject));
        id.map(Self::Id).or_else(|_| typed.parse().map(Self::Address))
    }

    /// The user of an address, else its newest invitation; nothing where neither is known.
    async fn find(self, app: &App, organization: OrganizationId) -> Result<Option<SubjectId>, Fault> {
        let address = match self {
            Self::Id(id) => return Ok(Some(id)),
            Self::Address(address) => address,
        };
        if let Some(user) = users::by_address(&app.db, organization, &address).await? {
            return Ok(Some(user.id.subject()));
        }
        let invitation = invitations::newest_of(&app.db, organization, &address).await?;
        Ok(invitation.map(|invitation| invitation.id.subject()))
    }
}

async fn show(State(app): State<App>, manager: Manager, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    let refused = audit::list_refused(&app.db, manager.organization, app.db.now() - DAY).await?;
    let mut shown = AuditPage {
        portal: manager.portal("audit"),
        asked: &asked,
        kind: EventKind::from_word(&asked.kind),
        rows: Paged::new(Vec::new(), |_: &Row| String::new()),
        refused,
        errors: Errors::default(),
    };
    match asked.parse() {
        Ok((filter, about)) => {
            shown.rows = rows(&app, manager.organization, filter, about).await?;
            page(StatusCode::OK, &shown)
        }
        Err(errors) => page(StatusCode::UNPROCESSABLE_ENTITY, &AuditPage { errors, ..shown }),
    }
}

async fn rows(
    app: &App,
    organization: OrganizationId,
    filter: Filter,
    about: Option<About>,
) -> Result<Paged<Row>, Fault> {
    let place = |row: &Row| place_in_time(row.event.at, row.event.id);
    let about = match about {
        None => None,
        Some(about) => match about.find(app, organization).await? {
            Some(id) => Some(id),
            None => return Ok(Paged::new(Vec::new(), place)),
        },
    };
    let events = audit::list(&app.db, organization, &Filter { about, ..filter }, PAGE).await?;
    let ids: Vec<SubjectId> =
        events.iter().flat_map(|event| [event.actor_id.map(UserId::subject), event.subject_id]).flatten().collect();
    let mut names: HashMap<SubjectId, String> = users::names(&app.db, organization, &ids).await?;
    let others: Vec<SubjectId> = ids.into_iter().filter(|id| !names.contains_key(id)).collect();
    names.extend(audit::names(&app.db, organization, &others).await?);
    let name = |id: Option<SubjectId>| id.and_then(|id| names.get(&id).cloned());
    let rows = events.into_iter().map(|event| Row {
        actor: name(event.actor_id.map(UserId::subject)),
        subject: name(event.subject_id),
        event,
    });
    Ok(Paged::new(rows.collect(), place))
}
