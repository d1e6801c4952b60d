//! The last step: a proof and the details become a user, decided again behind the organization's lock.

use super::{EndedWhy, JoinError, Registration, end_everything_of, must_look_open, of_browser, store};
use crate::{
    features::{
        admission::{self, Admitted},
        audit::{self, Actor, EventKind, Happened},
        invitations,
        links::{self, LinkState},
        organizations,
        sessions::{self, Brought, Started},
        users::{self, CameBy, NewUser, Proved, Role},
    },
    platform::{
        App, Fault,
        db::Tx,
        mail::outbox,
        tokens::{self, Purpose},
        web::Visitor,
    },
    values::{Digest, FullName, OrganizationId, Password, RegistrationId, Secret, SubjectId},
};

/// What proves the mailbox, once it is proved.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token of a message's link.
    Link(Digest),
    /// An accepted code, in the browser that typed it.
    Code(RegistrationId, Digest),
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
    must_look_open(app, &registration).await?;
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
    outbox::drop_about(&mut tx, registration.id.subject()).await?;
    tokens::end_all(&mut tx, Purpose::Confirmation, registration.id.subject()).await?;
    end_everything_of(&mut tx, &user, &Actor::visitor(visitor)).await?;
    let started = sessions::start(&mut tx, &user, visitor, Brought { before, known: None }).await?;
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
    came_by_id: SubjectId,
}

/// By a pending invitation, which wins (decision R2), else by the link and the list as they are now.
async fn way_in(app: &App, tx: &mut Tx, registration: &Registration, proof: &Proof) -> Result<WayIn, JoinError> {
    let organization = registration.organization_id;
    let policy = links::in_transaction(tx, organization, registration.link_id).await?.ok_or(JoinError::Unknown)?;
    match policy.state(tx.now) {
        LinkState::Open => {}
        closed => return Err(JoinError::Closed(closed)),
    }
    let now = tx.now;
    if let Some(invitation) = invitations::pending_for(&mut *tx, now, organization, &registration.email).await? {
        let role = invitations::role_now(&mut *tx, &invitation).await?;
        if role == Role::Manager && matches!(proof, Proof::Code(..)) {
            return Err(JoinError::UseInvitation);
        }
        let admitted = Admitted::by_invitation(registration.email.clone());
        users::unbar(app, tx, organization, &registration.email).await?;
        return Ok(WayIn { admitted, role, came_by: CameBy::Invitation, came_by_id: invitation.id.subject() });
    }
    let admitted = admission::admit(&mut *tx, organization, &registration.email).await?.admitted()?;
    if users::is_barred(app, &mut *tx, now, organization, &registration.email).await? {
        return Err(JoinError::Barred);
    }
    if !links::count_use(tx, organization, registration.link_id).await? {
        return Err(JoinError::Closed(LinkState::Full));
    }
    Ok(WayIn { admitted, role: Role::Member, came_by: CameBy::Link, came_by_id: registration.link_id.subject() })
}

/// The organization that a link of ours once led to, for saying why it does not any more.
pub(super) async fn organization_behind(app: &App, proof: &Proof) -> Result<Option<OrganizationId>, Fault> {
    match proof {
        Proof::Link(digest) => {
            Ok(tokens::find(&app.db, Purpose::Confirmation, digest).await?.and_then(|token| token.organization_id))
        }
        Proof::Code(id, browser) => {
            Ok(store::find_of_browser(&app.db, *id, browser).await?.map(|registration| registration.organization_id))
        }
    }
}
