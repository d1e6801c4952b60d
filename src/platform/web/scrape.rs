//! `/metrics`, on a listener of its own: what it tells is for operators, and the public port has no such page.

use std::time::Duration;

use axum::{Router, extract::State, http::header, routing::get};
use tokio::{net::TcpListener, sync::watch};

use crate::platform::{App, metrics::Recorder};

/// How often what was measured is gathered while nobody asks for it.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Answers scrapes until it is told to stop. Nobody is waited for at the end.
pub async fn serve(listener: TcpListener, app: App, recorder: Recorder, mut stop: watch::Receiver<bool>) {
    let router = Router::new().route("/metrics", get(scrape)).with_state((app, recorder.clone()));
    let mut tidying = tokio::time::interval(TIDY_EVERY);
    let tidying = async {
        loop {
            tidying.tick().await;
            recorder.tidy();
        }
    };
    tokio::select! {
        ended = async { axum::serve(listener, router).await } => {
            if let Err(error) = ended {
                tracing::error!(%error, "the metrics are not served any more");
            }
        }
        () = tidying => {}
        // An error means that the sender is gone, which also means: stop.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn scrape(State((app, recorder)): State<(App, Recorder)>) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder.text(&app).await)
}
