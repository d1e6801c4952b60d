//! A new key while servers serve: what the old one made goes on working, before and after the new one is used.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinSet;
use vestibule::{
    platform::keys::{Keys, Purpose},
    values::{Clock, Randomness},
};

use crate::support::{
    PASSWORD, database,
    process::{NetBrowser, Place, Server, within},
};

fn object(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap()
}

fn name_of(email: &str) -> &str {
    email.split('@').next().unwrap()
}

/// Begins with an address; the browser and where it waits.
async fn begin(server: &Server, link: &str, email: &str) -> (NetBrowser, String) {
    let mut browser = server.browser();
    let page = browser.post(link, &[("email", email)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    let waiting = browser.get(&page.location.unwrap()).await.unwrap();
    (browser, waiting.input("registration"))
}

/// A manager hands the message to this address over: the path of its link, and its code.
async fn hand_over(manager: &mut NetBrowser, email: &str) -> (String, String) {
    let list = manager.get(&format!("/settings/mail?to={email}")).await.unwrap();
    let body = list.html.split("<tbody>").nth(1).unwrap_or_else(|| panic!("no message: {}", list.words()));
    let message = body.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let page = manager.post(&format!("{message}/hand-over"), &[("current_password", PASSWORD)]).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.words());
    let link = page.input("handed-link");
    let path = format!("/{}", link.splitn(4, '/').nth(3).unwrap());
    let code = page.html.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6).unwrap().to_owned();
    (path, code)
}

/// Joins with the code at this server.
async fn finish_by_code((browser, registration): &(NetBrowser, String), server: &Server, code: &str, email: &str) {
    let mut browser = browser.at(server);
    let page = browser.post("/join/code", &[("registration", registration), ("code", code)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    let details = [("registration", registration.as_str()), ("full_name", name_of(email)), ("password", PASSWORD)];
    let page = browser.post("/join/details", &details).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    sign_in(server, email).await;
}

async fn finish_by_link(server: &Server, link: &str, email: &str) {
    let page = server.browser().post(link, &[("full_name", name_of(email)), ("password", PASSWORD)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
    sign_in(server, email).await;
}

async fn sign_in(server: &Server, email: &str) {
    let mut browser = server.browser();
    let page = browser.post("/o/acme/login", &[("email", email), ("password", PASSWORD)]).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.words());
}

/// Opens the link again and again; ends only by failing.
async fn keep_opening(mut browser: NetBrowser, link: String, opened: Arc<AtomicUsize>) {
    loop {
        assert_eq!(browser.get(&link).await.unwrap().status, 200);
        opened.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets the moment of the new key be the next second, and waits for it.
async fn let_the_moment_come(place: &Place) {
    let file = place.data().join("key");
    let soon = (Clock::of_this_machine() + Duration::from_secs(1)).rfc3339();
    let text = fs::read_to_string(&file).unwrap();
    let (front, rest) = text.split_once(" from ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let beside = place.data().join("key.edited");
    fs::copy(&file, &beside).unwrap();
    fs::write(&beside, format!("{front} from {soon}\n{rest}")).unwrap();
    fs::rename(&beside, &file).unwrap();
    let keys = Keys::open(&file, &Randomness::System).unwrap();
    let used = async {
        while !keys.newest().made(&keys.mac(Purpose::LinkCode, &[])) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the new key's moment", used).await;
}

/// Turns the key while people open the link at every server; nobody is turned away.
async fn turn_with_people_at_the_door(place: &Place, rotate: &[&str], servers: [&Server; 2], link: &str) {
    let opened = Arc::new(AtomicUsize::new(0));
    let mut crowd = JoinSet::new();
    for server in [servers, servers].concat() {
        crowd.spawn(keep_opening(server.browser(), link.to_owned(), Arc::clone(&opened)));
    }
    let turned = object(&place.ask(rotate).await);
    assert_eq!(turned["sealed_anew"], 1);
    let before = opened.load(Ordering::SeqCst);
    within("more people", async {
        while opened.load(Ordering::SeqCst) < before + 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(crowd.try_join_next().is_none(), "somebody was turned away");
    crowd.shutdown().await;
}

async fn turn_under(place: Place, rotate: &[&str]) {
    let mut one = place.serve().await;
    let (mut manager, link) = one.acme().await;
    // On SQLite there is one server: it is both.
    let second = if rotate.contains(&"--shared-file") { Some(place.serve().await) } else { None };
    let other = second.as_ref().unwrap_or(&one);
    let ada = begin(&one, &link, "ada@acme.com").await;
    let bob = begin(&one, &link, "bob@acme.com").await;
    begin(&one, &link, "cleo@acme.com").await;
    let dan = begin(&one, &link, "dan@acme.com").await;
    let (_, ada_code) = hand_over(&mut manager, "ada@acme.com").await;

    let old_file = fs::read_to_string(place.data().join("key")).unwrap();
    turn_with_people_at_the_door(&place, rotate, [&one, other], &link).await;
    // The key is there, and not used yet.
    for server in [&one, other] {
        assert_eq!(server.browser().get(&link).await.unwrap().status, 200);
        let shown = manager.at(server).get("/settings/identity").await.unwrap();
        assert!(shown.html.contains(&link), "the link is shown: {}", shown.words());
    }
    finish_by_code(&ada, other, &ada_code, "ada@acme.com").await;
    let (_, code) = hand_over(&mut manager.at(other), "bob@acme.com").await;
    finish_by_code(&bob, &one, &code, "bob@acme.com").await;
    let (cleo_link, _) = hand_over(&mut manager, "cleo@acme.com").await;

    let_the_moment_come(&place).await;
    finish_by_link(other, &cleo_link, "cleo@acme.com").await;
    let (_, code) = hand_over(&mut manager, "dan@acme.com").await;
    finish_by_code(&dan, other, &code, "dan@acme.com").await;
    let eve = begin(other, &link, "eve@acme.com").await;
    let (_, code) = hand_over(&mut manager, "eve@acme.com").await;
    finish_by_code(&eve, &one, &code, "eve@acme.com").await;
    let replaced = object(&place.ask(&["link", "replace", "--org", "acme", "--json"]).await);
    let new = format!("/join/{}", replaced["link"].as_str().unwrap().rsplit('/').next().unwrap());
    for server in [&one, other] {
        assert_eq!(server.browser().get(&link).await.unwrap().status, 410, "replaced, not forgotten");
        assert_eq!(server.browser().get(&new).await.unwrap().status, 200);
    }
    if let Some(second) = second {
        second.stop().await;
    }
    one.stop().await;

    // Who has only the old file is kept out; without the old line everything made anew still works.
    let file = place.data().join("key");
    let both = fs::read_to_string(&file).unwrap();
    fs::write(&file, &old_file).unwrap();
    let refused = place.run(&["link", "show", "--org", "acme"]).await;
    assert!(refused.err.contains("the database was made with another key"), "{}", refused.err);
    fs::write(&file, both.lines().next().unwrap()).unwrap();
    assert!(place.ask(&["link", "show", "--org", "acme"]).await.contains(&new));
}

#[tokio::test]
async fn a_key_is_turned_while_the_server_serves() {
    turn_under(Place::with_a_file(), &["key", "rotate", "--json"]).await;
}

#[tokio::test]
async fn a_key_is_turned_while_two_servers_share_its_file() {
    let Some(url) = database::fresh() else {
        eprintln!("skipped: it needs PostgreSQL; set TEST_POSTGRES");
        return;
    };
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url);
    turn_under(place, &["key", "rotate", "--shared-file", "--json"]).await;
}

#[tokio::test]
async fn a_key_is_added_before_it_is_used_where_every_server_has_a_file_of_its_own() {
    let Some(url) = database::fresh() else {
        eprintln!("skipped: it needs PostgreSQL; set TEST_POSTGRES");
        return;
    };
    let place = Place::with_a_file().with("VESTIBULE_DATABASE_URL", &url);
    let mut one = place.serve().await;
    let (_, link) = one.acme().await;
    let second = tempfile::tempdir().unwrap();
    let copy = second.path().join("key");
    fs::copy(place.data().join("key"), &copy).unwrap();
    let elsewhere = place.clone().with("VESTIBULE_KEY_FILE", copy.to_str().unwrap());
    let other = elsewhere.serve().await;

    let refused = |ran: crate::support::process::Ran, why: &str| {
        assert!(!ran.status.success() && ran.err.lines().count() == 1 && ran.err.contains(why), "{}", ran.err);
    };
    refused(place.run(&["key", "rotate"]).await, "--shared-file");
    let prepared = object(&place.ask(&["key", "rotate", "--prepare", "30", "--json"]).await);
    assert_eq!(prepared["sealed_anew"], Value::Null);
    refused(place.run(&["key", "rotate", "--prepare", "30"]).await, "a new key is there already");
    refused(place.run(&["key", "rotate"]).await, "Come back after that");
    // The other has not got it yet, and does not need it.
    assert_eq!(other.browser().get(&link).await.unwrap().status, 200);
    let_the_moment_come_for(&place, &copy).await;
    let turned = object(&place.ask(&["key", "rotate", "--json"]).await);
    assert_eq!(turned["sealed_anew"], 1);
    for server in [&one, &other] {
        assert_eq!(server.browser().get(&link).await.unwrap().status, 200);
    }
}

/// The same where another server has a copy of the file.
async fn let_the_moment_come_for(place: &Place, copy: &std::path::Path) {
    let_the_moment_come(place).await;
    let beside = copy.with_extension("new");
    fs::copy(place.data().join("key"), &beside).unwrap();
    fs::rename(&beside, copy).unwrap();
}
