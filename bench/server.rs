//! The real binary in a process of its own, on a folder that was filled before.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use vestibule::{
    features::{
        admission::{Admission, Allowlist, decide},
        audit::Actor,
        links, set_up,
        users::{self, CameBy, NewUser, Proved, ProvedHow, Role},
    },
    platform::{
        App,
        config::Written,
        db::{Db, Tx, query},
        hashing::{Hashing, Strength},
        keys::Keys,
        limits::Tallies,
        mail::Mailer,
        tokens::{self, NewToken, Purpose},
        web::paging::place_by_text,
    },
    values::{Clock, MessageId, OrganizationId, Password, Randomness, ServerId, UserId},
};

use super::{
    client::{Client, form},
    database::On,
};

pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_vestibule"))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A data folder, or a database on a server, with an organization and its people.
pub struct Folder {
    pub folder: TempDir,
    /// The database where it is on a server.
    pub url: Option<String>,
    pub link: String,
    pub runtime: tokio::runtime::Runtime,
    pub app: App,
    pub organization: OrganizationId,
    pub people: Vec<UserId>,
}

pub struct Server {
    child: Child,
    pub port: u16,
    metrics: u16,
    pub first_answer: Duration,
}

/// How long pages took, in milliseconds.
pub struct Probe {
    pub p50: f64,
    pub p99: f64,
}

impl Server {
    /// So many people, `person0@acme.com` and on, who share one password.
    pub fn seed(on: On, people: usize) -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(on.fresh());
        let (app, organization, link, people) = runtime.block_on(fill(folder.path().to_owned(), url.clone(), people));
        Folder { folder, url, link, runtime, app, organization, people }
    }

    pub fn start(folder: &Folder) -> Self {
        Self::start_as(folder, Command::new(binary()))
    }

    /// The same with other settings.
    pub fn start_with(folder: &Folder, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command.envs(settings.iter().copied());
        Self::start_as(folder, command)
    }

    /// The same on one processor alone, as a container with a share of the machine has it.
    pub fn start_on(folder: &Folder, processor: usize) -> Self {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &processor.to_string()]).arg(binary());
        Self::start_as(folder, command)
    }

    fn start_as(folder: &Folder, mut command: Command) -> Self {
        let (port, metrics) = (free_port(), free_port());
        let started = Instant::now();
        if let Some(url) = &folder.url {
            command.env("VESTIBULE_DATABASE_URL", url);
        }
        let child = command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--trusted-proxies", "127.0.0.1"])
            .args(["--metrics-listen", &format!("127.0.0.1:{metrics}")])
            .env("VESTIBULE_DATA_DIR", folder.folder.path())
            // Several servers on one database are reached by one address.
            .env("VESTIBULE_PUBLIC_URL", "http://127.0.0.1:8080")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "the server does not answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(Client::connect(port).get(&folder.link), 200);
        Self { child, port, metrics, first_answer: started.elapsed() }
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::File::open(format!("/proc/{}/status", self.child.id())).expect("the process");
        let line = BufReader::new(status)
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") / 1024.0
    }

    /// Statements sent to the database since the start.
    pub fn statements(&self) -> u64 {
        let text = Client::connect(self.metrics).text("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("vestibule_database_statements_total "));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }

    pub fn probe(&self, path: &str, span: Duration) -> Probe {
        probe(self.port, path, span)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a page fifty times a second and notes how long each took.
pub fn probe(port: u16, path: &str, span: Duration) -> Probe {
    let mut client = Client::connect(port);
    let until = Instant::now() + span;
    let mut times = Vec::new();
    while Instant::now() < until {
        let sent = Instant::now();
        assert_eq!(client.get(path), 200);
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(Duration::from_millis(20).saturating_sub(sent.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    Probe { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
}

async fn fill(data_dir: PathBuf, url: Option<String>, people: usize) -> (App, OrganizationId, String, Vec<UserId>) {
    let written = Written { data_dir: Some(data_dir), database_url: url, ..Written::default() };
    let config = written.parse().expect("settings");
    let randomness = Randomness::System;
    let keys = Keys::open(&config.key_file, &randomness).expect("a key");
    let db = Db::open(&config.database, Clock::running(), randomness.clone()).await.expect("a database");
    keys.check(&db, &config.key_file).await.expect("the same key");
    let app = App {
        server: ServerId::new(db.now(), randomness.bytes()),
        hashing: Hashing::start(1, Strength::standard(), randomness.clone()),
        db,
        keys: Arc::new(keys),
        config: Arc::new(config),
        mailer: Mailer::Portal,
        tallies: Arc::new(Tallies::default()),
        trying: Arc::default(),
        watched: Arc::default(),
        randomness,
    };
    let (name, slug, manager) =
        ("Acme".parse().expect("a name"), "acme".parse().expect("a slug"), "mia@acme.com".parse().expect("an address"));
    let made = set_up::create_from_command_line(&app, &name, &slug, manager).await.expect("no fault");
    let (organization, _) = made.expect("a new slug");
    let link = links::path_of_own(&app, organization).await.expect("a link");
    let ids = add_people(&app, organization, "person", people).await;
    (app, organization, link, ids)
}

async fn add_people(app: &App, organization: OrganizationId, called: &str, people: usize) -> Vec<UserId> {
    let password = Password::parse_existing("seven purple herons dance").expect("a password");
    let hash = app.hashing.hash(password, "bench").await.expect("a hash");
    let mut ids = Vec::new();
    let mut tx = app.db.write().await.expect("a write");
    for person in 0..people {
        let address = format!("{called}{person}@acme.com").parse().expect("an address");
        let Admission::Admitted(admitted) = decide(&address, &Allowlist::default()) else {
            unreachable!("the list is empty")
        };
        let new = NewUser {
            organization,
            admitted,
            full_name: format!("Person {person}").parse().expect("a name"),
            password_hash: Some(hash.clone()),
            role: Role::Member,
            proved: Proved::by(ProvedHow::Mail),
            came_by: CameBy::Link,
            came_by_id: None,
        };
        ids.push(
            users::create(app, &mut tx, new, &Actor::server()).await.expect("no fault").expect("a new address").id,
        );
    }
    tx.commit().await.expect("a commit");
    ids
}

impl Folder {
    /// So many more people, whose addresses begin like this and who share the password.
    pub fn more_people(&self, called: &str, people: usize) {
        self.runtime.block_on(add_people(&self.app, self.organization, called, people));
    }

    /// One write beside the server.
    pub fn write(&self, act: impl AsyncFnOnce(&mut Tx)) {
        self.runtime.block_on(async {
            let mut tx = self.app.db.write().await.expect("a write");
            act(&mut tx).await;
            tx.commit().await.expect("a commit");
        });
    }

    /// So many links that set a password, for the people in turn.
    pub fn reset_links(&self, count: usize) -> Vec<String> {
        self.runtime.block_on(async {
            let mut tx = self.app.db.write().await.expect("a write");
            let mut links = Vec::new();
            for turn in 0..count {
                let Some(person) = self.people.get(turn % self.people.len()) else { break };
                let subject = person.subject();
                let new = NewToken { purpose: Purpose::BreakGlass, organization: self.organization, subject };
                links.push(format!("/reset/{}", tokens::issue_shown(&mut tx, new).expose()));
            }
            tx.commit().await.expect("a commit");
            links
        })
    }

    /// A link that sets the password of the manager, mia@acme.com.
    pub fn manager_link(&self) -> String {
        self.runtime.block_on(async {
            let email = "mia@acme.com".parse().expect("an address");
            let user =
                users::by_address(&self.app.db, self.organization, &email).await.expect("no fault").expect("a manager");
            let mut tx = self.app.db.write().await.expect("a write");
            let subject = user.id.subject();
            let new = NewToken { purpose: Purpose::BreakGlass, organization: self.organization, subject };
            let link = format!("/reset/{}", tokens::issue_shown(&mut tx, new).expose());
            tx.commit().await.expect("a commit");
            link
        })
    }

    /// Begins so many registrations, and the links that would be mailed for them.
    pub fn begun(&self, server: &Server, count: usize) -> Vec<String> {
        std::thread::scope(|scope| {
            for part in 0..8 {
                scope.spawn(move || {
                    let mut client = Client::connect(server.port);
                    for turn in (part..count).step_by(8) {
                        let body = format!("email=joining{turn}%40acme.com");
                        assert_eq!(client.send(&form(&self.link, &body, 50_000 + turn)), 303);
                    }
                });
            }
        });
        self.runtime.block_on(async {
            let sql = "select id from messages where kind = 'confirmation'";
            let messages: Vec<(MessageId,)> = query(sql).all(&self.app.db).await.expect("messages");
            let link = |message| format!("/confirm/{}", tokens::token_of(&self.app, message).expose());
            messages.into_iter().map(|(message,)| link(message)).collect()
        })
    }

    /// The link of the message that was written last, which a mail would carry.
    pub fn newest_confirmation(&self) -> String {
        self.runtime.block_on(async {
            let sql = "select id from messages where kind = 'confirmation' order by id desc limit 1";
            let (message,): (MessageId,) = query(sql).one(&self.app.db).await.expect("a message");
            format!("/confirm/{}", tokens::token_of(&self.app, message).expose())
        })
    }

    /// The place in the list of users after so many.
    pub fn place_of_user(&self, after: i64) -> String {
        self.runtime.block_on(async {
            let sql =
                "select email_key, id from users where organization_id = $1 order by email_key, id limit 1 offset $2";
            let (address, id): (String, UserId) =
                query(sql).bind(self.organization).bind(after).one(&self.app.db).await.expect("a user");
            place_by_text(&address, id)
        })
    }

    /// More organizations on the same server, each with a manager.
    pub fn more_organizations(&self, count: u32) {
        self.runtime.block_on(async {
            for n in 0..count {
                let (name, slug) = (format!("Organization {n}"), format!("organization-{n}"));
                let manager = format!("mia@organization-{n}.example").parse().expect("an address");
                let (name, slug) = (name.parse().expect("a name"), slug.parse().expect("a slug"));
                set_up::create_from_command_line(&self.app, &name, &slug, manager).await.expect("no fault");
            }
        });
    }
}
