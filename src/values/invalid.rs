use super::{Domain, EmailAddress};

/// Every reason a typed value can be refused.
///
/// The words that people read live in templates, which match on this; the messages here are for the log, so none carries
/// what was typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nothing was typed where an address is due.
    #[error("address empty")]
    EmailEmpty,
    /// A control or invisible character stands somewhere in the address, often from copying: type it by hand.
    #[error("address holds an invisible character")]
    EmailInvisible,
    /// A blank stands inside the address.
    #[error("address holds a blank")]
    EmailBlank,
    /// There is no `@`.
    #[error("address without @")]
    EmailNoAt,
    /// There is more than one `@`; perhaps two addresses were given.
    #[error("address with more than one @")]
    EmailManyAts,
    /// A display name, angle brackets, `mailto:` or a list: only the address itself is wanted.
    #[error("address with something around it")]
    EmailDecorated,
    /// Nothing stands before the `@`.
    #[error("address without a local part")]
    EmailLocalEmpty,
    /// Before the `@` a dot leads, trails or is doubled.
    #[error("local part has a misplaced dot")]
    EmailLocalDots,
    /// Before the `@` stands a letter outside ASCII, which many mail servers cannot carry.
    #[error("local part is not ASCII")]
    EmailLocalNotAscii,
    /// Before the `@` stands a character that no address here may hold; the first such one, to be shown escaped.
    #[error("local part holds a forbidden character")]
    EmailLocalPart {
        /// The first offending character.
        character: char,
    },
    /// Before the `@` stand `=` and `?` side by side, which mail programs would decode into another address.
    #[error("local part looks like an encoded word")]
    EmailLocalEncoded,
    /// The part before the `@` is over 64 octets.
    #[error("local part too long")]
    EmailLocalTooLong {
        /// The most octets allowed.
        maximum: usize,
    },
    /// Nothing stands after the `@`.
    #[error("address without a domain")]
    EmailDomainEmpty,
    /// The domain is one word, such as `company`: its ending is missing.
    #[error("address with a single-label domain")]
    EmailSingleLabel,
    /// The domain ends with a dot; without it the address would do.
    #[error("address with a trailing dot")]
    EmailTrailingDot,
    /// What follows the `@` is an IP address, which is not a domain.
    #[error("address with an IP address for a domain")]
    EmailIpAddress,
    /// What follows the `@` is not a domain name.
    #[error("address with a malformed domain")]
    EmailDomain,
    /// The whole address is over 254 octets.
    #[error("address too long")]
    EmailTooLong {
        /// The most octets allowed.
        maximum: usize,
    },

    /// A domain holds a blank, control or invisible character.
    #[error("domain holds an invisible character")]
    DomainInvisible,
    /// A domain needs at least two labels.
    #[error("single-label domain")]
    DomainSingleLabel,
    /// Not a domain name.
    #[error("malformed domain")]
    DomainShape,

    /// Nothing was typed where a name is due.
    #[error("name empty")]
    NameEmpty,
    /// The name has too many characters.
    #[error("name too long")]
    NameTooLong {
        /// The most characters allowed.
        maximum: usize,
    },
    /// The name holds a control, invisible, private or unassignable character.
    #[error("name holds a forbidden character")]
    NameCharacters,
    /// The name holds neither a letter nor a number.
    #[error("name without a letter or number")]
    NameNoLetter,
    /// Too many combining marks in a row.
    #[error("name piles up marks")]
    NameMarks {
        /// The most marks allowed in a row.
        maximum: usize,
    },
    /// The name holds a link.
    #[error("name holds a link")]
    NameLink,

    /// Not 3 to 40 of `a-z`, `0-9` and inner hyphens.
    #[error("malformed slug")]
    SlugShape,
    /// The slug is a word that the server keeps for itself.
    #[error("reserved slug")]
    SlugReserved,

    /// The password has too few characters.
    #[error("password too short")]
    PasswordTooShort {
        /// The fewest characters allowed.
        minimum: usize,
    },
    /// The password has too many characters.
    #[error("password too long")]
    PasswordTooLong {
        /// The most characters allowed.
        maximum: usize,
    },
    /// The password holds a control character.
    #[error("password holds a control character")]
    PasswordControl,
    /// The password is among those that are tried first.
    #[error("password too common")]
    PasswordCommon,
    /// The password is made of the person's own name, address or organization.
    #[error("password made of personal words")]
    PasswordPersonal,

    /// A confirmation code is six digits.
    #[error("malformed confirmation code")]
    CodeShape,

    /// Nothing is left of the entry.
    #[error("entry empty")]
    EntryEmpty,
    /// A blank, control or invisible character stands inside the entry.
    #[error("entry holds an invisible character")]
    EntryInvisible,
    /// A whole address: ask whether its domain or an invitation is meant, never widen silently.
    #[error("entry is a whole address")]
    EntryWholeAddress {
        /// The address, to offer its domain or an invitation.
        address: EmailAddress,
    },
    /// `*` and its like: there is no spelling for everybody; an empty list means that.
    #[error("entry means everybody")]
    EntryEverybody,
    /// `com`, `*.com`: a whole top-level domain, or a name without its ending.
    #[error("entry with a single label")]
    EntrySingleLabel,
    /// A link was pasted; only the domain is wanted.
    #[error("entry is a link")]
    EntryLink,
    /// `.company.com`: write `company.com` or `*.company.com`.
    #[error("entry begins with a dot")]
    EntryLeadingDot,
    /// `*company.com`, `eu.*.com`: the asterisk only stands first and alone, before a dot.
    #[error("entry with a misplaced asterisk")]
    EntryAsterisk,
    /// Not a domain name.
    #[error("malformed entry")]
    EntryShape,

    /// An id in an address that is none.
    #[error("malformed id")]
    Id,
    /// A token in a link that is none.
    #[error("malformed token")]
    Token,

    /// The address is of a domain that may not register through this link.
    #[error("domain refused")]
    DomainRefused {
        /// The domain that was typed.
        domain: Domain,
    },
    /// The new address of a user is of a domain that is not on the list.
    #[error("domain not allowed for users")]
    DomainNotHere {
        /// The domain that was typed.
        domain: Domain,
    },
    /// The confirmation code is another one.
    #[error("wrong code")]
    CodeWrong {
        /// Tries left on this code.
        left: i64,
    },
    /// There is no code to try any more: too old, or tried too often.
    #[error("no code to try")]
    CodeEnded,
    /// Too many wrong codes here; the link in the mail still works.
    #[error("too many codes")]
    CodeTooMany,
    /// Address and password do not belong together.
    #[error("sign-in does not match")]
    SignInMismatch,
    /// The current password is another one.
    #[error("wrong current password")]
    PasswordWrong,
    /// The new address is the one already in use.
    #[error("address unchanged")]
    AddressUnchanged,
    /// The address has an account here. For managers only: nobody else may learn it.
    #[error("address taken")]
    AddressTaken,
    /// The slug belongs to another organization.
    #[error("slug taken")]
    SlugTaken,
    /// No slug could be made from the name.
    #[error("no slug in the name")]
    SlugNeeded,
    /// There is no organization with this slug.
    #[error("unknown slug")]
    SlugUnknown,
    /// A list offers no such choice.
    #[error("unknown choice")]
    Choice,
    /// The current password is needed, and was not given.
    #[error("password needed again")]
    PasswordNeeded,
    /// More addresses than one form may bring.
    #[error("too many addresses")]
    TooManyAddresses {
        /// The most in one form.
        maximum: usize,
    },
    /// Not a day as calendars write it.
    #[error("malformed day")]
    Day,
    /// Every place in the hash pool is taken: send the form again.
    #[error("busy")]
    Busy,
}
