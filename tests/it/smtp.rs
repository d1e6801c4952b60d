//! Mail as it crosses the network.

use std::sync::Arc;

use mail_parser::{MessageParser, MimeHeaders as _};
use mailparse::MailHeaderMap as _;
use vestibule::{
    platform::{
        db::query,
        hashing::Strength,
        mail::{
            Captured, Mail, Mailer,
            smtp::{Smtp, SmtpUrl},
        },
    },
    values::{HOUR, MINUTE, MessageId, Timestamp},
};

use crate::support::{
    ORIGIN, TestApp,
    process::Place,
    sink::{Received, Sink, Ways},
};

fn smtp(sink: &Sink, user: &str) -> Smtp {
    let url = SmtpUrl::parse(&sink.url("smtp", user, "?tls=none")).unwrap();
    Smtp::new(&url, "door@vestibule.test".parse().unwrap()).unwrap()
}

/// A server in the test's own process, whose clock can be moved, with real mail.
async fn app(sink: &Sink, user: &str) -> TestApp {
    TestApp::start_with(Mailer::Smtp(Arc::new(smtp(sink, user))), Captured::default(), Strength::new(64, 1)).await
}

/// Begins a registration and lets its message leave.
async fn begin(app: &TestApp, address: &str) {
    let acme = app.acme().await;
    assert_eq!(app.browser().post(&acme.link, &[("email", address)]).await.status, 303);
    app.deliver().await;
}

/// The header lines of a message with their continuations, by name.
fn header_names(mail: &Received) -> Vec<String> {
    let parsed = MessageParser::default().parse(&mail.data).unwrap();
    let mut names: Vec<String> = parsed.headers_raw().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names
}

const HEADERS: [&str; 8] =
    ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];

/// What every message must be, whatever its words: no line that any server could take for its end, none too long,
/// and exactly the headers and parts that we write.
fn assert_is_whole(mail: &Received) {
    let raw = String::from_utf8(mail.raw.clone()).expect("seven bits");
    let without = raw.replace("\r\n", "");
    assert!(!without.contains(['\r', '\n']), "a bare CR or LF: {raw:?}");
    assert!(raw.is_ascii() && raw.split("\r\n").all(|line| line.len() <= 998 && line != "."), "{raw}");
    assert_eq!(header_names(mail), HEADERS, "{raw}");
    let parsed = MessageParser::default().parse(&mail.data).unwrap();
    let kinds: Vec<String> = parsed
        .parts
        .iter()
        .map(|part| part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap())).unwrap())
        .collect();
    assert_eq!(kinds, ["multipart/alternative", "text/plain", "text/html"]);
    assert_reads_the_same_elsewhere(mail, &parsed);
}

/// What one reader of mail sees another sees too: nothing is a header, a recipient or a part for one of them alone.
fn assert_reads_the_same_elsewhere(mail: &Received, parsed: &mail_parser::Message<'_>) {
    let other = mailparse::parse_mail(&mail.data).unwrap();
    let mut names: Vec<String> = other.headers.iter().map(|header| header.get_key().to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, HEADERS);
    let kinds: Vec<&str> = other.parts().map(|part| part.ctype.mimetype.as_str()).collect();
    assert_eq!(kinds, ["multipart/alternative", "text/plain", "text/html"]);

    let subject = other.headers.get_first_value("Subject").unwrap();
    assert!(subject.split_whitespace().eq(parsed.subject().unwrap().split_whitespace()), "{subject}");
    let to = mailparse::addrparse_header(other.headers.get_first_header("To").unwrap()).unwrap();
    assert_eq!(to.extract_single_info().map(|to| to.addr), Some(mail.to.concat()));
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some(mail.to.concat().as_str()));
    let from = mailparse::addrparse_header(other.headers.get_first_header("From").unwrap()).unwrap();
    assert_eq!(from.extract_single_info().map(|from| from.addr), Some("door@vestibule.test".to_owned()));
    let bodies: Vec<String> = other.subparts.iter().map(|part| lines(&part.get_body().unwrap())).collect();
    assert_eq!(bodies, [parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap()].map(|body| lines(&body)));
}

/// Readers end a line in their own way, and differ about blanks at an end.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end().to_owned()
}

#[tokio::test]
async fn a_message_goes_to_one_stored_address_in_two_dresses() {
    let sink = Sink::start(Ways::default()).await;
    let app = app(&sink, "").await;
    begin(&app, " Ada.Lovelace+door@B\u{fc}cher.Example ").await;

    let all = sink.all();
    assert_eq!(all.len(), 1);
    let mail = &all[0];
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("door@vestibule.test", &["Ada.Lovelace+door@xn--bcher-kva.example".to_owned()][..])
    );
    assert_is_whole(mail);
    let parsed = MessageParser::default().parse(&mail.data).unwrap();
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Acme"), Some("door@vestibule.test")));
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("Ada.Lovelace+door@xn--bcher-kva.example"));
    assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert!(parsed.message_id().unwrap().ends_with("@vestibule.test"));
    let (text, html) = (parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap());
    let link = mail.link(ORIGIN);
    assert!(link.starts_with("/confirm/") && html.contains(&link), "{text}\n{html}");
    assert!(text.split_whitespace().filter(|word| word.contains("://")).all(|word| word.starts_with(ORIGIN)), "{text}");
}

#[tokio::test]
async fn mail_refused_for_now_leaves_later_as_the_same_message() {
    let sink = Sink::start(Ways { at_recipient: Some("451 4.3.0 later"), ..Ways::default() }).await;
    let app = app(&sink, "").await;
    begin(&app, "ada@acme.com").await;
    assert!(sink.all().is_empty());

    sink.now(|ways| (ways.at_recipient, ways.at_data) = (None, Some("452 4.3.1 full")));
    app.advance(MINUTE);
    app.deliver().await;
    assert!(sink.all().is_empty());

    sink.now(|ways| (ways.at_data, ways.lose_one_answer) = (None, true));
    for _ in 0..2 {
        app.advance(10 * MINUTE);
        app.deliver().await;
    }
    let all = sink.all();
    assert_eq!(all.len(), 2, "the answer to the first was lost, so it leaves again");
    assert_eq!(all[0].message_id(), all[1].message_id());
    assert_eq!(all[0].text(), all[1].text(), "the same link and the same code");
    app.advance(10 * HOUR);
    app.deliver().await;
    assert_eq!(sink.all().len(), 2);
}

#[tokio::test]
async fn an_address_refused_for_good_is_not_tried_again() {
    let sink = Sink::start(Ways { at_recipient: Some("550 5.1.1 nobody here"), ..Ways::default() }).await;
    let app = app(&sink, "").await;
    begin(&app, "ada@acme.com").await;
    sink.now(|ways| ways.at_recipient = None);
    app.advance(2 * HOUR);
    app.deliver().await;
    assert!(sink.all().is_empty());
}

#[tokio::test]
async fn one_refused_address_holds_nobody_else_up() {
    let sink = Sink::start(Ways { at_recipient: Some("550 5.1.1 nobody here"), ..Ways::default() }).await;
    let app = app(&sink, "").await;
    let acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await;
    app.deliver().await;
    sink.now(|ways| ways.at_recipient = None);
    app.browser().post(&acme.link, &[("email", "bob@acme.com")]).await;
    app.deliver().await;
    assert_eq!(sink.mail_to("bob@acme.com").await.to, ["bob@acme.com"]);
}

#[tokio::test]
async fn without_a_mail_server_a_message_waits_untried() {
    let app = TestApp::start_without_mail().await;
    begin(&app, "ada@acme.com").await;
    let waiting: Vec<(String, i64)> =
        query("select to_email, attempts from messages where state = 'waiting'").all(&app.app.db).await.unwrap();
    assert_eq!(waiting, [("ada@acme.com".to_owned(), 0)]);
}

#[tokio::test]
async fn a_wrong_password_for_the_mail_server_loses_no_mail() {
    let sink = Sink::start(Ways { credentials: Some(("door", "right")), ..Ways::default() }).await;
    let app = app(&sink, "door:wrong@").await;
    begin(&app, "ada@acme.com").await;
    assert!(sink.all().is_empty());
    // The password is mended on the other side: the message was kept.
    sink.now(|ways| ways.credentials = Some(("door", "wrong")));
    app.advance(MINUTE);
    app.deliver().await;
    assert_eq!(sink.mail_to("ada@acme.com").await.user.as_deref(), Some("door"));
}

#[tokio::test]
async fn no_words_can_end_a_message_or_add_to_it() {
    let sink = Sink::start(Ways::default()).await;
    let smtp = smtp(&sink, "");
    let long = "x".repeat(10_000);
    let hostile = [
        "hello\r\n.\r\nMAIL FROM:<eve@evil.com>\r\nRCPT TO:<eve@evil.com>\r\nDATA\r\nBcc: eve@evil.com\r\n\r\nsmuggled\r\n.\r\n",
        "hello\n.\nMAIL FROM:<eve@evil.com>\n.\r\n",
        "hello\r.\r\r\n.\n\n.\r\n",
        ".\r\n..\r\n...\r\n.",
        "\u{e9}\u{1f600}\n.\n\0\u{85}\u{2028}.",
        &long,
        &format!("{long}\n.\n{long}"),
    ];
    for (n, text) in (1_u8..).zip(hostile) {
        let mail = Mail {
            id: MessageId::new(Timestamp::from_micros(1), [n; 10]),
            organization: "\"Acme\" <eve@evil.com>, Bcc: eve =?utf-8?q?x?=".parse().unwrap(),
            to: "ada@acme.com".parse().unwrap(),
            subject: format!("Hi\r\nBcc: eve@evil.com\r\n\r\n{}", text.chars().take(100).collect::<String>()),
            text: text.to_owned(),
            html: format!("<p>{text}</p>"),
        };
        smtp.send(&mail).await.unwrap();
        let all = sink.all();
        assert_eq!(all.len(), usize::from(n), "one job is one message");
        let received = all.last().unwrap();
        assert_eq!(received.to, ["ada@acme.com"]);
        assert_is_whole(received);
        let parsed = MessageParser::default().parse(&received.data).unwrap();
        assert_eq!(parsed.from().unwrap().first().unwrap().address(), Some("door@vestibule.test"));
    }
}

#[tokio::test]
async fn a_name_as_long_as_names_may_be_reaches_the_mailbox_whole() {
    let sink = Sink::start(Ways::default()).await;
    let app = app(&sink, "").await;
    let address = vestibule::features::set_up::address_for_this_start(&app.app).await.unwrap().unwrap();
    let mut manager = app.browser();
    manager.get(address.strip_prefix(ORIGIN).unwrap()).await;
    let mut form =
        vec![("full_name", "Mia"), ("email", "mia@acme.com"), ("slug", "acme"), ("password", crate::support::PASSWORD)];
    let (too_long, longest) = ("\u{e9}".repeat(10_000), "\u{e9}".repeat(100));
    form.push(("organization_name", &too_long));
    assert_eq!(manager.post("/setup", &form).await.status, 422);
    form.pop();
    form.push(("organization_name", &longest));
    assert_eq!(manager.post("/setup", &form).await.status, 303);
    let link = manager.get("/settings/welcome").await.input("link");
    app.browser().post(link.strip_prefix(ORIGIN).unwrap(), &[("email", "ada@acme.com")]).await;
    app.deliver().await;
    let mail = sink.mail_to("ada@acme.com").await;
    assert_is_whole(&mail);
    let parsed = MessageParser::default().parse(&mail.data).unwrap();
    assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some(longest.as_str()));
}

/// A whole server that trusts the sink's certificate, and what reached the sink from it.
async fn through_the_binary(sink: &Sink, url: &str) -> Received {
    let place = Place::new();
    let trusted = place.path("trusted.pem");
    std::fs::write(&trusted, &sink.certificate).unwrap();
    let place = place
        .with("SSL_CERT_FILE", trusted.to_str().unwrap())
        .with("VESTIBULE_SMTP_URL", url)
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    assert_eq!(server.browser().post(&link, &[("email", "ada@acme.com")]).await.unwrap().status, 303);
    sink.mail_to("ada@acme.com").await
}

#[tokio::test]
async fn mail_leaves_under_starttls_with_a_password() {
    let ways = Ways { starttls: true, credentials: Some(("door", "p@ss word")), ..Ways::default() };
    let sink = Sink::start(ways).await;
    let mail = through_the_binary(&sink, &sink.url("smtp", "door:p%40ss%20word@", "?tls=required")).await;
    assert!(mail.tls && mail.user.as_deref() == Some("door"));
}

#[tokio::test]
async fn mail_leaves_under_implicit_tls() {
    let sink = Sink::start(Ways { implicit: true, ..Ways::default() }).await;
    let mail = through_the_binary(&sink, &sink.url("smtps", "", "")).await;
    assert!(mail.tls && mail.user.is_none());
}

#[tokio::test]
async fn encryption_is_used_where_it_is_offered() {
    let sink = Sink::start(Ways { starttls: true, ..Ways::default() }).await;
    assert!(through_the_binary(&sink, &sink.url("smtp", "", "")).await.tls);
}

#[tokio::test]
async fn no_mail_leaves_where_encryption_is_required_and_not_to_be_had() {
    let sink = Sink::start(Ways::default()).await;
    let untrusted = Sink::start(Ways { starttls: true, ..Ways::default() }).await;
    for sink in [sink, untrusted] {
        let place = Place::new()
            .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=required"))
            .with("VESTIBULE_MAIL_FROM", "door@acme.com");
        let mut server = place.serve().await;
        let (_, link) = server.acme().await;
        server.browser().post(&link, &[("email", "ada@acme.com")]).await.unwrap();
        let log = server.says("a message was not delivered").await;
        assert!(log.contains("for_good=false"), "{log}");
        assert!(sink.all().is_empty());
    }
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_holds_no_page_up() {
    let sink = Sink::start(Ways { hang: true, ..Ways::default() }).await;
    let place = Place::new()
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    let mut server = place.serve().await;
    let (_, link) = server.acme().await;
    for n in 0..20 {
        let email = format!("ada{n}@acme.com");
        assert_eq!(server.browser().post(&link, &[("email", &email)]).await.unwrap().status, 303);
    }
}
