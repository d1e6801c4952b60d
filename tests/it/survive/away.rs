//! The database server goes away under load and comes back (P0-72).

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{MACHINE, crowd::Crowd, length, postgres::Postgres, quiet};
use crate::support::{
    database,
    process::{Place, Server, within},
    sink::{Sink, Ways},
};

/// The servers say what is true while the database is away: they live, and they are not ready.
async fn live_and_not_ready(servers: &[Server], until: Instant) {
    while Instant::now() < until {
        for server in servers {
            let asked = Instant::now();
            assert_eq!(server.browser().get("/healthz").await.unwrap().status, 200);
            assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
            assert_eq!(server.browser().get("/readyz").await.unwrap().status, 503);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until all are ready again; how long that took.
async fn ready_again(servers: &[Server]) -> Duration {
    let began = Instant::now();
    for server in servers {
        within("a server that is ready again", async {
            while server.browser().get("/readyz").await.unwrap().status != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    began.elapsed()
}

/// What people saw since then: an answer within five seconds (and a little for a busy machine), and only "come back".
fn assert_nobody_hung(crowd: &Crowd, since: Instant, what: &str) {
    let tries = crowd.tries_since(since);
    let busy = tries.iter().filter(|tried| tried.is_error()).count();
    let slowest = tries.iter().map(|tried| tried.took).max().unwrap_or_default();
    println!("{what}: {} requests, {busy} answered with 503, the slowest took {slowest:?}", tries.len());
    assert!(tries.iter().all(|tried| !tried.is_error() || tried.status == Some(503)), "{tries:?}");
    assert!(busy > 0, "the crowd must have noticed");
    let hung: Vec<_> = tries.iter().filter(|tried| tried.took > Duration::from_millis(6_500)).collect();
    assert!(hung.is_empty(), "{hung:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_goes_away_under_load_and_comes_back() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    let postgres = Postgres::start();
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::with_a_file())
        .with("VESTIBULE_DATABASE_URL", &postgres.url)
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let mut servers = vec![place.serve().await, place.serve().await];
    let (_, link) = servers[0].acme().await;
    let doors: Vec<_> = servers.iter().map(|server| server.address).collect();
    let crowd = Crowd::new(&servers[0], link, sink, &doors);
    let all = crowd.start(length(8, 32), Duration::from_millis(100));
    let rounds = length(1, 10);
    for _ in 0..rounds {
        crowd.wait_for(length(20, 200)).await;
        let stopped = Instant::now();
        postgres.script("halt");
        live_and_not_ready(&servers, Instant::now() + Duration::from_secs(4)).await;
        postgres.script("again");
        let ready = ready_again(&servers).await;
        println!("ready {ready:?} after the database was started again");
        assert!(ready < Duration::from_secs(10), "{ready:?}");
        crowd.wait_for(length(20, 200)).await;
        assert_nobody_hung(&crowd, stopped, "stopped and started");

        let frozen = Instant::now();
        postgres.signal(Signal::STOP);
        // What was on its way when it froze may still come to its end.
        tokio::time::sleep(Duration::from_millis(200)).await;
        live_and_not_ready(&servers, Instant::now() + Duration::from_secs(8)).await;
        postgres.signal(Signal::CONT);
        let ready = ready_again(&servers).await;
        println!("ready {ready:?} after the database was thawed");
        assert!(ready < Duration::from_secs(10), "{ready:?}");
        crowd.wait_for(length(20, 200)).await;
        assert_nobody_hung(&crowd, frozen, "frozen and thawed");
    }
    crowd.stop(all).await;
    // What was sent while its end could not be written leaves again.
    crowd.all_have_mail(rounds * 2 * servers.len() * 16).await;
    for server in servers {
        let ran = server.stop().await;
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
    crowd.is_as_acknowledged(&place).await;
}
