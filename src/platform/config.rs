//! The settings: `vestibule.toml`, then the environment, then flags. Read once, at start.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
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
    #[serde(default, deserialize_with = "one_or_many")]
    pub trusted_proxies: Option<String>,
}

/// `trusted_proxies = "10.0.0.0/8"` and `trusted_proxies = ["10.0.0.0/8"]` are both natural in TOML.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(|written| match written {
        OneOrMany::One(text) => text,
        OneOrMany::Many(list) => list.join(","),
    }))
}

/// The names of the environment's settings; anything else that begins with `VESTIBULE_` is a mistake.
const NAMES: [&str; 10] = [
    "VESTIBULE_LISTEN",
    "VESTIBULE_PUBLIC_URL",
    "VESTIBULE_DATA_DIR",
    "VESTIBULE_KEY_FILE",
    "VESTIBULE_DATABASE_URL",
    "VESTIBULE_SMTP_URL",
    "VESTIBULE_MAIL_FROM",
    "VESTIBULE_TRUSTED_PROXIES",
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
}

impl Written {
    /// Reads a settings file; a missing one is empty where `may_be_missing`.
    pub fn from_file(path: &Path, may_be_missing: bool) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|error| ConfigError::File(path.to_owned(), error.message().to_owned()))
            }
            Err(error) if may_be_missing && error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::Unreadable(path.to_owned(), error)),
        }
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
        let listen: SocketAddr =
            listen_text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| ConfigError::Listen(listen_text))?;
        let public_url = public_url(&self.public_url.unwrap_or_else(|| format!("http://{listen}")))?;
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
        let trusted_proxies = networks(&self.trusted_proxies.unwrap_or_default())?;
        let key_file = self.key_file.unwrap_or_else(|| data_dir.join("key"));
        Ok(Config { listen, public_url, data_dir, key_file, database, smtp, trusted_proxies })
    }
}

fn public_url(text: &str) -> Result<Url, ConfigError> {
    let wrong = || ConfigError::PublicUrl(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong());
    }
    Ok(url)
}

fn networks(list: &str) -> Result<Vec<IpNet>, ConfigError> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| ConfigError::TrustedProxies(part.to_owned()))
        })
        .collect()
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
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(change: impl FnOnce(&mut Written)) -> Result<Config, ConfigError> {
        let mut written = Written::default();
        change(&mut written);
        written.parse()
    }

    #[test]
    fn with_nothing_configured_the_defaults_are_those_of_the_contract() {
        let config = written(|_| {}).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.origin(), "http://127.0.0.1:8080");
        assert_eq!(config.database.file(), Some(Path::new("vestibule-data/vestibule.sqlite")));
        assert_eq!(config.key_file, Path::new("vestibule-data/key"));
        assert!(config.smtp.is_none() && config.trusted_proxies.is_empty());
    }

    #[test]
    fn a_public_url_has_no_path() {
        for wrong in
            ["https://id.acme.com/sso", "ftp://acme.com", "id.acme.com", "https://a@acme.com", "https://acme.com/?x"]
        {
            assert!(written(|w| w.public_url = Some(wrong.to_owned())).is_err(), "{wrong}");
        }
        assert_eq!(
            written(|w| w.public_url = Some("https://ID.Acme.com:443/".to_owned())).unwrap().origin(),
            "https://id.acme.com"
        );
    }

    #[test]
    fn the_default_public_url_has_the_port_that_the_system_chose() {
        let listening = "127.0.0.1:4711".parse().unwrap();
        let config = |public_url: Option<&str>| {
            written(|w| {
                w.listen = Some("127.0.0.1:0".to_owned());
                w.public_url = public_url.map(str::to_owned);
            })
        };
        assert_eq!(config(None).unwrap().listening_on(listening).origin(), "http://127.0.0.1:4711");
        assert_eq!(config(Some("https://a.co")).unwrap().listening_on(listening).origin(), "https://a.co");
    }

    #[test]
    fn cookies_are_secure_on_https_and_on_loopback() {
        let secure = |url: &str| written(|w| w.public_url = Some(url.to_owned())).unwrap().secure_cookies();
        assert!(secure("https://id.acme.com") && secure("http://localhost:8080") && secure("http://[::1]:8080"));
        assert!(!secure("http://id.acme.com"));
    }

    #[test]
    fn an_unknown_key_is_an_error_in_the_file_and_in_the_environment() {
        assert!(toml::from_str::<Written>("lissten = '1.2.3.4:80'").is_err());
        assert!(Written::check_names(["VESTIBULE_SMTP", "PATH"]).is_err());
        assert!(Written::check_names(["VESTIBULE_SMTP_URL", "PATH"]).is_ok());
    }

    #[test]
    fn flags_stand_over_the_environment_and_the_file() {
        let file = toml::from_str::<Written>(
            "listen = '1.1.1.1:1'\nmail_from = 'a@b.co'\ntrusted_proxies = ['10.0.0.0/8', '::1']",
        )
        .unwrap();
        let flags = Written { listen: Some("2.2.2.2:2".to_owned()), ..Written::default() };
        let config = flags.over(file).parse().unwrap();
        assert_eq!(config.listen.to_string(), "2.2.2.2:2");
        assert_eq!(config.trusted_proxies.len(), 2);
    }

    #[test]
    fn mail_needs_a_sender() {
        assert!(matches!(written(|w| w.smtp_url = Some("smtp://x".to_owned())), Err(ConfigError::MailFrom)));
    }

    #[test]
    fn a_database_server_is_shown_without_its_password() {
        let config = written(|w| w.database_url = Some("postgres://u:secret@h/d".to_owned())).unwrap();
        assert!(config.shown().iter().any(|(_, value)| value == "postgres://u:…@h:5432/d"));
        let error = written(|w| w.database_url = Some("mysql://u:secret@h/d".to_owned())).err().unwrap().to_string();
        assert!(error.contains("postgres://") && !error.contains("secret"), "{error}");
    }
}
