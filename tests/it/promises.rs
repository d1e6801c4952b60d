//! Promises that hold over everything at once: what a stolen database holds, what no input breaks.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use vestibule::{
    features::{audit::Authority, set_up, sign_in},
    platform::db::query,
    values::{DAY, RegistrationId},
};

use crate::support::{Browser, ORIGIN, Opened as _, PASSWORD, TestApp, acts::begin, house::House, routes};

/// A small generator of the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.next(from.len())]
    }
}

/// Octets as text that can be searched: each becomes the character with its number.
fn as_text(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// Everything that a thief of the database gets: all of it but the key.
async fn stolen(app: &TestApp) -> String {
    let mut dump = crate::support::database::dump(&app.app.config.database).await;
    for file in std::fs::read_dir(&app.app.config.data_dir).unwrap() {
        let path = file.unwrap().path();
        if path != app.app.config.key_file {
            dump.extend(std::fs::read(path).unwrap());
        }
    }
    as_text(&dump)
}

fn last(path: &str) -> String {
    path.rsplit(['/', '=']).next().unwrap().to_owned()
}

/// The links of all mail so far that lead into this place.
fn tokens_below(app: &TestApp, place: &str) -> Vec<String> {
    let with_link = app.mail.all().into_iter().filter(|mail| mail.text.contains(place));
    with_link.map(|mail| last(&mail.link())).collect()
}

#[tokio::test]
async fn a_stolen_database_holds_no_usable_secret() {
    let app = TestApp::start().await;
    let set_up = set_up::address_for_this_start(&app.app).await.unwrap().unwrap();
    let mut house = House::on(app).await;
    house.app.deliver().await;
    let people = house.people().await;
    let cookies: BTreeSet<(String, String)> = people.into_iter().flat_map(|browser| browser.cookies).collect();
    let names: Vec<&str> = cookies.iter().map(|(name, _)| name.strip_prefix("__Host-").unwrap()).collect();
    assert_eq!(names, ["browser", "known", "known", "session", "session"]);
    let app = &house.app;
    let mia = app.user("acme", "mia@acme.com").await.unwrap();
    let by = Authority::command_line(mia.organization_id);
    let shown_on_the_command_line = sign_in::make_link(&app.app, &by, &mia).await.unwrap();
    let link = house.fill("/join/{code}");
    let mut secrets =
        vec![last(&set_up), last(&link), shown_on_the_command_line.expose().to_owned(), PASSWORD.to_owned()];
    secrets.extend(cookies.into_iter().map(|(_, secret)| secret));
    // Two people have joined and five are about to; two get a first password and one another; of an address that changes
    // both ends got a link.
    for (place, many) in [("/confirm/", 7), ("/invitation/", 1), ("/reset/", 3), ("/account/address/", 2)] {
        let tokens = tokens_below(app, place);
        assert_eq!(tokens.len(), many, "{place}");
        secrets.extend(tokens);
    }
    let dump = stolen(app).await;
    assert!(dump.contains("mel@acme.com"), "the dump is the database");
    for secret in secrets {
        assert!(secret.len() >= 16 && !dump.contains(&secret), "{} characters of a secret", secret.len());
    }
}

#[tokio::test]
async fn a_code_cannot_be_found_by_hashing_every_code_and_looking_for_it_in_a_stolen_database() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let (_, waiting) = begin(&app, &acme, "ada@acme.com").await;
    let mail = app.mail_to("ada@acme.com").await;
    let dump = stolen(&app).await;
    let hash_is_there = |of: &[u8]| {
        let hash = digest(&SHA256, of);
        let in_hexadecimal = hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().concat();
        dump.contains(&as_text(hash.as_ref())) || dump.contains(&in_hexadecimal)
    };
    assert!(hash_is_there(last(&mail.link()).as_bytes()), "of the token it may be: nobody hashes all of those");
    let (kept,): (i64,) =
        query("select count(*) from tokens where code_hash is not null").one(&app.app.db).await.unwrap();
    assert_eq!(kept, 1, "something of the code is kept");
    let (code, public) = (mail.code(), waiting.input("registration"));
    let id = public.parse::<RegistrationId>().unwrap().uuid();
    let (written, plain) = (id.to_string(), id.simple().to_string());
    for id in [&b""[..], public.as_bytes(), id.as_bytes(), written.as_bytes(), plain.as_bytes()] {
        for between in ["", ":", "/", "-", " ", "\0"] {
            for parts in [[id, between.as_bytes(), code.as_bytes()], [code.as_bytes(), between.as_bytes(), id]] {
                assert!(!hash_is_there(&parts.concat()), "the code was hashed with nothing that only the server knows");
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_look_alikes_reach_nobody_but_the_stored_address() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.join(&acme.link, "Ada.Lovelace@acme.com", "Ada").await;
    app.advance(2 * DAY);
    let mut dice = Dice(7);
    let (locals, dots, domains) = (
        [
            "ada.lovelace",
            "ADA.LOVELACE",
            "Ada.Lovelace",
            "adа.lovelace",
            "ada.lovelace+x",
            "adalovelace",
            "ada.love1ace",
            "ａda.lovelace",
            "ada..lovelace",
        ],
        ["", ".", "\u{200b}", "%40evil.com", "@evil.com", "\r\nBcc: eve@evil.com", " ", "\u{0}"],
        [
            "acme.com",
            "ACME.COM",
            "аcme.com",
            "acme.com.evil.org",
            "ac\u{ad}me.com",
            "acme．com",
            "evil.org",
            "acme.co",
            "acme.com.",
        ],
    );
    for n in 0..1_000 {
        let address = format!("{}{}@{}", dice.pick(&locals), dice.pick(&dots), dice.pick(&domains));
        let mut browser = app.browser();
        browser.address = format!("198.51.{}.{}:4000", n / 200, n % 200).parse().unwrap();
        let page = browser.post("/o/acme/forgot-password", &[("email", &address)]).await;
        assert!(matches!(page.status, 200 | 422), "{address:?}: {}", page.status);
    }
    app.deliver().await;
    app.advance(DAY);
    app.deliver().await;
    let resets: Vec<_> = app.mail.all().into_iter().filter(|mail| mail.text.contains("/reset/")).collect();
    assert!((1..=10).contains(&resets.len()), "{}", resets.len());
    assert!(resets.iter().all(|mail| mail.to.as_str() == "Ada.Lovelace@acme.com"), "octet for octet");
}

const PIECES: [&str; 24] = [
    "",
    "0",
    "-1",
    "%",
    "_",
    "'",
    "\"",
    "\\",
    "\u{0}",
    "\r\n",
    "../",
    "%00",
    "%ff",
    "\u{202e}",
    "👩🏽‍🚀",
    "<script>",
    "{{7*7}}",
    "usr_01jd4x8z0v7k3m2n5p6q8r9s0t",
    "reg_00000000000000000000000000",
    "99999999999999999999",
    "ada@acme.com",
    "on",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    " ",
];
const FIELDS: [&str; 20] = [
    "email",
    "full_name",
    "password",
    "code",
    "organization_name",
    "slug",
    "allowed_domains",
    "self_service",
    "login_method",
    "emails",
    "registration",
    "version",
    "token",
    "search",
    "after",
    "kind",
    "from",
    "return_to",
    "current_password",
    "role",
];

/// An address of the server with something real in it, or with pieces; sometimes with more behind it.
fn some_address(house: &House, paths: &[String], dice: &mut Dice) -> String {
    let piece =
        |dice: &mut Dice| -> String { url::form_urlencoded::byte_serialize(dice.pick(&PIECES).as_bytes()).collect() };
    let path: &String = dice.pick(paths);
    if dice.next(2) == 0 {
        return house.fill(path);
    }
    let mut address = String::new();
    for part in path.split_inclusive('}') {
        let before = part.split('{').next().unwrap();
        address.push_str(before);
        if before.len() < part.len() {
            address.push_str(&piece(dice));
        }
    }
    if dice.next(3) == 0 { address + &piece(dice) } else { address }
}

async fn shake(browser: &mut Browser, path: String, dice: &mut Dice) -> (String, u16) {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for _ in 0..dice.next(5) {
        let value = if dice.next(60) == 0 {
            "x".repeat(100_000)
        } else {
            format!("{}{}", dice.pick(&PIECES), dice.pick(&PIECES))
        };
        let field: &str = dice.pick::<&str>(&FIELDS);
        pairs.append_pair(field, &value);
    }
    let mut body = pairs.finish().into_bytes();
    if dice.next(10) == 0 {
        body.extend([0xff, 0xfe, b'%', b'=', 0x80]);
    }
    let method = dice
        .pick(&[Method::GET, Method::POST, Method::POST, Method::POST, Method::HEAD, Method::PUT, Method::DELETE])
        .clone();
    let address = if method == Method::POST || body.len() > 2_000 {
        path
    } else {
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}{}", String::from_utf8_lossy(&body).replace(|c: char| !c.is_ascii_graphic(), ""))
    };
    let request = Request::builder()
        .method(method)
        .uri(&address)
        .header(header::ORIGIN, ORIGIN)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let Ok(request) = request.body(Body::from(body)) else { return (address, 0) };
    let status = browser.send(request).await.status;
    (address, status)
}

/// `FUZZ` sets another length; the seed is in the message. What a page makes of its input is the same on both databases: on the
/// slower one fewer rounds ask what the database makes of it.
#[tokio::test]
async fn no_input_gives_a_fault() {
    let mut house = House::start().await;
    let paths: Vec<String> = routes::all(&house.app).await.into_iter().map(|route| route.path).collect();
    let length = if house.app.app.db.is_shared() { 10_000 } else { 100_000 };
    let rounds = std::env::var("FUZZ").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(length);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    let mut dice = Dice(seed);
    let mut people = Vec::new();
    for round in 0..rounds {
        if round % 1_000 == 0 {
            // They signed out, and replaced the link.
            people = house.people().await;
            house.renew_link().await;
        }
        let mut browser = dice.pick(&people).clone();
        browser.address = format!("198.51.{}.{}:4000", dice.next(200), dice.next(200)).parse().unwrap();
        let path = some_address(&house, &paths, &mut dice);
        let (address, status) = shake(&mut browser, path, &mut dice).await;
        assert!(status < 500, "{status} at round {round} of seed {seed}: {address}");
    }
    assert_eq!(house.app.browser().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn of_a_field_sent_twice_the_first_counts_and_what_was_typed_stays() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let refused = app.browser().post(&acme.link, &[("email", "ada@"), ("email", "eve@acme.com")]).await;
    assert!(refused.status == 422 && refused.input("email") == "ada@", "{}", refused.words());
    let begun = app.browser().post(&acme.link, &[("email", "ada@acme.com"), ("email", "eve@acme.com")]).await;
    assert_eq!(begun.status, 303);
    app.deliver().await;
    let to: Vec<String> = app.mail.all().iter().map(|mail| mail.to.to_string()).collect();
    assert_eq!(to, ["ada@acme.com"]);
}
