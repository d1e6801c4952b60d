//! What is counted for Prometheus. Without a listener nothing is kept, and every call here is nearly free.
//!
//! A label is a route's pattern or a word of a closed list, never what somebody typed: no address, slug, token or id.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{App, mail::outbox};
use crate::values::{Clock, Timestamp};

/// The seconds up to which answers are counted together.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// A database that does not answer in this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

macro_rules! labels {
    ($($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $variant),* }
        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    )*};
}

labels! {
    /// How far a registration has come.
    Step {
        /// An address was accepted.
        Begun = "begun",
        /// The mailbox was proved.
        Confirmed = "confirmed",
        /// There is a user.
        Finished = "finished",
    }
    /// What admission decided.
    Verdict {
        /// The address may register.
        Admit = "admit",
        /// Its domain may not.
        RefuseDomain = "refuse-domain",
        /// It is no address.
        RefuseInvalid = "refuse-invalid",
    }
    /// What the hash pool did.
    Hashed {
        /// A new password was hashed.
        New = "new",
        /// A password was compared with a stored hash.
        Compared = "compared",
    }
    /// Why the hash pool said "busy".
    Busy {
        /// Every place was taken.
        Full = "full",
        /// All places of this source were taken.
        Source = "source",
        /// Its turn had not come in time.
        Late = "late",
    }
    /// How one try to deliver a message ended.
    Delivery {
        /// The mail server took it.
        Delivered = "delivered",
        /// It is tried again later.
        Retried = "retried",
        /// It is given up.
        Failed = "failed",
        /// Its cause had ended.
        Dropped = "dropped",
    }
}

/// A request was answered. `method` is one of a closed list, `route` a pattern, or nothing where there is none.
pub fn request(method: &'static str, route: Option<&str>, status: u16, took: Duration) {
    let route = route.unwrap_or("unmatched").to_owned();
    counter!("vestibule_http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!("vestibule_http_request_duration_seconds", "route" => route).record(took.as_secs_f64());
}

/// A registration has come so far.
pub fn registration(step: Step) {
    counter!("vestibule_registrations_total", "step" => step.word()).increment(1);
}

/// A registration was not let on to this step; `reason` is a word of a closed list.
pub fn registration_refused(step: Step, reason: &'static str) {
    counter!("vestibule_registrations_refused_total", "step" => step.word(), "reason" => reason).increment(1);
}

/// A registration ended without a user; `reason` is a word of a closed list.
pub fn registration_ended(reason: &'static str) {
    counter!("vestibule_registrations_ended_total", "reason" => reason).increment(1);
}

/// A request failed by a fault.
pub fn fault() {
    counter!("vestibule_faults_total").increment(1);
}

/// Admission decided about an address.
pub fn admission(verdict: Verdict) {
    counter!("vestibule_admissions_total", "verdict" => verdict.word()).increment(1);
}

/// The hash pool has done something.
pub fn hashed(what: Hashed) {
    counter!("vestibule_hashes_total", "kind" => what.word()).increment(1);
}

/// The hash pool told somebody to come back.
pub fn hash_busy(why: Busy) {
    counter!("vestibule_hash_busy_total", "reason" => why.word()).increment(1);
}

/// A message was tried.
pub fn delivery(outcome: Delivery) {
    counter!("vestibule_mail_deliveries_total", "outcome" => outcome.word()).increment(1);
}

/// The database was asked.
pub fn statement() {
    counter!("vestibule_database_statements_total").increment(1);
}

/// A line of the log could not be written.
pub fn log_line_dropped() {
    counter!("vestibule_log_lines_dropped_total").increment(1);
}

/// A batch of spans was delivered, or not.
pub fn trace_batch(delivered: bool) {
    counter!("vestibule_trace_batches_total", "outcome" => if delivered { "delivered" } else { "failed" }).increment(1);
}

/// What was counted since the start.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// Another recorder counts already.
#[derive(Debug, thiserror::Error)]
#[error("the metrics are counted already")]
pub struct RecorderError;

impl Recorder {
    /// Begins to count, for the whole process.
    pub fn start() -> Result<Self, RecorderError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &SECONDS)
            .map_err(|_| RecorderError)?
            .build_recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).map_err(|_| RecorderError)?;
        describe();
        begin_at_zero();
        gauge!("vestibule_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("vestibule_process_start_time_seconds").set(seconds(Clock::of_this_machine()));
        Ok(Self(handle))
    }

    /// Keeps what was measured small while nobody asks for it.
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }

    /// Everything as text, with what only holds at this moment. `App` is asked for that, the database at most a second.
    pub async fn text(&self, app: &App) -> String {
        measure_hashing(app);
        measure_database(app);
        measure_process();
        measure_mail(app).await;
        self.0.render()
    }
}

fn measure_hashing(app: &App) {
    let load = app.hashing.load();
    gauge!("vestibule_hash_queue_length").set(count(load.waiting));
    gauge!("vestibule_hash_queue_places").set(count(load.places));
}

fn measure_database(app: &App) {
    for pool in app.db.pools() {
        let of = |state: &'static str| gauge!("vestibule_database_connections", "pool" => pool.name, "state" => state);
        of("in_use").set(count(pool.in_use));
        of("idle").set(count(pool.idle));
        gauge!("vestibule_database_connections_max", "pool" => pool.name).set(count(pool.most));
        gauge!("vestibule_database_waiting", "pool" => pool.name).set(count(pool.waiting));
    }
}

/// From Linux; elsewhere these two are missing.
fn measure_process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    if let Some(kilobytes) = resident {
        let kilobytes: f64 = kilobytes;
        gauge!("vestibule_process_resident_memory_bytes").set(kilobytes * 1024.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("vestibule_process_open_fds").set(count(open.count()));
    }
}

/// What is not known is not a number: an old figure would look like a good one.
async fn measure_mail(app: &App) {
    let asked = tokio::time::timeout(PATIENCE, outbox::whole_backlog(&app.db)).await;
    let backlog = asked.ok().and_then(Result::ok);
    let now = app.db.now();
    // Without a mail server messages wait to be handed over, and none is late.
    let age = |since: Option<Timestamp>| match since {
        Some(since) if app.mailer.delivers() => since.until(now).as_secs_f64(),
        _ => 0.0,
    };
    let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
    gauge!("vestibule_mail_waiting").set(known(backlog.as_ref().map(|backlog| whole(backlog.waiting))));
    gauge!("vestibule_mail_oldest_due_seconds").set(known(backlog.as_ref().map(|backlog| age(backlog.due_since))));
    gauge!("vestibule_mail_oldest_tried_seconds").set(known(backlog.as_ref().map(|backlog| age(backlog.tried_since))));
}

fn count(number: usize) -> f64 {
    whole(i64::try_from(number).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
const fn whole(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into 2^52")]
const fn seconds(at: Timestamp) -> f64 {
    at.micros() as f64 / 1_000_000.0
}

/// A counter that is there from the start shows its first increase, and an alert can tell "none" from "not known".
fn begin_at_zero() {
    for step in Step::ALL {
        counter!("vestibule_registrations_total", "step" => step.word()).absolute(0);
    }
    for verdict in Verdict::ALL {
        counter!("vestibule_admissions_total", "verdict" => verdict.word()).absolute(0);
    }
    for what in Hashed::ALL {
        counter!("vestibule_hashes_total", "kind" => what.word()).absolute(0);
    }
    for why in Busy::ALL {
        counter!("vestibule_hash_busy_total", "reason" => why.word()).absolute(0);
    }
    for outcome in Delivery::ALL {
        counter!("vestibule_mail_deliveries_total", "outcome" => outcome.word()).absolute(0);
    }
    counter!("vestibule_faults_total").absolute(0);
    counter!("vestibule_log_lines_dropped_total").absolute(0);
    for outcome in ["delivered", "failed"] {
        counter!("vestibule_trace_batches_total", "outcome" => outcome).absolute(0);
    }
}

fn describe() {
    let counters = [
        ("vestibule_http_requests_total", "Requests answered, by method, pattern of the route and status."),
        ("vestibule_faults_total", "Requests that failed by a fault of the server or its data."),
        ("vestibule_registrations_total", "Registrations that came to a step: begun, confirmed, finished."),
        ("vestibule_registrations_refused_total", "Registrations not let on to a step, by reason."),
        ("vestibule_registrations_ended_total", "Registrations that ended without a user of theirs, by reason."),
        ("vestibule_admissions_total", "Decisions of the domain allowlist about addresses, by verdict."),
        ("vestibule_hashes_total", "Passwords hashed or compared."),
        ("vestibule_hash_busy_total", "Answers \"busy\" of the hash pool, by reason."),
        ("vestibule_mail_deliveries_total", "Tries to deliver a message, by outcome."),
        ("vestibule_database_statements_total", "Statements sent to the database."),
        ("vestibule_log_lines_dropped_total", "Lines of the log that could not be written."),
        ("vestibule_trace_batches_total", "Batches of spans sent to the collector, by outcome."),
    ];
    for (name, about) in counters {
        describe_counter!(name, about);
    }
    let gauges = [
        ("vestibule_hash_queue_length", "Passwords waiting to be hashed or compared."),
        ("vestibule_hash_queue_places", "Passwords that may be in the hash pool at once."),
        ("vestibule_mail_waiting", "Messages in the outbox; not a number while the database does not say."),
        ("vestibule_mail_oldest_due_seconds", "How long the message that is due longest is overdue."),
        ("vestibule_mail_oldest_tried_seconds", "How long ago the oldest waiting message was first tried in vain."),
        ("vestibule_database_connections", "Connections to the database, by pool and state."),
        ("vestibule_database_connections_max", "Connections to the database that there may be."),
        ("vestibule_database_waiting", "Requests and jobs that wait for a connection."),
        ("vestibule_build_info", "Always 1; the label is the version."),
        ("vestibule_process_start_time_seconds", "When the server started, in seconds since 1970."),
        ("vestibule_process_resident_memory_bytes", "Memory in use."),
        ("vestibule_process_open_fds", "Open files and connections."),
    ];
    for (name, about) in gauges {
        describe_gauge!(name, about);
    }
    describe_histogram!(
        "vestibule_http_request_duration_seconds",
        Unit::Seconds,
        "Time from a request's head to its answer's, by pattern of the route."
    );
}
