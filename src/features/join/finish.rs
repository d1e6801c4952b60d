//! The last step: a proof and the details become a user, decided again behind the organization's lock.

use super::{EndedWhy, JoinError, Registration, record_end, store, store::Opened};
use crate::{
    features::{
        admission::{self, Admitted},
        audit::Actor,
        invitations,
        links::{self, LinkState},
        organizations,
        sessions::{self, Brought, Started},
        users::{self, CameBy, NewUser, Proved, Role},
    },
    platform::{App, Fault, db::Tx, mail::outbox, web::Visitor},
    values::{Digest, FullName, Password, RegistrationId, Secret, SubjectId, Timestamp},
};

/// What proves the mailbox, once it is proved.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token of a message's link.
    Link(Digest),
    /// An accepted code, in the browser that typed it.
    Code(RegistrationId, Digest),
}

/// The registration that a proof opens, whatever has become of it. `browser` is the mark of the browser that asks.
pub(super) async fn find(app: &App, proof: &Proof, browser: Option<&Digest>) -> Result<Opened, JoinError> {
    let found = match proof {
        Proof::Link(digest) => store::opened_by_link(&app.db, digest, browser).await?,
        Proof::Code(id, browser) => store::opened_by_code(&app.db, *id, browser).await?,
    };
    found.ok_or(JoinError::Unknown)
}

impl Opened {
    /// Refuses one that may not be finished any more, with the reason.
    pub(super) fn must_be_open(&self, proof: &Proof, now: Timestamp) -> Result<(), JoinError> {
        self.registration.must_be_open(now)?;
        let is_good = match proof {
            Proof::Link(_) => self.token_ended_at.is_none() && self.token_lives_until.is_none_or(|end| now < end),
            Proof::Code(..) => self.registration.is_confirmed(now),
        };
        if !is_good {
            return Err(JoinError::TooOld);
        }
        match self.policy.state(now) {
            LinkState::Open => Ok(()),
            closed => Err(JoinError::Closed(closed)),
        }
    }
}

/// What the details page asks for.
pub struct Details {
    /// The full name.
    pub full_name: FullName,
    /// The new password.
    pub password: Password,
}

/// Makes the user: decides about the address again, behind the organization's lock, and signs them in. `opened` was
/// looked at before: nobody hashes without a proof.
pub(super) async fn finish(
    app: &App,
    (opened, proof): (&Opened, &Proof),
    details: Details,
    visitor: &Visitor,
    before: Option<&Secret>,
) -> Result<Started, JoinError> {
    let password_hash = app.hashing.hash(details.password, &visitor.source()).await?; // slow, so before the write
    let registration = &opened.registration;
    let mut tx = app.db.write().await?;
    let organization = organizations::lock(&mut tx, registration.organization_id).await?.ok_or(JoinError::Unknown)?;
    if !organization.self_service {
        return Err(JoinError::Closed(LinkState::Off));
    }
    let way = way_in(&mut tx, registration, proof).await?;
    let user = tx.new_id();
    let ended = store::finish(&mut tx, registration, proof, user).await?;
    if !ended.iter().any(|ended| ended.id == registration.id) {
        drop(tx);
        return Err(why_not(app, proof).await?);
    }
    let by_link = matches!(way.came_by, CameBy::Link);
    if by_link && !links::count_use(&mut tx, registration.organization_id, registration.link_id).await? {
        return Err(JoinError::Closed(link_state(&mut tx, registration).await?));
    }
    if way.came_by == CameBy::Invitation {
        users::unbar(app, &mut tx, registration.organization_id, &registration.email);
    }
    let new = NewUser {
        organization: registration.organization_id,
        admitted: way.admitted,
        full_name: details.full_name,
        password_hash: Some(password_hash),
        role: way.role,
        proved: Proved::by_token(opened.proof_by),
        came_by: way.came_by,
        came_by_id: Some(way.came_by_id),
    };
    let Some(user) = users::create_signed_in(app, &mut tx, user, new, visitor).await? else {
        let taken = users::by_address(&mut tx, registration.organization_id, &registration.email).await?.is_some();
        return Err(if taken { JoinError::AlreadyUser } else { JoinError::Barred });
    };
    let actor = Actor::visitor(visitor);
    for other in &ended {
        outbox::drop_about(&mut tx, other.id.subject());
        if other.id != registration.id {
            record_end(&mut tx, other, EndedWhy::JoinedElsewhere, &actor);
        }
    }
    if !by_link {
        invitations::accept_pending(&mut tx, &user, &actor).await?;
    }
    let started = sessions::start(app, &mut tx, &user, visitor, Brought { before, known: None });
    tx.commit().await?;
    if by_link {
        app.tallies.funnel(registration.link_id.uuid(), |funnel| funnel.finished += 1);
    }
    Ok(started)
}

/// Why a registration that looked open was not: something happened in between.
async fn why_not(app: &App, proof: &Proof) -> Result<JoinError, Fault> {
    let now = app.db.now();
    Ok(match find(app, proof, None).await {
        Ok(opened) => opened.must_be_open(proof, now).err().unwrap_or(JoinError::Ended(EndedWhy::Finished)),
        Err(JoinError::Fault(fault)) => return Err(fault),
        // A right code gives the browser a new secret, so that the old one finds nothing any more.
        Err(_) => JoinError::TooOld,
    })
}

struct WayIn {
    admitted: Admitted,
    role: Role,
    came_by: CameBy,
    came_by_id: SubjectId,
}

/// By a pending invitation, which wins (decision R2), else by the link and the list as they are now.
async fn way_in(tx: &mut Tx, registration: &Registration, proof: &Proof) -> Result<WayIn, JoinError> {
    let (organization, now) = (registration.organization_id, tx.now);
    if let Some(invitation) = invitations::pending_for(&mut *tx, now, organization, &registration.email).await? {
        match link_state(tx, registration).await? {
            LinkState::Open => {}
            closed => return Err(JoinError::Closed(closed)),
        }
        let role = invitations::role_now(&mut *tx, &invitation).await?;
        if role == Role::Manager && matches!(proof, Proof::Code(..)) {
            return Err(JoinError::UseInvitation);
        }
        let admitted = Admitted::by_invitation(registration.email.clone());
        return Ok(WayIn { admitted, role, came_by: CameBy::Invitation, came_by_id: invitation.id.subject() });
    }
    let admitted = admission::admit(&mut *tx, organization, &registration.email).await?.admitted()?;
    Ok(WayIn { admitted, role: Role::Member, came_by: CameBy::Link, came_by_id: registration.link_id.subject() })
}

async fn link_state(tx: &mut Tx, registration: &Registration) -> Result<LinkState, JoinError> {
    let policy = links::in_transaction(&mut *tx, registration.organization_id, registration.link_id).await?;
    Ok(policy.ok_or(JoinError::Unknown)?.state(tx.now))
}
