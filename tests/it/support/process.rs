//! The real binary in a folder of its own, and browsers that speak to it over the network.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
};

pub use super::network::NetBrowser;
use super::{PASSWORD, database};
use vestibule::{
    platform::db::{DatabaseUrl, Db},
    values::{Clock, Randomness},
};

/// How long an observable thing may take before its test has failed.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Waits for something that must happen, and fails where it does not.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A folder with its settings, in which servers start one after another and commands run.
#[derive(Clone)]
pub struct Place {
    folder: Arc<TempDir>,
    settings: Vec<(String, String)>,
}

/// What a command left behind.
pub struct Ran {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Place {
    /// With a database of its own where the stories run on a server, else with a file in the data folder.
    pub fn new() -> Self {
        let place = Self::with_a_file();
        match database::fresh() {
            Some(url) => place.with("VESTIBULE_DATABASE_URL", &url),
            None => place,
        }
    }

    /// With a file in the data folder, whatever the stories run on.
    pub fn with_a_file() -> Self {
        Self { folder: Arc::new(tempfile::tempdir().unwrap()), settings: Vec::new() }
    }

    /// Where the database is.
    pub fn url(&self) -> DatabaseUrl {
        let named = self.settings.iter().find(|(name, _)| name == "VESTIBULE_DATABASE_URL");
        match named {
            Some((_, url)) => url.parse().unwrap(),
            None => DatabaseUrl::Sqlite(self.data().join("vestibule.sqlite")),
        }
    }

    /// The database, for what no page and no command shows.
    pub async fn database(&self) -> Db {
        Db::open(&self.url(), Clock::running(), Randomness::System).await.unwrap()
    }

    /// With one more variable in the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder, where nothing else is said.
    pub fn data(&self) -> PathBuf {
        self.path("vestibule-data")
    }

    /// Everything in the folder, by name.
    pub fn names(&self) -> Vec<String> {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_vestibule")));
        command.args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        let foreign = |name: &str| name.starts_with("VESTIBULE_") || name == "RUST_LOG" || name == "SSL_CERT_FILE";
        for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// Runs a command to its end, with this on its standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeding = async {
            // A command that has seen enough closes its end.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = within("a command", async { tokio::join!(child.wait_with_output(), feeding) }).await;
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a command that must succeed, for what it prints.
    pub async fn ask(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert!(ran.status.success(), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// What each command says of itself, the program and the commands below commands among them.
    pub async fn helps(&self, flag: &str) -> Vec<(Vec<String>, String)> {
        let mut open = vec![Vec::new()];
        let mut helps = Vec::new();
        while let Some(path) = open.pop() {
            let words: Vec<&str> = path.iter().map(String::as_str).collect();
            let help = self.ask(&[&words[..], &[flag]].concat()).await;
            let below = help.split_once("Commands:").map_or("", |(_, rest)| rest).lines().skip(1);
            let names = below
                .take_while(|line| !line.is_empty())
                .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
            for name in names.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help") {
                open.push([path.clone(), vec![name.to_owned()]].concat());
            }
            helps.push((path, help));
        }
        helps
    }

    /// Starts the server on a port that the system chooses, and waits until it is ready.
    pub async fn serve(&self) -> Server {
        self.serve_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// The same at an address that was another server's before.
    pub async fn serve_at(&self, address: SocketAddr) -> Server {
        let mut server = self.begin_to_serve_at(address);
        let log = server.says("Vestibule is ready").await;
        let ready = log.lines().find(|line| line.contains("Vestibule is ready")).unwrap();
        server.address = field(ready, "listening").parse().unwrap();
        server.origin = field(ready, "address");
        server
    }

    /// Starts the server and waits for nothing.
    pub fn begin_to_serve(&self) -> Server {
        self.begin_to_serve_at("127.0.0.1:0".parse().unwrap())
    }

    fn begin_to_serve_at(&self, address: SocketAddr) -> Server {
        let mut child = self.command(&["serve", "--listen", &address.to_string()]).spawn().unwrap();
        let out = gather(child.stdout.take().unwrap());
        let err = gather(child.stderr.take().unwrap());
        Server { child, out, err, address: "127.0.0.1:0".parse().unwrap(), origin: String::new() }
    }

    /// Starts the server with a log that goes there and is not read: that it runs shows on its standard output.
    pub async fn serve_unread(&self, log: Stdio) -> Server {
        let mut child = self.command(&["serve", "--listen", "127.0.0.1:0"]).stderr(log).spawn().unwrap();
        let out = gather(child.stdout.take().unwrap());
        let err = watch::channel(String::new()).1;
        let mut server = Server { child, out, err, address: "127.0.0.1:0".parse().unwrap(), origin: String::new() };
        let set_up = server.set_up_address().await;
        let address = set_up.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
        (server.address, server.origin) = (address.parse().unwrap(), format!("http://{address}"));
        server
    }
}

/// A field of a line of the log, in either format.
fn field(line: &str, name: &str) -> String {
    if let Ok(object) = serde_json::from_str::<serde_json::Value>(line) {
        return object[name].as_str().unwrap().to_owned();
    }
    line.split(&format!(" {name}=")).nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Collects what a process prints, for waiting until it says something.
fn gather(pipe: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    #[expect(clippy::disallowed_methods, reason = "it ends with the pipe")]
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|text| *text = format!("{text}{line}\n"));
        }
    });
    receiver
}

/// A running server. It is killed when its test ends before it does.
pub struct Server {
    child: Child,
    out: watch::Receiver<String>,
    err: watch::Receiver<String>,
    /// Where it listens.
    pub address: SocketAddr,
    /// How people reach it.
    pub origin: String,
}

impl Server {
    /// Waits until the log says this; the log until then.
    pub async fn says(&mut self, words: &str) -> String {
        let waiting = self.err.wait_for(|log| log.contains(words));
        within(words, waiting).await.expect("the server ended without saying it").clone()
    }

    /// The address for setting up that it printed.
    pub async fn set_up_address(&mut self) -> String {
        let printed = self.out.wait_for(|text| text.contains('\n'));
        let line = within("the set-up address", printed).await.unwrap().clone();
        let address = line.trim().split(' ').next_back().unwrap();
        address.strip_prefix(&self.origin).unwrap_or_else(|| panic!("{line} is not below {}", self.origin)).to_owned()
    }

    pub fn browser(&self) -> NetBrowser {
        NetBrowser {
            address: self.address,
            origin: self.origin.clone(),
            cookies: BTreeMap::new(),
            forwarded_for: None,
            from: None,
        }
    }

    /// What it tells Prometheus.
    pub async fn metrics(&mut self) -> String {
        let log = self.says("the metrics are at /metrics").await;
        let line = log.lines().find(|line| line.contains("the metrics are at")).unwrap();
        let mut scraper = NetBrowser { address: field(line, "listening").parse().unwrap(), ..self.browser() };
        let page = scraper.get("/metrics").await.unwrap();
        assert_eq!(page.status, 200);
        page.html
    }

    /// Everything in the log so far.
    pub fn log(&self) -> String {
        self.err.borrow().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end: the status, everything on standard output, everything in the log.
    pub async fn ended(mut self) -> Ran {
        let status = within("the server's end", self.child.wait()).await.unwrap();
        // The pipes are read to their end when the senders are gone.
        let read_out = |mut pipe: watch::Receiver<String>| async move {
            within("the end of the output", async { while pipe.changed().await.is_ok() {} }).await;
            pipe.borrow().clone()
        };
        Ran { status, out: read_out(self.out).await, err: read_out(self.err).await }
    }

    /// Asks it to stop, as Ctrl-C does.
    pub async fn stop(self) -> Ran {
        self.signal(rustix::process::Signal::INT);
        let ran = self.ended().await;
        assert!(ran.status.success(), "{}", ran.err);
        ran
    }

    /// Ends it without a word, as a power cut does.
    pub async fn kill(self) -> Ran {
        self.signal(rustix::process::Signal::KILL);
        self.ended().await
    }

    /// Makes the first organization as its manager would: the manager's browser, and the path of the invite link.
    pub async fn acme(&mut self) -> (NetBrowser, String) {
        let mut manager = self.browser();
        manager.get(&self.set_up_address().await).await.unwrap();
        let fields = [
            ("organization_name", "Acme"),
            ("slug", "acme"),
            ("full_name", "Mia Manager"),
            ("email", "mia@acme.com"),
            ("password", PASSWORD),
        ];
        let sent = manager.post("/setup", &fields).await.unwrap();
        assert_eq!(sent.status, 303, "{}{}", sent.html, self.err.borrow().as_str());
        let welcome = manager.get("/settings/welcome").await.unwrap();
        let link = welcome.input("link").strip_prefix(&self.origin).unwrap().to_owned();
        (manager, link)
    }
}
