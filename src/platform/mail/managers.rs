//! Mail that a manager causes: it has its own limit, per manager and address, and one button writes one message,
//! however often it is pressed.

use super::{Kind, outbox};
use crate::{
    platform::{
        App, Fault,
        db::Tx,
        limits::{self, Limit, TooMany},
    },
    values::{EmailAddress, MessageId, SubjectId, UserId},
};

/// Whether a manager may cause another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Another {
    /// It may be written.
    Write,
    /// It was written a moment ago: the same button, pressed again.
    Written(MessageId),
    /// This manager has caused too much mail to this address.
    TooMany(TooMany),
}

/// Counts one more message of `manager` to `to`.
pub async fn count(app: &App, tx: &mut Tx, manager: UserId, to: &EmailAddress) -> Result<Result<(), TooMany>, Fault> {
    let key = to.counting_key();
    limits::count(app, tx, Limit::ManagerMail, &[manager.uuid().as_bytes(), key.as_bytes()]).await
}

/// Counts one more message of `manager` to `to`, unless it was written a moment ago. Whoever presses the same button at
/// the same time waits for the end of this write.
pub async fn another(
    app: &App,
    tx: &mut Tx,
    manager: UserId,
    to: &EmailAddress,
    about: (Kind, SubjectId),
) -> Result<Another, Fault> {
    let counted = count(app, tx, manager, to).await?;
    if let Some(written) = outbox::written_just_now(tx, about).await? {
        if counted.is_ok() {
            let key = to.counting_key();
            limits::take_back(app, tx, Limit::ManagerMail, &[manager.uuid().as_bytes(), key.as_bytes()]);
        }
        return Ok(Another::Written(written));
    }
    Ok(counted.map_or_else(Another::TooMany, |()| Another::Write))
}
