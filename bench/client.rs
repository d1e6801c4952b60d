//! A small HTTP/1.1 client that keeps its connection, and a load of many of them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A request for a page.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

/// A form, sent as if from a client of its own behind a trusted proxy.
pub fn form(path: &str, body: &str, person: usize) -> String {
    let from = format!("10.{}.{}.{}", person / 62_500, person / 250 % 250, person % 250 + 1);
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {from}\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Client {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream) }
    }

    pub fn get(&mut self, path: &str) -> u16 {
        self.send(&get(path))
    }

    /// A page's words.
    pub fn text(&mut self, path: &str) -> String {
        String::from_utf8_lossy(&self.exchange(&get(path)).body).into_owned()
    }

    pub fn send(&mut self, request: &str) -> u16 {
        self.exchange(request).status
    }

    pub fn exchange(&mut self, request: &str) -> Answer {
        self.stream.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let (mut length, mut headers) = (0, Vec::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a header");
            if line == "\r\n" || line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        Answer { status, headers, body }
    }
}

/// An answer, for who needs more than its status.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The cookies that it sets, as a browser sends them back.
    pub fn cookies(&self) -> String {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        set.filter_map(|(_, value)| value.split(';').next()).collect::<Vec<_>>().join("; ")
    }
}

/// How often each status was answered.
#[derive(Default)]
pub struct Answers(std::collections::BTreeMap<u16, usize>);

impl Answers {
    pub fn count(&self, status: u16) -> usize {
        self.0.get(&status).copied().unwrap_or(0)
    }

    pub fn faults(&self) -> usize {
        self.0.iter().filter(|(status, _)| **status >= 500 && **status != 503).map(|(_, count)| count).sum()
    }
}

/// Lets `clients` send one request after the other for a while.
pub fn load(port: u16, clients: usize, span: Duration, request: impl Fn(usize, usize) -> String + Sync) -> Answers {
    load_over(&[port], clients, span, request)
}

/// The same, each client at one of several servers.
pub fn load_over(
    ports: &[u16],
    clients: usize,
    span: Duration,
    request: impl Fn(usize, usize) -> String + Sync,
) -> Answers {
    let until = Instant::now() + span;
    let all = std::sync::Mutex::new(Answers::default());
    std::thread::scope(|scope| {
        for person in 0..clients {
            let (all, request) = (&all, &request);
            scope.spawn(move || {
                let mut client = Client::connect(ports[person % ports.len()]);
                let mut own = Answers::default();
                let mut turn = 0;
                while Instant::now() < until {
                    *own.0.entry(client.send(&request(person, turn))).or_default() += 1;
                    turn += 1;
                }
                let mut all = all.lock().expect("the sum");
                for (status, count) in own.0 {
                    *all.0.entry(status).or_default() += count;
                }
            });
        }
    });
    all.into_inner().expect("the sum")
}
