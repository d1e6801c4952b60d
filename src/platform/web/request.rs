use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use crate::values::{RequestId, source};

/// Who is at the door, before anything is known about them: where from, and with which browser.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The client's address, behind trusted proxies too.
    pub address: IpAddr,
    /// The request's id, in the log and in audit events.
    pub request: RequestId,
    /// What the browser calls itself, cut short. Shown to its own user only.
    pub user_agent: String,
}

impl Visitor {
    /// What limits count by: the address, or the /64 of IPv6.
    pub fn source(&self) -> String {
        source(self.address)
    }

    pub(super) fn new(address: IpAddr, request: RequestId, headers: &HeaderMap) -> Self {
        let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { address, request, user_agent: text.chars().take(300).collect() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // The outermost layer puts it there for every request.
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| {
            Self::new(IpAddr::from([0, 0, 0, 0]), RequestId::from_uuid(uuid::Uuid::nil()), &parts.headers)
        }))
    }
}
