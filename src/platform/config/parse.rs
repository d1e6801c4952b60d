//! What each setting may look like.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, LogFormat};

/// `trusted_proxies = "10.0.0.0/8"` and `trusted_proxies = ["10.0.0.0/8"]` are both natural in TOML.
pub(super) fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
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

/// Whether a URL of a database or a mail server holds a password.
pub fn holds_a_password(text: &str) -> bool {
    match Url::parse(text) {
        Ok(url) => url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"),
        // What cannot be read may hold one: everything before the host.
        Err(_) => text
            .split_once("//")
            .is_some_and(|(_, rest)| rest.split_once('@').is_some_and(|(user, _)| user.contains(':'))),
    }
}

pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(super) fn socket(text: &str) -> Option<SocketAddr> {
    text.replace("localhost:", "127.0.0.1:").parse().ok()
}

pub(super) fn log_format(text: Option<&str>) -> Result<LogFormat, ConfigError> {
    match text {
        None | Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => Err(ConfigError::LogFormat(other.to_owned())),
    }
}

/// The collector's address for traces. Its documents name the part before `/v1/traces`; the whole is understood too.
pub(super) fn collector(text: &str) -> Result<Url, ConfigError> {
    let mut url = Url::parse(text).map_err(|_| ConfigError::OtlpEndpoint)?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(ConfigError::OtlpEndpoint);
    }
    let path = url.path().trim_end_matches('/').trim_end_matches("/v1/traces").to_owned();
    url.set_path(&format!("{path}/v1/traces"));
    Ok(url)
}

pub(super) fn public_url(text: &str) -> Result<Url, ConfigError> {
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

pub(super) fn networks(list: &str) -> Result<Vec<IpNet>, ConfigError> {
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
