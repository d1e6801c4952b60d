//! A flood of sign-ins costs the flood, not the server (P0-41).

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{MACHINE, length, quiet};
use crate::support::{
    PASSWORD,
    process::{Place, Server, within},
};

const MIB: u64 = 1 << 20;

fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_is_told_to_wait_and_everybody_else_is_served() {
    // Alone on the machine: it is about how fast the server answers while it is flooded.
    let _machine = MACHINE.write().await;
    let place = quiet(Place::new());
    let mut server = place.serve().await;
    server.acme().await;
    let base = resident(&server);
    let (people, span) = (length(300, 1_000), Duration::from_secs(length(5, 60).try_into().unwrap()));
    let until = Instant::now() + span;
    let mut flood = JoinSet::new();
    for n in 0..people {
        let mut browser = server.browser();
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        browser.from = Some([127, 3, high, low.max(1)].into());
        let email = format!("nobody{n}@acme.com");
        flood.spawn(async move {
            let mut statuses = Vec::new();
            while Instant::now() < until {
                let fields = [("email", &*email), ("password", "not the password at all")];
                if let Ok(page) = browser.post("/o/acme/login", &fields).await {
                    statuses.push((page.status, page.headers.contains_key("retry-after")));
                }
            }
            statuses
        });
    }
    let (mut health, mut most) = (Vec::new(), base);
    while Instant::now() < until {
        let asked = Instant::now();
        assert_eq!(server.browser().get("/healthz").await.unwrap().status, 200);
        health.push(asked.elapsed());
        most = most.max(resident(&server));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let statuses: Vec<_> = within("the flood's end", flood.join_all()).await.into_iter().flatten().collect();
    let busy: Vec<_> = statuses.iter().filter(|(status, _)| matches!(status, 429 | 503)).collect();
    health.sort_unstable();
    let p99 = health[(health.len() * 99 / 100).min(health.len() - 1)];
    println!(
        "{} answers, {} of them busy; /healthz p99 {p99:?}; resident {} MiB, before {} MiB",
        statuses.len(),
        busy.len(),
        most / MIB,
        base / MIB
    );
    assert!(!busy.is_empty() && busy.iter().all(|(_, says_when)| *says_when), "busy says when to come back");
    assert!(statuses.iter().all(|(status, _)| *status < 500 || *status == 503));
    // What 19 MiB a hash thread and as many connections need, and a fifth more.
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    let bound = (base + threads * 19 * MIB + people as u64 * 64 * 1024) * 6 / 5;
    assert!(most <= bound, "{} MiB, at most {}", most / MIB, bound / MIB);
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    let after = Instant::now();
    let mut mia = server.browser();
    let fields = [("email", "mia@acme.com"), ("password", PASSWORD)];
    within("a sign-in after it", async {
        while mia.post("/o/acme/login", &fields).await.unwrap().status != 303 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(after.elapsed() < Duration::from_secs(5), "{:?}", after.elapsed());
    server.stop().await;
}
