//! The settings: `vestibule.toml`, then the environment, then flags. Read once, at start.

mod parse;

pub use parse::holds_a_password;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::{
    db::{DatabaseUrl, DatabaseUrlError},
    mail::smtp::SmtpUrl,
};
use crate::values::EmailAddress;

/// Settings as they were written, from one place. An empty one is no setting.
#[derive(Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "VESTIBULE_LISTEN", global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// How people reach the server, as <https://id.example.com> [default: http:// and the listen address]
    #[arg(
        long,
        env = "VESTIBULE_PUBLIC_URL",
        global = true,
        value_name = "URL",
        help = "How people reach the server, like https://id.example.com [default: http:// and the listen address]"
    )]
    pub public_url: Option<String>,
    /// Folder of the `SQLite` file and the key file [default: ./vestibule-data]
    #[arg(
        long,
        env = "VESTIBULE_DATA_DIR",
        global = true,
        value_name = "FOLDER",
        help = "Folder of the SQLite file and the key file [default: ./vestibule-data]"
    )]
    pub data_dir: Option<PathBuf>,
    /// The server's key, made at the first start [default: key in the data folder]
    #[arg(long, env = "VESTIBULE_KEY_FILE", global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The database, as sqlite:PATH or `postgres://user:password@host:port/name` [default: `SQLite` in the data folder]
    #[arg(
        long,
        env = "VESTIBULE_DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL",
        help = "The database, as sqlite:PATH or postgres://user@host:port/name; a password belongs into the environment or \
                the settings file [default: vestibule.sqlite in the data folder]"
    )]
    pub database_url: Option<String>,
    /// The mail server, as smtp://user:password@host:port?tls=required|opportunistic|none or smtps://…; it holds
    /// a password, so there is no flag for it [default: none, a manager hands messages over]
    #[arg(skip)]
    pub smtp_url: Option<String>,
    /// The sender of mail; required with a mail server
    #[arg(long, env = "VESTIBULE_MAIL_FROM", global = true, value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// Networks whose X-Forwarded-For is believed, separated by commas [default: none]
    #[arg(long, env = "VESTIBULE_TRUSTED_PROXIES", global = true, value_name = "NETWORKS")]
    #[serde(default, deserialize_with = "parse::one_or_many")]
    pub trusted_proxies: Option<String>,
    /// Address and port of the metrics for Prometheus; anybody who reaches it may read them [default: none]
    #[arg(long, env = "VESTIBULE_METRICS_LISTEN", global = true, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<String>,
    /// How log lines look, text or json [default: text]
    #[arg(long, env = "VESTIBULE_LOG_FORMAT", global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Where traces go by OTLP over HTTP, as <http://127.0.0.1:4318> [default: nowhere]
    #[arg(
        long,
        env = "VESTIBULE_OTLP_ENDPOINT",
        global = true,
        value_name = "URL",
        help = "Where traces go by OTLP over HTTP, like http://127.0.0.1:4318 [default: nowhere]"
    )]
    pub otlp_endpoint: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The names of the environment's settings; anything else that begins with `VESTIBULE_` is a mistake.
const NAMES: [&str; 13] = [
    "VESTIBULE_LISTEN",
    "VESTIBULE_PUBLIC_URL",
    "VESTIBULE_DATA_DIR",
    "VESTIBULE_KEY_FILE",
    "VESTIBULE_DATABASE_URL",
    "VESTIBULE_SMTP_URL",
    "VESTIBULE_MAIL_FROM",
    "VESTIBULE_TRUSTED_PROXIES",
    "VESTIBULE_METRICS_LISTEN",
    "VESTIBULE_LOG_FORMAT",
    "VESTIBULE_OTLP_ENDPOINT",
    // Of `vestibule copy` alone.
    "VESTIBULE_COPY_FROM",
    "VESTIBULE_COPY_TO",
];

/// The settings, parsed.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How people reach the server: scheme, host and port, nothing else.
    pub public_url: Url,
    /// The folder of everything that is kept.
    pub data_dir: PathBuf,
    /// The key file.
    pub key_file: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
    /// The mail server, where there is one.
    pub smtp: Option<(SmtpUrl, EmailAddress)>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the metrics are, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where traces go, if anywhere: the full address.
    pub otlp_endpoint: Option<Url>,
}

/// What is wrong with a setting; each says what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not TOML, or has an unknown key.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// Everybody on this machine may read a password.
    #[error("{0} holds a password and everybody on this machine may read it. Run chmod o-rwx on it")]
    Readable(PathBuf),
    /// The environment has a name that is no setting.
    #[error("{0} is not a setting. The settings are {list}", list = NAMES.join(", "))]
    UnknownName(String),
    /// Not an address and port.
    #[error("listen must be an address and a port, like 127.0.0.1:8080, not {0:?}")]
    Listen(String),
    /// Not a public address.
    #[error(
        "public_url must be http:// or https:// and a host, without path, user or query, like https://id.example.com, not {0:?}"
    )]
    PublicUrl(String),
    /// Another database.
    #[error("database_url {0}")]
    DatabaseUrl(#[from] DatabaseUrlError),
    /// The mail server.
    #[error(transparent)]
    Smtp(#[from] super::mail::smtp::SmtpUrlError),
    /// No sender, or one that is not an address.
    #[error("mail_from must be an address like no-reply@example.com; it is required with a mail server")]
    MailFrom,
    /// Not a network.
    #[error("trusted_proxies must be addresses or networks like 10.0.0.0/8, separated by commas, not {0:?}")]
    TrustedProxies(String),
    /// Not an address and port for the metrics.
    #[error("metrics_listen must be an address and a port, like 127.0.0.1:9464, not {0:?}")]
    MetricsListen(String),
    /// Another format.
    #[error("log_format must be text or json, not {0:?}")]
    LogFormat(String),
    /// Not a collector. What was written may hold a password, so it is not repeated.
    #[error(
        "otlp_endpoint must be http:// or https:// and a host, without user or query, like http://127.0.0.1:4318; what a \
         collector wants to know of its senders belongs into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    OtlpEndpoint,
}

/// Security requirement P1-19.
fn is_readable_by_everybody(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

impl Written {
    /// Reads a settings file; a missing one is empty where `may_be_missing`.
    pub fn from_file(path: &Path, may_be_missing: bool) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let written: Self = toml::from_str(&text)
                    .map_err(|error| ConfigError::File(path.to_owned(), error.message().to_owned()))?;
                if written.holds_a_password() && is_readable_by_everybody(path) {
                    return Err(ConfigError::Readable(path.to_owned()));
                }
                Ok(written)
            }
            Err(error) if may_be_missing && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Unreadable(path.to_owned(), error)),
        }
    }

    fn holds_a_password(&self) -> bool {
        [&self.database_url, &self.smtp_url].into_iter().flatten().any(|url| holds_a_password(url))
    }

    /// What is written here, else what is written in `under`.
    #[must_use]
    pub fn over(self, under: Self) -> Self {
        Self {
            listen: self.listen.or(under.listen),
            public_url: self.public_url.or(under.public_url),
            data_dir: self.data_dir.or(under.data_dir),
            key_file: self.key_file.or(under.key_file),
            database_url: self.database_url.or(under.database_url),
            smtp_url: self.smtp_url.or(under.smtp_url),
            mail_from: self.mail_from.or(under.mail_from),
            trusted_proxies: self.trusted_proxies.or(under.trusted_proxies),
            metrics_listen: self.metrics_listen.or(under.metrics_listen),
            log_format: self.log_format.or(under.log_format),
            otlp_endpoint: self.otlp_endpoint.or(under.otlp_endpoint),
        }
    }

    /// Refuses names in the environment that are no settings: a typing mistake is not a default.
    pub fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), ConfigError> {
        for name in names {
            if name.starts_with("VESTIBULE_") && !NAMES.contains(&name) {
                return Err(ConfigError::UnknownName(name.to_owned()));
            }
        }
        Ok(())
    }

    /// Parses every setting.
    pub fn parse(self) -> Result<Config, ConfigError> {
        let listen_text = self.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = parse::socket(&listen_text).ok_or(ConfigError::Listen(listen_text))?;
        let public_url = parse::public_url(&self.public_url.unwrap_or_else(|| format!("http://{listen}")))?;
        let data_dir = self.data_dir.unwrap_or_else(|| PathBuf::from("vestibule-data"));
        let database = match self.database_url {
            None => DatabaseUrl::Sqlite(data_dir.join("vestibule.sqlite")),
            Some(url) => Zeroizing::new(url).parse::<DatabaseUrl>()?,
        };
        let smtp = match self.smtp_url.map(Zeroizing::new) {
            None => None,
            Some(url) => {
                let from = self.mail_from.as_deref().and_then(|from| from.parse().ok()).ok_or(ConfigError::MailFrom)?;
                Some((SmtpUrl::parse(&url)?, from))
            }
        };
        let trusted_proxies = parse::networks(&self.trusted_proxies.unwrap_or_default())?;
        let key_file = self.key_file.unwrap_or_else(|| data_dir.join("key"));
        Ok(Config {
            listen,
            public_url,
            data_dir,
            key_file,
            database,
            smtp,
            trusted_proxies,
            metrics_listen: parse::given(self.metrics_listen)
                .map(|text| parse::socket(&text).ok_or(ConfigError::MetricsListen(text)))
                .transpose()?,
            log_format: parse::log_format(parse::given(self.log_format).as_deref())?,
            otlp_endpoint: parse::given(self.otlp_endpoint).map(|text| parse::collector(&text)).transpose()?,
        })
    }
}

impl Config {
    /// Whether cookies are `__Host-` and Secure: where the public URL is https or loopback.
    pub fn secure_cookies(&self) -> bool {
        self.public_url.scheme() == "https" || self.is_loopback()
    }

    /// Whether people reach this server only from this machine.
    pub fn is_loopback(&self) -> bool {
        match self.public_url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }

    /// Whether passwords and sessions would cross a network readable.
    pub fn is_plain_http(&self) -> bool {
        self.public_url.scheme() == "http" && !self.is_loopback()
    }

    /// With the port that the system chose, where `listen` left the choice to it and no public URL is set.
    #[must_use]
    pub fn listening_on(mut self, listening: SocketAddr) -> Self {
        self.listen = listening;
        if self.public_url.port() == Some(0) {
            // An http URL with a host takes every port.
            let _ = self.public_url.set_port(Some(listening.port()));
        }
        self
    }

    /// The origin that forms must come from, as a browser writes it.
    pub fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }

    /// The full address of a path of this server, for mail and for links that are copied.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Every setting as it is in effect, secrets left out.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let proxies: Vec<String> = self.trusted_proxies.iter().map(ToString::to_string).collect();
        vec![
            ("listen", self.listen.to_string()),
            ("public_url", self.origin()),
            ("data_dir", self.data_dir.display().to_string()),
            ("key_file", self.key_file.display().to_string()),
            ("database_url", self.database.to_string()),
            ("smtp_url", self.smtp.as_ref().map(|(url, _)| url.shown()).unwrap_or_default()),
            ("mail_from", self.smtp.as_ref().map(|(_, from)| from.to_string()).unwrap_or_default()),
            ("trusted_proxies", proxies.join(",")),
            ("metrics_listen", self.metrics_listen.map(|address| address.to_string()).unwrap_or_default()),
            ("log_format", if self.log_format == LogFormat::Json { "json" } else { "text" }.to_owned()),
            ("otlp_endpoint", self.otlp_endpoint.as_ref().map(ToString::to_string).unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests;
