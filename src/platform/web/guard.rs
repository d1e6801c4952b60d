use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::dress;
use crate::platform::App;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests that change something and come from elsewhere: no token in any form, but what the
/// browser itself says (`docs/decisions/0004-forgery.md`). `Host` is never asked.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_our_own(request.headers(), &app.config.origin()) {
        return next.run(request).await;
    }
    dress::bare(StatusCode::FORBIDDEN)
}

fn is_our_own(headers: &HeaderMap, origin: &str) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(axum::http::HeaderValue::as_bytes);
    let from = headers.get(header::ORIGIN).map(axum::http::HeaderValue::as_bytes);
    let site_allows = matches!(site, None | Some(b"same-origin" | b"none"));
    let origin_allows = match from {
        None => true,
        Some(b"null") => site == Some(b"same-origin"),
        Some(from) => from == origin.as_bytes(),
    };
    site_allows && origin_allows && is_a_form(headers)
}

/// A page of ours sends forms. Other content types are what a forged request can send without asking first.
fn is_a_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://id.acme.com";

    fn allows(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        is_our_own(&headers, OURS)
    }

    #[test]
    fn our_own_forms_pass() {
        assert!(allows(&[("sec-fetch-site", "same-origin"), ("origin", OURS)]));
        assert!(allows(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(allows(&[("origin", OURS)]));
        assert!(allows(&[("content-type", "application/x-www-form-urlencoded; charset=UTF-8")]));
        assert!(allows(&[]), "a program without a browser has no cookies to abuse");
    }

    #[test]
    fn everything_foreign_is_refused() {
        assert!(!allows(&[("sec-fetch-site", "cross-site")]));
        assert!(!allows(&[("sec-fetch-site", "same-site"), ("origin", "https://evil.acme.com")]));
        assert!(!allows(&[("origin", "https://evil.com")]));
        assert!(!allows(&[("origin", "null")]));
        assert!(!allows(&[("sec-fetch-site", "none"), ("origin", "null")]));
        assert!(!allows(&[("origin", "https://id.acme.com.evil.com"), ("host", "id.acme.com.evil.com")]));
        assert!(!allows(&[("sec-fetch-site", "same-origin"), ("origin", "http://id.acme.com")]));
        assert!(!allows(&[("content-type", "text/plain"), ("origin", OURS)]));
        assert!(!allows(&[("content-type", "application/json")]));
    }
}
