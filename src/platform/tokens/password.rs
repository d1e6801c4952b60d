//! The tokens that set a password: there are several purposes, and one page.

use super::{Purpose, Token};
use crate::{
    platform::{
        Fault,
        db::{Db, Tx, query},
    },
    values::{Digest, SubjectId},
};

/// The purposes that set a password: a link of any of them leads to the same page.
pub const PASSWORD: [Purpose; 3] = [Purpose::Recovery, Purpose::FirstPassword, Purpose::BreakGlass];

/// The token behind a link that sets a password, used, old or open.
pub async fn find_for_password(db: &Db, digest: &Digest) -> Result<Option<Token>, Fault> {
    let [one, two, three] = PASSWORD;
    query(
        "select purpose, subject_id, organization_id, handed_over_by, message_id, lives_until, ended_at
           from tokens where digest = $1 and purpose in ($2, $3, $4)",
    )
    .bind(digest)
    .bind(one)
    .bind(two)
    .bind(three)
    .optional(db)
    .await
}

/// Ends every open token that could set this user's password.
pub fn end_all_for_password(tx: &mut Tx, subject: SubjectId) {
    let now = tx.now;
    let [one, two, three] = PASSWORD;
    query("update tokens set ended_at = $1 where subject_id = $2 and purpose in ($3, $4, $5) and ended_at is null")
        .bind(now)
        .bind(subject)
        .bind(one)
        .bind(two)
        .bind(three)
        .later(tx);
}

/// Uses a link that sets a password up, and with it every other open one of its user. `false` when it is not open any
/// more. The user is locked: of two submissions, one gets it.
pub async fn use_up_for_password(tx: &mut Tx, digest: &Digest, subject: SubjectId) -> Result<bool, Fault> {
    let now = tx.now;
    let [one, two, three] = PASSWORD;
    let ended = query(
        "update tokens set ended_at = $1
          where subject_id = $2 and purpose in ($3, $4, $5) and ended_at is null
            and exists (select 1 from tokens own where own.digest = $6 and own.subject_id = $2 and own.ended_at is null
                         and (own.lives_until is null or own.lives_until > $1))",
    )
    .bind(now)
    .bind(subject)
    .bind(one)
    .bind(two)
    .bind(three)
    .bind(digest)
    .execute(tx)
    .await?;
    Ok(ended > 0)
}
