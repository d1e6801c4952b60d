use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use super::{AccountError, device::Device};
use crate::{
    features::{
        address_changes::{self, AddressChange},
        sessions::{self, Member, Session},
    },
    platform::{
        App,
        web::{BUSY_SECONDS, Errors, Form, PageError, Portal, Visitor, go, page, retry_after_header},
    },
    values::{EmailAddress, FullName, Invalid, Password, PersonalWords, SessionId},
};

/// `/` and `/account/…`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(start))
        .route("/account", get(show))
        .route("/account/name", post(rename))
        .route("/account/password", post(change_password))
        .route("/account/sessions/end-others", post(end_other_sessions))
        .route("/account/sessions/{id}/end", post(end_session))
        .merge(super::web_address::routes())
}

/// What has just happened, said above the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    Renamed,
    PasswordChanged,
    AddressChanged,
    AddressStopped,
    SessionsEnded,
}

impl Notice {
    fn of(word: &str) -> Option<Self> {
        match word {
            "name" => Some(Self::Renamed),
            "password" => Some(Self::PasswordChanged),
            "address" => Some(Self::AddressChanged),
            "stopped" => Some(Self::AddressStopped),
            "sessions" => Some(Self::SessionsEnded),
            _ => None,
        }
    }
}

#[derive(Template)]
#[template(path = "features/account/account.html")]
struct AccountPage<'a> {
    portal: Portal,
    email: &'a EmailAddress,
    is_manager: bool,
    full_name: &'a str,
    new_email: &'a str,
    waiting: Option<AddressChange>,
    delivers: bool,
    sessions: Vec<Place>,
    notice: Option<Notice>,
    errors: Errors,
}

/// Where the user is signed in.
struct Place {
    session: Session,
    device: Device,
    is_here: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    notice: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NameForm {
    full_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PasswordForm {
    current_password: String,
    password: String,
}

async fn start(State(app): State<App>, visitor: Visitor, headers: HeaderMap) -> Result<Response, PageError> {
    let somebody = sessions::current(&app, &visitor, &headers).await?;
    Ok(go(if somebody.is_some() { "/account" } else { "/login" }))
}

async fn show(State(app): State<App>, member: Member, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    Shown { notice: Notice::of(&asked.notice), ..Shown::of(&member) }.answer(&app, &member, StatusCode::OK).await
}

/// The account page as it is to be shown: what was typed stays, but for passwords.
pub(super) struct Shown<'a> {
    full_name: &'a str,
    new_email: &'a str,
    notice: Option<Notice>,
    errors: Errors,
}

impl<'a> Shown<'a> {
    pub(super) fn of(member: &'a Member) -> Self {
        Self { full_name: member.full_name.as_str(), new_email: "", notice: None, errors: Errors::default() }
    }

    /// With the address as it was typed.
    pub(super) fn with_address(self, new_email: &'a str) -> Self {
        Self { new_email, ..self }
    }

    async fn answer(self, app: &App, member: &Member, status: StatusCode) -> Result<Response, PageError> {
        let listed = sessions::list_of(&app.db, member.user, sessions::idle(member.role)).await?;
        let newest = address_changes::newest_of(&app.db, member.organization, member.user).await?;
        let shown = AccountPage {
            portal: member.portal("account"),
            email: &member.email,
            is_manager: member.is_manager(),
            full_name: self.full_name,
            new_email: self.new_email,
            waiting: newest.filter(|change| change.is_waiting(app.db.now())),
            delivers: app.mailer.delivers(),
            sessions: listed.into_iter().map(|session| Place::of(session, member)).collect(),
            notice: self.notice,
            errors: self.errors,
        };
        let response = page(status, &shown)?;
        let is_busy = status == StatusCode::SERVICE_UNAVAILABLE;
        Ok(if is_busy { retry_after_header(response, BUSY_SECONDS) } else { response })
    }

    /// The page again, with the reason beside a field.
    pub(super) async fn refused(
        self,
        app: &App,
        member: &Member,
        field: &'static str,
        why: Invalid,
    ) -> Result<Response, PageError> {
        let is_busy = matches!(why, Invalid::Busy);
        let status = if is_busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self { errors: Errors::one(field, why), ..self }.answer(app, member, status).await
    }
}

impl Place {
    fn of(session: Session, member: &Member) -> Self {
        Self { device: Device::of(&session.user_agent), is_here: session.id == member.session, session }
    }
}

/// How a refusal looks that has no place beside a field.
pub(super) fn refusal(error: AccountError) -> PageError {
    match error {
        AccountError::SignedOut => PageError::SignIn(None),
        AccountError::TooMany(too_many) => too_many.into(),
        AccountError::Busy => PageError::Busy,
        AccountError::Fault(fault) => fault.into(),
        _ => PageError::NotFound,
    }
}

async fn rename(State(app): State<App>, member: Member, Form(form): Form<NameForm>) -> Result<Response, PageError> {
    let full_name: FullName = match form.full_name.parse() {
        Ok(full_name) => full_name,
        Err(why) => {
            let shown = Shown { full_name: &form.full_name, ..Shown::of(&member) };
            return shown.refused(&app, &member, "full_name", why).await;
        }
    };
    super::rename(&app, &member, full_name).await.map_err(refusal)?;
    Ok(go("/account?notice=name"))
}

async fn change_password(
    State(app): State<App>,
    member: Member,
    Form(form): Form<PasswordForm>,
) -> Result<Response, PageError> {
    let about = PersonalWords {
        full_name: member.full_name.as_str(),
        email: member.email.as_str(),
        organization: member.organization_name.as_str(),
    };
    let shown = Shown::of(&member);
    let password = match Password::parse_new(&form.password, &about) {
        Ok(password) => password,
        Err(why) => return shown.refused(&app, &member, "password", why).await,
    };
    match super::change_password(&app, &member, &form.current_password, password).await {
        Ok(started) => {
            let mut response = go("/account?notice=password");
            started.set_cookies(&app.config, &mut response);
            Ok(response)
        }
        Err(AccountError::PasswordWrong) => {
            shown.refused(&app, &member, "current_password", Invalid::PasswordWrong).await
        }
        Err(AccountError::Busy) => shown.refused(&app, &member, "current_password", Invalid::Busy).await,
        Err(error) => Err(refusal(error)),
    }
}

async fn end_other_sessions(State(app): State<App>, member: Member) -> Result<Response, PageError> {
    super::end_other_sessions(&app, &member).await?;
    Ok(go("/account?notice=sessions"))
}

async fn end_session(State(app): State<App>, member: Member, Path(id): Path<String>) -> Result<Response, PageError> {
    let id: SessionId = id.parse().map_err(|_| PageError::NotFound)?;
    if super::end_session(&app, &member, id).await? {
        Ok(go("/account?notice=sessions"))
    } else {
        Err(PageError::NotFound)
    }
}
