//! The whole story through the load balancers of the guide, every request possibly at another replica.

use vestibule::platform::db::query;

use super::{
    MACHINE,
    balancer::{Balancer, free_port, program},
    place_with_mail,
};
use crate::support::{
    PASSWORD, Page, database,
    process::{NetBrowser, Server},
    sink::Sink,
};

/// Two replicas behind one door.
struct Behind {
    door: Balancer,
    origin: String,
    sink: Sink,
}

impl Behind {
    /// A browser from an address of its own, which claims another one.
    fn browser(&self, like: &Server, last: u8) -> NetBrowser {
        NetBrowser {
            address: self.door.address,
            from: Some([127, 2, 0, last].into()),
            forwarded_for: Some("203.0.113.9".to_owned()),
            ..like.browser()
        }
    }

    async fn set_up(&self, manager: &mut NetBrowser, at: &str) -> String {
        manager.get(at).await.unwrap();
        let fields = [
            ("organization_name", "Acme"),
            ("slug", "acme"),
            ("full_name", "Mia Manager"),
            ("email", "mia@acme.com"),
            ("password", PASSWORD),
        ];
        leads_on(&manager.post("/setup", &fields).await.unwrap());
        let welcome = manager.get("/settings/welcome").await.unwrap();
        welcome.input("link").strip_prefix(&self.origin).unwrap().to_owned()
    }

    async fn join_by_link(&self, ada: &mut NetBrowser, link: &str) {
        assert_eq!(ada.get(link).await.unwrap().status, 200);
        leads_on(&ada.post(link, &[("email", "ada@acme.com")]).await.unwrap());
        let confirm = self.sink.mail_to("ada@acme.com").await.link(&self.origin);
        assert_eq!(ada.get(&confirm).await.unwrap().status, 200);
        leads_on(&ada.post(&confirm, &[("full_name", "Ada"), ("password", PASSWORD)]).await.unwrap());
        assert!(ada.get("/account").await.unwrap().says("ada@acme.com"));
    }

    async fn join_by_code(&self, bob: &mut NetBrowser, link: &str) {
        bob.get(link).await.unwrap();
        let waiting = leads_on(&bob.post(link, &[("email", "bob@acme.com")]).await.unwrap());
        let registration = bob.get(&waiting).await.unwrap().input("registration");
        let text = self.sink.mail_to("bob@acme.com").await.text();
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
        let code = text.lines().map(str::trim).find(is_code).unwrap();
        let details =
            leads_on(&bob.post("/join/code", &[("registration", &registration), ("code", code)]).await.unwrap());
        let page = bob.get(&details).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.words());
        let fields = [("registration", &*registration), ("full_name", "Bob"), ("password", PASSWORD)];
        leads_on(&bob.post("/join/details", &fields).await.unwrap());
        assert!(bob.get("/account").await.unwrap().says("bob@acme.com"));
    }
}

fn leads_on(page: &Page) -> String {
    assert_eq!(page.status, 303, "{}", page.words());
    page.location.clone().unwrap()
}

async fn tell_the_story(port: u16, start: impl AsyncFnOnce(&[std::net::SocketAddr]) -> Balancer) {
    let _machine = MACHINE.read().await;
    let (place, sink) = place_with_mail().await;
    let origin = format!("http://localhost:{port}");
    let place = place
        .with("VESTIBULE_PUBLIC_URL", &origin)
        .with("VESTIBULE_TRUSTED_PROXIES", "127.0.0.1")
        .with("RUST_LOG", "info");
    let (mut one, two) = (place.serve().await, place.serve().await);
    let set_up = one.set_up_address().await;
    let behind = Behind { door: start(&[one.address, two.address]).await, origin, sink };
    let mut mia = behind.browser(&one, 1);
    let link = behind.set_up(&mut mia, &set_up).await;
    behind.join_by_link(&mut behind.browser(&one, 2), &link).await;
    behind.join_by_code(&mut behind.browser(&one, 3), &link).await;

    let mut again = behind.browser(&one, 4);
    let fields = [("email", "ada@acme.com"), ("password", PASSWORD)];
    leads_on(&again.post("/o/acme/login", &fields).await.unwrap());
    assert!(again.get("/account").await.unwrap().says("Ada"));
    let version = mia.get("/settings/identity").await.unwrap().input("version");
    let fields =
        [("version", &*version), ("login_method", "password"), ("self_service", "on"), ("allowed_domains", "acme.com")];
    leads_on(&mia.post("/settings/identity", &fields).await.unwrap());
    for _ in 0..4 {
        let mut eve = behind.browser(&one, 5);
        let page = eve.post(&link, &[("email", "eve@elsewhere.example")]).await.unwrap();
        assert_ne!(page.status, 303, "every replica knows the new list");
    }

    // Sixty unknown links from one address are all that it has, over both replicas and whatever it claims to be.
    let mut guesser = behind.browser(&one, 6);
    let mut tried = 0;
    while guesser.get(&format!("/join/{tried:022}")).await.unwrap().status != 429 {
        tried += 1;
        assert!(tried < 1_000, "nobody stops the guesser");
    }
    println!("{tried} tried until 429");
    assert_eq!(behind.browser(&one, 7).get("/join/nothing-like-it").await.unwrap().status, 404, "others are not meant");

    let db = place.database().await;
    let known: Vec<(String,)> =
        query("select distinct client_address from sessions order by client_address").all(&db).await.unwrap();
    let known: Vec<_> = known.iter().map(|(address,)| address.as_str()).collect();
    assert_eq!(known, ["127.2.0.1", "127.2.0.2", "127.2.0.3", "127.2.0.4"], "the clients' addresses, not the proxy's");
    db.close().await;
    for server in [&one, &two] {
        let log = server.log();
        assert!(log.lines().filter(|line| line.contains("request=req_")).count() > 5, "both have work: {log}");
    }
    for server in [one, two] {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_story_goes_through_haproxy() {
    if database::server().is_none() {
        return;
    }
    let port = free_port();
    tell_the_story(port, async |replicas| Balancer::haproxy(port, replicas).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_story_goes_through_nginx() {
    if database::server().is_none() {
        return;
    }
    let port = free_port();
    tell_the_story(port, async |replicas| Balancer::nginx(port, replicas).await).await;
}

/// The tests above leave TLS out; whether the files can be read with it is asked of the programs themselves.
#[test]
fn the_files_of_the_guide_are_right_with_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["id.example.com".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("id.example.com.pem", &format!("{certificate}{key}"));
    write("id.example.com.crt", &certificate);
    write("id.example.com.key", &key);
    let place = folder.path().display().to_string();
    let guide = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operate").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        ["/etc/haproxy", "/etc/nginx", "/var/log/nginx"].iter().fold(text, |text, from| text.replace(from, &place))
    };
    write("haproxy.cfg", &guide("haproxy.cfg"));
    // Commented lines hold the folder too, and that does no harm.
    write("site.conf", &guide("nginx.conf").replace("listen 443", &format!("listen 127.0.0.1:{}", free_port())));
    write("nginx.conf", &format!("pid {place}/pid;\nevents {{}}\nhttp {{ include {place}/site.conf; }}\n"));
    let good = |name: &str, arguments: &[&str]| {
        let ran =
            std::process::Command::new(program(name)).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(
            ran.status.success(),
            "{name}: {}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    };
    good("haproxy", &["-c", "-f", "haproxy.cfg"]);
    good("nginx", &["-t", "-p", &place, "-e", "stderr", "-c", "nginx.conf"]);
}
