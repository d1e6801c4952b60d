//! Traces by OTLP over HTTP, where a collector is configured.
//!
//! One span a request, with the route's pattern and never the path; below it the waits for the hash pool and the writes.
//! Spans wait in a bounded queue and leave in batches from a thread of their own: a collector that is down or hangs
//! costs spans and no request a moment. What a client claims about its own trace (`traceparent`) is not believed.

use std::{
    fmt,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::metrics;

/// A collector has this long for one batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the server waits for the last batch.
const LAST_BATCH: Duration = Duration::from_secs(2);
/// An answer says how many spans were refused, and no more.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to otlp_endpoint: {0}")]
pub struct TracesError(String);

/// The way of spans to the collector.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Prepares it; the first batch connects. Call it on the server's runtime.
    pub fn start(collector: &Url) -> Result<Self, TracesError> {
        let told = |error: String| TracesError(error);
        let exporter = SpanExporter::builder().with_http().with_endpoint(collector.as_str()).with_timeout(PATIENCE);
        let exporter = if collector.scheme() == "https" {
            let connector = HttpsConnectorBuilder::new()
                .try_with_platform_verifier()
                .map_err(|error| told(error.to_string()))?
                .https_only()
                .enable_http1()
                .build();
            exporter.with_http_client(Collector::at(connector))
        } else {
            exporter.with_http_client(Collector::at(HttpConnector::new()))
        };
        let exporter = exporter.build().map_err(|error| told(error.to_string()))?;
        let named = Resource::builder()
            .with_service_name("vestibule")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(SdkTracerProvider::builder().with_resource(named).with_batch_exporter(exporter).build()))
    }

    /// Sends what still waits, if the collector takes it within two seconds.
    pub async fn end(self) {
        let ending = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST_BATCH));
        if !matches!(ending.await, Ok(Ok(()))) {
            tracing::warn!("the last traces were not delivered");
        }
    }
}

/// What turns the program's spans into traces.
pub(super) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(traces: &Traces) -> OpenTelemetryLayer<S, SdkTracer> {
    tracing_opentelemetry::layer()
        .with_tracer(traces.0.tracer("vestibule"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// The collector. Batches are made on a thread without a runtime, so each is sent by a task of the server's.
struct Collector<C> {
    client: Client<C, Full<Bytes>>,
    runtime: Handle,
    fails: std::sync::Arc<AtomicBool>,
}

impl<C: Connect + Clone + Send + Sync + 'static> Collector<C> {
    fn at(connector: C) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            fails: std::sync::Arc::default(),
        }
    }
}

impl<C> fmt::Debug for Collector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl<C: Connect + Clone + Send + Sync + 'static> HttpClient for Collector<C> {
    // As `async_trait` writes it.
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sending<'b>
    where
        'a: 'b,
    {
        let (client, fails) = (self.client.clone(), std::sync::Arc::clone(&self.fails));
        let sending = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, send(&client, request)).await;
            let answer = answer.unwrap_or_else(|_| Err("it did not answer in time".into()));
            let refused = match &answer {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => Some(response.status().to_string()),
                Err(error) => Some(causes(error.as_ref())),
            };
            tell(&fails, refused.as_deref());
            answer
        });
        Box::pin(async move { sending.await? })
    }
}

/// An error of a library and what lies beneath it: "it cannot connect" alone does not say why.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Says once that the collector fails, and once that it works again.
fn tell(fails: &AtomicBool, refused: Option<&str>) {
    metrics::trace_batch(refused.is_none());
    match (fails.swap(refused.is_some(), Ordering::Relaxed), refused) {
        (false, Some(error)) => tracing::warn!(error, "traces are not delivered; the server goes on without them"),
        (true, None) => tracing::info!("traces are delivered again"),
        _ => {}
    }
}

async fn send<C>(client: &Client<C, Full<Bytes>>, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}
