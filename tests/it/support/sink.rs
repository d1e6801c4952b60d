//! A mail server for tests: it records envelopes and octets, and can refuse, hang, lose its answer, want a password
//! and speak TLS.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls};

use super::process::within;

/// How the sink behaves. Tests change it while it runs.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Default)]
pub struct Ways {
    /// Offer STARTTLS.
    pub starttls: bool,
    /// TLS from the first octet.
    pub implicit: bool,
    /// Take mail only from this user with this password.
    pub credentials: Option<(&'static str, &'static str)>,
    /// Answer RCPT with this line.
    pub at_recipient: Option<&'static str>,
    /// Answer the end of the message with this line.
    pub at_data: Option<&'static str>,
    /// Take a message and hang up without an answer, once.
    pub lose_one_answer: bool,
    /// Say nothing at all.
    pub hang: bool,
}

/// A message as it came.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The octets, with the dots that the protocol adds taken off.
    pub data: Vec<u8>,
    /// The octets as they crossed the network.
    pub raw: Vec<u8>,
    /// Whether they crossed it under TLS.
    pub tls: bool,
    /// Who sent it.
    pub user: Option<String>,
}

impl Received {
    pub fn text(&self) -> String {
        let parsed = mail_parser::MessageParser::default().parse(&self.data).unwrap();
        parsed.body_text(0).unwrap().into_owned()
    }

    pub fn message_id(&self) -> String {
        mail_parser::MessageParser::default().parse(&self.data).unwrap().message_id().unwrap().to_owned()
    }

    /// The path of its first link.
    pub fn link(&self, origin: &str) -> String {
        let text = self.text();
        let line = text.lines().find_map(|line| line.trim().strip_prefix(origin));
        line.unwrap_or_else(|| panic!("no link below {origin} in {text}")).to_owned()
    }
}

/// Everything that came, and where the first message to each address stands: many may wait for theirs at once.
#[derive(Default)]
struct Arrived {
    all: Vec<Received>,
    first_to: HashMap<String, usize>,
}

impl Arrived {
    fn add(&mut self, mail: Received) {
        for address in &mail.to {
            self.first_to.entry(address.clone()).or_insert(self.all.len());
        }
        self.all.push(mail);
    }
}

/// The mail server. It ends with its test.
pub struct Sink {
    pub address: SocketAddr,
    /// The certificate, as a file that a client may trust.
    pub certificate: String,
    ways: Arc<Mutex<Ways>>,
    received: watch::Receiver<Arrived>,
    task: JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Desk {
    ways: Arc<Mutex<Ways>>,
    received: Arc<watch::Sender<Arrived>>,
    tls: TlsAcceptor,
}

/// TLS for `localhost`, and its certificate for a file that a client may trust.
pub fn localhost() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

impl Sink {
    pub async fn start(ways: Ways) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), ways).await
    }

    /// At an address at which nobody was before.
    pub async fn start_at(address: SocketAddr, ways: Ways) -> Self {
        let (tls, certificate) = localhost();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = watch::channel(Arrived::default());
        let ways = Arc::new(Mutex::new(ways));
        let desk = Desk { ways: Arc::clone(&ways), received: Arc::new(sender), tls };
        #[expect(clippy::disallowed_methods, reason = "it ends with the sink")]
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let desk = desk.clone();
                open.spawn(async move { desk.serve(stream).await });
            }
        });
        Self { address, certificate, ways, received, task }
    }

    /// Changes how it behaves from the next connection or command on.
    pub fn now(&self, change: impl FnOnce(&mut Ways)) {
        change(&mut self.ways.lock().unwrap());
    }

    /// The settings that send mail here; `more` is what stands between scheme and host, and after the port.
    pub fn url(&self, scheme: &str, user: &str, more: &str) -> String {
        format!("{scheme}://{user}localhost:{}{more}", self.address.port())
    }

    pub fn count(&self) -> usize {
        self.received.borrow().all.len()
    }

    pub fn all(&self) -> Vec<Received> {
        self.received.borrow().all.clone()
    }

    /// Waits until it has so many messages, at most so long.
    pub async fn has(&self, many: usize, at_most: Duration) {
        let mut received = self.received.clone();
        let waiting = received.wait_for(|arrived| arrived.all.len() >= many);
        tokio::time::timeout(at_most, waiting).await.expect("too slow").unwrap();
    }

    /// Waits for a message to this address; the first one.
    pub async fn mail_to(&self, address: &str) -> Received {
        let mut received = self.received.clone();
        let waiting = received.wait_for(|arrived| arrived.first_to.contains_key(address));
        let arrived = within(&format!("mail to {address}"), waiting).await.unwrap();
        arrived.all[arrived.first_to[address]].clone()
    }
}

enum Next {
    Over,
    StartTls,
}

impl Desk {
    fn ways(&self) -> Ways {
        self.ways.lock().unwrap().clone()
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        if self.ways().hang {
            std::future::pending::<()>().await;
        }
        if self.ways().implicit {
            let mut stream = BufReader::new(self.tls.accept(stream).await?);
            say(&mut stream, "220 sink").await?;
            self.talk(&mut stream, true).await?;
            return Ok(());
        }
        let mut stream = BufReader::new(stream);
        say(&mut stream, "220 sink").await?;
        if matches!(self.talk(&mut stream, false).await?, Next::StartTls) {
            let mut stream = BufReader::new(self.tls.accept(stream.into_inner()).await?);
            self.talk(&mut stream, true).await?;
        }
        Ok(())
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>, tls: bool) -> io::Result<Next> {
        let mut mail = Received { tls, ..Received::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(Next::Over);
            }
            let ways = self.ways();
            let line = line.trim_end();
            let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => {
                    for offer in offers(&ways, tls) {
                        say(stream, offer).await?;
                    }
                    "250 SIZE 1000000"
                }
                "STARTTLS" if ways.starttls => {
                    say(stream, "220 go on").await?;
                    return Ok(Next::StartTls);
                }
                "AUTH" => match user_of(line, &ways) {
                    Some(user) => {
                        mail.user = Some(user);
                        "235 welcome"
                    }
                    None => "535 5.7.8 wrong user or password",
                },
                "MAIL" if ways.credentials.is_some() && mail.user.is_none() => "530 5.7.0 who are you",
                "MAIL" => {
                    mail = Received { from: address_in(line), tls, user: mail.user, ..Received::default() };
                    "250 ok"
                }
                "RCPT" => {
                    mail.to.push(address_in(line));
                    ways.at_recipient.unwrap_or("250 ok")
                }
                "DATA" => {
                    say(stream, "354 go on").await?;
                    read_data(stream, &mut mail).await?;
                    if ways.at_data.is_none() {
                        self.received.send_modify(|arrived| arrived.add(mail.clone()));
                    }
                    if std::mem::take(&mut self.ways.lock().unwrap().lose_one_answer) {
                        return Ok(Next::Over);
                    }
                    ways.at_data.unwrap_or("250 taken")
                }
                "QUIT" => {
                    say(stream, "221 bye").await?;
                    return Ok(Next::Over);
                }
                "RSET" | "NOOP" => "250 ok",
                _ => "500 what",
            };
            say(stream, answer).await?;
        }
    }
}

fn offers(ways: &Ways, tls: bool) -> Vec<&'static str> {
    let mut offers = vec!["250-sink"];
    if ways.starttls && !tls {
        offers.push("250-STARTTLS");
    }
    if ways.credentials.is_some() {
        offers.push("250-AUTH PLAIN");
    }
    offers
}

/// The user of `AUTH PLAIN`, if the password is right.
fn user_of(line: &str, ways: &Ways) -> Option<String> {
    let given = STANDARD.decode(line.split(' ').nth(2)?).ok()?;
    let (user, password) = ways.credentials?;
    (given == format!("\0{user}\0{password}").as_bytes()).then(|| user.to_owned())
}

fn address_in(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0.to_owned()
}

/// Reads to the one end that the protocol knows: a dot alone between two CR LF.
async fn read_data<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    mail: &mut Received,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await?;
        let ends = line == b".\r\n" && (mail.raw.is_empty() || mail.raw.ends_with(b"\r\n"));
        if line.is_empty() || ends {
            return Ok(());
        }
        mail.data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        mail.raw.extend_from_slice(&line);
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await
}
