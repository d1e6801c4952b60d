use crate::{
    features::admission::Admitted,
    platform::db::FromRow,
    values::{EmailAddress, FullName, OrganizationId, SubjectId, Timestamp, UserId},
};

crate::words! {
    /// What a user may do.
    Role {
        /// All of Settings.
        Manager = "manager",
        /// The own account only.
        Member = "member",
    }
}

crate::words! {
    /// Whether a user may sign in.
    Status {
        /// May sign in.
        Active = "active",
        /// May not; everything else stays.
        Deactivated = "deactivated",
    }
}

crate::words! {
    /// How a user's address was proved. Only `mail` counts as verified towards other programs.
    ProvedHow {
        /// Not at all yet: a manager made the account and its mail has not been used.
        NotYet = "not yet",
        /// By a link or code in a mail.
        Mail = "mail",
        /// By a link or code that a manager passed on.
        HandedOver = "handed over",
        /// By setting the server up.
        SetUp = "set-up",
        /// By whoever has a shell.
        CommandLine = "command line",
    }
}

crate::words! {
    /// How a user came to exist.
    CameBy {
        /// Through an invite link.
        Link = "link",
        /// By an invitation.
        Invitation = "invitation",
        /// A manager made the account.
        Manager = "manager",
        /// As the first manager, at set-up.
        SetUp = "set-up",
        /// From the command line.
        CommandLine = "command line",
    }
}

/// How and by whom an address was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proved {
    /// How.
    pub how: ProvedHow,
    /// The manager who handed the link over.
    pub by: Option<UserId>,
}

impl Proved {
    /// By this way, with nobody in between.
    pub const fn by(how: ProvedHow) -> Self {
        Self { how, by: None }
    }

    /// By a token: through the mail, or from a manager's hand.
    pub const fn by_token(handed_over_by: Option<UserId>) -> Self {
        match handed_over_by {
            None => Self::by(ProvedHow::Mail),
            Some(_) => Self { how: ProvedHow::HandedOver, by: handed_over_by },
        }
    }
}

/// A user to be made. The address comes from the admission decision and from nowhere else.
pub struct NewUser {
    /// Where they belong.
    pub organization: OrganizationId,
    /// The address, admitted.
    pub admitted: Admitted,
    /// What they are called.
    pub full_name: FullName,
    /// The hash of their password, where they have set one.
    pub password_hash: Option<String>,
    /// What they may do.
    pub role: Role,
    /// How the address was proved.
    pub proved: Proved,
    /// How they came.
    pub came_by: CameBy,
    /// The link or invitation they came by.
    pub came_by_id: Option<SubjectId>,
}

/// A user, without the password's hash.
#[derive(Debug, Clone, FromRow)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// Where they belong.
    pub organization_id: OrganizationId,
    /// The address that mail goes to.
    pub email: EmailAddress,
    /// What they are called.
    pub full_name: FullName,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub status: Status,
    /// Whether they have set a password.
    pub has_password: bool,
    /// How the address was proved.
    pub proved_how: ProvedHow,
    /// The manager who handed the link over.
    pub proved_by: Option<UserId>,
    /// When it was proved.
    pub proved_at: Option<Timestamp>,
    /// How they came.
    pub came_by: CameBy,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when they may not sign in.
    pub deactivated_at: Option<Timestamp>,
    /// When they were here last.
    pub seen_at: Option<Timestamp>,
}

impl User {
    /// Name and address, for the audit log.
    pub fn called(&self) -> String {
        format!("{} <{}>", self.full_name, self.email)
    }

    /// Whether they may do everything in Settings.
    pub fn is_manager(&self) -> bool {
        self.role == Role::Manager
    }

    /// Whether they may sign in.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}
