//! `vestibule serve`: the server, until Ctrl-C or SIGTERM.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{CommandError, open};
use crate::{
    features::{organizations, set_up},
    platform::{App, config::Config},
    router, worker,
};

/// How long requests in flight may take to finish after the signal.
const DRAIN: Duration = Duration::from_secs(20);

pub(super) async fn serve(config: Config) -> Result<(), CommandError> {
    start_log();
    warn_about(&config);
    let listen = config.listen;
    let app = open(config, hash_threads()).await?;
    let listener = TcpListener::bind(listen).await.map_err(|error| CommandError::Listen(listen, error))?;
    organizations::remember_public_url(&app).await?;
    print_set_up(&app).await?;
    tracing::info!(address = %app.config.origin(), "Vestibule is ready");
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
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
    wait_for_signal().await?;
    tracing::info!("stopping: requests in flight are finished, the outbox is kept");
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("some requests were still open after {} seconds", DRAIN.as_secs());
    }
    app.db.close().await;
    Ok(())
}

fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Log lines go to standard error; standard output has the set-up address and nothing else.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    // Several libraries leave the choice of the cryptography to the program; it can be made once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn warn_about(config: &Config) {
    if config.public_url.scheme() == "http" && !config.is_loopback() {
        tracing::warn!(
            "THE PUBLIC URL IS PLAIN HTTP: passwords and sessions cross the network readable, and cookies are not Secure. \
             Put a TLS proxy in front and set VESTIBULE_PUBLIC_URL to its https address"
        );
    }
}

async fn print_set_up(app: &App) -> Result<(), CommandError> {
    if let Some(address) = set_up::address_for_this_start(app).await? {
        let mut out = std::io::stdout();
        writeln!(out, "Set up your organization: {address}")?;
        out.flush()?;
    }
    Ok(())
}

async fn wait_for_signal() -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
