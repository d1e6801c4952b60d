//! Browsers that speak to a real server over the network.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::{
    Page,
    process::{Server, within},
};

/// A browser over the network: one connection a request. An answer that never came is an error.
#[derive(Clone)]
pub struct NetBrowser {
    /// The server, or what stands before it.
    pub address: SocketAddr,
    /// How people reach it.
    pub origin: String,
    pub cookies: BTreeMap<String, String>,
    pub forwarded_for: Option<String>,
    /// The address that it comes from, of those of this machine.
    pub from: Option<IpAddr>,
}

impl NetBrowser {
    /// The same browser at another server of the same place.
    pub fn at(&self, server: &Server) -> Self {
        Self { address: server.address, origin: server.origin.clone(), ..self.clone() }
    }

    pub async fn get(&mut self, path: &str) -> std::io::Result<Page> {
        let head = self.head("GET", path, "");
        let answer = self.exchange(&head, b"").await?;
        Ok(self.kept(answer))
    }

    pub async fn head_of(&mut self, path: &str) -> std::io::Result<Page> {
        let head = self.head("HEAD", path, "");
        let answer = self.exchange(&head, b"").await?;
        Ok(self.kept(answer))
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> std::io::Result<Page> {
        let (head, body) = self.form(path, fields, "");
        let answer = self.exchange(&head, body.as_bytes()).await?;
        Ok(self.kept(answer))
    }

    /// A form whose body waits: the server has begun with the request when this returns, and answers after
    /// [`Unfinished::finish`].
    pub async fn post_halfway(&mut self, path: &str, fields: &[(&str, &str)]) -> Unfinished {
        let (head, body) = self.form(path, fields, "expect: 100-continue\r\n");
        let mut stream = self.connect().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = vec![0; 25];
        within("100 Continue", stream.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, b"HTTP/1.1 100 Continue\r\n\r\n");
        Unfinished { stream, body }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(self.address).await
    }

    async fn exchange(&self, head: &str, body: &[u8]) -> std::io::Result<Page> {
        within(head, async {
            let mut stream = self.connect().await?;
            stream.write_all(&[head.as_bytes(), body].concat()).await?;
            answer_of(&mut stream).await
        })
        .await
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
