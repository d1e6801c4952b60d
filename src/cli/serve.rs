//! `vestibule serve`: the server, until Ctrl-C or SIGTERM.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use super::{CommandError, open};
use crate::{
    features::{organizations, set_up},
    platform::{App, config::Config, log, metrics::Recorder, traces::Traces, web::scrape},
    router, worker,
};

/// How long requests in flight may take to finish after the signal.
const DRAIN: Duration = Duration::from_secs(20);

pub(super) async fn serve(config: Config) -> Result<(), CommandError> {
    // Several libraries leave the choice of the cryptography to the program; it can be made once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let traces = config.otlp_endpoint.as_ref().map(Traces::start).transpose()?;
    let log = log::start(config.log_format, traces.as_ref());
    if config.is_plain_http() {
        // Loud: also where only errors are logged.
        tracing::error!("{}", super::PLAIN_HTTP);
    }
    let mailer = super::mailer(&config)?;
    // First the port, so that a start that cannot listen leaves nothing behind.
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| CommandError::Listen(listen, error))?;
    let listening = listener.local_addr()?;
    let metrics = listen_for_metrics(&config).await?;
    let _serving = super::lock_for_serving(&config)?;
    let app = open(config.listening_on(listening), mailer, hash_threads()).await?;
    organizations::remember_public_url(&app).await?;
    // Before anybody is told that it runs: a stop that comes at once is heard too.
    let mut signals = Signals::listen()?;
    print_set_up(&app).await?;
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    if let Some((listener, recorder)) = metrics {
        tracing::info!(listening = %listener.local_addr()?, "the metrics are at /metrics");
        tasks.spawn(scrape::serve(listener, app.clone(), recorder, stopping.clone()));
    }
    tracing::info!(%listening, address = %app.config.origin(), "Vestibule is ready");
    tasks.spawn(worker::run(app.clone(), stopping.clone()));
    let mut serving = stopping.clone();
    let service = router(&app).into_make_service_with_connect_info::<SocketAddr>();
    tasks.spawn(async move {
        let ended = axum::serve(listener, service).with_graceful_shutdown(async move {
            // An error means that the sender is gone, which also means: stop.
            let _ = serving.wait_for(|stop| *stop).await;
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the server stopped by itself");
        }
    });
    signals.next().await;
    leave(&app, &mut signals).await;
    tracing::info!("stopping: requests in flight are finished, the outbox is kept");
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("some requests were still open after {} seconds", DRAIN.as_secs());
    }
    app.db.close().await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    drop(log);
    Ok(())
}

/// Where the metrics are asked for, and what counts from now on; nothing of it unless it is configured.
async fn listen_for_metrics(config: &Config) -> Result<Option<(TcpListener, Recorder)>, CommandError> {
    let Some(address) = config.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| CommandError::ListenMetrics(address, error))?;
    let recorder = Recorder::start().map_err(|error| CommandError::Refused(error.to_string()))?;
    Ok(Some((listener, recorder)))
}

fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

async fn print_set_up(app: &App) -> Result<(), CommandError> {
    if let Some(address) = set_up::address_for_this_start(app).await? {
        let mut out = std::io::stdout();
        writeln!(out, "Set up your organization: {address}")?;
        out.flush()?;
    }
    Ok(())
}

/// Tells the load balancer, where one asks, and takes requests until it has heard: nobody is sent to a closed door.
async fn leave(app: &App, signals: &mut Signals) {
    let wait = app.watched.leave();
    if !wait.is_zero() {
        tracing::info!("leaving: /readyz answers 503, requests are taken for {} seconds more", wait.as_secs());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = signals.next() => {}
        }
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Hears them from now on.
    fn listen() -> Result<Self, CommandError> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends with the next of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
