use std::{collections::HashMap, time::Duration};

use super::{Begin, EndedWhy, Proof, Registration, RegistrationState, model};
use crate::{
    features::{
        links::{Found, Policy},
        users::User,
    },
    platform::{
        Fault,
        db::{CLEANED_AT_ONCE, Db, FromRow, Target, Tx, query},
    },
    values::{
        DAY, Digest, Domain, EmailAddress, LinkCodeId, OrganizationId, OrganizationName, RegistrationId, Slug,
        Timestamp, UserId, kinds,
    },
};

/// The columns of a registration; of `r` where other tables stand beside it.
macro_rules! columns {
    () => {
        "id, organization_id, link_id, link_code_id, email, state, ended_why, asked_at, expires_at, confirmed_until, handed_over_by"
    };
    (r) => {
        "r.id, r.organization_id, r.link_id, r.link_code_id, r.email, r.state, r.ended_why, r.asked_at, r.expires_at,
                    r.confirmed_until, r.handed_over_by"
    };
}

pub(super) async fn insert(tx: &mut Tx, link: &Found, begin: &Begin) -> Result<Registration, Fault> {
    let until = tx.now + model::LIFETIME;
    query(concat!(
        "insert into registrations (id, organization_id, link_id, link_code_id, browser_digest, email, email_key, email_domain,
                state, begun_at, expires_at, asked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10) returning ",
        columns!()
    ))
    .bind(tx.new_id::<kinds::Registration>())
    .bind(link.organization_id)
    .bind(link.link_id)
    .bind(link.code_id)
    .bind(&begin.browser)
    .bind(&begin.address)
    .bind(begin.address.identity())
    .bind(begin.address.domain())
    .bind(RegistrationState::Begun)
    .bind(tx.now)
    .bind(until)
    .one(tx)
    .await
}

/// The registration of this browser, link and address that is open, or looks so.
pub(super) async fn find_open(tx: &mut Tx, link: &Found, begin: &Begin) -> Result<Option<Registration>, Fault> {
    let now = tx.now;
    // One that has grown old makes room for a new one.
    query(
        "update registrations set state = $1, ended_why = $2, ended_at = $3
          where browser_digest = $4 and link_id = $5 and email_key = $6 and ended_at is null and expires_at <= $3",
    )
    .bind(RegistrationState::Ended)
    .bind(EndedWhy::Expired)
    .bind(now)
    .bind(&begin.browser)
    .bind(link.link_id)
    .bind(begin.address.identity())
    .later(tx);
    query(concat!(
        "select ",
        columns!(),
        " from registrations
          where organization_id = $6 and email_key = $3 and browser_digest = $1 and link_id = $2
            and (ended_at is null or (ended_why = $4 and expires_at > $5))
          order by case when ended_at is null then 0 else 1 end, begun_at desc limit 1"
    ))
    .bind(&begin.browser)
    .bind(link.link_id)
    .bind(begin.address.identity())
    .bind(EndedWhy::JoinedElsewhere)
    .bind(now)
    .bind(link.organization_id)
    .optional(tx)
    .await
}

pub(super) fn mark_asked(tx: &mut Tx, id: RegistrationId) {
    let now = tx.now;
    query("update registrations set asked_at = $1 where id = $2").bind(now).bind(id).later(tx);
}

/// Of those who ask again having read the same registration, one does. `false` for the others.
pub(super) async fn ask_again(tx: &mut Tx, read: &Registration) -> Result<bool, Fault> {
    let now = tx.now.max(read.asked_at + Duration::from_micros(1));
    let asked = query("update registrations set asked_at = $1 where id = $2 and asked_at = $3")
        .bind(now)
        .bind(read.id)
        .bind(read.asked_at)
        .execute(tx)
        .await?;
    Ok(asked == 1)
}

/// By id, whatever has become of it.
pub(super) async fn find(db: &Db, id: RegistrationId) -> Result<Option<Registration>, Fault> {
    query(concat!("select ", columns!(), " from registrations where id = $1")).bind(id).optional(db).await
}

/// By public id, good only with the matching secret.
pub(super) async fn find_of_browser<'a>(
    on: impl Into<Target<'a>>,
    id: RegistrationId,
    browser: &Digest,
) -> Result<Option<Registration>, Fault> {
    query(concat!("select ", columns!(), " from registrations where id = $1 and browser_digest = $2"))
        .bind(id)
        .bind(browser)
        .optional(on)
        .await
}

/// The policy of the link that a registration came through.
pub(super) async fn policy(db: &Db, registration: &Registration) -> Result<Policy, Fault> {
    query(
        "select o.self_service, l.paused, l.opens_at, l.expires_at as link_expires_at, l.maximum, l.used
           from links l join organizations o on o.id = l.organization_id where l.id = $1",
    )
    .bind(registration.link_id)
    .one(db)
    .await
}

/// The link behind a code as it is now, for beginning a registration with it.
pub(super) async fn found_by(tx: &mut Tx, code: LinkCodeId) -> Result<Option<Found>, Fault> {
    query(
        "select l.id as link_id, c.id as code_id, c.replaced_at, o.id as organization_id, o.name as organization_name,
                o.slug as organization_slug, o.self_service, l.paused, l.opens_at, l.expires_at as link_expires_at, l.maximum, l.used
           from link_codes c join links l on l.id = c.link_id join organizations o on o.id = c.organization_id
          where c.id = $1",
    )
    .bind(code)
    .optional(tx)
    .await
}

/// All registrations of this one's browser follow its new secret, so that two tabs stay two registrations. By the secret
/// that it has at this moment: another tab may have given it a new one while this code was on its way.
pub(super) fn move_browser(tx: &mut Tx, id: RegistrationId, to: &Digest) {
    query(
        "update registrations set browser_digest = $1
          where browser_digest = (select browser_digest from registrations where id = $2)",
    )
    .bind(to)
    .bind(id)
    .later(tx);
}

/// A registration with all that its details page needs.
#[derive(Debug, Clone, FromRow)]
pub struct Opened {
    /// The registration.
    #[sqlx(flatten)]
    pub registration: Registration,
    /// Whether its link opens.
    #[sqlx(flatten)]
    pub(super) policy: Policy,
    /// The organization's name.
    pub organization_name: OrganizationName,
    /// The organization's short name in addresses.
    pub organization_slug: Slug,
    /// The manager who passed on what proves the mailbox.
    pub(super) proof_by: Option<UserId>,
    pub(super) token_ended_at: Option<Timestamp>,
    pub(super) token_lives_until: Option<Timestamp>,
    /// Other open registrations of the browser that asks.
    pub(super) others: i64,
}

macro_rules! opened {
    ($rest:literal) => {
        concat!(
            "select ",
            columns!(r),
            ", o.self_service, l.paused, l.opens_at, l.expires_at as link_expires_at, l.maximum, l.used,
                    o.name as organization_name, o.slug as organization_slug,
                    (select count(*) from registrations b where b.browser_digest = $2 and b.ended_at is null and b.id <> r.id) as others, ",
            $rest
        )
    };
}

/// The registration behind a message's link, whatever has become of it.
pub(super) async fn opened_by_link(
    db: &Db,
    digest: &Digest,
    browser: Option<&Digest>,
) -> Result<Option<Opened>, Fault> {
    query(opened!(
        "t.handed_over_by as proof_by, t.ended_at as token_ended_at, t.lives_until as token_lives_until
           from tokens t join registrations r on r.id = t.subject_id join links l on l.id = r.link_id
           join organizations o on o.id = r.organization_id
          where t.digest = $1 and t.purpose = 'confirmation'"
    ))
    .bind(digest)
    .bind(browser.map(|browser| browser.bytes().to_vec()))
    .optional(db)
    .await
}

/// The registration of this browser, whatever has become of it.
pub(super) async fn opened_by_code(db: &Db, id: RegistrationId, browser: &Digest) -> Result<Option<Opened>, Fault> {
    query(opened!(
        "r.handed_over_by as proof_by, null as token_ended_at, r.confirmed_until as token_lives_until
           from registrations r join links l on l.id = r.link_id join organizations o on o.id = r.organization_id
          where r.id = $1 and r.browser_digest = $2"
    ))
    .bind(id)
    .bind(browser)
    .optional(db)
    .await
}

pub(super) fn confirm(tx: &mut Tx, id: RegistrationId, handed_over_by: Option<UserId>) {
    let now = tx.now;
    query("update registrations set state = $1, confirmed_at = $2, confirmed_until = $3, handed_over_by = $4 where id = $5 and ended_at is null")
        .bind(RegistrationState::Confirmed)
        .bind(now)
        .bind(now + model::DETAILS)
        .bind(handed_over_by)
        .bind(id)
        .later(tx);
}

/// What ends when a registration becomes a user: every open one of the address. Its own ends only if the proof still
/// stands at this moment; of two submissions one gets the row.
macro_rules! finish {
    ($proof:literal) => {
        concat!(
            "update registrations
                set state = case when id = $1 then 'finished' else 'ended' end,
                    ended_why = case when id = $1 then 'finished' else 'joined elsewhere' end,
                    user_id = case when id = $1 then $2 else user_id end, ended_at = $3
              where organization_id = $4 and email_key = $5 and ended_at is null and (id <> $1 or (expires_at > $3 and ",
            $proof,
            ")) returning ",
            columns!()
        )
    };
}
const FINISH_BY_LINK: &str = finish!(
    "exists (select 1 from tokens where digest = $6 and purpose = 'confirmation' and subject_id = registrations.id
                and tokens.ended_at is null and (lives_until is null or lives_until > $3))"
);
const FINISH_BY_CODE: &str = finish!("browser_digest = $6 and confirmed_until > $3");

/// Ends a registration that becomes this user, and every other of the same address: all that were open.
pub(super) async fn finish(
    tx: &mut Tx,
    registration: &Registration,
    proof: &Proof,
    user: UserId,
) -> Result<Vec<Registration>, Fault> {
    let (sql, digest) = match proof {
        Proof::Link(digest) => (FINISH_BY_LINK, digest),
        Proof::Code(_, browser) => (FINISH_BY_CODE, browser),
    };
    let now = tx.now;
    query(sql)
        .bind(registration.id)
        .bind(user)
        .bind(now)
        .bind(registration.organization_id)
        .bind(registration.email.identity())
        .bind(digest)
        .all(tx)
        .await
}

/// Ends one without a user, or one that still looks open. `false` when it was over already.
pub(super) async fn end(tx: &mut Tx, id: RegistrationId, why: EndedWhy) -> Result<bool, Fault> {
    let now = tx.now;
    let ended =
        query("update registrations set state = $1, ended_why = $2, ended_at = $3 where id = $4 and (ended_at is null or (ended_why = $5 and $2 <> $5))")
            .bind(RegistrationState::Ended)
            .bind(why)
            .bind(now)
            .bind(id)
            .bind(EndedWhy::JoinedElsewhere)
            .execute(tx)
            .await?;
    Ok(ended == 1)
}

pub(super) async fn list_open_of(
    tx: &mut Tx,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Vec<Registration>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from registrations where organization_id = $1 and email_key = $2 and ended_at is null"
    ))
    .bind(organization)
    .bind(address.identity())
    .all(tx)
    .await
}

/// Those that are open, and those that look so.
pub(super) async fn list_open(tx: &mut Tx, organization: OrganizationId) -> Result<Vec<Registration>, Fault> {
    query(concat!(
        "select ",
        columns!(),
        " from registrations where organization_id = $1 and (ended_at is null or ended_why = $2)"
    ))
    .bind(organization)
    .bind(EndedWhy::JoinedElsewhere)
    .all(tx)
    .await
}

/// How many registrations are open, by domain.
pub async fn count_open_by_domain(db: &Db, organization: OrganizationId) -> Result<HashMap<Domain, i64>, Fault> {
    let now = db.now();
    let rows: Vec<(Domain, i64)> = query(
        "select email_domain, count(*) from registrations where organization_id = $1 and ended_at is null and expires_at > $2 group by email_domain",
    )
    .bind(organization)
    .bind(now)
    .all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// The message of a registration was refused for good (decision R11).
pub(super) fn mail_failed(tx: &mut Tx, id: RegistrationId) {
    let now = tx.now;
    query("update registrations set mail_failed_at = $1 where id = $2").bind(now).bind(id).later(tx);
}

pub(super) async fn delete_of_address(
    tx: &mut Tx,
    organization: OrganizationId,
    address: &EmailAddress,
) -> Result<Vec<RegistrationId>, Fault> {
    let rows: Vec<(RegistrationId,)> =
        query("delete from registrations where organization_id = $1 and email_key = $2 returning id")
            .bind(organization)
            .bind(address.identity())
            .all(tx)
            .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Those with which this user came, under the address that they had until now.
pub(super) async fn delete_finished_of(tx: &mut Tx, user: &User) -> Result<Vec<RegistrationId>, Fault> {
    let rows: Vec<(RegistrationId,)> =
        query("delete from registrations where organization_id = $1 and email_key = $2 and user_id = $3 returning id")
            .bind(user.organization_id)
            .bind(user.email.identity())
            .bind(user.id)
            .all(tx)
            .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Ends what has grown old, and forgets addresses that never became users a week later.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let now = tx.now;
    let ended = query(
        "update registrations set state = $1, ended_why = $2, ended_at = expires_at
          where id in (select id from registrations where ended_at is null and expires_at <= $3 limit $4) and ended_at is null",
    )
    .bind(RegistrationState::Ended)
    .bind(EndedWhy::Expired)
    .bind(now)
    .bind(CLEANED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    let forgotten = query(
        "delete from registrations where id in
           (select id from registrations where state = 'ended' and ended_at < $1 limit $2)",
    )
    .bind(now - 7 * DAY)
    .bind(CLEANED_AT_ONCE)
    .execute(tx)
    .await?;
    Ok(ended.max(forgotten))
}
