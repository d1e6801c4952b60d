//! Mail: the outbox, and the ways a message leaves it.
//!
//! A message is written in the transaction of its cause and carries ids only; its words are rendered when it
//! leaves. Without a mail server it waits in the portal until a manager hands it over.

mod budget;
pub mod delivery;
pub mod managers;
pub mod outbox;
pub mod smtp;

use std::sync::{Arc, Mutex, PoisonError};

use crate::values::{EmailAddress, MessageId, OrganizationName};

crate::words! {
    /// What a message says. Its words are with the feature that causes it.
    Kind {
        /// Confirm your address, to join.
        Confirmation = "confirmation",
        /// You are invited.
        Invitation = "invitation",
        /// An account was made for you: set a password.
        FirstPassword = "first password",
        /// You asked for a new password.
        Recovery = "recovery",
        /// Your password was changed.
        PasswordChanged = "password changed",
        /// Confirm your new address.
        AddressConfirmation = "address confirmation",
        /// Somebody wants to change your address: stop it if it was not you.
        AddressChanging = "address changing",
        /// Your address was changed.
        AddressChanged = "address changed",
        /// Your role was changed.
        RoleChanged = "role changed",
        /// The mail settings work.
        Test = "test",
    }
}

crate::words! {
    /// Who causes a message; it decides which limits hold.
    Cause {
        /// An anonymous visitor: the address's budget holds.
        Anonymous = "anonymous",
        /// A signed-in manager or user.
        Member = "member",
        /// Something that happened: never limited, never dropped.
        Notice = "notice",
    }
}

crate::words! {
    /// Where a message stands.
    State {
        /// It waits for delivery, or for hand-over.
        Waiting = "waiting",
        /// The mail server has taken it.
        Delivered = "delivered",
        /// A manager has passed it on.
        HandedOver = "handed over",
        /// It was refused for good, or 24 hours of trying did not help.
        Failed = "failed",
        /// Its cause has ended, or a newer message took its place.
        Dropped = "dropped",
    }
}

/// A message with its words, ready to leave. It says the same in plain text and in HTML.
#[derive(Clone)]
pub struct Mail {
    /// The stable part of its Message-ID.
    pub id: MessageId,
    /// Whose name it is sent in.
    pub organization: OrganizationName,
    /// The one recipient: the address stored with the account.
    pub to: EmailAddress,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// How mail leaves.
#[derive(Clone)]
pub enum Mailer {
    /// By a mail server.
    Smtp(Arc<smtp::Smtp>),
    /// It does not: managers hand it over.
    Portal,
    /// Into memory, for tests.
    Captured(Captured),
}

/// Mail that a test captured.
#[derive(Clone, Default)]
pub struct Captured {
    sent: Arc<Mutex<Vec<Mail>>>,
    broken: Arc<Mutex<Option<SendError>>>,
}

impl Captured {
    /// Everything sent so far.
    pub fn all(&self) -> Vec<Mail> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on every delivery ends like this; `None` mends it.
    pub fn break_with(&self, error: Option<SendError>) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn send(&self, mail: &Mail) -> Result<(), SendError> {
        if let Some(error) = self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(mail.clone());
        Ok(())
    }
}

/// Why a message did not leave. The text is for managers; it names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The mail server takes nothing at all now: it is away, or our settings are wrong.
    #[error("{0}")]
    Stalled(String),
    /// The mail server does not take this message now: worth trying again.
    #[error("{0}")]
    Temporary(String),
    /// The mail server refuses this message for good.
    #[error("{0}")]
    Permanent(String),
}

impl Mailer {
    /// Whether messages leave by themselves.
    pub const fn delivers(&self) -> bool {
        !matches!(self, Self::Portal)
    }

    /// The address that mail comes from, where there is one.
    pub fn sender(&self) -> Option<String> {
        match self {
            Self::Smtp(smtp) => Some(smtp.sender()),
            Self::Captured(_) => Some("no-reply@vestibule.test".to_owned()),
            Self::Portal => None,
        }
    }

    /// Delivers one message.
    pub async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        match self {
            Self::Smtp(smtp) => smtp.send(mail).await,
            Self::Captured(captured) => captured.send(mail),
            Self::Portal => Err(SendError::Stalled("no mail server is configured".to_owned())),
        }
    }
}

/// Puts a message's words together. The first line of the plain text is the subject.
pub fn compose(
    message: &outbox::Message,
    organization: &OrganizationName,
    text: &impl askama::Template,
    html: &impl askama::Template,
) -> Result<Mail, super::Fault> {
    let text = text.render()?;
    let (subject, text) = text.split_once('\n').ok_or(super::Fault::Data("a message has no subject"))?;
    Ok(Mail {
        id: message.id,
        organization: organization.clone(),
        to: message.to_email.clone(),
        subject: subject.trim().to_owned(),
        text: text.trim().to_owned() + "\n",
        html: html.render()?,
    })
}
