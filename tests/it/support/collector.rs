//! A collector of traces for tests: it keeps what is posted, or takes the connection and never answers.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::process::within;

/// The collector. It ends with its test.
pub struct Collector {
    pub address: SocketAddr,
    received: watch::Receiver<Vec<(String, Vec<u8>)>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub async fn start() -> Self {
        Self::with(None, true).await
    }

    pub async fn start_with_tls(tls: TlsAcceptor) -> Self {
        Self::with(Some(tls), true).await
    }

    pub async fn start_silent() -> Self {
        Self::with(None, false).await
    }

    async fn with(tls: Option<TlsAcceptor>, answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = watch::channel(Vec::new());
        #[expect(clippy::disallowed_methods, reason = "it ends with the collector")]
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, tls) = (sender.clone(), tls.clone());
                open.spawn(async move {
                    match tls {
                        _ if !answers => std::future::pending().await,
                        None => keep(stream, &sender).await,
                        Some(tls) => keep(tls.accept(stream).await?, &sender).await,
                    }
                });
            }
        });
        Self { address, received, task }
    }

    /// The requests and their bodies until one of them holds each of these words.
    pub async fn holds(&self, words: &[&str]) -> Vec<(String, Vec<u8>)> {
        let mut received = self.received.clone();
        let all = |posts: &Vec<(String, Vec<u8>)>| {
            words.iter().all(|word| posts.iter().any(|(_, body)| contains(body, word)))
        };
        within(&format!("{words:?}"), received.wait_for(all)).await.unwrap().clone()
    }
}

pub fn contains(body: &[u8], word: &str) -> bool {
    body.windows(word.len()).any(|window| window == word.as_bytes())
}

async fn keep(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    kept: &watch::Sender<Vec<(String, Vec<u8>)>>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or("0", str::trim);
        let whole = end + 4 + length.parse::<usize>().unwrap();
        while bytes.len() < whole {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let rest = bytes.split_off(whole);
        kept.send_modify(|all| all.push((head, bytes[end + 4..].to_vec())));
        bytes = rest;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
}
