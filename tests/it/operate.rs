//! What an operator sees of a running server: metrics, the log, traces; and that none of them can stop it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use crate::support::{
    PASSWORD,
    collector::{Collector, contains},
    database,
    process::{Place, Server, within},
    sink::{Sink, Ways, localhost},
};

/// A place whose mail arrives.
async fn with_mail() -> (Place, Sink) {
    let sink = Sink::start(Ways::default()).await;
    let place = Place::new()
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    (place, sink)
}

/// Somebody joins, after a mistyped address and a wrong code. Every secret that went over the network.
async fn join(server: &mut Server, sink: &Sink) -> Vec<String> {
    let (_, link) = server.acme().await;
    let mut ada = server.browser();
    ada.get(&link).await.unwrap();
    let begun = ada.post(&link, &[("email", "adda@acme.com")]).await.unwrap();
    assert_eq!(begun.status, 303, "{}", begun.html);
    let registration = begun.location.unwrap().split('=').nth(1).unwrap().to_owned();
    let none = [("registration", &*registration), ("email", "ada@")];
    assert_eq!(ada.post("/join/address", &none).await.unwrap().status, 422);
    let changed =
        ada.post("/join/address", &[("registration", &registration), ("email", "ada@acme.com")]).await.unwrap();
    assert_eq!(changed.status, 303, "{}", changed.html);
    let registration = changed.location.unwrap().split('=').nth(1).unwrap().to_owned();
    let mail = sink.mail_to("ada@acme.com").await;
    let wrong = if mail.text().contains("000000") { "111111" } else { "000000" };
    let refused = ada.post("/join/code", &[("registration", &registration), ("code", wrong)]).await.unwrap();
    assert_eq!(refused.status, 422);
    let confirm = mail.link(&server.origin);
    let finished = ada.post(&confirm, &[("full_name", "Ada Lovelace"), ("password", PASSWORD)]).await.unwrap();
    assert_eq!(finished.status, 303, "{}", finished.html);
    assert_eq!(ada.get("/nobody/was/here").await.unwrap().status, 404);
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let cookies = ada.cookies.values().cloned();
    let known = [PASSWORD, "ada@acme.com", "Lovelace", "was/here"].map(str::to_owned);
    [registration, last(&link), last(&confirm)].into_iter().chain(known).chain(cookies).collect()
}

fn assert_holds_none(text: &str, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        assert!(!text.contains(secret.as_str()), "{secret} is in\n{text}");
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Every `vestibule_…` that a text names.
fn names(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    text.match_indices("vestibule_").map(|(at, _)| word(&text[at..])).collect()
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let (place, sink) = with_mail().await;
    let place = place.with("VESTIBULE_METRICS_LISTEN", "127.0.0.1:0");
    let mut server = place.serve().await;
    let secrets = join(&mut server, &sink).await;
    // The first message may have been dropped before it left.
    let none = "vestibule_mail_deliveries_total{outcome=\"delivered\"} 0";
    let told = within("a delivery", async {
        loop {
            let told = server.metrics().await;
            if !told.contains(none) && told.contains("vestibule_mail_waiting 0") {
                break told;
            }
        }
    })
    .await;

    let there = names(&told);
    let dashboard = read("docs/operate/dashboard.json");
    serde_json::from_str::<Value>(&dashboard).unwrap();
    for named in [dashboard, read("docs/operate/alerts.yml")].map(|text| names(&text)) {
        assert!(named.len() > 10, "{named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{missing:?} is not in\n{told}");
    }
    let guide = names(&read("docs/operating.md"));
    let types = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let untold: Vec<_> = types.filter(|name| !guide.contains(*name)).collect();
    assert!(untold.is_empty(), "{untold:?} is not in the guide");

    for line in [
        "vestibule_http_requests_total{method=\"POST\",route=\"/join/{code}\",status=\"303\"} 1",
        "vestibule_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "vestibule_http_request_duration_seconds_count{route=\"/join/{code}\"} 2",
        "vestibule_registrations_total{step=\"begun\"} 2",
        "vestibule_registrations_total{step=\"confirmed\"} 1",
        "vestibule_registrations_total{step=\"finished\"} 1",
        "vestibule_registrations_refused_total{step=\"confirmed\",reason=\"wrong code\"} 1",
        "vestibule_registrations_ended_total{reason=\"address changed\"} 1",
        "vestibule_admissions_total{verdict=\"admit\"} 3",
        "vestibule_admissions_total{verdict=\"refuse-domain\"} 0",
        "vestibule_admissions_total{verdict=\"refuse-invalid\"} 1",
        "vestibule_hashes_total{kind=\"new\"} 2",
        "vestibule_faults_total 0",
        "vestibule_hash_queue_length 0",
        "vestibule_mail_waiting 0",
        "vestibule_mail_oldest_due_seconds 0",
        if database::server().is_some() {
            "vestibule_database_connections_max{pool=\"all\"} 15"
        } else {
            "vestibule_database_connections_max{pool=\"write\"} 1"
        },
        &format!("vestibule_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
    assert_holds_none(&told, &secrets);
    for word in ["acme", "usr_", "reg_", "req_"] {
        assert!(!told.contains(word), "{word} is in\n{told}");
    }
    assert_eq!(server.browser().get("/metrics").await.unwrap().status, 404, "the public port does not tell");
}

#[tokio::test]
async fn what_cannot_watch_is_one_line_and_makes_nothing() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (name, value, why) in [
        ("VESTIBULE_METRICS_LISTEN", "everywhere", "metrics_listen must be"),
        ("VESTIBULE_METRICS_LISTEN", &taken, "for the metrics"),
        ("VESTIBULE_LOG_FORMAT", "xml", "log_format must be text or json"),
        ("VESTIBULE_OTLP_ENDPOINT", "https://user:canary@otlp.acme.com", "otlp_endpoint must be"),
    ] {
        let place = Place::new().with("VESTIBULE_LISTEN", "127.0.0.1:0").with(name, value);
        let ran = place.run(&["serve"]).await;
        assert!(!ran.status.success() && ran.out.is_empty(), "{name}={value}");
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(ran.err.contains(why) && !ran.err.contains("canary"), "{}", ran.err);
        assert!(place.names().is_empty(), "{name}={value} made {:?}", place.names());
    }
}

#[tokio::test]
async fn a_log_of_objects_names_every_request_and_holds_no_secret() {
    let (place, sink) = with_mail().await;
    let place = place.with("VESTIBULE_LOG_FORMAT", "json").with("RUST_LOG", "debug");
    let mut server = place.serve().await;
    let secrets = join(&mut server, &sink).await;
    let ran = server.stop().await;
    let lines: Vec<Value> = ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert!(requests.len() > 6, "{}", ran.err);
    for line in &requests {
        assert!(line["request"].as_str().unwrap().starts_with("req_"), "{line}");
        assert!(line["route"].is_string() && line["status"].is_number() && line["timestamp"].is_string(), "{line}");
    }
    assert!(requests.iter().any(|line| line["route"] == "/confirm/{token}"));
    assert_holds_none(&ran.err, &secrets[..3]);
    assert_holds_none(&ran.err, &[PASSWORD.to_owned(), "ada@acme.com".to_owned(), "Lovelace".to_owned()]);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nobody() {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    // The last is a pipe that stays open and is never read: it is full after 64 KiB.
    for (what, log) in [("closed", closed()), ("full", full()), ("unread", Stdio::piped())] {
        let place = Place::new().with("RUST_LOG", "trace");
        let mut server = place.serve_unread(log).await;
        let (mut manager, _) = server.acme().await;
        for _ in 0..50 {
            assert_eq!(manager.get("/settings/users").await.unwrap().status, 200, "{what}");
        }
        server.stop().await;
    }
}

/// A place whose traces leave at once.
fn traced(place: &Place, endpoint: &str) -> Place {
    place.clone().with("VESTIBULE_OTLP_ENDPOINT", endpoint).with("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[tokio::test]
async fn a_request_leaves_spans_with_its_route_and_never_its_path() {
    let (place, sink) = with_mail().await;
    let collector = Collector::start().await;
    let mut server = traced(&place, &format!("http://{}", collector.address)).serve().await;
    let secrets = join(&mut server, &sink).await;
    let spans = ["POST /confirm/{token}", "hash a password", "database write", "deliver a message", "req_", "GET -"];
    let posts = collector.holds(&spans).await;
    for (head, body) in &posts {
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            assert!(!contains(body, secret), "{secret} is in a span");
        }
    }
    assert!(posts.iter().any(|(_, body)| contains(body, "service.name") && contains(body, "vestibule")));
    server.stop().await;
}

#[tokio::test]
async fn traces_go_under_tls_to_a_collector_that_the_system_trusts() {
    let (tls, certificate) = localhost();
    let collector = Collector::start_with_tls(tls).await;
    let place = Place::new();
    fs::write(place.path("collector.pem"), certificate).unwrap();
    let place = place.clone().with("SSL_CERT_FILE", place.path("collector.pem").to_str().unwrap());
    let server = traced(&place, &format!("https://localhost:{}", collector.address.port())).serve().await;
    server.browser().get("/login").await.unwrap();
    collector.holds(&["GET /login"]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_slows_nobody() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Collector::start_silent().await;
    for address in [nobody, silent.address] {
        let place = traced(&Place::new(), &format!("http://{address}"))
            .with("OTEL_BSP_MAX_QUEUE_SIZE", "20")
            .with("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10");
        let mut server = place.serve().await;
        let mut browser = server.browser();
        for _ in 0..100 {
            assert_eq!(browser.get("/login").await.unwrap().status, 200);
        }
        if address == nobody {
            let log = server.says("traces are not delivered").await;
            assert!(log.contains("Connection refused"), "{log}");
        }
        let ran = server.stop().await;
        assert!(ran.err.matches("traces are not delivered").count() <= 1, "said once: {}", ran.err);
    }
}
