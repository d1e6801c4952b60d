//! A server that stops tells its load balancer first, finishes what it has, and sends nobody to a closed door.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{
    MACHINE,
    balancer::{Balancer, free_port},
    crowd::Crowd,
    length, place_with_mail,
};
use crate::support::{
    database,
    process::{Place, within},
};

#[tokio::test]
async fn a_server_that_is_watched_says_that_it_leaves_while_it_still_serves() {
    let place = Place::new();
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    assert_eq!(server.browser().get("/readyz").await.unwrap().status, 200);
    server.signal(Signal::TERM);
    server.says("leaving").await;
    assert_eq!(server.browser().get("/readyz").await.unwrap().status, 503);
    assert_eq!(server.browser().get("/healthz").await.unwrap().status, 200);
    assert_eq!(server.browser().post(&link, &[("email", "ada@acme.com")]).await.unwrap().status, 303);
    // A second signal is somebody who does not want to wait.
    server.signal(Signal::TERM);
    let ran = server.ended().await;
    assert!(ran.status.success(), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_stopped_and_started_behind_haproxy_without_one_error() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    let (place, sink) = place_with_mail().await;
    let place = place.with("VESTIBULE_TRUSTED_PROXIES", "127.0.0.1");
    let (mut one, two) = (place.serve().await, place.serve().await);
    let (_, link) = one.acme().await;
    let door = Balancer::haproxy(free_port(), &[one.address, two.address]).await;
    let crowd = Crowd::new(&one, link.clone(), sink, &[door.address]);
    let began = Instant::now();
    let all = crowd.start(4, Duration::from_millis(100));
    crowd.wait_for(length(10, 500)).await;

    // One after the other, so that each replica has one of them in hand.
    let mut halfway = Vec::new();
    for n in 0..4 {
        let mut browser = crowd.visitor(n);
        browser.address = door.address;
        halfway.push(browser.post_halfway(&link, &[("email", &format!("half{n}@acme.com"))]).await);
    }
    one.signal(Signal::TERM);
    one.says("stopping").await;
    for unfinished in halfway {
        assert_eq!(unfinished.finish().await.unwrap().status, 303);
    }
    let ran = within("its end", one.ended()).await;
    assert!(ran.status.success() && !ran.err.contains("still open"), "{}", ran.err);
    crowd.wait_for(length(10, 500)).await;
    crowd.stop(all).await;
    let tries = crowd.tries_since(began);
    let errors: Vec<_> = tries.iter().filter(|tried| tried.is_error()).collect();
    println!("{} requests, {} errors", tries.len(), errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    crowd.all_have_mail(0).await;
    two.stop().await;
    crowd.is_as_acknowledged(&place).await;
}
