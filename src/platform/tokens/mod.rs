//! One-time tokens: links and codes that prove something, each for one purpose and one subject.
//!
//! Only hashes are stored. A token belongs to a message and lives from that message's first delivery or
//! hand-over, so that none expires because its mail waited. Using one up is one conditional update.

mod password;

use std::time::Duration;

pub use password::{PASSWORD, end_all_for_password, find_for_password, use_up_for_password};

use super::{
    App, Fault,
    db::{CLEANED_AT_ONCE, Db, FromRow, Target, Tx, query},
    keys::Purpose as KeyPurpose,
};
use crate::values::{
    ConfirmationCode, DAY, Digest, HOUR, MINUTE, MessageId, OrganizationId, Secret, SubjectId, Timestamp, UserId,
};

crate::words! {
    /// What a token is good for. A token of one purpose is unknown to every other.
    Purpose {
        /// Make the first organization. Belongs to nothing yet.
        SetUp = "set-up",
        /// Finish a registration.
        Confirmation = "confirmation",
        /// Accept an invitation.
        Invitation = "invitation",
        /// Set the first password of a created user.
        FirstPassword = "first password",
        /// Set a new password, by mail.
        Recovery = "recovery",
        /// Set a new password, from the command line.
        BreakGlass = "break glass",
        /// Confirm a new address.
        AddressConfirmation = "address confirmation",
        /// Stop a change of address.
        AddressStop = "address stop",
    }
}

impl Purpose {
    /// How long a token lives from its first delivery (`product.md`'s table, OWASP for recovery).
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::SetUp | Self::Confirmation | Self::BreakGlass | Self::AddressConfirmation => DAY,
            Self::Recovery => HOUR,
            Self::Invitation | Self::FirstPassword | Self::AddressStop => Duration::from_hours(168),
        }
    }
}

/// How long a confirmation code lives, and how often it may be tried.
const CODE_LIFETIME: Duration = Duration::from_mins(15);
const CODE_TRIES: i64 = 5;

/// A token as it is stored.
#[derive(Debug, Clone, FromRow)]
pub struct Token {
    /// What it is good for.
    pub purpose: Purpose,
    /// What it is about; the purpose says which kind of thing.
    pub subject_id: SubjectId,
    /// Whose it is; nobody's before there is an organization.
    pub organization_id: Option<OrganizationId>,
    /// The manager who passed it on by other means than mail.
    pub handed_over_by: Option<UserId>,
    /// The message that carries it.
    pub message_id: Option<MessageId>,
    lives_until: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl Token {
    /// Whether it still works at this moment.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.lives_until.is_none_or(|end| now < end)
    }

    /// Whether it has been used or taken back, rather than grown old.
    pub const fn was_ended(&self) -> bool {
        self.ended_at.is_some()
    }
}

/// The token of a message, derived so that every delivery of it carries the same link.
pub fn token_of(app: &App, message: MessageId) -> Secret {
    app.keys.derive_secret(KeyPurpose::MessageToken, message)
}

/// The confirmation code of a message, derived likewise.
pub fn code_of(app: &App, message: MessageId) -> ConfirmationCode {
    ConfirmationCode::from_bytes(app.keys.derive_number(KeyPurpose::MessageCode, message))
}

fn code_hash(app: &App, subject: SubjectId, code: &ConfirmationCode) -> Vec<u8> {
    app.keys.mac(KeyPurpose::ConfirmationCode, &[subject.uuid().as_bytes(), code.expose().as_bytes()])
}

/// What a new token is for.
#[derive(Clone, Copy)]
pub struct NewToken {
    /// What it is good for.
    pub purpose: Purpose,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is about.
    pub subject: SubjectId,
}

/// Stores the hashes of the token that `message` will carry, with a confirmation code where `with_code`.
/// Only the newest code of a subject counts.
pub fn issue(app: &App, tx: &mut Tx, new: NewToken, message: MessageId, with_code: bool) {
    let code = with_code.then(|| code_hash(app, new.subject, &code_of(app, message)));
    insert(tx, &token_of(app, message).digest(), new, Some(message), code, None);
}

/// A token that no message carries: it is shown once, at once, and lives from now.
pub fn issue_shown(tx: &mut Tx, new: NewToken) -> Secret {
    let secret = tx.new_secret();
    let until = tx.now + new.purpose.lifetime();
    insert(tx, &secret.digest(), new, None, None, Some(until));
    secret
}

/// A set-up token, before there is any organization.
pub fn issue_set_up(tx: &mut Tx) -> Secret {
    let secret = tx.new_secret();
    let until = tx.now + Purpose::SetUp.lifetime();
    query(
        "insert into tokens (digest, purpose, subject_id, code_tries, created_at, lifetime_seconds, lives_until)
         values ($1, $2, $3, 0, $4, 0, $5)",
    )
    .bind(&secret.digest())
    .bind(Purpose::SetUp)
    .bind(tx.new_id::<()>())
    .bind(tx.now)
    .bind(until)
    .later(tx);
    secret
}

fn insert(
    tx: &mut Tx,
    digest: &Digest,
    new: NewToken,
    message: Option<MessageId>,
    code: Option<Vec<u8>>,
    lives_until: Option<Timestamp>,
) {
    query(
        "insert into tokens (digest, organization_id, purpose, subject_id, message_id, code_hash, code_tries, created_at, lifetime_seconds, lives_until)
         values ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)",
    )
    .bind(digest)
    .bind(new.organization)
    .bind(new.purpose)
    .bind(new.subject)
    .bind(message)
    .bind(code)
    .bind(tx.now)
    .bind(i64::try_from(new.purpose.lifetime().as_secs()).unwrap_or(i64::MAX))
    .bind(lives_until)
    .later(tx);
}

/// Notes that a message is about to leave: from now on its code is the newest, even if the reply gets lost.
pub fn going_out(tx: &mut Tx, message: MessageId) {
    query("update tokens set out_at = $1 where message_id = $2 and out_at is null")
        .bind(tx.now)
        .bind(message)
        .later(tx);
}

/// Starts the lifetimes of a message's token: it has been delivered, or handed over by a manager.
pub async fn delivered(tx: &mut Tx, message: MessageId, handed_over_by: Option<UserId>) -> Result<(), Fault> {
    let Some((seconds,)) = query("select lifetime_seconds from tokens where message_id = $1 and lives_until is null")
        .bind(message)
        .optional::<(i64,)>(&mut *tx)
        .await?
    else {
        return Ok(());
    };
    let now = tx.now;
    query(
        "update tokens set lives_until = $1, code_until = $2, out_at = coalesce(out_at, $3), handed_over_by = $4
          where message_id = $5 and lives_until is null",
    )
    .bind(now + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    .bind(now + CODE_LIFETIME)
    .bind(now)
    .bind(handed_over_by)
    .bind(message)
    .later(tx);
    Ok(())
}

const FIND: &str = "select purpose, subject_id, organization_id, handed_over_by, message_id, lives_until, ended_at
   from tokens where digest = $1 and purpose = $2";

/// The token behind a link, used, old or open.
pub async fn find<'a>(on: impl Into<Target<'a>>, purpose: Purpose, digest: &Digest) -> Result<Option<Token>, Fault> {
    query(FIND).bind(digest).bind(purpose).optional(on).await
}

/// Uses a token up: of two submissions, one gets it.
pub async fn use_up(tx: &mut Tx, purpose: Purpose, digest: &Digest) -> Result<Option<Token>, Fault> {
    let now = tx.now;
    query(
        "update tokens set ended_at = $1
          where digest = $2 and purpose = $3 and ended_at is null and (lives_until is null or lives_until > $1)
         returning purpose, subject_id, organization_id, handed_over_by, message_id, lives_until, ended_at",
    )
    .bind(now)
    .bind(digest)
    .bind(purpose)
    .optional(tx)
    .await
}

/// Ends every open token of a subject for this purpose.
pub fn end_all(tx: &mut Tx, purpose: Purpose, subject: SubjectId) {
    let now = tx.now;
    query("update tokens set ended_at = $1 where subject_id = $2 and purpose = $3 and ended_at is null")
        .bind(now)
        .bind(subject)
        .bind(purpose)
        .later(tx);
}

/// Ends every set-up token: there is an organization now.
pub fn end_set_up(tx: &mut Tx) {
    let now = tx.now;
    query("update tokens set ended_at = $1 where purpose = $2 and ended_at is null")
        .bind(now)
        .bind(Purpose::SetUp)
        .later(tx);
}

/// Ends every open token of everybody: what was used after a backup must not work again. How many.
pub async fn end_everybodys(tx: &mut Tx) -> Result<u64, Fault> {
    let now = tx.now;
    query("update tokens set ended_at = $1 where ended_at is null").bind(now).execute(tx).await
}

/// How the token that a message carries stands, for whoever hands it over.
#[derive(Debug, Clone, FromRow)]
pub struct Carried {
    /// Until when its link works; nothing before the message's first delivery or hand-over.
    pub lives_until: Option<Timestamp>,
    /// Until when its code works.
    pub code_until: Option<Timestamp>,
    code_tries: i64,
    ended_at: Option<Timestamp>,
    newer_codes: i64,
}

impl Carried {
    /// Whether its link still works at this moment.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.lives_until.is_none_or(|end| now < end)
    }

    /// Whether it has been used or taken back, rather than grown old.
    pub const fn was_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Whether its code still works at this moment: of one subject only the newest does.
    pub fn code_is_open(&self, now: Timestamp) -> bool {
        self.is_open(now)
            && self.newer_codes == 0
            && self.code_tries < CODE_TRIES
            && self.code_until.is_none_or(|end| now < end)
    }
}

/// The token that a message carries, if it carries one.
pub async fn of_message(db: &Db, message: MessageId) -> Result<Option<Carried>, Fault> {
    query(
        "select t.lives_until, t.code_until, t.code_tries, t.ended_at,
                (select count(*) from tokens newer
                  where newer.subject_id = t.subject_id and newer.code_hash is not null and newer.out_at is not null
                    and (newer.created_at, newer.message_id) > (t.created_at, t.message_id)) as newer_codes
           from tokens t where t.message_id = $1",
    )
    .bind(message)
    .optional(db)
    .await
}

/// What trying a confirmation code showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeTried {
    /// It is the newest code.
    Right {
        /// The manager who passed it on by other means than mail.
        handed_over_by: Option<UserId>,
    },
    /// It is not; so many tries are left.
    Wrong {
        /// Tries left on this code.
        left: i64,
    },
    /// There is no code to try: too old, tried too often, or none has left yet.
    NoCode,
}

#[derive(FromRow)]
struct Trying {
    code_hash: Vec<u8>,
    code_tries: i64,
    handed_over_by: Option<UserId>,
}

/// Tries a confirmation code: the try is counted before the code is compared, so that a thousand
/// guesses at once are five.
pub async fn try_code(app: &App, tx: &mut Tx, subject: SubjectId, code: &ConfirmationCode) -> Result<CodeTried, Fault> {
    let now = tx.now;
    let tried: Option<Trying> = query(
        "update tokens set code_tries = code_tries + 1
          where digest = (select digest from tokens
                           where subject_id = $1 and code_hash is not null and out_at is not null
                           order by created_at desc, message_id desc limit 1)
            and ended_at is null and code_tries < $2 and (code_until is null or code_until > $3)
         returning code_hash, code_tries, handed_over_by",
    )
    .bind(subject)
    .bind(CODE_TRIES)
    .bind(now)
    .optional(tx)
    .await?;
    let Some(tried) = tried else { return Ok(CodeTried::NoCode) };
    let uuid = subject.uuid();
    let parts = [uuid.as_bytes().as_slice(), code.expose().as_bytes()];
    if app.keys.is_mac(&tried.code_hash, KeyPurpose::ConfirmationCode, &parts) {
        return Ok(CodeTried::Right { handed_over_by: tried.handed_over_by });
    }
    Ok(CodeTried::Wrong { left: CODE_TRIES - tried.code_tries })
}

/// Forgets tokens that ended or grew old long ago. Until then their links say why they no longer work.
pub async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let long_ago = tx.now - 90 * DAY;
    query("delete from tokens where digest in (select digest from tokens where created_at < $1 limit $2)")
        .bind(long_ago)
        .bind(CLEANED_AT_ONCE)
        .execute(tx)
        .await
}

/// How long a code lives, in minutes, for the words of a mail.
pub const fn code_minutes() -> u64 {
    CODE_LIFETIME.as_secs() / MINUTE.as_secs()
}
