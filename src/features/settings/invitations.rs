//! Invitations: offers to one or many addresses, what came of each, and those that are pending.

use std::collections::HashMap;

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    features::{
        admission::rules::split_pasted,
        invitations::{self, Invitation, Invited, Left, Listed, Outcome},
        sessions::Manager,
        sign_in,
        users::{self, Role},
    },
    platform::{
        App,
        mail::State as MailState,
        web::{
            Errors, Form, PageError, Portal, go, page,
            paging::{PAGE, Paged, place_in_time, read_place_in_time},
        },
    },
    values::{Invalid, InvitationId, SubjectId, Timestamp, UserId},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/settings/invitations", get(show).post(invite))
        .route("/settings/invitations/{id}/resend", post(resend))
        .route("/settings/invitations/{id}/revocation", post(revoke))
}

/// The most addresses in one form.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "features/settings/invitations.html")]
struct InvitationsPage<'a> {
    portal: Portal,
    emails: String,
    role: Role,
    asks_password: bool,
    delivers: bool,
    now: Timestamp,
    outcomes: &'a [Outcome],
    notice: Option<Notice>,
    pending: Paged<Listed>,
    names: HashMap<SubjectId, String>,
    first_page: bool,
    errors: Errors,
}

impl InvitationsPage<'_> {
    fn invited(&self) -> usize {
        let went_out = |outcome: &&Outcome| matches!(outcome.result, Ok(Invited::Invited | Invited::AgainInvited));
        self.outcomes.iter().filter(went_out).count()
    }

    fn invited_by(&self, listed: &Listed) -> Option<&str> {
        let name = self.names.get(&listed.invited_by?.subject())?;
        Some(name.rsplit_once(" <").map_or(name.as_str(), |(name, _)| name))
    }

    fn has_ended(&self, listed: &Listed) -> bool {
        listed.lives_until.is_some_and(|end| end <= self.now)
    }
}

/// What an act on one invitation did, said above the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Resent,
    Revoked,
    Over,
    TooMuchMail,
    AlreadyUser,
}

impl Notice {
    fn of(word: &str) -> Option<Self> {
        match word {
            "resent" => Some(Self::Resent),
            "revoked" => Some(Self::Revoked),
            "over" => Some(Self::Over),
            "too-much-mail" => Some(Self::TooMuchMail),
            "already-user" => Some(Self::AlreadyUser),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    emails: String,
    notice: String,
    before: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InviteForm {
    emails: String,
    role: String,
    current_password: String,
}

impl InviteForm {
    /// Left out, it is the smaller one.
    fn role(&self) -> Option<Role> {
        if self.role.is_empty() { Some(Role::Member) } else { Role::from_word(&self.role) }
    }

    fn parse(&self) -> Result<(Vec<&str>, Role), Errors> {
        let mut errors = Errors::default();
        let lines = split_pasted(&self.emails);
        let lines = errors.take(
            "emails",
            match lines.len() {
                0 => Err(Invalid::EmailEmpty),
                1..=MOST => Ok(lines),
                _ => Err(Invalid::TooManyAddresses { maximum: MOST }),
            },
        );
        let role = errors.take("role", self.role().ok_or(Invalid::Choice));
        let (Some(lines), Some(role)) = (lines, role) else { return Err(errors) };
        Ok((lines, role))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgainForm {
    current_password: String,
    /// When the invitation was sent last, as the page knew it.
    sent: String,
}

async fn show(State(app): State<App>, manager: Manager, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    let shown = invitations_page(&app, &manager, &asked.before).await?;
    page(StatusCode::OK, &InvitationsPage { emails: asked.emails, notice: Notice::of(&asked.notice), ..shown })
}

async fn invitations_page(app: &App, manager: &Manager, before: &str) -> Result<InvitationsPage<'static>, PageError> {
    let place = read_place_in_time(before);
    let rows = invitations::list(&app.db, manager.organization, place, PAGE).await?;
    let inviters: Vec<SubjectId> = rows.iter().filter_map(|row| row.invited_by).map(UserId::subject).collect();
    Ok(InvitationsPage {
        portal: manager.portal("invitations"),
        emails: String::new(),
        role: Role::Member,
        asks_password: false,
        delivers: app.mailer.delivers(),
        now: app.db.now(),
        outcomes: &[],
        notice: None,
        pending: Paged::new(rows, |row| place_in_time(row.renewed_at, row.id)),
        names: users::names(&app.db, manager.organization, &inviters).await?,
        first_page: place.is_none(),
        errors: Errors::default(),
    })
}

async fn invite(State(app): State<App>, manager: Manager, Form(form): Form<InviteForm>) -> Result<Response, PageError> {
    let (lines, role) = match form.parse() {
        Ok(parsed) => parsed,
        Err(errors) => return again(&app, &manager, &form, errors).await,
    };
    if role == Role::Manager
        && let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await?
    {
        return again(&app, &manager, &form, Errors::one("current_password", why)).await;
    }
    let outcomes = invitations::invite_all(&app, &manager.authority(), manager.user, &lines, role).await?;
    let shown = invitations_page(&app, &manager, "").await?;
    let shown = InvitationsPage { emails: to_correct(&outcomes), role, outcomes: &outcomes, ..shown };
    let nothing_went_out = shown.invited() == 0 && !shown.emails.is_empty();
    page(if nothing_went_out { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &shown)
}

/// What was no address stays in the text area.
fn to_correct(outcomes: &[Outcome]) -> String {
    let wrong = outcomes.iter().filter(|outcome| matches!(outcome.result, Err(Left::NotAnAddress(_))));
    wrong.map(|outcome| outcome.typed.as_str()).collect::<Vec<_>>().join("\n")
}

async fn again(app: &App, manager: &Manager, form: &InviteForm, errors: Errors) -> Result<Response, PageError> {
    let shown = invitations_page(app, manager, "").await?;
    let asks_password = errors.on("current_password").is_some();
    let role = form.role().unwrap_or(Role::Member);
    page(
        StatusCode::UNPROCESSABLE_ENTITY,
        &InvitationsPage { emails: form.emails.clone(), role, asks_password, errors, ..shown },
    )
}

async fn find(app: &App, manager: &Manager, id: &str) -> Result<Invitation, PageError> {
    let id: InvitationId = id.parse().map_err(|_| PageError::NotFound)?;
    invitations::by_id(&app.db, manager.organization, id).await?.ok_or(PageError::NotFound)
}

fn back(notice: &str) -> Response {
    go(&format!("/settings/invitations?notice={notice}"))
}

async fn resend(
    State(app): State<App>,
    manager: Manager,
    Path(id): Path<String>,
    Form(form): Form<AgainForm>,
) -> Result<Response, PageError> {
    let invitation = find(&app, &manager, &id).await?;
    // To offer it again is to offer it: whoever sends it now is whose role it is measured by.
    if invitation.is_open()
        && invitation.role == Role::Manager
        && let Some(why) = sign_in::ask_password_again(&app, &manager, &form.current_password).await?
    {
        // The form with which it was offered is shown again, filled in: sending that renews the invitation too.
        let form =
            InviteForm { emails: invitation.email.to_string(), role: "manager".to_owned(), ..Default::default() };
        return again(&app, &manager, &form, Errors::one("current_password", why)).await;
    }
    let seen = match form.sent.as_str() {
        "" => Some(invitation.renewed_at),
        sent => sent.parse().ok().map(Timestamp::from_micros),
    };
    Ok(back(match invitations::resend(&app, &manager.authority(), manager.user, invitation.id, seen).await? {
        Some(Invited::Invited | Invited::AgainInvited) => "resent",
        Some(Invited::TooMuchMail) => "too-much-mail",
        Some(Invited::AlreadyUser { .. }) => "already-user",
        None => "over",
    }))
}

async fn revoke(State(app): State<App>, manager: Manager, Path(id): Path<String>) -> Result<Response, PageError> {
    let invitation = find(&app, &manager, &id).await?;
    let revoked = invitations::revoke(&app, &manager.authority(), invitation.id).await?;
    Ok(back(if revoked { "revoked" } else { "over" }))
}
