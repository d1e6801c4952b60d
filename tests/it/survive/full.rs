//! The disk of the data folder is full, and then it is not (P0-73).

use std::{fs::File, io::Write as _, path::PathBuf, process::Command, time::Duration};

use std::time::Instant;

use super::{MACHINE, crowd::Crowd, length, quiet};
use crate::support::{
    process::{Place, within},
    sink::{Sink, Ways},
};

/// A small disk in memory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Only an administrator may mount one; `None` for everybody else.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|ran| ran.status.success()).then_some(Self(at))
    }

    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        for size in [65_536, 4_096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok() || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_503_and_nothing_acknowledged_is_lost() {
    let _machine = MACHINE.read().await;
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::with_a_file()).with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let Some(disk) = SmallDisk::mount(place.data()) else {
        println!("SKIPPED: a small disk cannot be mounted here (it takes root)");
        return;
    };
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let crowd = Crowd::new(&server, link, sink, &[server.address]);
    let all = crowd.start(6, Duration::from_millis(50));
    for _ in 0..length(2, 20) {
        crowd.wait_for(20).await;
        let full = Instant::now();
        disk.fill();
        let errors = || crowd.tries_since(full).iter().filter(|tried| tried.is_error()).count();
        within("somebody who is told to come back", async {
            while errors() < 30 {
                assert_eq!(server.browser().get("/healthz").await.unwrap().status, 200);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        let statuses: std::collections::BTreeSet<_> =
            crowd.tries_since(full).iter().filter(|tried| tried.is_error()).map(|tried| tried.status).collect();
        assert_eq!(statuses, [Some(503)].into());
        let cleared = Instant::now();
        disk.clear();
        crowd.wait_for(10).await;
        println!("{} answered with 503; ten steps {:?} after there was space", errors(), cleared.elapsed());
        assert!(cleared.elapsed() < Duration::from_secs(10));
    }
    crowd.stop(all).await;
    crowd.all_have_mail(length(2, 20) * 16).await;
    let ran = server.stop().await;
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    crowd.is_as_acknowledged(&place).await;
    drop(disk);
}
