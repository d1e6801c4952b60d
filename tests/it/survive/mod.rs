//! What breaks around a server, and what must not break with it: real processes that are killed, frozen, cut off from their
//! database or their mail server. `SOAK=1` makes every test of these long (`bench/soak`).

mod away;
mod backup;
mod balanced;
mod balancer;
mod clock;
mod crowd;
mod drain;
mod flood;
mod full;
mod killed;
mod lost;
mod mail;
mod migrations;
mod postgres;
mod power;
mod turns;
mod upgrade;

use tokio::sync::RwLock;

use crate::support::{
    process::Place,
    sink::{Sink, Ways},
};

/// Held for reading by whoever breaks something, for writing by whoever needs the whole machine.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// Whether the long figures are asked for.
fn soaking() -> bool {
    std::env::var("SOAK").is_ok_and(|value| value == "1")
}

/// A number for a run: the short one, or the long one.
fn length(short: usize, long: usize) -> usize {
    if soaking() { long } else { short }
}

/// A place whose mail arrives, and whose log has no line for each request.
async fn place_with_mail() -> (Place, Sink) {
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::new()).with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    (place, sink)
}

fn quiet(place: Place) -> Place {
    place
        .with("VESTIBULE_MAIL_FROM", "door@acme.com")
        .with("VESTIBULE_PUBLIC_URL", "http://localhost:8080")
        .with("RUST_LOG", "info,vestibule::platform::web::dress=warn")
}
