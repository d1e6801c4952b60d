//! Cookies: always `HttpOnly` and `SameSite=Lax`, `__Host-` and Secure where the public URL is https or loopback.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::{platform::config::Config, values::Secret};

/// The cookies there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The session.
    Session,
    /// The secret of a browser that registers.
    Browser,
    /// The set-up token, out of the address bar.
    SetUp,
    /// This browser has signed somebody in before.
    Known,
}

impl Cookie {
    const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "session",
            (Self::Browser, true) => "__Host-browser",
            (Self::Browser, false) => "browser",
            (Self::SetUp, true) => "__Host-setup",
            (Self::SetUp, false) => "setup",
            (Self::Known, true) => "__Host-known",
            (Self::Known, false) => "known",
        }
    }

    /// Seconds until the browser forgets it.
    const fn lifetime(self) -> u64 {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Session => 30 * DAY,
            Self::Browser => 7 * DAY,
            Self::SetUp => DAY,
            Self::Known => 365 * DAY,
        }
    }

    /// The secret that the browser sent, if it has the form of one.
    pub fn read(self, config: &Config, headers: &HeaderMap) -> Option<Secret> {
        let name = self.name(config.secure_cookies());
        let lines = headers.get_all(header::COOKIE);
        let mut pairs = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }

    /// The header that sets it.
    pub fn set(self, config: &Config, secret: &Secret) -> HeaderValue {
        self.header(config, secret.expose(), self.lifetime())
    }

    /// The header that removes it.
    pub fn remove(self, config: &Config) -> HeaderValue {
        self.header(config, "", 0)
    }

    fn header(self, config: &Config, value: &str, seconds: u64) -> HeaderValue {
        let secure = config.secure_cookies();
        let name = self.name(secure);
        let flag = if secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{flag}");
        let mut header = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }
}
