//! The power goes. What was acknowledged is on the disk, whatever the disk had not yet taken (P1-18).

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use vestibule::values::Randomness;

use super::{
    MACHINE,
    crowd::Crowd,
    length,
    postgres::{Postgres, ended},
    quiet,
};
use crate::support::{
    database,
    forgetful::Forgetful,
    process::{Place, within},
    sink::{Sink, Ways},
    volume::Volume,
};

/// What one server has in hand at most, so that a cut may send so many messages twice.
const IN_HAND: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let _machine = MACHINE.read().await;
    let cuts = length(3, 20);
    let seed: [u8; 20] = Randomness::System.bytes();
    println!("seed {seed:?}");
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::with_a_file()).with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let Some(mut disk) = Forgetful::mount(place.data()) else { return };
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    let crowd = Crowd::new(&server, link, sink, &[server.address]);
    let all = crowd.start(8, Duration::from_millis(20));
    for byte in &seed[..cuts] {
        crowd.wait_for(length(5, 200) + usize::from(byte % 64)).await;
        // Anywhere between two acknowledged steps.
        tokio::time::sleep(Duration::from_millis(u64::from(byte % 20))).await;
        let cut = disk.lose_power(|| server.signal(Signal::KILL));
        let ran = server.ended().await;
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        disk.get_power_back();
        let began = Instant::now();
        server = place.serve().await;
        println!("{cut:?}, ready {:?} after the power was back", began.elapsed());
        crowd.doors_are(&[server.address]);
    }
    crowd.stop(all).await;
    crowd.all_have_mail(cuts * IN_HAND).await;
    println!("{:?} at the end", disk.lose_power(|| server.signal(Signal::KILL)));
    server.ended().await;
    disk.rescue();
    crowd.is_as_acknowledged(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_of_the_database_server_goes() {
    if database::server().is_none() {
        return;
    }
    let _machine = MACHINE.read().await;
    let cuts = length(3, 20);
    let seed: [u8; 20] = Randomness::System.bytes();
    println!("seed {seed:?}");
    let Some((postgres, mut disk)) = Postgres::start_on_a_forgetful_disk() else { return };
    let sink = Sink::start(Ways::default()).await;
    let place = quiet(Place::with_a_file())
        .with("VESTIBULE_DATABASE_URL", &postgres.url)
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"));
    let mut servers = [place.serve().await, place.serve().await];
    let (_, link) = servers[0].acme().await;
    let doors: Vec<_> = servers.iter().map(|server| server.address).collect();
    let crowd = Crowd::new(&servers[0], link, sink, &doors);
    let all = crowd.start(8, Duration::from_millis(20));
    for byte in &seed[..cuts] {
        crowd.wait_for(length(5, 100) + usize::from(byte % 64)).await;
        // While the server waits for the disk.
        within("a write that does not last yet", async {
            while !disk.is_behind() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let mut killed = Vec::new();
        let cut = disk.lose_power(|| killed = postgres.kill());
        ended(&killed).await;
        disk.get_power_back();
        let began = Instant::now();
        postgres.script("again");
        println!("{cut:?}, the database was back {:?} after the power", began.elapsed());
    }
    crowd.stop(all).await;
    crowd.all_have_mail(cuts * servers.len() * IN_HAND).await;
    crowd.is_as_acknowledged(&place).await;
    for server in servers {
        let ran = server.stop().await;
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
    }
    // Whoever works on the disk ends before it does.
    ended(&postgres.kill()).await;
}

#[test]
fn the_disk_of_this_test_forgets_what_was_not_synced_and_nothing_else() {
    let place = Place::with_a_file();
    let Some(mut disk) = Forgetful::mount(place.data()) else { return };
    let page = |fill: u8| [fill; 4096];
    let file = File::create(place.data().join("file")).unwrap();
    for at in 0..64 {
        file.write_all_at(&page(1), at * 4096).unwrap();
    }
    file.sync_data().unwrap();
    File::open(place.data()).unwrap().sync_all().unwrap();
    for at in 32..64 {
        file.write_all_at(&page(2), at * 4096).unwrap();
    }
    drop(file);
    println!("{:?}", disk.lose_power(|| ()));
    disk.get_power_back();
    let bytes = fs::read(place.data().join("file")).unwrap();
    assert_eq!(bytes.len(), 64 * 4096);
    assert!(bytes[..32 * 4096].iter().all(|byte| *byte == 1), "what was synced lasts");
    let sectors = bytes[32 * 4096..].chunks(512);
    let kept = sectors.filter(|sector| sector.iter().all(|byte| *byte == 2)).count();
    // Of 32 writes chance keeps a few, and not all.
    assert!((1..32 * 8).contains(&kept), "{kept} sectors of what was not synced");
}

#[test]
fn names_last_when_their_folder_was_synced_and_before_that_perhaps() {
    let name = |name| OsStr::new(name);
    let (mut stayed, mut moved, mut gone) = (0, 0, 0);
    for seed in 0..64 {
        let mut volume = Volume::new(seed);
        let old = volume.make(name("old"), 0o600, (0, 0));
        volume.write(old, 0, b"octets");
        volume.sync(old);
        volume.sync_names();
        volume.rename(name("old"), name("new"));
        volume.take(name("new"));
        volume.cut();
        let all: Vec<_> = volume.names().keys().cloned().collect();
        match all.first().and_then(|name| name.to_str()) {
            Some("old") => stayed += 1,
            Some("new") => moved += 1,
            _ => gone += 1,
        }
        if let Some(inode) = volume.names().values().next().copied() {
            assert_eq!((inode, volume.file(inode).unwrap().bytes.as_slice()), (old, &b"octets"[..]));
        }
    }
    assert!(stayed > 0 && moved > 0 && gone > 0, "{stayed} stayed, {moved} moved, {gone} gone");
}
