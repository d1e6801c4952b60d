//! Whether the time of an answer tells who has an account (security requirement P0-31).

use std::time::Instant;

use vestibule::{
    platform::{
        db::query,
        limits::failures::{self, RowKey},
    },
    values::EmailAddress,
};

use super::{
    client::{Client, form},
    database::On,
    row,
    server::{Folder, Server},
};

const SAMPLES: usize = 1_000;
const WARM_UP: usize = 50;
const PEOPLE: usize = SAMPLES + WARM_UP;
/// Fewer than a link takes in ten minutes before it slows down.
const UNTIL_A_LINK_SLOWS: usize = 400;
/// Wrong passwords in a row after which an account has to wait for a quarter of an hour.
const MANY_FAILURES: usize = 25;
/// Where no mail server answers.
const NO_MAIL_SERVER: &str = "smtp://127.0.0.1:9?tls=none";

/// Whom an address belongs to. The last one is nobody, with whom the others are compared.
const KINDS: [&str; 4] = ["person", "gone", "pending", "nobody"];

fn address(kind: &str, person: usize) -> String {
    format!("{kind}{person}%40acme.com")
}

/// Members, deactivated ones, those who have begun to register, and unknown addresses, at every anonymous door: as
/// always, when what one address may cause is spent, and while the mail server is away.
pub fn differences() {
    for on in On::all() {
        let folder = Server::seed(on, PEOPLE);
        folder.more_people("gone", PEOPLE);
        deactivate(&folder);
        let server = Server::start(&folder);
        begin_everywhere(&folder, &server, &["pending"], 1);
        every_door(&folder, &server, on.name());
        drop(server);
        let away = Server::start_with(
            &folder,
            &[("VESTIBULE_SMTP_URL", NO_MAIL_SERVER), ("VESTIBULE_MAIL_FROM", "door@acme.com")],
        );
        doors_that_cause_mail(&folder, &away, &format!("{}, no mail server", on.name()));
        drop(away);
        let server = Server::start(&folder);
        begin_everywhere(&folder, &server, &KINDS, 4);
        doors_that_cause_mail(&folder, &server, &format!("{}, the address's mail is spent", on.name()));
        fail_often(&folder);
        compare(&folder, &server, &format!("signing in after too many failures, {}", on.name()), sign_in);
    }
}

fn every_door(folder: &Folder, server: &Server, how: &str) {
    doors_that_cause_mail(folder, server, how);
    compare(folder, server, &format!("signing in with a wrong password, {how}"), sign_in);
}

fn doors_that_cause_mail(folder: &Folder, server: &Server, how: &str) {
    let link = folder.link.clone();
    compare(folder, server, &format!("beginning a registration, {how}"), |_, address, from| {
        form(&link, &format!("email={address}"), from)
    });
    compare(folder, server, &format!("asking for a new password, {how}"), |_, address, from| {
        form("/o/acme/forgot-password", &format!("email={address}"), from)
    });
    compare(folder, server, &format!("asking for the message again, {how}"), |client, address, from| {
        let begun = client.exchange(&form(&link, &format!("email={address}"), from));
        let place = begun.headers.iter().find(|(name, _)| name == "location").expect("a waiting page");
        let registration = place.1.rsplit('=').next().expect("a registration");
        let again = form("/join/resend", &format!("registration={registration}"), from);
        again.replacen("\r\n", &format!("\r\nCookie: {}\r\n", begun.cookies()), 1)
    });
}

fn sign_in(_: &mut Client, address: &str, from: usize) -> String {
    form("/o/acme/login", &format!("email={address}&password=not+the+password+at+all"), from)
}

/// `request` makes the request whose answer is timed, from somebody of their own.
fn compare(folder: &Folder, server: &Server, what: &str, request: impl Fn(&mut Client, &str, usize) -> String) {
    let mut client = Client::connect(server.port);
    let mut times = KINDS.map(|_| Vec::with_capacity(SAMPLES));
    let mut person = [0; KINDS.len()];
    for (turn, kind) in shuffled().into_iter().enumerate() {
        forget_limits(folder, turn);
        let address = address(KINDS[kind], person[kind]);
        person[kind] += 1;
        let request = request(&mut client, &address, turn);
        let sent = Instant::now();
        let status = client.send(&request);
        assert!(status < 500, "{what}: {status}");
        if person[kind] > WARM_UP {
            times[kind].push(sent.elapsed().as_secs_f64() * 1000.0);
        }
    }
    for one in &mut times {
        one.sort_by(f64::total_cmp);
    }
    let [.., unknown] = &times;
    let other = unknown[SAMPLES / 2];
    for (kind, known) in KINDS.iter().zip(&times).take(KINDS.len() - 1) {
        let (one, auc) = (known[SAMPLES / 2], area_under_the_curve(known, unknown));
        let bound = 3.0_f64.max(0.03 * other);
        let measured = format!("AUC {auc:.3}, medians {one:.2} and {other:.2} ms");
        let wanted = format!("AUC <= 0.55, apart <= {bound:.1} ms");
        let holds = auc <= 0.55 && (one - other).abs() <= bound;
        row(&format!("{kind} and unknown addresses, {what}"), &measured, &wanted, holds);
    }
}

/// Each kind as often as the others, in no order: what one request leaves to do behind it slows the next one down, which
/// may be of any kind.
fn shuffled() -> Vec<usize> {
    let mut kinds: Vec<usize> = (0..KINDS.len() * PEOPLE).map(|turn| turn % KINDS.len()).collect();
    let mut number = 20_261_128_u64;
    for place in (1..kinds.len()).rev() {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        kinds.swap(place, usize::try_from(number >> 33).expect("31 bits") % (place + 1));
    }
    kinds
}

/// The chance that somebody who must guess from one pair of times guesses right; 0.5 is a coin. Both are sorted.
fn area_under_the_curve(known: &[f64], unknown: &[f64]) -> f64 {
    let below: usize = known.iter().map(|time| unknown.partition_point(|other| other < time)).sum();
    let area = below as f64 / (known.len() * unknown.len()) as f64;
    area.max(1.0 - area)
}

/// What many people together may do is not the point here.
fn forget_limits(folder: &Folder, turn: usize) {
    if turn.is_multiple_of(UNTIL_A_LINK_SLOWS) {
        folder.write(async |tx| query("delete from limit_counts").later(tx));
    }
}

/// Begins a registration with each address of these kinds, so many times, each from another browser.
fn begin_everywhere(folder: &Folder, server: &Server, kinds: &[&str], times: usize) {
    let mut client = Client::connect(server.port);
    for time in 0..times {
        for person in 0..PEOPLE {
            forget_limits(folder, person);
            for kind in kinds {
                let body = format!("email={}", address(kind, person));
                let from = 100_000 + time * PEOPLE + person;
                assert_eq!(client.send(&form(&folder.link, &body, from)), 303);
            }
        }
    }
}

fn deactivate(folder: &Folder) {
    folder.write(async |tx| query("update users set status = 'deactivated' where email like 'gone%'").later(tx));
}

fn fail_often(folder: &Folder) {
    let organization = folder.organization.uuid();
    folder.write(async |tx| {
        let sql = "select password_hash from users where email = 'person0@acme.com'";
        let (hash,): (String,) = query(sql).one(&mut *tx).await.expect("a hash");
        for person in 0..PEOPLE {
            for kind in KINDS {
                let address: EmailAddress = format!("{kind}{person}@acme.com").parse().expect("an address");
                let (identity, stored) = (address.identity(), if kind == "person" { hash.as_str() } else { "" });
                let parts = [organization.as_bytes().as_slice(), identity.as_bytes(), stored.as_bytes()];
                let key = RowKey::of(&folder.app, &parts);
                (0..MANY_FAILURES).for_each(|_| failures::add(tx, &key));
            }
        }
    });
}
