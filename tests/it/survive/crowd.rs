//! A crowd that registers all the time, through whichever door is open, and remembers what it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};
use vestibule::{platform::db::query, values::Randomness};

use crate::support::{
    PASSWORD, Page,
    process::{NetBrowser, Place, Server, within},
    sink::Sink,
};

/// One question and what came back; no status is a connection that broke.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    pub at: Instant,
    pub took: Duration,
    pub status: Option<u16>,
}

impl Try {
    pub const fn is_error(&self) -> bool {
        !matches!(self.status, Some(200..=499))
    }
}

/// What was acknowledged, kept outside of every server.
#[derive(Default)]
struct Ledger {
    /// How often each was sent whose registration was acknowledged.
    begun: BTreeMap<String, usize>,
    finished: BTreeSet<String>,
    /// Whose last step was taken, but the answer was cut off.
    perhaps: BTreeSet<String>,
    tries: Vec<Try>,
}

/// Whose registration was acknowledged, and who got to the account.
pub struct Acknowledged {
    pub begun: BTreeSet<String>,
    pub finished: BTreeSet<String>,
}

/// The crowd. Cheap to clone; all of one share everything.
#[derive(Clone)]
pub struct Crowd {
    link: String,
    browser: NetBrowser,
    pub sink: Arc<Sink>,
    doors: Arc<Mutex<Vec<SocketAddr>>>,
    ledger: Arc<Mutex<Ledger>>,
    acknowledged: Arc<watch::Sender<usize>>,
    next: Arc<AtomicUsize>,
    /// One in so many goes on to the account.
    one_in: usize,
    stopped: Arc<AtomicBool>,
}

impl Crowd {
    /// People who know this link and come through the doors of these servers.
    pub fn new(server: &Server, link: String, sink: Sink, doors: &[SocketAddr]) -> Self {
        Self {
            link,
            browser: server.browser(),
            sink: Arc::new(sink),
            doors: Arc::new(Mutex::new(doors.to_vec())),
            ledger: Arc::default(),
            acknowledged: Arc::new(watch::Sender::new(0)),
            next: Arc::default(),
            one_in: 2,
            stopped: Arc::default(),
        }
    }

    /// One in so many goes on to the account, which hashes a password; the others are accepted addresses.
    pub fn with_one_in(self, one_in: usize) -> Self {
        Self { one_in, ..self }
    }

    /// From now on they come through these.
    pub fn doors_are(&self, doors: &[SocketAddr]) {
        *self.doors.lock().unwrap() = doors.to_vec();
    }

    /// Lets `people` at once register again and again, each with a pause between two, until [`Self::stop`].
    pub fn start(&self, people: usize, pause: Duration) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for _ in 0..people {
            let crowd = self.clone();
            all.spawn(async move {
                while !crowd.stopped.load(Ordering::Relaxed) {
                    crowd.join().await;
                    tokio::time::sleep(pause).await;
                }
            });
        }
        all
    }

    /// Nobody begins any more; whoever has begun goes on to the end.
    pub async fn stop(&self, all: JoinSet<()>) {
        self.stopped.store(true, Ordering::Relaxed);
        within("the crowd", all.join_all()).await;
    }

    /// Waits for so many more acknowledged steps.
    pub async fn wait_for(&self, steps: usize) {
        let goal = *self.acknowledged.borrow() + steps;
        let mut counting = self.acknowledged.subscribe();
        within("acknowledged steps", counting.wait_for(|count| *count >= goal)).await.unwrap();
    }

    /// One person, from the link to the waiting page; some to the account.
    async fn join(&self) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let email = format!("p{n}@acme.com");
        let mut browser = self.visitor(n);
        // Whoever has seen the page has its cookie: a form that is sent again, since its answer was cut off, begins nothing new.
        let (page, _) = self.until_answered(&mut browser, &self.link, None).await;
        assert_eq!(page.status, 200, "{}", page.words());
        let (page, sent) = self.until_answered(&mut browser, &self.link, Some(&[("email", &email)])).await;
        assert_eq!(page.status, 303, "{}", page.words());
        self.ledger.lock().unwrap().begun.insert(email.clone(), sent);
        self.acknowledged.send_modify(|count| *count += 1);
        if n.is_multiple_of(self.one_in) {
            let link = self.sink.mail_to(&email).await.link(&self.browser.origin);
            let details = [("full_name", "Somebody"), ("password", PASSWORD)];
            let (page, sent) = self.until_answered(&mut browser, &link, Some(&details)).await;
            if page.status == 303 {
                self.ledger.lock().unwrap().finished.insert(email);
                self.acknowledged.send_modify(|count| *count += 1);
            } else {
                assert!(sent > 1, "nothing was cut off, and yet {}: {}", page.status, page.words());
                self.ledger.lock().unwrap().perhaps.insert(email);
            }
        }
    }

    /// A browser from an address of its own; all of them are this machine's.
    pub fn visitor(&self, n: usize) -> NetBrowser {
        let [high, low] = u16::try_from(n % 60_000).unwrap().to_be_bytes();
        NetBrowser { from: Some(IpAddr::V4(Ipv4Addr::new(127, 1, high, low.max(1)))), ..self.browser.clone() }
    }

    /// Sends a form, or opens a page, again and again until a server takes or refuses it; how often.
    async fn until_answered(
        &self,
        browser: &mut NetBrowser,
        path: &str,
        form: Option<&[(&str, &str)]>,
    ) -> (Page, usize) {
        let mut sent = 0;
        loop {
            sent += 1;
            browser.address = self.a_door();
            let at = Instant::now();
            let answer = match form {
                Some(fields) => browser.post(path, fields).await,
                None => browser.get(path).await,
            };
            let status = answer.as_ref().ok().map(|page| page.status);
            let tried = Try { at, took: at.elapsed(), status };
            self.ledger.lock().unwrap().tries.push(tried);
            match answer {
                Ok(page) if !tried.is_error() => return (page, sent),
                Ok(page) => assert!(matches!(page.status, 502..=504), "{} {}", page.status, page.words()),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn a_door(&self) -> SocketAddr {
        let doors = self.doors.lock().unwrap();
        let [random]: [u8; 1] = Randomness::System.bytes();
        doors[usize::from(random) % doors.len()]
    }

    /// What was acknowledged until now.
    pub fn acknowledged(&self) -> Acknowledged {
        let ledger = self.ledger.lock().unwrap();
        Acknowledged { begun: ledger.begun.keys().cloned().collect(), finished: ledger.finished.clone() }
    }

    /// The number of the next one who begins.
    pub fn next_person(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// Everything that was tried since then.
    pub fn tries_since(&self, then: Instant) -> Vec<Try> {
        self.ledger.lock().unwrap().tries.iter().copied().filter(|tried| tried.at >= then).collect()
    }

    /// Waits for the mail of everybody who was accepted. What left twice: at most `doubles` messages, each with the bytes
    /// and the Message-ID of the first time.
    pub async fn all_have_mail(&self, doubles: usize) {
        let begun = self.ledger.lock().unwrap().begun.clone();
        for email in begun.keys() {
            self.sink.mail_to(email).await;
        }
        let received = self.sink.all();
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut different = BTreeSet::new();
        for mail in &received {
            ids.entry(mail.to[0].clone()).or_default().insert(mail.message_id());
            different.insert(mail.message_id());
        }
        let twice = received.len() - different.len();
        println!("{} accepted, {} messages, {twice} of them twice", begun.len(), different.len());
        assert!(twice <= doubles, "{twice} left twice, at most {doubles} may");
        for (email, sent) in &begun {
            assert!(ids[email].len() <= *sent, "{email}: {:?} for {sent} forms", ids[email]);
        }
    }

    /// What the database holds is what was acknowledged, once.
    pub async fn is_as_acknowledged(&self, place: &Place) {
        let db = place.database().await;
        if !db.is_shared() {
            let (sound,): (String,) = query("pragma integrity_check").one(&db).await.unwrap();
            assert_eq!(sound, "ok");
        }
        let registrations: Vec<(String, i64)> =
            query("select email_key, count(*) from registrations group by email_key").all(&db).await.unwrap();
        let users: Vec<(String, i64)> =
            query("select email_key, count(*) from users where email_key <> 'mia@acme.com' group by email_key")
                .all(&db)
                .await
                .unwrap();
        db.close().await;
        assert!(users.iter().all(|(_, count)| *count == 1), "{users:?}");
        let users: BTreeSet<String> = users.into_iter().map(|(email, _)| email).collect();
        let ledger = self.ledger.lock().unwrap();
        assert!(registrations.iter().all(|(_, count)| *count == 1), "{registrations:?}");
        let known: BTreeSet<String> = registrations.into_iter().map(|(email, _)| email).collect();
        println!(
            "{} accepted, {} joined, {} cut off at the end",
            ledger.begun.len(),
            users.len(),
            ledger.perhaps.len()
        );
        let lost: Vec<_> = ledger.begun.keys().filter(|email| !known.contains(*email)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let lost: Vec<_> = ledger.finished.difference(&users).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let let_in = ledger.finished.union(&ledger.perhaps).cloned().collect();
        assert!(users.is_subset(&let_in), "nobody else: {:?}", users.difference(&let_in).collect::<Vec<_>>());
        assert!(!ledger.finished.is_empty(), "the crowd must get somewhere");
    }
}
