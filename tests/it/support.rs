//! A whole Vestibule in one test: its own database, a still clock, captured mail, and browsers.

pub mod acts;
pub mod collector;
pub mod database;
pub mod forgetful;
pub mod house;
pub mod network;
mod page;
pub mod process;
pub mod routes;
pub mod sink;
pub mod volume;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, header},
};
use tempfile::TempDir;
use tower::ServiceExt as _;
use vestibule::{
    features::{
        organizations, set_up,
        users::{self, User},
    },
    platform::{
        App,
        config::{Config, Written},
        db::{Db, Tx},
        hashing::{Hashing, Strength},
        keys::Keys,
        limits::Tallies,
        mail::{Captured, Mail, Mailer},
    },
    values::{Clock, Randomness, ServerId, Timestamp},
    worker,
};

pub use page::Page;

/// The public address of the servers in tests.
pub const ORIGIN: &str = "https://id.vestibule.test";
/// A password that every rule accepts.
pub const PASSWORD: &str = "seven purple herons dance";

/// One server on the database and the key of the settings.
async fn replica(config: Arc<Config>, clock: Clock, mailer: Mailer, strength: Strength) -> App {
    let randomness = Randomness::System;
    let keys = Keys::open(&config.key_file, &randomness).unwrap();
    let db = Db::open(&config.database, clock, randomness.clone()).await.unwrap();
    keys.check(&db, &config.key_file).await.unwrap();
    App {
        server: ServerId::new(db.now(), randomness.bytes()),
        db,
        config,
        keys: Arc::new(keys),
        hashing: Hashing::start(1, strength, randomness.clone()),
        mailer,
        tallies: Arc::new(Tallies::default()),
        trying: Arc::default(),
        watched: Arc::default(),
        randomness,
    }
}

/// A server in a test. On `PostgreSQL` there are two on one database, and every browser goes to one and the other in
/// turn, as behind a load balancer.
pub struct TestApp {
    pub app: App,
    pub other: Option<App>,
    turn: Arc<AtomicUsize>,
    pub clock: Clock,
    pub mail: Captured,
    _folder: TempDir,
}

/// An organization with its first manager signed in.
pub struct Acme {
    pub manager: Browser,
    /// The path of the invite link.
    pub link: String,
}

impl TestApp {
    /// With a mail server that takes everything.
    pub async fn start() -> Self {
        let mail = Captured::default();
        Self::start_with(Mailer::Captured(mail.clone()), mail, Strength::new(64, 1)).await
    }

    /// Without a mail server.
    pub async fn start_without_mail() -> Self {
        Self::start_with(Mailer::Portal, Captured::default(), Strength::new(64, 1)).await
    }

    /// With another strength of hashes.
    pub async fn start_with(mailer: Mailer, mail: Captured, strength: Strength) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let written = Written {
            public_url: Some(ORIGIN.to_owned()),
            data_dir: Some(folder.path().to_owned()),
            trusted_proxies: Some("10.0.0.0/8".to_owned()),
            ..Written::default()
        };
        let mut config = written.parse().unwrap();
        let shared = database::with_schema().await;
        if let Some(database) = &shared {
            config.database = database.clone();
        }
        let clock = Clock::still_at(Timestamp::from_micros(1_795_356_000_000_000));
        let config = Arc::new(config);
        let replica = || replica(Arc::clone(&config), clock.clone(), mailer.clone(), strength.clone());
        let app = replica().await;
        let other = if shared.is_some() { Some(replica().await) } else { None };
        Self { app, other, turn: Arc::default(), clock, mail, _folder: folder }
    }

    /// Every server of this test.
    pub fn replicas(&self) -> impl Iterator<Item = &App> {
        std::iter::once(&self.app).chain(&self.other)
    }

    /// Lets the servers tell each other what each counted in memory, as they do every second.
    pub async fn share_counts(&self) {
        // Twice: the first learns from the second what that told after it.
        for app in self.replicas().chain(self.replicas()) {
            vestibule::platform::limits::shared::share(app).await.unwrap();
        }
    }

    /// A new browser, at its own client address.
    pub fn browser(&self) -> Browser {
        Browser {
            routers: self.replicas().map(vestibule::router).collect(),
            turn: Arc::clone(&self.turn),
            cookies: BTreeMap::new(),
            address: "192.0.2.7:50000".parse().unwrap(),
            forwarded_for: None,
            user_agent: "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
        }
    }

    /// Sets the organization up as its first manager would.
    pub async fn acme(&self) -> Acme {
        let address = vestibule::features::set_up::address_for_this_start(&self.app).await.unwrap().unwrap();
        let mut manager = self.browser();
        manager.get(address.strip_prefix(ORIGIN).unwrap()).await;
        let page = manager
            .post(
                "/setup",
                &[
                    ("organization_name", "Acme"),
                    ("full_name", "Mia Manager"),
                    ("email", "mia@acme.com"),
                    ("password", PASSWORD),
                ],
            )
            .await;
        assert_eq!(page.status, 303, "{}", page.html);
        let welcome = manager.get("/settings/welcome").await;
        let link = welcome.input("link").strip_prefix(ORIGIN).unwrap().to_owned();
        Acme { manager, link }
    }

    /// Another organization on the same server, made from the command line, with its manager signed in.
    pub async fn another(&self, name: &str, slug: &str, email: &str) -> Acme {
        let (name, short) = (name.parse().unwrap(), slug.parse().unwrap());
        let made = set_up::create_from_command_line(&self.app, &name, &short, email.parse().unwrap()).await.unwrap();
        let reset = format!("/reset/{}", made.unwrap().1.expose());
        let mut manager = self.browser();
        assert_eq!(manager.post(&reset, &[("password", PASSWORD)]).await.status, 303);
        self.sign_in(&mut manager, slug, email).await;
        let link = manager.get("/settings/welcome").await.input("link").strip_prefix(ORIGIN).unwrap().to_owned();
        Acme { manager, link }
    }

    /// Signs in with the password of every user in tests.
    pub async fn sign_in(&self, browser: &mut Browser, slug: &str, email: &str) {
        let page = browser.post(&format!("/o/{slug}/login"), &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(page.status, 303, "{}", page.html);
    }

    /// A user as the server has them, for what no page shows.
    pub async fn user(&self, slug: &str, email: &str) -> Option<User> {
        let organization = organizations::by_slug(&self.app.db, &slug.parse().unwrap()).await.unwrap().unwrap();
        users::by_address(&self.app.db, organization.id, &email.parse().unwrap()).await.unwrap()
    }

    /// Joins by the link and the mail's link, all the way.
    pub async fn join(&self, link: &str, email: &str, name: &str) -> Browser {
        let mut browser = self.browser();
        browser.get(link).await;
        browser.post(link, &[("email", email)]).await;
        let confirm = self.mail_to(email).await.link();
        let page = browser.post(&confirm, &[("full_name", name), ("password", PASSWORD)]).await;
        assert_eq!((page.status, page.location.as_deref()), (303, Some("/account")), "{}", page.html);
        browser
    }

    /// A second organization, Globex, made from a shell; its manager, otto@globex.example, signed in.
    pub async fn second_organization(&self) -> Browser {
        let (name, slug) = ("Globex".parse().unwrap(), "globex".parse().unwrap());
        let manager = "otto@globex.example".parse().unwrap();
        let made = set_up::create_from_command_line(&self.app, &name, &slug, manager).await.unwrap();
        let link = format!("/reset/{}", made.unwrap().1.expose());
        let mut browser = self.browser();
        assert_eq!(browser.post(&link, &[("password", PASSWORD)]).await.status, 303);
        let fields = [("email", "otto@globex.example"), ("password", PASSWORD)];
        assert_eq!(browser.post("/o/globex/login", &fields).await.status, 303);
        browser
    }

    /// Moves time.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Lets the workers of all servers deliver everything that is due, at the same time.
    pub async fn deliver(&self) {
        let mut working = tokio::task::JoinSet::new();
        let servers: Vec<App> = self.replicas().cloned().collect();
        for app in servers {
            working.spawn(async move { worker::deliver(&app).await });
        }
        for outcome in working.join_all().await {
            outcome.unwrap();
        }
    }

    /// Everything sent to an address so far.
    pub async fn all_mail_to(&self, email: &str) -> Vec<Mail> {
        self.deliver().await;
        self.mail.all().into_iter().filter(|mail| mail.to.as_str() == email).collect()
    }

    /// The newest message to an address. Messages that leave together have no order, so of those there may be only one.
    pub async fn mail_to(&self, email: &str) -> Mail {
        let before = self.mail.all().into_iter().filter(|mail| mail.to.as_str() == email).count();
        let mut all = self.all_mail_to(email).await;
        assert!(all.len() <= before + 1, "which of {} new messages to {email}?", all.len() - before);
        all.pop().unwrap_or_else(|| panic!("no mail to {email}"))
    }

    /// A write, for what no page can do.
    pub async fn write(&self) -> Tx {
        self.app.db.write().await.unwrap()
    }
}

/// What a person takes from a message.
pub trait Opened {
    /// The path of its link.
    fn link(&self) -> String;
    /// Its six digits.
    fn code(&self) -> String;
}

impl Opened for Mail {
    fn link(&self) -> String {
        let line = self
            .text
            .lines()
            .find(|line| line.starts_with(ORIGIN))
            .unwrap_or_else(|| panic!("no link in {}", self.text));
        line.strip_prefix(ORIGIN).unwrap().to_owned()
    }

    fn code(&self) -> String {
        let line = self
            .text
            .lines()
            .map(str::trim)
            .find(|line| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit()));
        line.unwrap_or_else(|| panic!("no code in {}", self.text)).to_owned()
    }
}

/// A browser with its cookies. It sends what browsers send about where a form comes from.
#[derive(Clone)]
pub struct Browser {
    routers: Vec<Router>,
    turn: Arc<AtomicUsize>,
    pub cookies: BTreeMap<String, String>,
    pub address: SocketAddr,
    pub forwarded_for: Option<String>,
    pub user_agent: String,
}

impl Browser {
    /// From now on reaches another process on the same data.
    pub fn through(&mut self, app: &App) {
        self.routers = vec![vestibule::router(app)];
    }

    /// Opens a path.
    pub async fn get(&mut self, path: &str) -> Page {
        let request = Request::get(path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post_raw(path, body.into_bytes()).await
    }

    /// Sends a body as it is.
    pub async fn post_raw(&mut self, path: &str, body: Vec<u8>) -> Page {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, ORIGIN)
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Follows where an answer leads, until a page is there.
    pub async fn follow(&mut self, page: Page) -> Page {
        let mut page = page;
        for _ in 0..5 {
            let Some(location) = page.location.clone() else { return page };
            page = self.get(&location).await;
        }
        panic!("too many redirects")
    }

    /// Sends any request with this browser's cookies.
    pub async fn send(&mut self, mut request: Request<Body>) -> Page {
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, pairs.join("; ").parse().unwrap());
        }
        request.headers_mut().insert(header::USER_AGENT, self.user_agent.parse().unwrap());
        if let Some(forwarded) = &self.forwarded_for {
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(self.address));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.routers.len();
        let response = self.routers[turn].clone().oneshot(request).await.unwrap();
        keep_cookies(&mut self.cookies, response.headers());
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let location = headers.get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        Page { status, location, headers, html: String::from_utf8(body.to_vec()).unwrap() }
    }
}

fn keep_cookies(cookies: &mut BTreeMap<String, String>, headers: &HeaderMap) {
    for line in headers.get_all(header::SET_COOKIE) {
        let line = line.to_str().unwrap();
        let (name, rest) = line.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        if value.is_empty() {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Starts everything at once and waits for all of it.
pub async fn all_at_once<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut set = tokio::task::JoinSet::new();
    for future in futures {
        set.spawn(future);
    }
    set.join_all().await
}
