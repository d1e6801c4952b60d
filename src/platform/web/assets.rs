//! The style sheet and the script: inside the binary, under an address that names their content, so that a
//! browser keeps them for good and never keeps an old one.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::PageError;
use crate::platform::App;

static STYLE_SHEET: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("vestibule.css", "text/css; charset=utf-8", include_str!("assets/vestibule.css")));
static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("vestibule.js", "text/javascript; charset=utf-8", include_str!("assets/vestibule.js")));

struct Asset {
    address: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, kind: &'static str, text: &'static str) -> Self {
        let hash =
            URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()).as_ref().first_chunk::<12>().unwrap_or(&[0; 12]));
        Self { address: format!("/assets/{hash}/{name}"), kind, text }
    }
}

/// The address of the style sheet.
pub fn style_sheet() -> &'static str {
    &STYLE_SHEET.address
}

/// The address of the script.
pub fn script() -> &'static str {
    &SCRIPT.address
}

/// `/assets/{hash}/{name}`.
pub fn routes() -> Router<App> {
    Router::new().route("/assets/{hash}/{name}", get(show))
}

async fn show(Path((hash, name)): Path<(String, String)>) -> Result<Response, PageError> {
    let address = format!("/assets/{hash}/{name}");
    let asset =
        [&*STYLE_SHEET, &*SCRIPT].into_iter().find(|asset| asset.address == address).ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.text).into_response())
}
