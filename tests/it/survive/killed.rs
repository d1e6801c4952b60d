//! Servers are killed in the middle of their work. What they acknowledged is there afterwards, once (P0-70).

use std::time::{Duration, Instant};

use vestibule::values::Randomness;

use super::{MACHINE, crowd::Crowd, length, place_with_mail};
use crate::support::{database, process::Server};

/// What one server has in hand at most, so that a kill may send so many messages twice.
const IN_HAND: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let _machine = MACHINE.read().await;
    let kills = length(5, 20);
    let seed: [u8; 20] = Randomness::System.bytes();
    println!("seed {seed:?}");
    let (place, sink) = place_with_mail().await;
    let mut servers = vec![place.serve().await];
    let (_, link) = servers[0].acme().await;
    if database::server().is_some() {
        servers.push(place.serve().await);
    }
    let doors = |servers: &[Server]| servers.iter().map(|server| server.address).collect::<Vec<_>>();
    let crowd = Crowd::new(&servers[0], link, sink, &doors(&servers)).with_one_in(length(2, 50));
    let start = Instant::now();
    let all = crowd.start(length(8, 240), Duration::from_millis(20));
    for byte in &seed[..kills] {
        crowd.wait_for(length(5, 3_000) + usize::from(byte % 64)).await;
        let victim = usize::from(*byte) % servers.len();
        servers.swap_remove(victim).kill().await;
        let (accepted, messages) = (crowd.acknowledged().begun.len(), crowd.sink.count());
        println!("{:?}: {accepted} accepted, {messages} messages have come", start.elapsed());
        let began = Instant::now();
        servers.push(place.serve().await);
        let ready = began.elapsed();
        println!("ready again after {ready:?}");
        assert!(ready <= Duration::from_secs(5), "{ready:?}");
        crowd.doors_are(&doors(&servers));
    }
    println!("{} accepted in {:?}", crowd.acknowledged().begun.len(), start.elapsed());
    crowd.stop(all).await;
    crowd.all_have_mail(kills * IN_HAND).await;
    for server in servers {
        server.stop().await;
    }
    crowd.is_as_acknowledged(&place).await;
}
