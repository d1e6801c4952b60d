//! Join: how somebody with a link becomes a user.
//!
//! `/join/{link code}` asks for an address → a message proves the mailbox, by link or by code → the details page
//! asks for name and password → signed in. Nothing but a *registration* exists before the mailbox is proved, and
//! the anonymous pages answer the same whoever an address belongs to: what it means is decided when the
//! message leaves ([`mail`]).
//!
//! Tables: `registrations`. Messages: `confirmation`.

mod invited;
pub mod mail;
mod model;
mod store;
mod web;
mod web_invited;

use crate::{
    features::{
        admission::{self, Admitted, RefusedDomain},
        audit::{self, Actor, Authority, EventKind, Happened, Refused},
        invitations,
        links::{self, Found, LinkState},
        organizations,
        sessions::{self, Started},
        users::{self, CameBy, NewUser, Proved, Role, User},
    },
    platform::{
        App, Fault,
        db::Tx,
        hashing::HashError,
        limits::{self, Limit, TooMany},
        mail::{Cause, Kind, outbox},
        tokens::{self, CodeTried, NewToken, Purpose},
        web::Visitor,
    },
    values::{
        ConfirmationCode, Digest, Domain, EmailAddress, FullName, OrganizationId, Password, RegistrationId, Secret,
    },
};

pub use model::{EndedWhy, Registration, RegistrationState};
pub use store::{clean_up, count_open_by_domain};
pub use web::routes;

/// Why a registration did not go on. The words are in the templates.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No such code, token or registration; or none of this browser's.
    #[error("unknown")]
    Unknown,
    /// The link does not open; why.
    #[error("link {}", .0.as_str())]
    Closed(LinkState),
    /// The registration ended; why.
    #[error("registration ended: {}", .0.as_str())]
    Ended(EndedWhy),
    /// The token or the time for the details has run out.
    #[error("too old")]
    TooOld,
    /// The domain is not on the list, or not any more.
    #[error("domain not on the list")]
    OtherDomain(Domain),
    /// The address may not come back through the link.
    #[error("address barred")]
    Barred,
    /// A manager's invitation wants its link, not a code.
    #[error("invitation needs its link")]
    UseInvitation,
    /// The address has a user: sign in.
    #[error("already a user")]
    AlreadyUser,
    /// Too often.
    #[error("too many")]
    TooMany(TooMany),
    /// The hash pool is full.
    #[error("busy")]
    Busy,
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<HashError> for JoinError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Fault(fault) => fault.into(),
        }
    }
}

impl From<RefusedDomain> for JoinError {
    fn from(refused: RefusedDomain) -> Self {
        Self::OtherDomain(refused.domain)
    }
}

/// What proves the mailbox, once it is proved.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token of a message's link.
    Link(Digest),
    /// An accepted code, in the browser that typed it.
    Code(RegistrationId, Digest),
}

/// Somebody's first step: what they typed, from which browser.
pub struct Begin {
    /// The address.
    pub address: EmailAddress,
    /// The browser's secret, hashed.
    pub browser: Digest,
}

/// Begins a registration, or finds the one that this browser has begun with this address a moment ago.
/// Answers the same for members, invited people and strangers.
pub async fn begin(app: &App, link: &Found, begin: &Begin, visitor: &Visitor) -> Result<RegistrationId, JoinError> {
    let mut tx = app.db.write().await?;
    let counted = limits::count(app, &mut tx, Limit::BeginBySource, &[visitor.source().as_bytes()]).await?;
    if let Err(too_many) = counted {
        audit::count_refused(&mut tx, link.organization_id, Refused::TooMany).await?;
        tx.commit().await?;
        return Err(JoinError::TooMany(too_many));
    }
    let link_is_hurried =
        limits::count(app, &mut tx, Limit::BeginByLink, &[link.link_id.uuid().as_bytes()]).await?.is_err();
    if let admission::Admission::Refused(refused) =
        admission::admit(&mut tx, link.organization_id, &begin.address).await?
    {
        audit::count_refused(&mut tx, link.organization_id, Refused::Domain).await?;
        tx.commit().await?;
        return Err(refused.into());
    }
    links::count_sent(&mut tx, link.link_id).await?;
    let id = begin_in(app, &mut tx, link, begin, visitor).await?;
    tx.commit().await?;
    if link_is_hurried {
        slow_down().await;
    }
    Ok(id)
}

async fn begin_in(
    app: &App,
    tx: &mut Tx,
    link: &Found,
    begin: &Begin,
    visitor: &Visitor,
) -> Result<RegistrationId, JoinError> {
    let open = store::find_open(tx, &begin.browser, link.link_id, &begin.address).await?;
    if let Some(open) = open {
        if open.was_asked_just_now(tx.now) {
            return Ok(open.id);
        }
        store::mark_asked(tx, open.id).await?;
        send(app, tx, &open).await?;
        return Ok(open.id);
    }
    let registration = store::insert(tx, link, begin).await?;
    audit::record(
        tx,
        link.organization_id,
        &Actor::visitor(visitor),
        Happened::to(EventKind::RegistrationBegun, registration.id),
    )
    .await?;
    send(app, tx, &registration).await?;
    Ok(registration.id)
}

/// Beyond two thousand in ten minutes a link answers slowly, and still answers everybody.
async fn slow_down() {
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

/// Writes the message that proves the mailbox, within the address's budget.
async fn send(app: &App, tx: &mut Tx, registration: &Registration) -> Result<(), Fault> {
    let message = outbox::NewMessage {
        organization: registration.organization_id,
        kind: Kind::Confirmation,
        cause: Cause::Anonymous,
        to: registration.email.clone(),
        subject: registration.id.subject(),
        actor: None,
    };
    let message = outbox::write(app, tx, message).await?;
    let token = NewToken {
        purpose: Purpose::Confirmation,
        organization: registration.organization_id,
        subject: registration.id.subject(),
    };
    tokens::issue(app, tx, token, message, true).await
}

/// The registration with this public id, if it is this browser's. Whatever has become of it.
pub async fn of_browser(app: &App, id: RegistrationId, browser: &Digest) -> Result<Registration, JoinError> {
    store::find_of_browser(&app.db, id, browser).await?.ok_or(JoinError::Unknown)
}

/// Refuses to go on with a registration that ended, or whose link does not open any more.
async fn must_be_open(app: &App, registration: &Registration) -> Result<(), JoinError> {
    let now = app.db.now();
    registration.must_be_open(now)?;
    let policy = store::policy(&app.db, registration).await?;
    match policy.state(now) {
        LinkState::Open => Ok(()),
        closed => Err(JoinError::Closed(closed)),
    }
}

/// Sends another message, in the address's budget. Links already sent stay good; the newest code counts.
pub async fn resend(app: &App, registration: &Registration, visitor: &Visitor) -> Result<(), JoinError> {
    must_be_open(app, registration).await?;
    let mut tx = app.db.write().await?;
    if let Err(too_many) = limits::count(app, &mut tx, Limit::BeginBySource, &[visitor.source().as_bytes()]).await? {
        return Err(JoinError::TooMany(too_many));
    }
    admission::admit(&mut tx, registration.organization_id, &registration.email).await?.admitted()?;
    store::mark_asked(&mut tx, registration.id).await?;
    send(app, &mut tx, registration).await?;
    Ok(tx.commit().await?)
}

/// Ends a registration because its address was mistyped, and begins one with another address.
pub async fn change_address(
    app: &App,
    old: &Registration,
    begin: &Begin,
    visitor: &Visitor,
) -> Result<RegistrationId, JoinError> {
    must_be_open(app, old).await?;
    let link = store::found_for(&app.db, old).await?.ok_or(JoinError::Unknown)?;
    if old.email.identity() == begin.address.identity() {
        return Ok(old.id);
    }
    let new = self::begin(app, &link, begin, visitor).await?;
    let mut tx = app.db.write().await?;
    end(&mut tx, old, EndedWhy::AddressChanged, &Actor::visitor(visitor)).await?;
    tx.commit().await?;
    Ok(new)
}

async fn end(tx: &mut Tx, registration: &Registration, why: EndedWhy, actor: &Actor) -> Result<(), Fault> {
    if store::end(tx, registration.id, why).await? {
        tokens::end_all(tx, Purpose::Confirmation, registration.id.subject()).await?;
        outbox::drop_about(tx, registration.id.subject()).await?;
        let details = serde_json::json!({ "why": why.as_str() });
        audit::record(
            tx,
            registration.organization_id,
            actor,
            Happened::to(EventKind::RegistrationEnded, registration.id).with(details),
        )
        .await?;
    }
    Ok(())
}

/// What typing a code showed.
pub enum Entered {
    /// It is right: the browser's new secret, with which the details page opens.
    Right(Secret),
    /// It is wrong; so many tries are left on it.
    Wrong(i64),
    /// No code can be tried any more: too old, or tried too often.
    NoCode,
    /// Too many wrong codes here: open the link instead.
    OpenTheLink,
}

/// Tries a confirmation code. When it is right, the browser gets a new secret: whoever knew the old one is shut out.
pub async fn enter_code(
    app: &App,
    registration: &Registration,
    browser: &Digest,
    code: &ConfirmationCode,
    visitor: &Visitor,
) -> Result<Entered, JoinError> {
    must_be_open(app, registration).await?;
    let mut tx = app.db.write().await?;
    let (source, organization) = (visitor.source(), registration.organization_id);
    let by_source = limits::check(app, &mut tx, Limit::WrongCodeBySource, &[source.as_bytes()]).await?;
    let by_organization =
        limits::check(app, &mut tx, Limit::WrongCodeByOrganization, &[organization.uuid().as_bytes()]).await?;
    if by_source.is_err() || by_organization.is_err() {
        return Ok(Entered::OpenTheLink);
    }
    let entered = match tokens::try_code(app, &mut tx, registration.id.subject(), code).await? {
        CodeTried::Right { handed_over_by } => {
            let secret = tx.new_secret();
            store::move_browser(&mut tx, browser, &secret.digest()).await?;
            store::confirm(&mut tx, registration.id, handed_over_by).await?;
            let happened = Happened::to(EventKind::RegistrationConfirmed, registration.id);
            audit::record(&mut tx, organization, &Actor::visitor(visitor), happened).await?;
            Entered::Right(secret)
        }
        CodeTried::Wrong { left } => {
            // Counted, whatever it says: the check above is what refuses.
            let _ = limits::count(app, &mut tx, Limit::WrongCodeBySource, &[source.as_bytes()]).await?;
            let _ =
                limits::count(app, &mut tx, Limit::WrongCodeByOrganization, &[organization.uuid().as_bytes()]).await?;
            audit::count_refused(&mut tx, organization, Refused::Code).await?;
            Entered::Wrong(left)
        }
        CodeTried::NoCode => Entered::NoCode,
    };
    tx.commit().await?;
    Ok(entered)
}

/// The registration that a proof opens, if it still may be finished. Changes nothing.
pub async fn look(app: &App, proof: &Proof) -> Result<Registration, JoinError> {
    let registration = match proof {
        Proof::Link(digest) => {
            let token = tokens::find(&app.db, Purpose::Confirmation, digest).await?.ok_or(JoinError::Unknown)?;
            let registration = store::find(&app.db, token.subject_id.of()).await?.ok_or(JoinError::Unknown)?;
            registration.must_be_open(app.db.now())?;
            if !token.is_open(app.db.now()) {
                return Err(JoinError::TooOld);
            }
            registration
        }
        Proof::Code(id, browser) => {
            let registration = of_browser(app, *id, browser).await?;
            registration.must_be_open(app.db.now())?;
            if !registration.is_confirmed(app.db.now()) {
                return Err(JoinError::TooOld);
            }
            registration
        }
    };
    must_be_open(app, &registration).await?;
    Ok(registration)
}

/// What the details page asks for.
pub struct Details {
    /// The full name.
    pub full_name: FullName,
    /// The new password.
    pub password: Password,
}

/// Makes the user: decides about the address again, behind the organization's lock, and signs them in.
pub async fn finish(
    app: &App,
    proof: &Proof,
    details: Details,
    visitor: &Visitor,
    before: Option<&Secret>,
) -> Result<Started, JoinError> {
    let seen = look(app, proof).await?; // nobody hashes without a proof
    let password_hash = app.hashing.hash(details.password, &visitor.source()).await?; // slow, so before the write
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, seen.organization_id).await?.ok_or(JoinError::Unknown)?;
    let registration = store::finish(&mut tx, seen.id).await?.ok_or(JoinError::Ended(EndedWhy::Finished))?;
    let proved = prove(&mut tx, proof).await?;
    let way = way_in(app, &mut tx, &registration, proof).await?;
    let new = NewUser {
        organization: registration.organization_id,
        admitted: way.admitted,
        full_name: details.full_name,
        password_hash: Some(password_hash),
        role: way.role,
        proved,
        came_by: way.came_by,
        came_by_id: Some(way.came_by_id),
    };
    let Some(user) = users::create(&mut tx, new, &Actor::visitor(visitor)).await? else {
        return Err(JoinError::AlreadyUser);
    };
    store::set_user(&mut tx, registration.id, user.id).await?;
    tokens::end_all(&mut tx, Purpose::Confirmation, registration.id.subject()).await?;
    outbox::drop_about(&mut tx, registration.id.subject()).await?;
    end_everything_of(&mut tx, &user, &Actor::visitor(visitor)).await?;
    let started = sessions::start(&mut tx, &user, visitor, before).await?;
    audit::record(
        &mut tx,
        user.organization_id,
        &Actor::user(user.id, visitor),
        Happened::to(EventKind::SignedIn, user.id),
    )
    .await?;
    tx.commit().await?;
    Ok(started)
}

/// The proof again, inside the write: it may have run out or been ended since it was looked at.
async fn prove(tx: &mut Tx, proof: &Proof) -> Result<Proved, JoinError> {
    let now = tx.now;
    let handed_over_by = match proof {
        Proof::Link(digest) => {
            let token = tokens::find(tx, Purpose::Confirmation, digest).await?;
            token.filter(|token| token.is_open(now)).ok_or(JoinError::TooOld)?.handed_over_by
        }
        Proof::Code(id, browser) => {
            let registration = store::find_of_browser(tx, *id, browser).await?;
            registration.filter(|registration| registration.is_confirmed(now)).ok_or(JoinError::TooOld)?.handed_over_by
        }
    };
    Ok(Proved::by_token(handed_over_by))
}

struct WayIn {
    admitted: Admitted,
    role: Role,
    came_by: CameBy,
    came_by_id: crate::values::SubjectId,
}

/// By a pending invitation, which wins (decision R2), else by the link and the list as they are now.
async fn way_in(app: &App, tx: &mut Tx, registration: &Registration, proof: &Proof) -> Result<WayIn, JoinError> {
    let organization = registration.organization_id;
    let policy = links::in_transaction(tx, organization, registration.link_id).await?.ok_or(JoinError::Unknown)?;
    match policy.state(tx.now) {
        LinkState::Open => {}
        closed => return Err(JoinError::Closed(closed)),
    }
    if let Some(invitation) = invitations::pending_for(tx, organization, &registration.email).await? {
        if invitation.role == Role::Manager && matches!(proof, Proof::Code(..)) {
            return Err(JoinError::UseInvitation);
        }
        let admitted = Admitted::by_invitation(registration.email.clone());
        users::unbar(app, tx, organization, &registration.email).await?;
        return Ok(WayIn {
            admitted,
            role: invitation.role,
            came_by: CameBy::Invitation,
            came_by_id: invitation.id.subject(),
        });
    }
    let admitted = admission::admit(&mut *tx, organization, &registration.email).await?.admitted()?;
    let now = tx.now;
    if users::is_barred(app, &mut *tx, now, organization, &registration.email).await? {
        return Err(JoinError::Barred);
    }
    if !links::count_use(tx, organization, registration.link_id).await? {
        return Err(JoinError::Closed(LinkState::Full));
    }
    Ok(WayIn { admitted, role: Role::Member, came_by: CameBy::Link, came_by_id: registration.link_id.subject() })
}

/// A user's creation ends every open registration and invitation of the address, whichever way they came.
pub async fn end_everything_of(tx: &mut Tx, user: &User, actor: &Actor) -> Result<(), Fault> {
    for other in store::list_open_of(tx, user.organization_id, &user.email).await? {
        end(tx, &other, EndedWhy::JoinedElsewhere, actor).await?;
    }
    invitations::accept_pending(tx, user, actor).await
}

/// Forgets the registrations of an address whose user was deleted, and the messages about them.
pub async fn forget_address(tx: &mut Tx, organization: OrganizationId, address: &EmailAddress) -> Result<(), Fault> {
    for id in store::delete_of_address(tx, organization, address).await? {
        tokens::end_all(tx, Purpose::Confirmation, id.subject()).await?;
        outbox::forget_about(tx, id.subject()).await?;
    }
    Ok(())
}

/// The organization that a link of ours once led to, for saying why it does not any more.
async fn organization_behind(app: &App, proof: &Proof) -> Result<Option<OrganizationId>, Fault> {
    match proof {
        Proof::Link(digest) => {
            Ok(tokens::find(&app.db, Purpose::Confirmation, digest).await?.and_then(|token| token.organization_id))
        }
        Proof::Code(id, browser) => {
            Ok(store::find_of_browser(&app.db, *id, browser).await?.map(|registration| registration.organization_id))
        }
    }
}

/// Ends the open registrations of an organization, because its link was replaced or switched off. How many.
pub async fn end_all_open(
    tx: &mut Tx,
    organization: OrganizationId,
    why: EndedWhy,
    actor: &Actor,
) -> Result<usize, Fault> {
    let open = store::list_open(tx, organization).await?;
    for registration in &open {
        end(tx, registration, why, actor).await?;
    }
    Ok(open.len())
}

/// The message of a registration was refused for good: it is marked, and its manager can hand the link over.
pub async fn mail_failed(tx: &mut Tx, id: RegistrationId) -> Result<(), Fault> {
    store::mail_failed(tx, id).await
}

/// Replaces the organization's link. Unless they may still finish, registrations begun with the old one are
/// cancelled and told so (decision L1). The path of the new link, and how many were cancelled.
pub async fn replace_link(app: &App, by: &Authority, cancel_open: bool) -> Result<(String, usize), Fault> {
    let mut tx = app.db.write().await?;
    let path = links::replace_own(app, &mut tx, by).await?;
    let cancelled =
        if cancel_open { end_all_open(&mut tx, by.organization, EndedWhy::LinkReplaced, &by.actor).await? } else { 0 };
    tx.commit().await?;
    Ok((path, cancelled))
}
