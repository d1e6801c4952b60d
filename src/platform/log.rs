//! The log: lines on standard error, and spans to whoever gathers traces.
//!
//! A line is handed to a thread of its own and never waited for. Standard error may be a full disk, a closed pipe or one
//! that nobody reads: the server answers all the same, and counts the lines that it had to drop.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{
    config::LogFormat,
    metrics,
    traces::{self, Traces},
};

/// So many lines wait for a slow reader.
const WAITING: usize = 8192;
/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Said {
    Line(Vec<u8>),
    /// Everything before it is written: say so.
    Ended(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
struct Lines(SyncSender<Said>);

impl Write for Lines {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Said::Line(line.to_owned())).is_err() {
            metrics::log_line_dropped();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Keeps the log open; its end waits a moment for the lines that are still on their way.
pub struct Log(Lines);

impl Drop for Log {
    fn drop(&mut self) {
        let (ended, written) = sync_channel(1);
        // With a full queue nobody reads: there is nothing to wait for.
        if self.0.0.try_send(Said::Ended(ended)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

/// Starts the log. `RUST_LOG` says how many lines; standard output has the set-up address and nothing else.
pub fn start(format: LogFormat, traces: Option<&Traces>) -> Log {
    let lines = Lines(writing(io::stderr()));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // Its complaint about a failed write would go to the same standard error, and panic there.
    let text = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_ansi(false).log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => text.boxed(),
        LogFormat::Json => text.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // Spans of this program alone, and no events: what libraries say about their work may hold what it was about.
    let own = filter_fn(|about| about.is_span() && about.target().starts_with("vestibule"));
    let spans = traces.map(|traces| traces::layer(traces).with_filter(own.with_max_level_hint(LevelFilter::DEBUG)));
    tracing_subscriber::registry().with(layer.with_filter(filter)).with(spans).init();
    Log(lines)
}

/// A thread that writes what it is sent. What cannot be written is gone.
fn writing(mut to: impl Write + Send + 'static) -> SyncSender<Said> {
    let (sender, receiver): (_, Receiver<Said>) = sync_channel(WAITING);
    thread::spawn(move || {
        while let Ok(said) = receiver.recv() {
            match said {
                Said::Line(line) => {
                    if to.write_all(&line).is_err() {
                        metrics::log_line_dropped();
                    }
                }
                Said::Ended(ended) => drop(ended.try_send(())),
            }
        }
    });
    sender
}
