//! A database server that a test may stop, freeze and kill.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use vestibule::values::Randomness;

use crate::support::{forgetful::Forgetful, process::within};

/// A database server of this test's own, which acknowledges only what lasts. It ends with its test.
pub struct Postgres {
    folder: PathBuf,
    options: &'static str,
    environment: String,
    pub url: String,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.script("stop");
    }
}

impl Postgres {
    pub fn start() -> Self {
        Self::start_with("", String::new())
    }

    /// One that sees these variables.
    pub fn start_in(environment: &[(&str, String)]) -> Self {
        let words = environment.iter().map(|(name, value)| format!("{name}={value}"));
        Self::start_with("", words.collect::<Vec<_>>().join(" "))
    }

    fn start_with(options: &'static str, environment: String) -> Self {
        let [one, two]: [u8; 2] = Randomness::System.bytes();
        let folder = std::env::temp_dir().join(format!("vestibule-postgres-{}-{one}-{two}", std::process::id()));
        let mut made = Self { folder, options, environment, url: String::new() };
        let printed = made.script("start");
        printed.trim().clone_into(&mut made.url);
        made
    }

    /// One whose log of writes is on a disk that forgets what was not synced; nothing where none can be mounted. What lasts
    /// is what that log holds: the tables' own files follow it and are never ahead of it. Left alone it acknowledges before
    /// anything lasts.
    pub fn start_on_a_forgetful_disk() -> Option<(Self, Forgetful)> {
        let made = Self::start_with("-c synchronous_commit=off", String::new());
        made.script("halt");
        let (disk_at, log) = (made.folder.join("disk"), made.folder.join("data/pg_wal"));
        let disk = Forgetful::mount(disk_at.clone())?;
        // The disk knows no folders: the one in the log's folder, which stays empty, is elsewhere.
        let elsewhere = made.folder.join("archive_status");
        copied(&log.join("archive_status"), &elsewhere);
        fs::remove_dir_all(log.join("archive_status")).unwrap();
        copied(&log.join("."), &disk_at);
        symlink(elsewhere, disk_at.join("archive_status")).unwrap();
        fs::remove_dir_all(&log).unwrap();
        symlink(disk_at, log).unwrap();
        disk.settle();
        made.script("again");
        Some((made, disk))
    }

    pub fn script(&self, act: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/server.sh");
        let mut command = Command::new(script);
        command.arg(act).arg(&self.folder).env("DURABLE", "1");
        command.env("POSTGRES_OPTIONS", self.options).env("POSTGRES_ENVIRONMENT", &self.environment);
        // The server goes on with what it has inherited, so that waiting for the end of a pipe would be waiting for it.
        let printed = self.folder.with_extension("printed");
        command.stdout(fs::File::create(&printed).unwrap());
        let status = command.status().unwrap();
        let text = fs::read_to_string(&printed).unwrap();
        fs::remove_file(printed).unwrap();
        let said = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(status.success() || std::thread::panicking(), "{act}: {text}\n{}", said());
        text
    }

    /// All of its processes, the one that makes the others first.
    fn processes(&self) -> Vec<i32> {
        let Ok(file) = fs::read_to_string(self.folder.join("data/postmaster.pid")) else { return Vec::new() };
        let Some(Ok(first)) = file.lines().next().map(str::parse::<i32>) else { return Vec::new() };
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = all.filter(|pid| status(*pid, "PPid:").is_some_and(|parent| parent == first.to_string()));
        std::iter::once(first).chain(children).collect()
    }

    /// Sends a signal to all of its processes.
    pub fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            // One that has just ended does not mind.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    /// Kills all of it, as a power cut does. Those that must have ended before the disk can go.
    pub fn kill(&self) -> Vec<i32> {
        // Frozen before: what makes the others makes none meanwhile.
        self.signal(Signal::STOP);
        let all = self.processes();
        self.signal(Signal::KILL);
        // Where nobody asks how it ended, the dead one keeps its number, and its files seem to be somebody's.
        let socket = fs::read_to_string(self.folder.join("port")).unwrap();
        for file in ["data/postmaster.pid", &format!(".s.PGSQL.{}.lock", socket.trim())] {
            fs::remove_file(self.folder.join(file)).unwrap();
        }
        all
    }
}

/// Waits until they have ended.
pub async fn ended(processes: &[i32]) {
    within("the end of the database server", async {
        while processes.iter().any(|pid| status(*pid, "State:").is_some_and(|state| !state.starts_with('Z'))) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// What the system says about a process, if there is one.
fn status(pid: i32, what: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(what))?.trim().to_owned())
}

/// Copies with owners and modes.
fn copied(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
