//! The server is killed in the middle of its work. What it acknowledged is there afterwards, once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use tokio::task::JoinSet;
use vestibule::{platform::db::query, values::Randomness};

use crate::support::{
    PASSWORD,
    process::{NetBrowser, Place, Server, within},
    sink::{Sink, Ways},
};

/// How often the server is killed.
const KILLS: usize = 4;
/// People who register at once.
const PEOPLE: usize = 8;

/// What was acknowledged, kept outside the server.
#[derive(Default)]
struct Ledger {
    begun: BTreeSet<String>,
    finished: BTreeSet<String>,
}

/// Somebody on the way from the link to the account.
struct Person {
    email: String,
    /// Whether they stop at the address or go on to the account.
    goes_on: bool,
    browser: NetBrowser,
}

#[derive(Clone)]
struct Crowd {
    link: String,
    sink: Arc<Sink>,
    ledger: Arc<Mutex<Ledger>>,
    acknowledged: Arc<tokio::sync::watch::Sender<usize>>,
}

impl Crowd {
    /// Goes as far as the server lets them; who was cut off comes back to go on.
    async fn join(&self, mut person: Person) -> Option<Person> {
        let note = |which: fn(&mut Ledger) -> &mut BTreeSet<String>, email: &str| {
            which(&mut self.ledger.lock().unwrap()).insert(email.to_owned());
            self.acknowledged.send_modify(|count| *count += 1);
        };
        if !self.ledger.lock().unwrap().begun.contains(&person.email) {
            if person.browser.get(&self.link).await.is_err() {
                return Some(person);
            }
            match person.browser.post(&self.link, &[("email", &person.email)]).await {
                Ok(page) => assert_eq!(page.status, 303, "{}", page.words()),
                Err(_) => return Some(person),
            }
            note(|ledger| &mut ledger.begun, &person.email);
        }
        if person.goes_on {
            let address = person.email.clone();
            let cut_off = async { while person.browser.get("/healthz").await.is_ok() {} };
            let link = tokio::select! {
                mail = self.sink.mail_to(&address) => { let text = mail.text(); path_in(&text) }
                () = cut_off => return Some(person),
            };
            match person.browser.post(&link, &[("full_name", "Somebody"), ("password", PASSWORD)]).await {
                Ok(page) => assert_eq!(page.status, 303, "{}", page.words()),
                Err(_) => return Some(person),
            }
            note(|ledger| &mut ledger.finished, &person.email);
        }
        None
    }
}

fn path_in(text: &str) -> String {
    let (_, rest) = text.split_once("/confirm/").unwrap();
    format!("/confirm/{}", rest.split_whitespace().next().unwrap())
}

fn person(server: &Server, n: usize) -> Person {
    let mut browser = server.browser();
    browser.forwarded_for = Some(format!("198.51.{}.{}", n / 250, n % 250));
    Person { email: format!("p{n}@acme.com"), goes_on: n.is_multiple_of(2), browser }
}

/// Lets a crowd register until `acknowledged` more answers have come, kills the server in the middle of the next ones,
/// and returns those who were cut off.
async fn until_killed(crowd: &Crowd, server: Server, before: Vec<Person>, answers: usize, first: usize) -> Vec<Person> {
    let mut people: Vec<Person> = (first..first + 200).map(|n| person(&server, n)).collect();
    // Taken from the end: who was cut off goes on first, so that nobody is left between two rounds.
    people.extend(before.into_iter().map(|person| Person { browser: person.browser.at(&server), ..person }));
    let queue = Arc::new(Mutex::new(people));
    let mut workers = JoinSet::new();
    for _ in 0..PEOPLE {
        let (crowd, queue) = (crowd.clone(), Arc::clone(&queue));
        workers.spawn(async move {
            loop {
                let next = queue.lock().unwrap().pop()?;
                if let Some(cut_off) = crowd.join(next).await {
                    return Some(cut_off);
                }
            }
        });
    }
    let goal = *crowd.acknowledged.borrow() + answers;
    let mut counting = crowd.acknowledged.subscribe();
    within("acknowledged registrations", counting.wait_for(|count| *count >= goal)).await.unwrap();
    server.kill().await;
    within("the crowd", workers.join_all()).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_a_kill() {
    let seed: [u8; KILLS] = Randomness::System.bytes();
    println!("seed {seed:?}");
    let sink = Arc::new(Sink::start(Ways::default()).await);
    let place = Place::new()
        .with("VESTIBULE_TRUSTED_PROXIES", "127.0.0.1")
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let crowd =
        Crowd { link, sink, ledger: Arc::default(), acknowledged: Arc::new(tokio::sync::watch::Sender::new(0)) };

    let mut cut_off = Vec::new();
    for (round, byte) in seed.iter().enumerate() {
        let answers = 3 + usize::from(byte % 48);
        cut_off = until_killed(&crowd, server, cut_off, answers, round * 1000).await;
        server = place.serve().await;
    }
    for person in cut_off {
        let person = Person { browser: person.browser.at(&server), ..person };
        assert!(crowd.join(person).await.is_none(), "who was cut off can go on");
    }
    let (begun, finished) = {
        let ledger = crowd.ledger.lock().unwrap();
        (ledger.begun.clone(), ledger.finished.clone())
    };
    for email in &begun {
        crowd.sink.mail_to(email).await;
    }
    server.stop().await;
    assert_is_as_acknowledged(&place, &begun, &finished).await;
    for email in &begun {
        let ids: BTreeSet<String> = crowd
            .sink
            .all()
            .iter()
            .filter(|mail| mail.to == [email.clone()])
            .map(super::support::sink::Received::message_id)
            .collect();
        assert_eq!(ids.len(), 1, "however often it left, it is one message: {email}");
    }
}

async fn assert_is_as_acknowledged(place: &Place, begun: &BTreeSet<String>, finished: &BTreeSet<String>) {
    let db = place.database().await;
    if !db.is_shared() {
        let (sound,): (String,) = query("pragma integrity_check").one(&db).await.unwrap();
        assert_eq!(sound, "ok");
    }
    let registrations: Vec<(String, i64)> =
        query("select email_key, count(*) from registrations group by email_key").all(&db).await.unwrap();
    assert!(registrations.iter().all(|(_, count)| *count == 1), "{registrations:?}");
    let known: BTreeSet<String> = registrations.into_iter().map(|(email, _)| email).collect();
    assert!(begun.is_subset(&known), "lost: {:?}", begun.difference(&known).collect::<Vec<_>>());
    let users: Vec<(String, i64)> =
        query("select email_key, count(*) from users where email_key <> 'mia@acme.com' group by email_key")
            .all(&db)
            .await
            .unwrap();
    assert!(users.iter().all(|(_, count)| *count == 1), "{users:?}");
    let users: BTreeSet<String> = users.into_iter().map(|(email, _)| email).collect();
    assert_eq!(&users, finished, "exactly those who were let in");
    assert!(!finished.is_empty(), "the crowd must get somewhere");
}
