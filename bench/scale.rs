//! What a page and a registration cost when there are a million users, ten thousand entries or ten thousand organizations.

use std::time::{Duration, Instant};

use vestibule::{
    features::admission::{Admission, Allowlist, decide},
    values::EmailAddress,
};

use super::{
    client::{Client, form, get},
    database::On,
    million, row,
    server::{Folder, Server},
};

const ORGANIZATIONS: u32 = 10_000;
const ENTRIES: u32 = 10_000;
const TIMES: usize = 300;

/// Everything that grows.
pub fn scale() {
    decisions();
    for on in On::all() {
        million(on);
        entries(on);
        organizations(on);
    }
}

/// The time of `times` requests, the median and the 99th percentile in milliseconds.
fn times(mut ask: impl FnMut(usize), times: usize) -> (f64, f64) {
    let mut took: Vec<f64> = (0..times)
        .map(|turn| {
            let asked = Instant::now();
            ask(turn);
            asked.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[times / 2], took[times * 99 / 100])
}

/// A signed-in manager's cookies.
fn manager(server: &Server, folder: &Folder) -> String {
    let reset = folder.manager_link();
    let mut client = Client::connect(server.port);
    assert_eq!(client.send(&form(&reset, "password=seven+purple+herons+dance", 9_000)), 303);
    let answer =
        client.exchange(&form("/o/acme/login", "email=mia%40acme.com&password=seven+purple+herons+dance", 9_001));
    assert_eq!(answer.status, 303);
    answer.cookies()
}

fn with_cookies(path: &str, cookies: &str) -> String {
    get(path).replacen("\r\n\r\n", &format!("\r\nCookie: {cookies}\r\n\r\n"), 1)
}

fn million(on: On) {
    let small = Server::seed(on, 1_000);
    let (folder, took) = million::users(on);
    let name = on.name();
    row(
        &format!("a million users generated, {name}"),
        &format!("{:.0} s", took.as_secs_f64()),
        "< 120 s",
        took < Duration::from_mins(2),
    );
    let server = Server::start(&folder);
    let cookies = manager(&server, &folder);
    let mut client = Client::connect(server.port);
    user_pages(&folder, &mut client, &cookies, name);
    let few = Server::start(&small);
    let ratio = compare(|turn| begin(&server, &folder, turn), |turn| begin(&few, &small, turn));
    row(
        &format!(
            "beginning a registration with a million users and as many registrations against a thousand users, {name}"
        ),
        &format!("{ratio:.2}"),
        "<= 1.5",
        ratio <= 1.5,
    );
    let ratio = compare(|turn| complete(&server, &folder, turn), |turn| complete(&few, &small, turn));
    row(
        &format!("completing a registration with a million users against a thousand, {name}"),
        &format!("{ratio:.2}"),
        "<= 1.15",
        ratio <= 1.15,
    );
}

fn user_pages(folder: &Folder, client: &mut Client, cookies: &str, name: &str) {
    let deep = thousandth_page(client, cookies, folder);
    let pages = [
        ("users, first page with the count", vec!["/settings/users".to_owned()]),
        ("users, page 1,000", vec![deep]),
        (
            "users, by part of a name",
            million::LASTS.iter().map(|last| format!("/settings/users?search={}", &last[1..])).collect(),
        ),
        (
            "users, by part of an address",
            (0..50).map(|n| format!("/settings/users?search={}%40gmail", 777_000 + n)).collect(),
        ),
        ("users, nobody found", vec!["/settings/users?search=zzqx".to_owned()]),
        ("users, by what all have", vec!["/settings/users?search=%40acme.com".to_owned()]),
        ("users, managers", vec!["/settings/users?role=manager".to_owned()]),
        ("users, of a rare domain", vec!["/settings/users?domain=d7.example".to_owned()]),
    ];
    for (what, paths) in pages {
        let page = |turn: usize| {
            let answer = client.exchange(&with_cookies(&paths[turn % paths.len()], cookies));
            assert_eq!(answer.status, 200, "{what}");
        };
        let (median, late) = times(page, TIMES);
        let measured = format!("p50 {median:.1} ms, p99 {late:.1} ms");
        row(&format!("{what}, a million, {name}"), &measured, "p99 <= 25 ms", late <= 25.0);
    }
}

/// The median of the ratios of two costs, measured in turns.
fn compare(mut one: impl FnMut(usize), mut other: impl FnMut(usize)) -> f64 {
    let took = |ask: &mut dyn FnMut(usize), turn| {
        let asked = Instant::now();
        ask(turn);
        asked.elapsed().as_secs_f64()
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..120 {
        ours.push(took(&mut one, turn));
        theirs.push(took(&mut other, turn));
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    ours[60] / theirs[60]
}

/// Begins a registration that nobody goes on with.
fn begin(server: &Server, folder: &Folder, turn: usize) {
    let email = format!("email=begun{turn}%40acme.com");
    assert_eq!(Client::connect(server.port).send(&form(&folder.link, &email, 30_000 + turn)), 303);
}

/// Begins and finishes a registration, all but the mail.
fn complete(server: &Server, folder: &Folder, turn: usize) {
    let mut client = Client::connect(server.port);
    let begun = client.send(&form(&folder.link, &format!("email=new{turn}%40acme.com"), 20_000 + turn));
    assert_eq!(begun, 303);
    let confirm = folder.newest_confirmation();
    let finished =
        client.send(&form(&confirm, "full_name=Somebody+New&password=seven+purple+herons+dance", 20_000 + turn));
    assert_eq!(finished, 303);
}

fn thousandth_page(client: &mut Client, cookies: &str, folder: &Folder) -> String {
    let place = folder.place_of_user(50_000);
    let path = format!("/settings/users?after={place}");
    assert_eq!(client.exchange(&with_cookies(&path, cookies)).status, 200);
    path
}

fn entries(on: On) {
    let folder = Server::seed(on, 1);
    let sqlite = format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {ENTRIES})
         insert into allowlist_entries select o.id, i, 'd' || i || '.example', 'd' || i || '.example' from n, organizations o"
    );
    let postgres = format!(
        "insert into allowlist_entries select o.id, i, 'd' || i || '.example', 'd' || i || '.example'
           from generate_series(1, {ENTRIES}) i, organizations o"
    );
    million::run_on(&folder, &sqlite, &postgres);
    let server = Server::start(&folder);
    let cookies = manager(&server, &folder);
    let mut client = Client::connect(server.port);
    let page = |_| assert_eq!(client.exchange(&with_cookies("/settings/identity", &cookies)).status, 200);
    let (median, late) = times(page, 40);
    let name = on.name();
    row(
        &format!("Identity Configuration with 10,000 entries, {name}"),
        &format!("p50 {median:.0} ms, p99 {late:.0} ms"),
        "<= 300 ms",
        median <= 300.0,
    );
}

/// The pure decision about an address, with a list as long as anybody's.
fn decisions() {
    let entries: Vec<String> = (0..ENTRIES).map(|n| format!("d{n}.example")).collect();
    let list = Allowlist::from_stored(entries.iter().map(String::as_str));
    let addresses: Vec<EmailAddress> =
        (0..1_000).map(|n| format!("ada@d{}.example", n * 11).parse().expect("an address")).collect();
    let asked = Instant::now();
    let mut admitted = 0_usize;
    for _ in 0..20 {
        admitted += addresses.iter().filter(|address| matches!(decide(address, &list), Admission::Admitted(_))).count();
    }
    let each = asked.elapsed().as_secs_f64() * 1_000_000.0 / 20_000.0;
    assert!(admitted > 0);
    row("a decision with 10,000 entries", &format!("{each:.2} microseconds"), "< 2 microseconds", each < 2.0);
}

fn organizations(on: On) {
    let (one, many) = (Server::seed(on, 200), Server::seed(on, 200));
    let started = Instant::now();
    many.more_organizations(ORGANIZATIONS);
    println!("     {ORGANIZATIONS} organizations made in {:.0} s", started.elapsed().as_secs_f64());
    let (few, full) = (Server::start(&one), Server::start(&many));
    let sign_in = |server: &Server, turn: usize| {
        let body = format!("email=person{}%40acme.com&password=seven+purple+herons+dance", turn % 200);
        assert_eq!(Client::connect(server.port).send(&form("/o/acme/login", &body, turn)), 303);
    };
    let ratio = compare(|turn| sign_in(&full, turn), |turn| sign_in(&few, turn));
    let name = on.name();
    row(
        &format!("signing in among 10,000 organizations against one, {name}"),
        &format!("{ratio:.2}"),
        "<= 1.15",
        ratio <= 1.15,
    );
    let ratio = compare(|turn| complete(&full, &many, turn), |turn| complete(&few, &one, turn));
    row(
        &format!("joining among 10,000 organizations against one, {name}"),
        &format!("{ratio:.2}"),
        "<= 1.15",
        ratio <= 1.15,
    );
}

/// What each step asks of the database.
pub fn statements() {
    for on in On::all() {
        let folder = Server::seed(on, 1);
        let server = Server::start(&folder);
        let cookies = manager(&server, &folder);
        let mut client = Client::connect(server.port);
        // Once each beforehand: what is prepared once is not counted.
        complete(&server, &folder, 900);
        // Whoever scrapes the counter asks for the backlog of mail too.
        let asked_for_counting = {
            let before = server.statements();
            server.statements() - before
        };
        let mut steps: Vec<(&str, u64, Option<u64>)> = Vec::new();
        let mut step = |what: &'static str, most: Option<u64>, act: &mut dyn FnMut()| {
            let before = server.statements();
            act();
            steps.push((what, server.statements() - before - asked_for_counting, most));
        };
        step("join page", Some(2), &mut || assert_eq!(client.get(&folder.link), 200));
        let mut other = Client::connect(server.port);
        step("beginning a registration", None, &mut || {
            assert_eq!(other.send(&form(&folder.link, "email=new901%40acme.com", 20_901)), 303);
        });
        let confirm = folder.newest_confirmation();
        step("details page", None, &mut || assert_eq!(other.get(&confirm), 200));
        step("completing a registration", Some(10), &mut || {
            assert_eq!(other.send(&form(&confirm, "full_name=New&password=seven+purple+herons+dance", 20_901)), 303);
        });
        step("signing in", None, &mut || {
            let body = "email=person0%40acme.com&password=seven+purple+herons+dance";
            assert_eq!(other.send(&form("/o/acme/login", body, 20_902)), 303);
        });
        step("signed-in page (account)", Some(3), &mut || {
            assert_eq!(other.exchange(&with_cookies("/account", &cookies)).status, 200);
        });
        step("users, first page", Some(3), &mut || {
            assert_eq!(other.exchange(&with_cookies("/settings/users", &cookies)).status, 200);
        });
        for (what, count, most) in steps {
            let wanted = most.map_or_else(|| "counted".to_owned(), |most| format!("<= {most}"));
            let measured = format!("{count} statements");
            row(&format!("{what}, {}", on.name()), &measured, &wanted, most.is_none_or(|most| count <= most));
        }
    }
}
