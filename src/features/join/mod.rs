//! Join: how somebody with a link becomes a user.
//!
//! `/join/{link code}` asks for an address → a message proves the mailbox, by link or by code → the details page
//! asks for name and password → signed in. Nothing but a *registration* exists before the mailbox is proved, and
//! the anonymous pages answer the same whoever an address belongs to: what it means is decided when the
//! message leaves ([`mail`]).
//!
//! Tables: `registrations`. Messages: `confirmation`.

mod counted;
mod finish;
mod forget;
mod invited;
pub mod mail;
mod model;
mod store;
mod web;

use crate::{
    features::{
        admission::{self, RefusedDomain},
        audit::{self, Actor, Authority, EventKind, Happened, Refused},
        invitations,
        links::{self, Found, LinkState},
        organizations,
        users::{self, User},
    },
    platform::{
        App, Fault,
        db::Tx,
        hashing::HashError,
        limits::{self, Limit, TooMany},
        mail::{Cause, Kind, outbox},
        metrics,
        tokens::{self, CodeTried, NewToken, Purpose},
        web::Visitor,
    },
    values::{
        ConfirmationCode, Digest, Domain, EmailAddress, LinkCodeId, OrganizationId, RegistrationId, Secret, Timestamp,
    },
};

pub use finish::{Details, Proof};
pub use forget::{forget_address, forget_former_address};
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
    begin_with(app, link.code_id, link.organization_id, begin, None, visitor).await
}

async fn begin_with(
    app: &App,
    code: LinkCodeId,
    organization: OrganizationId,
    begin: &Begin,
    instead_of: Option<&Registration>,
    visitor: &Visitor,
) -> Result<RegistrationId, JoinError> {
    let mut tx = app.db.write().await?;
    let counted = limits::count(app, &mut tx, Limit::BeginBySource, &[visitor.source().as_bytes()]).await?;
    if let Err(too_many) = counted {
        audit::count_refused(&mut tx, organization, Refused::TooMany);
        tx.commit().await?;
        return Err(JoinError::TooMany(too_many));
    }
    // Asked behind the lock: the link may have been replaced or switched off while this waited for its turn, and
    // whoever does that ends every registration that has begun before.
    organizations::lock(&mut tx, organization).await?.ok_or(JoinError::Unknown)?;
    let link = &store::found_by(&mut tx, code).await?.ok_or(JoinError::Unknown)?;
    let state = if instead_of.is_some() { link.policy.state(tx.now) } else { link.state(tx.now) };
    if state != LinkState::Open {
        return Err(JoinError::Closed(state));
    }
    if let admission::Admission::Refused(refused) = admission::admit(&mut tx, organization, &begin.address).await? {
        audit::count_refused(&mut tx, organization, Refused::Domain);
        tx.commit().await?;
        return Err(refused.into());
    }
    let link_is_hurried =
        limits::count(app, &mut tx, Limit::BeginByLink, &[link.link_id.uuid().as_bytes()]).await?.is_err();
    if let Some(old) = instead_of
        && !end(&mut tx, old, EndedWhy::AddressChanged, &Actor::visitor(visitor)).await?
    {
        // The same form a moment ago has ended it; one that is over begins no other.
        let open = store::find_open(&mut tx, link, begin).await?;
        return open.map(|open| open.id).ok_or(JoinError::Ended(EndedWhy::AddressChanged));
    }
    let id = begin_in(app, &mut tx, link, begin, visitor).await?;
    tx.commit().await?;
    app.tallies.funnel(link.link_id.uuid(), |funnel| funnel.sent += 1);
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
    let open = store::find_open(tx, link, begin).await?;
    // One of an address that is no user's any more makes room for a new one.
    let address_is_free = users::by_address(&mut *tx, link.organization_id, &begin.address).await?.is_none();
    let open = open.filter(|open| open.ended_why.is_none() || !address_is_free);
    if let Some(open) = open {
        if open.was_asked_just_now(tx.now) {
            return Ok(open.id);
        }
        store::mark_asked(tx, open.id);
        send_again(app, tx, &open, visitor).await?;
        return Ok(open.id);
    }
    let registration = store::insert(tx, link, begin).await?;
    audit::record(
        tx,
        link.organization_id,
        &Actor::visitor(visitor),
        Happened::to(EventKind::RegistrationBegun, registration.id),
    );
    send(app, tx, &registration).await?;
    Ok(registration.id)
}

/// Beyond two thousand in ten minutes a link answers slowly, and still answers everybody.
async fn slow_down() {
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

async fn send_again(app: &App, tx: &mut Tx, registration: &Registration, visitor: &Visitor) -> Result<(), Fault> {
    let happened = Happened::to(EventKind::ConfirmationAsked, registration.id);
    audit::record(tx, registration.organization_id, &Actor::visitor(visitor), happened);
    send(app, tx, registration).await
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
    tokens::issue(app, tx, token, message, true);
    Ok(())
}

/// The registration with this public id, if it is this browser's. Whatever has become of it.
pub async fn of_browser(app: &App, id: RegistrationId, browser: &Digest) -> Result<Registration, JoinError> {
    store::find_of_browser(&app.db, id, browser).await?.ok_or(JoinError::Unknown)
}

/// Refuses to go on with a registration that ended, or whose link does not open any more. What only a proof of the
/// mailbox may learn is asked with that proof ([`look`]).
async fn must_look_open(app: &App, registration: &Registration) -> Result<(), JoinError> {
    let now = app.db.now();
    registration.must_look_open(now)?;
    let policy = store::policy(&app.db, registration).await?;
    match policy.state(now) {
        LinkState::Open => Ok(()),
        closed => Err(JoinError::Closed(closed)),
    }
}

/// Sends another message, in the address's budget. Links already sent stay good; the newest code counts. `seen` is when the page
/// that asks for it says that mail was asked for last: of one page's button, however often it is pressed, one message comes.
pub async fn resend(
    app: &App,
    registration: &Registration,
    seen: Option<Timestamp>,
    visitor: &Visitor,
) -> Result<(), JoinError> {
    must_look_open(app, registration).await?;
    let mut tx = app.db.write().await?;
    if let Err(too_many) = limits::count(app, &mut tx, Limit::BeginBySource, &[visitor.source().as_bytes()]).await? {
        return Err(JoinError::TooMany(too_many));
    }
    admission::admit(&mut tx, registration.organization_id, &registration.email).await?.admitted()?;
    // What a page says is compared here and goes no further.
    if seen == Some(registration.asked_at) && store::ask_again(&mut tx, registration).await? {
        send_again(app, &mut tx, registration, visitor).await?;
    }
    Ok(tx.commit().await?)
}

/// Ends a registration because its address was mistyped, and begins one with another address, in one write: one
/// registration never becomes two, also when its link was replaced meanwhile.
pub async fn change_address(
    app: &App,
    old: &Registration,
    begin: &Begin,
    visitor: &Visitor,
) -> Result<RegistrationId, JoinError> {
    match must_look_open(app, old).await {
        // The same form a moment ago: the write finds what it has begun.
        Ok(()) | Err(JoinError::Ended(EndedWhy::AddressChanged)) => {}
        Err(error) => return Err(error),
    }
    if old.email.identity() == begin.address.identity() {
        return Ok(old.id);
    }
    begin_with(app, old.link_code_id, old.organization_id, begin, Some(old), visitor).await
}

/// `false` when it was over already.
async fn end(tx: &mut Tx, registration: &Registration, why: EndedWhy, actor: &Actor) -> Result<bool, Fault> {
    if !store::end(tx, registration.id, why).await? {
        return Ok(false);
    }
    outbox::drop_about(tx, registration.id.subject());
    // Of a user who came another way the codes can still be tried, to no effect: who only guesses learns nothing.
    if why != EndedWhy::JoinedElsewhere {
        tokens::end_all(tx, Purpose::Confirmation, registration.id.subject());
    }
    if registration.ended_why.is_none() {
        record_end(tx, registration, why, actor); // else it was recorded when the user came
    }
    Ok(true)
}

fn record_end(tx: &mut Tx, registration: &Registration, why: EndedWhy, actor: &Actor) {
    metrics::registration_ended(why.as_str());
    let details = serde_json::json!({ "why": why.as_str() });
    let happened = Happened::to(EventKind::RegistrationEnded, registration.id).with(details);
    audit::record(tx, registration.organization_id, actor, happened);
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
    code: &ConfirmationCode,
    visitor: &Visitor,
) -> Result<Entered, JoinError> {
    must_look_open(app, registration).await?;
    let mut tx = app.db.write().await?;
    let (source, organization) = (visitor.source(), registration.organization_id);
    let id = organization.uuid();
    let limits: [(Limit, &[u8]); 2] =
        [(Limit::WrongCodeBySource, source.as_bytes()), (Limit::WrongCodeByOrganization, id.as_bytes())];
    // Counted before it is compared, and taken back where it is right: a thousand guesses at once are a thousand.
    for (limit, of) in limits {
        if limits::count(app, &mut tx, limit, &[of]).await?.is_err() {
            return Ok(Entered::OpenTheLink);
        }
    }
    let entered = match tokens::try_code(app, &mut tx, registration.id.subject(), code).await? {
        CodeTried::Right { handed_over_by } => {
            for (limit, of) in limits {
                limits::take_back(app, &mut tx, limit, &[of]);
            }
            if registration.ended_why.is_some() {
                tx.commit().await?;
                return Err(JoinError::Ended(EndedWhy::JoinedElsewhere));
            }
            let secret = tx.new_secret();
            store::move_browser(&mut tx, registration.id, &secret.digest());
            store::confirm(&mut tx, registration.id, handed_over_by);
            let happened = Happened::to(EventKind::RegistrationConfirmed, registration.id);
            audit::record(&mut tx, organization, &Actor::visitor(visitor), happened);
            Entered::Right(secret)
        }
        CodeTried::Wrong { left } => {
            audit::count_refused(&mut tx, organization, Refused::Code);
            Entered::Wrong(left)
        }
        // Nothing was compared, so that nothing counts.
        CodeTried::NoCode => return Ok(Entered::NoCode),
    };
    tx.commit().await?;
    Ok(entered)
}

/// A user's creation ends every open registration and invitation of the address, whichever way they came.
pub async fn end_everything_of(tx: &mut Tx, user: &User, actor: &Actor) -> Result<(), Fault> {
    for other in store::list_open_of(tx, user.organization_id, &user.email).await? {
        end(tx, &other, EndedWhy::JoinedElsewhere, actor).await?;
    }
    invitations::accept_pending(tx, user, actor).await
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
    Ok(open.iter().filter(|registration| registration.ended_why.is_none()).count())
}

/// The message of a registration was refused for good: it is marked, and its manager can hand the link over.
pub fn mail_failed(tx: &mut Tx, id: RegistrationId) {
    store::mail_failed(tx, id);
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
