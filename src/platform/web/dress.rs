//! The outermost layer: names the request, logs it without secrets, and gives bare answers their page.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use askama::Template;
use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use tracing::{Instrument as _, Span, field::Empty};

use super::Visitor;
use crate::{
    platform::{App, Fault, metrics},
    values::{RequestId, client_address},
};

/// Marks an answer that has no page yet.
#[derive(Clone)]
struct Bare;

/// What broke, for the log.
#[derive(Clone)]
struct Broken(Arc<Fault>);

/// An answer whose page is made by the outermost layer.
pub fn bare(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Bare);
    response
}

/// "Something went wrong", with the request's id on the page and the fault in the log.
pub fn broken(fault: Fault) -> Response {
    let mut response = bare(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(Broken(Arc::new(fault)));
    response
}

#[derive(Template)]
#[template(path = "platform/web/bare.html")]
struct BarePage {
    status: u16,
    request: RequestId,
    retry_after: Option<u64>,
    public_url: String,
}

/// Wraps every request. The log has the route's pattern, never the path: paths hold tokens.
pub async fn dress(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let visitor = visitor(&app, &request);
    let id = visitor.request;
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (matched, route) = (route.as_ref().map(MatchedPath::as_str), route.as_ref().map_or("-", MatchedPath::as_str));
    let (span, began) = (span(id, known(&method), route), Instant::now());
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(Broken(fault)) = response.extensions().get() {
        tracing::error!(request = %id, route, error = %fault, "a request failed");
        metrics::fault();
    }
    let has_no_words = response.extensions().get::<Bare>().is_some() || is_plain_refusal(&response);
    if has_no_words && method != Method::HEAD {
        response = with_page(&app, id, &response);
    }
    protect(response.headers_mut());
    let status = response.status().as_u16();
    tracing::info!(request = %id, %method, route, status, "request");
    metrics::request(known(&method), matched, status, began.elapsed());
    span.record("http.response.status_code", status);
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

/// A method is the client's to choose; what is counted and traced by it is a closed list.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "_OTHER",
    }
}

/// A request in a trace, named by the conventions of OpenTelemetry. Its parent, if the client claims one, is not believed.
fn span(id: RequestId, method: &str, route: &str) -> Span {
    tracing::debug_span!(
        "request",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = %id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    )
}

/// A framework's own refusal (a form that cannot be read, a body too large): it has a status and plain text.
fn is_plain_refusal(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
    response.status().as_u16() >= 400 && (kind.is_empty() || kind.starts_with(b"text/plain"))
}

fn with_page(app: &App, request: RequestId, response: &Response) -> Response {
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let page = BarePage { status: response.status().as_u16(), request, retry_after, public_url: app.config.origin() };
    let html = page.render().unwrap_or_else(|_| "Something went wrong.".to_owned());
    let mut dressed = (response.status(), Html(html)).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW] {
        if let Some(value) = response.headers().get(&name) {
            dressed.headers_mut().insert(name, value.clone());
        }
    }
    dressed
}

fn visitor(app: &App, request: &Request) -> Visitor {
    let peer =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
    // A line with octets that are no text stays a line: left out, the one before it, which anyone can write, would
    // be believed in the place of what the proxy added to this one.
    let lines = request.headers().get_all("x-forwarded-for").iter();
    let lines: Vec<Cow<'_, str>> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let address = client_address(peer, &lines, &app.config.trusted_proxies);
    Visitor::new(address, app.new_request_id(), request.headers())
}

/// Headers of every answer. `same-origin` and not `no-referrer`: with the latter a browser sends its own
/// forms with `Origin: null`, and the guard would refuse them.
fn protect(headers: &mut HeaderMap) {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                          form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'";
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
