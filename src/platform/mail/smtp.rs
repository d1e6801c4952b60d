//! Delivery by a mail server: STARTTLS or implicit TLS, with credentials where they are given.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    address::Envelope,
    message::{Mailbox, MultiPart, header},
    transport::smtp::{
        AsyncSmtpTransportBuilder, Error,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        response::Response,
    },
};
use url::Url;
use zeroize::Zeroizing;

use super::{Mail, SendError};
use crate::values::EmailAddress;

/// A server that does not answer for this long counts as down.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A message takes no longer than this, connection included: a server that accepts and then says nothing counts as down
/// too. (The library's own limit is on connecting alone.)
const LONGEST: Duration = Duration::from_secs(30);
/// How long idle connections have for saying goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why the mail settings cannot be used; each says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpUrlError {
    /// The URL does not parse, or is of another scheme.
    #[error("VESTIBULE_SMTP_URL must look like smtp://user:password@mail.example.com:587 or smtps://mail.example.com")]
    Shape,
    /// `tls=` has another value.
    #[error("in VESTIBULE_SMTP_URL, tls must be required, opportunistic or none")]
    TlsWord,
    /// The query has something else.
    #[error("VESTIBULE_SMTP_URL knows only ?tls=required, ?tls=opportunistic and ?tls=none")]
    Unknown,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first octet (`smtps`).
    Implicit,
    /// STARTTLS, or no mail.
    Required,
    /// STARTTLS where it is offered.
    Opportunistic,
    /// None.
    Plain,
}

/// The mail server, as configured. It cannot be printed with its password.
#[derive(Clone)]
pub struct SmtpUrl {
    host: String,
    port: u16,
    protection: Protection,
    credentials: Option<(String, Zeroizing<String>)>,
}

impl SmtpUrl {
    /// Reads `smtp://user:pass@host:port?tls=…` or `smtps://…`. Without a word about TLS it is required,
    /// except to this machine itself, where it is used when offered.
    pub fn parse(text: &str) -> Result<Self, SmtpUrlError> {
        let url = Url::parse(text).map_err(|_| SmtpUrlError::Shape)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(SmtpUrlError::Shape)?.to_owned();
        let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        let implicit = match url.scheme() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(SmtpUrlError::Shape),
        };
        let mut protection = if implicit {
            Protection::Implicit
        } else if local {
            Protection::Opportunistic
        } else {
            Protection::Required
        };
        for (name, value) in url.query_pairs() {
            protection = match (name.as_ref(), value.as_ref()) {
                ("tls", "required") if implicit => Protection::Implicit,
                ("tls", "required") => Protection::Required,
                ("tls", "opportunistic") if !implicit => Protection::Opportunistic,
                ("tls", "none") if !implicit => Protection::Plain,
                ("tls", _) => return Err(SmtpUrlError::TlsWord),
                _ => return Err(SmtpUrlError::Unknown),
            };
        }
        let decode = |text: &str| Zeroizing::new(percent_decoded(text));
        let credentials = (!url.username().is_empty())
            .then(|| (decode(url.username()).to_string(), decode(url.password().unwrap_or_default())));
        let port = url.port().unwrap_or(if implicit { 465 } else { 587 });
        Ok(Self { host, port, protection, credentials })
    }

    /// The server without its password, for `config show`.
    pub fn shown(&self) -> String {
        let scheme = if self.protection == Protection::Implicit { "smtps" } else { "smtp" };
        let user = self.credentials.as_ref().map(|(user, _)| format!("{user}:…@")).unwrap_or_default();
        let tls = match self.protection {
            Protection::Implicit | Protection::Required => "required",
            Protection::Opportunistic => "opportunistic",
            Protection::Plain => "none",
        };
        format!("{scheme}://{user}{}:{}?tls={tls}", self.host, self.port)
    }

    /// How the connection is protected.
    pub const fn protection(&self) -> Protection {
        self.protection
    }
}

impl std::fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2B").replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A mail server and who mail is from.
pub struct Smtp {
    prepared: AsyncSmtpTransportBuilder,
    transport: Mutex<AsyncSmtpTransport<Tokio1Executor>>,
    from: EmailAddress,
}

impl Smtp {
    /// Prepares the connections; nothing is sent or opened yet.
    pub fn new(url: &SmtpUrl, from: EmailAddress) -> Result<Self, SendError> {
        let host = url.host.trim_matches(['[', ']']).to_owned();
        let parameters = || TlsParameters::new(host.clone()).map_err(|error| SendError::Temporary(error.to_string()));
        let tls = match url.protection {
            Protection::Implicit => Tls::Wrapper(parameters()?),
            Protection::Required => Tls::Required(parameters()?),
            Protection::Opportunistic => Tls::Opportunistic(parameters()?),
            Protection::Plain => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.clone())
            .port(url.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = &url.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self { transport: Mutex::new(builder.clone().build()), prepared: builder, from })
    }

    /// The address that mail comes from.
    pub fn sender(&self) -> String {
        self.from.to_string()
    }

    /// Delivers one message to its one recipient.
    pub async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        let message = self.message(mail).map_err(SendError::Permanent)?;
        let Some(answer) = self.answer(message).await else {
            return Err(SendError::Stalled(format!(
                "the mail server did not answer within {} seconds",
                LONGEST.as_secs()
            )));
        };
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_about_this_message(&error) => Err(SendError::Permanent(readable(&error))),
            // The server spoke about this message: others may leave all the same.
            Err(error) if error.is_transient() => Err(SendError::Temporary(readable(&error))),
            Err(error) => Err(SendError::Stalled(readable(&error))),
        }
    }

    /// What the mail server says; nothing when it says nothing.
    async fn answer(&self, message: Message) -> Option<Result<Response, Error>> {
        let transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sending = transport.send(message);
        tokio::pin!(sending);
        if let Ok(answer) = tokio::time::timeout(LONGEST, &mut sending).await {
            return Some(answer);
        }
        // A conversation that broke off must never be gone on with: an answer that comes late would be taken for the
        // next message's. So its connections are closed before this one could come back to them.
        *self.transport.lock().unwrap_or_else(PoisonError::into_inner) = self.prepared.clone().build();
        drop(tokio::time::timeout(GOODBYE, transport.shutdown()).await);
        None
    }

    fn message(&self, mail: &Mail) -> Result<Message, String> {
        let address =
            |address: &EmailAddress| address.as_str().parse::<lettre::Address>().map_err(|error| error.to_string());
        let (from, to) = (address(&self.from)?, address(&mail.to)?);
        Message::builder()
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.domain())))
            .from(Mailbox::new(Some(mail.organization.to_string()), from.clone()))
            .to(Mailbox::new(None, to.clone()))
            .subject(plain(&mail.subject).replace('\n', " "))
            .header(AutoSubmitted)
            .envelope(Envelope::new(Some(from), vec![to]).map_err(|error| error.to_string())?)
            .multipart(MultiPart::alternative_plain_html(plain(&mail.text), plain(&mail.html)))
            .map_err(|error| error.to_string())
    }
}

/// Lines end in one way only and nothing controls the line: a CR alone, which some servers take for the end of a
/// line, would let words end the message (SMTP smuggling).
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

/// RFC 3834: written by a program, so that no vacation note answers.
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }
    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }
    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// A 5xx about commands, credentials or encryption says that our settings are wrong, not the recipient:
/// that is tried again, so that mending the settings loses no mail (RFC 5321 section 4.2, RFC 4954 section 6).
fn is_about_this_message(error: &Error) -> bool {
    let code = error.status().map(u16::from);
    error.is_permanent() && !matches!(code, Some(500..=504 | 523 | 530 | 534 | 535 | 538))
}

fn readable(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_read_and_shown_without_its_password() {
        let url = SmtpUrl::parse("smtp://ada:s%40crét@mail.acme.com:2525?tls=opportunistic").unwrap();
        assert_eq!(url.shown(), "smtp://ada:…@mail.acme.com:2525?tls=opportunistic");
        assert!(!format!("{url:?}").contains("cr"));
        assert_eq!(url.credentials.unwrap().1.as_str(), "s@crét");
        let url = SmtpUrl::parse("smtp://ada:a&b+c=d%26@mail.acme.com").unwrap();
        assert_eq!(url.credentials.unwrap().1.as_str(), "a&b+c=d&");
    }

    #[test]
    fn encryption_is_required_unless_the_server_is_this_machine() {
        let protection = |text| SmtpUrl::parse(text).unwrap().protection();
        assert_eq!(protection("smtp://mail.acme.com"), Protection::Required);
        assert_eq!(protection("smtp://127.0.0.1:2525"), Protection::Opportunistic);
        assert_eq!(protection("smtps://mail.acme.com"), Protection::Implicit);
        assert_eq!(protection("smtp://mail.acme.com?tls=none"), Protection::Plain);
    }

    #[test]
    fn a_wrong_mail_server_says_what_to_write() {
        for (text, error) in [
            ("mail.acme.com", SmtpUrlError::Shape),
            ("http://mail.acme.com", SmtpUrlError::Shape),
            ("smtp://mail.acme.com?tls=yes", SmtpUrlError::TlsWord),
            ("smtps://mail.acme.com?tls=none", SmtpUrlError::TlsWord),
            ("smtp://mail.acme.com?timeout=3", SmtpUrlError::Unknown),
        ] {
            assert_eq!(SmtpUrl::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
