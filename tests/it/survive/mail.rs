//! The mail server is away, hangs, refuses for now, and comes back (P0-71).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use vestibule::{
    platform::mail::SendError,
    values::{HOUR, MINUTE},
};

use super::{MACHINE, balancer::free_port, length, quiet};
use crate::support::{
    Opened as _, TestApp,
    acts::{DETAILS, begin},
    process::{NetBrowser, Place},
    sink::{Sink, Ways},
};

#[tokio::test]
async fn what_waited_for_a_mail_server_leaves_with_the_first_success_the_oldest_first() {
    const WAIT: usize = 60;
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.deliver().await;
    app.mail.break_with(Some(SendError::Stalled("connection refused".to_owned())));
    for n in 0..WAIT {
        begin(&app, &acme, &format!("p{n}@acme.com")).await;
        app.advance(MINUTE);
        app.deliver().await;
    }
    // Hours later it is back; within five minutes, the longest that a stalled message waits, something is tried.
    for _ in 0..40 {
        app.advance(5 * MINUTE);
        app.deliver().await;
    }
    let before = app.mail.all().len();
    app.mail.break_with(None);
    app.advance(5 * MINUTE);
    app.deliver().await;
    // What was stalled behind the first success leaves at the next look.
    app.deliver().await;
    let left: Vec<_> = app.mail.all()[before..].iter().map(|mail| mail.to.as_str().to_owned()).collect();
    assert_eq!(left.len(), WAIT, "everything, once");
    for (place, email) in left.iter().enumerate() {
        let age: usize = email.trim_start_matches('p').split('@').next().unwrap().parse().unwrap();
        // Two servers send sixteen at once each.
        assert!(place.abs_diff(age) <= 2 * 2 * 16, "{email} left as number {place}");
    }
    app.advance(23 * HOUR);
    let link = app.mail.all()[before..].iter().find(|mail| mail.to.as_str() == "p0@acme.com").unwrap().link();
    assert_eq!(app.browser().post(&link, &DETAILS).await.status, 303, "no link is old because its mail waited");
}

/// Registrations of this many, numbered from `first`: each is accepted, and fast.
async fn register(browser: &NetBrowser, link: &str, first: usize, many: usize) {
    for n in first..first + many {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        let mut person = NetBrowser { from: Some([127, 4, high, low.max(1)].into()), ..browser.clone() };
        let asked = Instant::now();
        let page = person.post(link, &[("email", &format!("p{n}@acme.com"))]).await.unwrap();
        assert_eq!(page.status, 303, "{}", page.words());
        assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_register_while_mail_cannot_leave_and_all_of_it_leaves_afterwards() {
    let _machine = MACHINE.read().await;
    let many = 10;
    let at = format!("127.0.0.1:{}", free_port());
    let place = quiet(Place::new()).with("VESTIBULE_SMTP_URL", &format!("smtp://{at}?tls=none"));
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let browser = server.browser();
    // Nobody listens; then somebody who says nothing; then one who says "not now".
    register(&browser, &link, 0, many).await;
    let sink = Sink::start_at(at.parse().unwrap(), Ways { hang: true, ..Ways::default() }).await;
    register(&browser, &link, many, many).await;
    sink.now(|ways| *ways = Ways { at_data: Some("451 4.3.0 not now"), ..Ways::default() });
    register(&browser, &link, 2 * many, many).await;
    let back = Instant::now();
    sink.now(|ways| ways.at_data = None);
    register(&browser, &link, 3 * many, many).await;
    for n in 0..4 * many {
        sink.mail_to(&format!("p{n}@acme.com")).await;
    }
    println!("{} messages have left {:?} after the mail server was back", 4 * many, back.elapsed());
    assert_eq!(sink.all().len(), 4 * many, "each once");
    server.stop().await;
}

/// Registrations of everybody from 0 to `many`, so many at once that it matters little when a link, beyond two thousand in
/// ten minutes, answers everybody a second later.
async fn queue(browser: &NetBrowser, link: &str, many: usize, at_once: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (browser, link, next) = (browser.clone(), link.to_owned(), Arc::clone(&next));
        all.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= many {
                    return;
                }
                let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
                let mut person = NetBrowser { from: Some([127, 5, high, low.max(1)].into()), ..browser.clone() };
                let page = person.post(&link, &[("email", &format!("p{n}@acme.com"))]).await.unwrap();
                assert_eq!(page.status, 303, "{}", page.words());
            }
        });
    }
    all.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_leaves_soon_after_the_mail_server_is_back_and_nearly_in_order() {
    let _machine = MACHINE.read().await;
    let (many, at_once) = (length(200, 10_000), length(16, 256));
    let at = format!("127.0.0.1:{}", free_port());
    let place = quiet(Place::new()).with("VESTIBULE_SMTP_URL", &format!("smtp://{at}?tls=none"));
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let began = Instant::now();
    queue(&server.browser(), &link, many, at_once).await;
    println!("{many} registered in {:?}", began.elapsed());
    let sink = Sink::start_at(at.parse().unwrap(), Ways::default()).await;
    let back = Instant::now();
    // One more comes, whose message is the first to get through; without anybody it is the next that is tried again.
    register(&server.browser(), &link, many, 1).await;
    sink.has(many + 1, Duration::from_mins(10)).await;
    println!("{many} messages have left {:?} after the mail server was back", back.elapsed());
    let left: Vec<String> = sink.all().into_iter().map(|mail| mail.to[0].clone()).collect();
    let number = |email: &String| email[1..].split('@').next().unwrap().parse::<usize>().unwrap();
    let queued = left.iter().map(number).filter(|n| *n < many);
    let from_its_place: Vec<_> = queued.enumerate().map(|(place, n)| place.abs_diff(n)).collect();
    // Who asks at the same time has no order.
    let roughly = 100.max(2 * at_once);
    let far = from_its_place.iter().filter(|by| **by > roughly).count();
    println!("{far} more than {roughly} from their places, the farthest {}", from_its_place.iter().max().unwrap());
    assert_eq!(left.len(), many + 1, "each once");
    // What was on its way to nobody in that moment fails first, and leaves when the next one has got through.
    assert!(far <= 2 * 16, "{far} were more than {roughly} from their places");
    server.stop().await;
}
