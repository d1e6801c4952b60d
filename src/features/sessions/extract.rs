use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, Method, request::Parts},
};

use super::{idle, is_fresh, store};
use crate::{
    features::{
        audit::{Actor, Authority},
        users::{Role, Status},
    },
    platform::{
        App, Fault,
        db::Tx,
        web::{PageError, Portal, Visitor, cookies::Cookie},
    },
    values::{EmailAddress, FullName, OrganizationId, OrganizationName, ReturnTo, SessionId, Slug, Timestamp, UserId},
};

/// Somebody with a living session.
#[derive(Debug, Clone)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// The user.
    pub user: UserId,
    /// Their address.
    pub email: EmailAddress,
    /// What they are called.
    pub full_name: FullName,
    /// What they may do.
    pub role: Role,
    /// Their organization, and no other.
    pub organization: OrganizationId,
    /// Its name.
    pub organization_name: OrganizationName,
    /// Its short name in addresses.
    pub organization_slug: Slug,
    /// The request that they act in.
    pub visitor: Visitor,
    password_at: Timestamp,
}

impl Member {
    /// For the audit log.
    pub fn actor(&self) -> Actor {
        Actor::user(self.user, &self.visitor)
    }

    /// Whether the password was given in this session a moment ago, as dangerous acts ask.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        is_fresh(self.password_at, now)
    }

    /// Whether they may do everything in Settings.
    pub fn is_manager(&self) -> bool {
        self.role == Role::Manager
    }

    /// The frame of a signed-in page.
    pub fn portal(&self, here: &'static str) -> Portal {
        Portal {
            organization: self.organization_name.to_string(),
            full_name: self.full_name.to_string(),
            is_manager: self.is_manager(),
            here,
        }
    }

    /// Notes that the password was given just now.
    pub fn mark_password(&self, tx: &mut Tx) {
        store::mark_password(tx, self.session);
    }
}

/// A [`Member`] who may do everything in Settings.
#[derive(Debug, Clone)]
pub struct Manager(pub Member);

impl std::ops::Deref for Manager {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.0
    }
}

impl Manager {
    /// The proof that verbs ask for.
    pub fn authority(&self) -> Authority {
        Authority { organization: self.organization, actor: self.actor() }
    }
}

/// Who is signed in with this request's cookie, if anybody is. A deactivated user is nobody.
pub async fn current(app: &App, visitor: &Visitor, headers: &HeaderMap) -> Result<Option<Member>, Fault> {
    let Some(secret) = Cookie::Session.read(&app.config, headers) else { return Ok(None) };
    let Some(living) = store::find(&app.db, &secret.digest()).await? else { return Ok(None) };
    let now = app.db.now();
    let over = now >= living.expires_at || now >= living.seen_at + idle(living.role);
    if over || living.status != Status::Active {
        return Ok(None);
    }
    app.tallies.seen(living.id, now);
    Ok(Some(Member {
        session: living.id,
        user: living.user_id,
        email: living.email,
        full_name: living.full_name,
        role: living.role,
        organization: living.organization_id,
        organization_name: living.organization_name,
        organization_slug: living.organization_slug,
        visitor: visitor.clone(),
        password_at: living.password_at,
    }))
}

impl<S: Send + Sync> FromRequestParts<S> for Member
where
    App: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let app = App::from_ref(state);
        let Ok(visitor) = Visitor::from_request_parts(parts, state).await;
        current(&app, &visitor, &parts.headers).await?.ok_or_else(|| {
            // After signing in, go on to the page that was asked for; a form that was sent is not sent again.
            let asked = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
            PageError::SignIn(asked.and_then(|path| ReturnTo::parse(path.as_str(), &app.config.public_url)))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Manager
where
    App: FromRef<S>,
{
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, PageError> {
        let member = Member::from_request_parts(parts, state).await?;
        if member.is_manager() { Ok(Self(member)) } else { Err(PageError::Forbidden) }
    }
}
