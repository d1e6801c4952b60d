//! The calendar jumps by an hour and by a day while people register (P1-14). `libfaketime` tells a process another time of day: the
//! server, or the database server that replicas go by. The steady clock, by which they sleep, stays the real one.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use vestibule::{
    platform::db::query,
    values::{Clock, HOUR, MINUTE, Timestamp},
};

use super::{MACHINE, crowd::Crowd, length, place_with_mail, postgres::Postgres, quiet};
use crate::support::{
    PASSWORD, database,
    process::{NetBrowser, Place, within},
    sink::{Sink, Ways},
};

/// A server looks at the calendar every ten seconds: after so long it has seen a step.
const SEEN: Duration = Duration::from_secs(12);
/// No job may stop for longer.
const JOBS_GO_ON: Duration = Duration::from_mins(1);
const HOUR_AHEAD: i64 = 3_600;
const DAY_BACK: i64 = -86_400;

/// Where the time is read that a process is told.
struct Calendar(PathBuf);

impl Calendar {
    /// One that is so many seconds ahead.
    fn new(place: &Place, ahead: i64) -> Self {
        let calendar = Self(place.path("calendar"));
        // A database server, which is another user, reads it too.
        fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
        calendar.is_ahead(ahead);
        calendar
    }

    /// What a process must see that goes by it.
    fn variables(&self) -> [(&'static str, String); 6] {
        let on = || "1".to_owned();
        [
            ("LD_PRELOAD", library().to_str().unwrap().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("FAKETIME_DISABLE_SHM", on()),
            ("NO_FAKE_STAT", on()),
        ]
    }

    /// The same place, whose servers go by it.
    fn under(&self, place: &Place) -> Place {
        self.variables().into_iter().fold(place.clone(), |place, (name, value)| place.with(name, &value))
    }

    /// Steps it. Nobody reads half of it.
    fn is_ahead(&self, seconds: i64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, &self.0).unwrap();
    }
}

fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).filter(|file| file.exists());
    found.next().expect("apt-get install faketime")
}

/// What lives through the steps, and what must not come to life again.
struct Watched {
    mia: NetBrowser,
    /// Sets a new password for an hour.
    reset: String,
    /// Joins for a day.
    patient: (NetBrowser, String),
}

impl Watched {
    async fn new(crowd: &Crowd, mia: NetBrowser, link: &str) -> Self {
        let origin = &mia.origin;
        let mut stranger = crowd.visitor(50_000);
        assert_eq!(stranger.post("/o/acme/forgot-password", &[("email", "mia@acme.com")]).await.unwrap().status, 200);
        let reset = crowd.sink.mail_to("mia@acme.com").await.link(origin);
        assert!(reset.starts_with("/reset/"), "{reset}");
        let mut patient = crowd.visitor(50_001);
        assert_eq!(patient.post(link, &[("email", "patient@acme.com")]).await.unwrap().status, 303);
        let confirm = crowd.sink.mail_to("patient@acme.com").await.link(origin);
        Self { mia, reset, patient: (patient, confirm) }
    }

    async fn resets(&self) -> bool {
        let page = self.mia.clone().get(&self.reset).await.unwrap();
        assert!(matches!(page.status, 200 | 410), "{} {}", page.status, page.words());
        page.status == 200
    }

    /// Sessions and links that live for longer than the steps go on.
    async fn are_alive(&mut self) {
        assert_eq!(self.mia.get("/account").await.unwrap().status, 200, "a session of a month");
        let (patient, confirm) = &mut self.patient;
        assert_eq!(patient.get(confirm).await.unwrap().status, 200, "a link of a day");
    }

    /// All of it is so for as long as a server needs for seeing a step, and a little longer.
    async fn stay(&mut self, for_so_long: Duration, resets: bool) {
        let began = Instant::now();
        while began.elapsed() < for_so_long {
            assert_eq!(self.resets().await, resets, "a link of an hour");
            self.are_alive().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn join(self) {
        let (mut patient, confirm) = self.patient;
        let page = patient.post(&confirm, &[("full_name", "Patient"), ("password", PASSWORD)]).await.unwrap();
        assert_eq!(page.status, 303, "{}", page.words());
    }
}

/// Somebody begins right after a step: the mail leaves in time.
async fn mail_leaves(crowd: &Crowd, link: &str, n: usize, what: &str) {
    let began = Instant::now();
    let email = format!("step{n}@acme.com");
    let mut somebody = crowd.visitor(51_000 + n);
    assert_eq!(somebody.post(link, &[("email", &email)]).await.unwrap().status, 303);
    crowd.sink.mail_to(&email).await;
    println!("{what}: mail left after {:?}", began.elapsed());
    assert!(began.elapsed() < JOBS_GO_ON);
}

/// No id stands twice, in whichever table.
async fn ids_are_unique(place: &Place) {
    let db = place.database().await;
    let ids: Vec<(uuid::Uuid,)> = query(
        "select id from organizations union all select id from users union all select id from sessions
         union all select id from links union all select id from link_codes union all select id from registrations
         union all select id from messages union all select id from audit_events",
    )
    .all(&db)
    .await
    .unwrap();
    db.close().await;
    let different: BTreeSet<_> = ids.iter().collect();
    println!("{} ids", ids.len());
    assert_eq!(different.len(), ids.len(), "every id is its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_stays_so_and_nothing_stops_when_the_calendar_jumps() {
    let _machine = MACHINE.read().await;
    let sink = Sink::start(Ways::default()).await;
    let mut place = quiet(Place::with_a_file()).with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let calendar = Calendar::new(&place, 0);
    let postgres = database::server().map(|_| Postgres::start_in(&calendar.variables()));
    let mut servers = Vec::new();
    if let Some(postgres) = &postgres {
        place = place.with("VESTIBULE_DATABASE_URL", &postgres.url);
        servers.extend([place.serve().await, place.serve().await]);
    } else {
        servers.push(calendar.under(&place).serve().await);
    }
    let (mia, link) = servers[0].acme().await;
    let doors: Vec<_> = servers.iter().map(|server| server.address).collect();
    let crowd = Crowd::new(&servers[0], link.clone(), sink, &doors);
    let mut watched = Watched::new(&crowd, mia, &link).await;
    let all = crowd.start(4, Duration::from_millis(50));
    crowd.wait_for(length(10, 100)).await;
    watched.are_alive().await;
    assert!(watched.resets().await, "it has not expired yet");

    let before = crowd.next_person();
    calendar.is_ahead(HOUR_AHEAD + 1);
    let began = Instant::now();
    within("the end of a link of an hour", async {
        while watched.resets().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    println!("an hour ahead: it was followed after {:?}", began.elapsed());
    // The other replica follows when it looks. Until then what it has in hand seems to be nobody's to the first.
    watched.stay(if postgres.is_some() { SEEN } else { Duration::ZERO }, false).await;
    let meanwhile = if postgres.is_some() { crowd.next_person() - before } else { 0 };
    let steps =
        [("an hour back", 0), ("a day back", DAY_BACK), ("an hour more", DAY_BACK + HOUR_AHEAD), ("right again", 0)];
    for round in 0..length(1, 5) {
        mail_leaves(&crowd, &link, 10 * round, "an hour ahead").await;
        for (n, (what, ahead)) in steps.into_iter().enumerate() {
            calendar.is_ahead(ahead);
            mail_leaves(&crowd, &link, 10 * round + n + 1, what).await;
            crowd.wait_for(length(10, 100)).await;
            // The day is the longest step: in a short run it alone is held until the server must have seen it.
            let held = if ahead == DAY_BACK { SEEN } else { SEEN * u32::try_from(length(0, 1)).unwrap() };
            watched.stay(held, false).await;
        }
        calendar.is_ahead(HOUR_AHEAD);
    }
    crowd.stop(all).await;
    // What was in hand when time jumped ahead seemed to be nobody's for a moment.
    crowd.all_have_mail(16 * servers.len() + meanwhile).await;
    crowd.is_as_acknowledged(&place).await;
    watched.join().await;
    for server in servers {
        let ran = server.stop().await;
        assert!(!ran.err.contains("ERROR"), "{}", ran.err);
    }
    ids_are_unique(&place).await;
}

/// The first and the last moment that registrations began, as they were written down.
async fn written(place: &Place) -> (Timestamp, Timestamp) {
    let db = place.database().await;
    let moments = query("select min(begun_at), max(begun_at) from registrations").one(&db).await.unwrap();
    db.close().await;
    moments
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_calendar_jumps_goes_by_the_time_of_the_database() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    let (place, sink) = place_with_mail().await;
    let mut one = place.serve().await;
    let (mia, link) = one.acme().await;
    let calendar = Calendar::new(&place, 2 * HOUR_AHEAD);
    let two = calendar.under(&place).serve().await;
    let said = Timestamp::from_rfc3339(two.log().split_whitespace().next().unwrap()).unwrap();
    assert!(said > Clock::of_this_machine() + HOUR, "its calendar is another one: {}", two.log());
    let crowd = Crowd::new(&one, link.clone(), sink, &[one.address, two.address]);
    let began = Instant::now();
    let first = place.database().await.now();
    let mut watched = Watched::new(&crowd, mia.at(&one), &link).await;
    let mut at_two = Watched { mia: mia.at(&two), reset: watched.reset.clone(), patient: watched.patient.clone() };
    at_two.patient.0.address = two.address;
    let all = crowd.start(4, Duration::from_millis(50));
    crowd.wait_for(length(10, 100)).await;
    at_two.are_alive().await;
    assert!(at_two.resets().await, "it started two hours ahead, and goes by the database");
    let steps = [("an hour ahead", HOUR_AHEAD), ("right", 0), ("a day back", DAY_BACK), ("right again", 0)];
    for (n, (what, ahead)) in steps.into_iter().enumerate() {
        calendar.is_ahead(ahead);
        mail_leaves(&crowd, &link, n, what).await;
        crowd.wait_for(length(10, 100)).await;
        let held = if n == 0 || ahead == DAY_BACK { SEEN } else { SEEN * u32::try_from(length(0, 4)).unwrap() };
        tokio::join!(watched.stay(held, true), at_two.stay(held, true));
    }
    crowd.stop(all).await;
    crowd.all_have_mail(0).await;
    crowd.is_as_acknowledged(&place).await;
    at_two.join().await;
    let (earliest, latest) = written(&place).await;
    let took = began.elapsed();
    // Each asks the database how late it is, over a way that takes a moment; an hour would be seen.
    let slack = MINUTE;
    assert!(earliest + slack > first && latest < first + took + slack, "{earliest:?} to {latest:?}, began {first:?}");
    for server in [one, two] {
        let ran = server.stop().await;
        assert!(!ran.err.contains("ERROR"), "{}", ran.err);
    }
    ids_are_unique(&place).await;
}
