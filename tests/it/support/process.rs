//! The real binary in a folder of its own, and browsers that speak to it over the network.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
};

use super::{PASSWORD, Page, database};
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

    /// The database, for what no page and no command shows.
    pub async fn database(&self) -> Db {
        let named = self.settings.iter().find(|(name, _)| name == "VESTIBULE_DATABASE_URL");
        let url = match named {
            Some((_, url)) => url.parse().unwrap(),
            None => DatabaseUrl::Sqlite(self.data().join("vestibule.sqlite")),
        };
        Db::open(&url, Clock::running(), Randomness::System).await.unwrap()
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

    /// Starts the server on a port that the system chooses, and waits until it is ready.
    pub async fn serve(&self) -> Server {
        let mut child = self.command(&["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let out = gather(child.stdout.take().unwrap());
        let err = gather(child.stderr.take().unwrap());
        let mut server = Server { child, out, err, address: "127.0.0.1:0".parse().unwrap(), origin: String::new() };
        let log = server.says("Vestibule is ready").await;
        let ready = log.lines().find(|line| line.contains("Vestibule is ready")).unwrap();
        let field = |name: &str| ready.split(name).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        server.address = field("listening=").parse().unwrap();
        server.origin = field(" address=");
        server
    }
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
        NetBrowser { address: self.address, origin: self.origin.clone(), cookies: BTreeMap::new(), forwarded_for: None }
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
        assert_eq!(sent.status, 303, "{}", sent.html);
        let welcome = manager.get("/settings/welcome").await.unwrap();
        let link = welcome.input("link").strip_prefix(&self.origin).unwrap().to_owned();
        (manager, link)
    }
}

/// A browser over the network: one connection a request. An answer that never came is an error.
#[derive(Clone)]
pub struct NetBrowser {
    address: SocketAddr,
    origin: String,
    pub cookies: BTreeMap<String, String>,
    pub forwarded_for: Option<String>,
}

impl NetBrowser {
    /// The same browser at another server of the same place.
    pub fn at(&self, server: &Server) -> Self {
        Self { address: server.address, origin: server.origin.clone(), ..self.clone() }
    }

    pub async fn get(&mut self, path: &str) -> std::io::Result<Page> {
        let head = self.head("GET", path, "");
        let answer = exchange(self.address, &head, b"").await?;
        Ok(self.kept(answer))
    }

    pub async fn head_of(&mut self, path: &str) -> std::io::Result<Page> {
        let head = self.head("HEAD", path, "");
        let answer = exchange(self.address, &head, b"").await?;
        Ok(self.kept(answer))
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> std::io::Result<Page> {
        let (head, body) = self.form(path, fields, "");
        let answer = exchange(self.address, &head, body.as_bytes()).await?;
        Ok(self.kept(answer))
    }

    /// A form whose body waits: the server has begun with the request when this returns, and answers after
    /// [`Unfinished::finish`].
    pub async fn post_halfway(&mut self, path: &str, fields: &[(&str, &str)]) -> Unfinished {
        let (head, body) = self.form(path, fields, "expect: 100-continue\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = vec![0; 25];
        within("100 Continue", stream.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, b"HTTP/1.1 100 Continue\r\n\r\n");
        Unfinished { stream, body }
    }

    fn form(&self, path: &str, fields: &[(&str, &str)], more: &str) -> (String, String) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let more = format!(
            "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\norigin: {}\r\nsec-fetch-site: same-origin\r\n{more}",
            body.len(),
            self.origin
        );
        (self.head("POST", path, &more), body)
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}", self.address);
        if !cookies.is_empty() {
            head = format!("{head}cookie: {}\r\n", cookies.join("; "));
        }
        if let Some(address) = &self.forwarded_for {
            head = format!("{head}x-forwarded-for: {address}\r\n");
        }
        head + "\r\n"
    }

    fn kept(&mut self, page: Page) -> Page {
        super::keep_cookies(&mut self.cookies, &page.headers);
        page
    }
}

/// A request of which the server has the head and not the body.
pub struct Unfinished {
    stream: TcpStream,
    body: String,
}

impl Unfinished {
    pub async fn finish(mut self) -> std::io::Result<Page> {
        self.stream.write_all(self.body.as_bytes()).await?;
        answer_of(&mut self.stream).await
    }
}

async fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> std::io::Result<Page> {
    within(head, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        answer_of(&mut stream).await
    })
    .await
}

async fn answer_of(stream: &mut TcpStream) -> std::io::Result<Page> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap());
    }
    let location = headers.get("location").map(|value| value.to_str().unwrap().to_owned());
    let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    // An answer to HEAD has none.
    if !body.is_empty() && body.len() < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Page { status, location, headers, html: body.to_owned() })
}
