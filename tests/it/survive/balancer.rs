//! The load balancers of the guide, with the very files that operators copy: only addresses, ports and the paths of the
//! certificate are replaced.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};
use vestibule::values::Randomness;

use crate::support::process::within;

/// A program before the replicas. It ends with its test.
pub struct Balancer {
    _child: Child,
    _folder: TempDir,
    pub address: SocketAddr,
}

/// A port that nothing listens on and that the system gives to nobody by itself.
pub fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::from_be_bytes(Randomness::System.bytes()) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn guide(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate").join(name)).unwrap()
}

/// Where a line of the guide begins with this, says something else instead.
fn replaced(text: &str, begins: &str, lines: &[String]) -> String {
    let mut out = String::new();
    let mut found = 0;
    for line in text.lines() {
        if line.trim_start().starts_with(begins) {
            if found == 0 {
                for line in lines {
                    writeln!(out, "{line}").unwrap();
                }
            }
            found += 1;
        } else {
            writeln!(out, "{line}").unwrap();
        }
    }
    assert!(found > 0, "{begins} is not in\n{text}");
    out
}

/// `HAProxy` on this port before these replicas.
pub fn haproxy_file(port: u16, replicas: &[SocketAddr]) -> String {
    let bind = replaced(&guide("haproxy.cfg"), "bind ", &[format!("    bind 127.0.0.1:{port}")]);
    let servers: Vec<_> = replicas.iter().enumerate().map(|(n, at)| format!("    server replica{n} {at}")).collect();
    replaced(&bind, "server ", &servers).replace("log /dev/log local0", "log stdout format raw local0")
}

/// nginx on this port before these replicas, with its files in this folder.
pub fn nginx_file(port: u16, replicas: &[SocketAddr], folder: &Path) -> String {
    let mut text = guide("nginx.conf");
    for (n, at) in replicas.iter().enumerate() {
        text = text.replace(&format!("192.0.2.1{}:8080", n + 1), &at.to_string());
    }
    let text = replaced(&text, "listen ", &[format!("    listen 127.0.0.1:{port};")]);
    let text = replaced(&text, "ssl_certificate", &[]);
    let place = folder.display();
    fs::write(folder.join("site.conf"), text.replace("/var/log/nginx", &place.to_string())).unwrap();
    let mut kept = String::new();
    for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(kept, "  {what}_temp_path {place}/{what};").unwrap();
    }
    format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr crit;\nevents {{}}\nhttp {{\n{kept}  include {place}/site.conf;\n}}\n"
    )
}

impl Balancer {
    pub async fn haproxy(port: u16, replicas: &[SocketAddr]) -> Self {
        Self::start(port, |folder| {
            let file = folder.join("haproxy.cfg");
            fs::write(&file, haproxy_file(port, replicas)).unwrap();
            let mut command = Command::new(program("haproxy"));
            command.arg("-db").arg("-f").arg(file);
            command
        })
        .await
    }

    pub async fn nginx(port: u16, replicas: &[SocketAddr]) -> Self {
        Self::start(port, |folder| {
            let file = folder.join("nginx.conf");
            fs::write(&file, nginx_file(port, replicas, folder)).unwrap();
            let mut command = Command::new(program("nginx"));
            command.arg("-p").arg(folder).arg("-c").arg(file).args(["-e", "stderr"]);
            command
        })
        .await
    }

    async fn start(port: u16, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // nginx serves as another user, who must get to its own folders.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = command(folder.path());
        let child = command.stdout(Stdio::null()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        within("the balancer", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        Self { _child: child, _folder: folder, address }
    }
}

/// Debian keeps them where only an administrator's shell looks.
pub fn program(name: &str) -> std::path::PathBuf {
    let there = Path::new("/usr/sbin").join(name);
    if there.exists() { there } else { name.into() }
}
