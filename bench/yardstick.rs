//! What the server is measured against: bare hashing, and a bare handler.

use std::{
    net::TcpListener,
    process::{Child, Command},
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use askama::Template;
use rustix::thread::{CpuSet, sched_setaffinity};
use vestibule::platform::web::Errors;

/// Where the server runs when it has a processor of its own.
pub const SERVER_PROCESSOR: usize = 0;

/// Keeps this thread, and those it starts, off the server's processor. The bare loop goes there still.
pub fn leave_the_server_alone() {
    keep_to(1..processors());
}

/// Ends [`leave_the_server_alone`].
pub fn use_every_processor() {
    keep_to(0..processors());
}

fn processors() -> usize {
    let listed = std::fs::read_to_string("/proc/cpuinfo").expect("the processors");
    listed.lines().filter(|line| line.starts_with("processor")).count()
}

fn keep_to(processors: std::ops::Range<usize>) {
    let mut set = CpuSet::new();
    processors.for_each(|processor| set.set(processor));
    sched_setaffinity(None, &set).expect("two processors at least");
}

/// Hashes a second with the same parameters and as many threads, and nothing else.
pub fn bare_hashes(span: Duration) -> f64 {
    let own = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let apart = own < processors();
    let threads = if apart { 1 } else { own };
    let started = Instant::now();
    let until = started + span;
    let hashing = (0..threads).map(|_| {
        std::thread::spawn(move || {
            if apart {
                keep_to(SERVER_PROCESSOR..SERVER_PROCESSOR + 1);
            }
            let params = Params::new(19_456, 2, 1, Some(32)).expect("parameters");
            let mut memory = vec![Block::default(); params.block_count()];
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let (mut output, mut count) = ([0; 32], 0_u32);
            while Instant::now() < until {
                argon2
                    .hash_password_into_with_memory(
                        b"seven purple herons dance",
                        &[7; 16],
                        &mut output,
                        memory.as_mut_slice(),
                    )
                    .expect("a hash");
                count += 1;
            }
            count
        })
    });
    let hashing: Vec<_> = hashing.collect();
    let count: u32 = hashing.into_iter().map(|thread| thread.join().expect("a thread")).sum();
    f64::from(count) / started.elapsed().as_secs_f64()
}

#[derive(Template)]
#[template(path = "features/join/join.html")]
struct JoinPage {
    organization: &'static str,
    sign_in: String,
    action: String,
    email: &'static str,
    errors: Errors,
}

/// Renders the join page from memory, over and over.
pub fn serve_template(port: u16) {
    let handler = || async {
        let page = JoinPage {
            organization: "Acme",
            sign_in: "/o/acme/login".to_owned(),
            action: "/join/pV3m9Qk2Xr7sLw0ZtB4e6A".to_owned(),
            email: "",
            errors: Errors::default(),
        };
        axum::response::Html(page.render().expect("a page"))
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let router = axum::Router::new().route("/", axum::routing::get(handler));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        axum::serve(listener, router).await.expect("serving");
    });
}

/// The bare handler in a process of its own, like the server.
pub struct Process {
    child: Child,
    pub port: u16,
}

impl Process {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let this = std::env::current_exe().expect("this program");
        let child = Command::new(this).args(["--yardstick", &port.to_string()]).spawn().expect("the yardstick");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, port }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
