//! Requests from elsewhere, and everything that a GET may not do.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Request, header},
};

use crate::support::{Browser, ORIGIN, PASSWORD, TestApp, database, house::House, routes};

/// Everything that the server keeps.
async fn everything(app: &TestApp) -> BTreeMap<String, Vec<String>> {
    database::contents(&app.app.config.database).await
}

async fn assert_unchanged(app: &TestApp, before: &BTreeMap<String, Vec<String>>) {
    for (table, rows) in everything(app).await {
        let new: Vec<&String> = rows.iter().filter(|row| !before[&table].contains(row)).collect();
        assert!(rows == before[&table], "{table} has changed: {new:?}");
    }
}

async fn send(browser: &mut Browser, path: &str, body: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let page = browser.send(request.body(Body::from(body.to_owned())).unwrap()).await;
    assert!(!page.headers.contains_key("set-cookie"), "{path}");
    page.status
}

#[tokio::test]
async fn a_form_from_elsewhere_is_refused_everywhere_and_does_nothing() {
    let mut house = House::start().await;
    let forms = routes::forms(&house.app).await;
    assert!(forms.len() > 30, "{forms:?}");
    let manager = house.browser_of(Some("mia@acme.com")).await;
    let before = everything(&house.app).await;
    let foreign: [&[(&str, &str)]; 8] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://evil.vestibule.test")],
        &[("origin", "https://evil.com")],
        &[("origin", "null")],
        &[("origin", "http://id.vestibule.test")],
        &[("origin", "https://evil.com"), ("host", "evil.com")],
        &[("origin", ORIGIN), ("content-type", "text/plain")],
        &[("origin", ORIGIN), ("content-type", "application/json")],
    ];
    for headers in foreign {
        for path in &forms {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(house.form(path)).finish();
            let status = send(&mut manager.clone(), &house.fill(path), &body, headers).await;
            assert_eq!(status, 403, "{path} {headers:?}");
        }
    }
    assert_unchanged(&house.app, &before).await;
}

#[tokio::test]
async fn no_get_and_no_head_changes_anything() {
    let mut house = House::start().await;
    let pages: Vec<_> = routes::all(&house.app).await.into_iter().filter(|route| route.gets).collect();
    let people = house.people().await;
    let before = everything(&house.app).await;
    assert!(before["users"].len() > 3 && before["tokens"].len() > 5, "{before:?}");
    for mut browser in people {
        for page in &pages {
            let path = house.fill(&page.path);
            let shown = browser.get(&path).await;
            let head = browser.send(Request::head(&path).body(Body::empty()).unwrap()).await;
            assert!(shown.status < 500 && head.html.is_empty(), "{path}: {}", shown.status);
            assert_eq!(shown.status, head.status, "{path}");
        }
    }
    assert_unchanged(&house.app, &before).await;
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    for path in ["/settings/identity", "/login", "/nowhere", &acme.link.clone()] {
        let page = acme.manager.get(path).await;
        let header = |name: &str| {
            page.headers.get(name).unwrap_or_else(|| panic!("{path} has no {name}")).to_str().unwrap().to_owned()
        };
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{part}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert!(!page.html.contains("style=\"") && !page.html.contains("onclick"), "{path}");
    }
}

#[tokio::test]
async fn cookies_are_host_bound_http_only_and_lax() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut browser = app.browser();
    let mut lines = Vec::new();
    let page = browser.get(&acme.link).await;
    lines.extend(page.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()));
    let page = browser.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    lines.extend(page.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned()));
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        assert!(
            line.starts_with("__Host-")
                && line.contains("; Secure")
                && line.contains("; HttpOnly")
                && line.contains("; SameSite=Lax"),
            "{line}"
        );
        assert!(line.contains("; Path=/") && !line.contains("Domain"), "{line}");
    }
}

#[tokio::test]
async fn a_planted_session_is_never_adopted_and_signing_in_gives_a_new_one() {
    let app = TestApp::start().await;
    app.acme().await;
    let planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut browser = app.browser();
    browser.cookies.insert("__Host-session".to_owned(), planted.to_owned());
    browser.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    let first = browser.cookies["__Host-session"].clone();
    assert_ne!(first, planted);
    let mut old = browser.clone();
    browser.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await;
    assert_ne!(browser.cookies["__Host-session"], first);
    assert_eq!(old.get("/settings/identity").await.status, 303, "one session a browser: the old id is dead");
    assert_eq!(browser.get("/settings/identity").await.status, 200);
    let mut kept = browser.clone();
    browser.post("/logout", &[]).await;
    assert_eq!(kept.get("/settings/identity").await.status, 303);
}

#[tokio::test]
async fn signing_in_leads_on_only_within_this_server() {
    let app = TestApp::start().await;
    app.acme().await;
    for (return_to, leads) in [
        ("/settings/identity", "/settings/identity"),
        ("//evil.com", "/account"),
        ("https://evil.com/", "/account"),
        ("/\\evil.com", "/account"),
        ("/\u{9}/evil.com", "/account"),
        ("javascript:alert(1)", "/account"),
        ("", "/account"),
    ] {
        let fields = [("email", "mia@acme.com"), ("password", PASSWORD), ("return_to", return_to)];
        let page = app.browser().post("/o/acme/login", &fields).await;
        assert_eq!(page.location.as_deref(), Some(leads), "{return_to}");
    }
}

#[tokio::test]
async fn no_header_of_a_request_changes_where_links_lead() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let lies = [
        ("host", "evil.com"),
        ("x-forwarded-host", "evil.com"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.com;proto=http"),
        ("x-original-url", "/evil"),
        ("referer", "https://evil.com/"),
    ];
    for path in [acme.link.as_str(), "/o/acme/forgot-password"] {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in lies {
            request = request.header(name, value);
        }
        let page = app.browser().send(request.body(Body::from("email=mia%40acme.com")).unwrap()).await;
        assert!(page.location.is_none_or(|location| location.starts_with('/') && !location.starts_with("//")));
    }
    app.deliver().await;
    let mail = app.mail.all();
    assert_eq!(mail.len(), 2);
    for mail in mail {
        for link in mail.text.split_whitespace().chain(mail.html.split('"')).filter(|word| word.starts_with("http")) {
            assert!(link.starts_with(&format!("{ORIGIN}/")), "{link}");
        }
        assert!(!mail.text.contains("evil") && !mail.html.contains("evil"));
    }
}

#[tokio::test]
async fn broken_input_never_breaks_the_server() {
    let mut house = House::start().await;
    let people = house.people().await;
    let (app, forms) = (&house.app, routes::forms(&house.app).await);
    let big = "x".repeat(600_000);
    let bodies: Vec<Vec<u8>> = vec![
        b"email=%00%00".to_vec(),
        b"email=%ff%fe%80".to_vec(),
        vec![0xff, 0xfe, 0x00, 0x80],
        b"email=a@b.co&email=c@d.co".to_vec(),
        b"email[]=victim@acme.com&email[]=eve@acme.com".to_vec(),
        format!("email={big}").into_bytes(),
        b"%=%&=&&==".to_vec(),
        b"email=%25%27%22%3B--".to_vec(),
        Vec::new(),
    ];
    for body in bodies {
        for path in &forms {
            for who in &people {
                let page = who.clone().post_raw(&house.fill(path), body.clone()).await;
                let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
                assert!(page.status < 500, "{path} {} {shown:?}", page.status);
            }
        }
    }
    for path in [
        "/o/%00/login",
        "/o/%ff%fe/login",
        "/reset/%00",
        "/confirm/..%2f..",
        "/join/%E2%80%AE",
        "/settings/users/usr_%",
        "/o/no-such-one/login",
    ] {
        let mut stranger = app.browser();
        stranger.address = "198.51.100.9:4000".parse().unwrap();
        let page = stranger.get(path).await;
        assert!(matches!(page.status, 303 | 400 | 404), "{path} {}", page.status);
    }
    assert!(app.all_mail_to("victim@acme.com").await.is_empty());
}

#[tokio::test]
async fn what_a_client_writes_beside_its_address_does_not_hide_it_behind_a_proxy() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut guesser = app.browser();
    guesser.address = "10.0.0.1:4000".parse().unwrap();
    let mut statuses = Vec::new();
    for n in 0..70 {
        // Two lines of the client's own; the trusted proxy adds the true address to the last one.
        let request = Request::get(format!("/join/{n:024}"))
            .header("x-forwarded-for", format!("198.51.100.{n}"))
            .header("x-forwarded-for", &b"\xff, 203.0.113.9"[..]);
        statuses.push(guesser.send(request.body(Body::empty()).unwrap()).await.status);
        if n % 10 == 0 {
            app.share_counts().await;
        }
    }
    assert_eq!((statuses[0], statuses[69]), (404, 429), "counted by the address that the proxy saw");
}
