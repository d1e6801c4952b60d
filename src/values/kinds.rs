//! Every kind of thing that has an id, in one list. Append only: prefixes are in databases and logs.

use super::id::{Id, Kind};

macro_rules! kinds {
    ($($kind:ident $id:ident $prefix:literal $what:literal)*) => {$(
        #[doc = concat!("The kind of ", $what, ".")]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        #[doc = concat!("The id of ", $what, ".")]
        pub type $id = Id<$kind>;
    )*};
}

kinds! {
    AddressChange AddressChangeId "adc" "a change of a user's address"
    AuditEvent AuditEventId "aud" "an audit event"
    Invitation InvitationId "inv" "an invitation"
    Link LinkId "lnk" "an invite link"
    LinkCode LinkCodeId "lkc" "one code of an invite link"
    Message MessageId "msg" "a message in the outbox"
    Organization OrganizationId "org" "an organization"
    RecoveryRequest RecoveryRequestId "rec" "somebody's asking for a new password"
    Registration RegistrationId "reg" "a registration"
    Request RequestId "req" "one request, in logs and audit events"
    Server ServerId "srv" "one running server"
    Session SessionId "ses" "a session"
    Subject SubjectId "sub" "whatever a token or a message is about; its purpose or kind says what"
    User UserId "usr" "a user"
}

impl<K> Id<K> {
    /// The same bits without their kind, where a column holds ids of several kinds.
    pub const fn subject(self) -> SubjectId {
        SubjectId::from_uuid(self.uuid())
    }
}

impl SubjectId {
    /// The id as the kind that the purpose beside it names.
    pub const fn of<K>(self) -> Id<K> {
        Id::from_uuid(self.uuid())
    }
}
