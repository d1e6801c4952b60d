//! Speed and size, as ratios to a yardstick measured in the same run. `bench/README.md` says how to read them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::struct_field_names,
    reason = "a measurement fails by panicking, and its counts are small"
)]

mod client;
mod database;
mod million;
mod scale;
mod server;
mod timing;
mod yardstick;

/// The template of the join page names these two; the yardstick renders it too.
mod platform {
    pub use vestibule::platform::*;
}
mod values {
    pub use vestibule::values::*;
}

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use client::{Client, load};
use database::On;
use server::{Folder, Server};

const SPAN: Duration = Duration::from_secs(6);
/// One of several rounds.
const ROUND: Duration = Duration::from_secs(4);
const PEOPLE: usize = 64;
const SETTING: usize = 4_000;
const JOINING: usize = 1_950;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "--yardstick") {
        yardstick::serve_template(arguments[2].parse().expect("a port"));
        return;
    }
    println!("{}", machine());
    let sections: [(&str, fn()); 9] = [
        ("size", size),
        ("hashing", hashing),
        ("apart", apart),
        ("pages", pages),
        ("timing", timing::differences),
        ("statements", scale::statements),
        ("scale", scale::scale),
        ("copies", million::copies),
        ("replicas", replicas),
    ];
    let asked: Vec<_> = sections.iter().filter(|(name, _)| arguments.iter().any(|word| word == name)).collect();
    for (_, measure) in if asked.is_empty() { sections.iter().collect() } else { asked } {
        measure();
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("machine: {cores} cores,{}", model.trim_start_matches([':', '\t', ' ', '\u{9}']))
}

fn row(what: &str, measured: &str, wanted: &str, holds: bool) {
    println!("{} {what}: {measured} (wanted: {wanted})", if holds { "ok  " } else { "MISS" });
}

/// Binary size, memory before the first hash, and the time to the first answer on an existing database.
fn size() {
    let megabytes = std::fs::metadata(server::binary()).expect("the binary").len() as f64 / 1024.0 / 1024.0;
    row("release binary", &format!("{megabytes:.1} MiB"), "< 30 MiB", megabytes < 30.0);
    let folder = Server::seed(On::Sqlite, 1);
    let mut times: Vec<f64> = (0..7).map(|_| Server::start(&folder).first_answer.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    row(
        "first answer after process start",
        &format!("{:.0} ms (median of 7)", times[3]),
        "<= 150 ms",
        times[3] <= 150.0,
    );
    let server = Server::start(&folder);
    for _ in 0..200 {
        Client::connect(server.port).get(&folder.link);
    }
    let resident = server.resident();
    row("resident memory before the first hash", &format!("{resident:.1} MiB"), "< 40 MiB", resident < 40.0);
}

/// What hashes against a bare Argon2id loop, everything on the same processors; the join page beside it.
fn hashing() {
    for on in On::all() {
        let folder = Server::seed(on, SETTING);
        let server = Server::start(&folder);
        against_bare(&folder, &server, &format!("{}, everything on the same processors", on.name()));
        join_page_beside(&folder, &server, on.name());
    }
}

/// The same with the server on a processor of its own, as where the clients and the database are other machines.
fn apart() {
    for on in On::all() {
        let folder = Server::seed(on, SETTING);
        let server = Server::start_on(&folder, yardstick::SERVER_PROCESSOR);
        yardstick::leave_the_server_alone();
        against_bare(&folder, &server, &format!("{}, the server on a processor of its own", on.name()));
        yardstick::use_every_processor();
    }
}

fn against_bare(folder: &Folder, server: &Server, how: &str) {
    rates(&format!("sign-ins per second against a bare loop, {how}"), || load(server.port, PEOPLE, ROUND, sign_in));
    // Fewer than the two thousand in ten minutes from which on a link slows down.
    let joining = Mutex::new(folder.begun(server, JOINING));
    rates(&format!("registrations completed per second against a bare loop, {how}"), || {
        load(server.port, PEOPLE, ROUND / 2, |person, turn| {
            let path = joining.lock().expect("links").pop().expect("enough links");
            client::form(&path, "full_name=Somebody+New&password=another+fine+password", person + PEOPLE * turn)
        })
    });
    // Setting a password ends every other link of that person, so that each one needs somebody of its own.
    let resets = Mutex::new(folder.reset_links(SETTING));
    rates(&format!("passwords set per second against a bare loop, {how}"), || {
        load(server.port, PEOPLE, ROUND, |person, _| {
            let path = resets.lock().expect("links").pop().expect("enough links");
            client::form(&path, "password=another+fine+password", person)
        })
    });
}

fn sign_in(person: usize, _: usize) -> String {
    client::form(
        "/o/acme/login",
        &format!("email=person{person}%40acme.com&password=seven+purple+herons+dance"),
        person,
    )
}

/// How long the join page takes while sign-ins saturate the hash pool.
fn join_page_beside(folder: &Folder, server: &Server, name: &str) {
    let idle = server.probe(&folder.link, SPAN);
    let probing = {
        let (port, link) = (server.port, folder.link.clone());
        std::thread::spawn(move || server::probe(port, &link, SPAN))
    };
    // Those whose password was not set meanwhile.
    load(server.port, PEOPLE, SPAN, sign_in);
    let flood = probing.join().expect("the probe");
    let bound = (10.0 * idle.p99).max(25.0);
    row(
        &format!("join page while hashing is saturated, {name}"),
        &format!("p50 {:.2} ms, p99 {:.2} ms; idle p99 {:.2} ms", flood.p50, flood.p99, idle.p99),
        &format!("p99 <= {bound:.0} ms"),
        flood.p99 <= bound,
    );
}

/// The median of five rounds, each between two measurements of the bare loop: what else the machine does changes by
/// the second.
fn rates(what: &str, act: impl Fn() -> client::Answers) {
    let mut before = yardstick::bare_hashes(ROUND / 2);
    let mut ratios = Vec::new();
    let (mut shown, mut faults) = (String::new(), 0);
    for _ in 0..5 {
        let started = Instant::now();
        let answers = act();
        let rate = answers.count(303) as f64 / started.elapsed().as_secs_f64();
        faults += answers.faults();
        let after = yardstick::bare_hashes(ROUND / 2);
        let bare = before.midpoint(after);
        before = after;
        ratios.push(100.0 * rate / bare);
        shown = format!("{rate:.1} of {bare:.1}");
    }
    ratios.sort_by(f64::total_cmp);
    let measured = format!("{:.1} % (median of 5; {:.0} to {:.0} %; last {shown})", ratios[2], ratios[0], ratios[4]);
    row(what, &measured, ">= 90 %", ratios[2] >= 90.0);
    row(&format!("of these answered with a fault: {what}"), &faults.to_string(), "0", faults == 0);
}

/// The join page against a bare handler that renders the same template from memory, in turns.
fn pages() {
    let folder = Server::seed(On::Sqlite, 1);
    let server = Server::start(&folder);
    let bare = yardstick::Process::start();
    let mut ratios = Vec::new();
    let mut shown = String::new();
    for _ in 0..5 {
        let span = Duration::from_secs(3);
        let ours = load(server.port, 16, span, |_, _| client::get(&folder.link)).count(200) as f64 / span.as_secs_f64();
        let theirs = load(bare.port, 16, span, |_, _| client::get("/")).count(200) as f64 / span.as_secs_f64();
        ratios.push(ours / theirs);
        shown = format!("{ours:.0} of {theirs:.0} pages a second");
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[2] * 100.0;
    row(
        "join page against a bare handler",
        &format!("{median:.0} % (median of 5; last {shown})"),
        ">= 25 %, aim 50 %",
        median >= 25.0,
    );
}

/// Two servers on one database against one, on the same two cores: as they are, and each with its half of the machine.
fn replicas() {
    for on in On::all().into_iter().filter(|on| *on == On::Postgres) {
        let folder = Server::seed(on, PEOPLE);
        let measure = |servers: &[Server]| {
            let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
            let started = Instant::now();
            let signed_in = client::load_over(&ports, PEOPLE, ROUND, sign_in);
            signed_in.count(303) as f64 / started.elapsed().as_secs_f64()
        };
        let (mut whole, mut halves) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let one = measure(&[Server::start(&folder)]);
            whole.push(measure(&[Server::start(&folder), Server::start(&folder)]) / one);
            halves.push(measure(&[0, 1].map(|processor| Server::start_on(&folder, processor))) / one);
        }
        // Twice as many hash threads as processors take each other's cache: a little is lost, and how much is only told.
        let both = [("each with half of the processors", halves, 0.97), ("each with all of them", whole, 0.0)];
        for (what, mut ratios, least) in both {
            ratios.sort_by(f64::total_cmp);
            let measured = format!(
                "{:.0} % (median of 5; {:.0} to {:.0} %)",
                100.0 * ratios[2],
                100.0 * ratios[0],
                100.0 * ratios[4]
            );
            let wanted = if least > 0.0 { format!(">= {:.0} %", 100.0 * least) } else { "told".to_owned() };
            row(&format!("sign-ins through two servers against one, {what}"), &measured, &wanted, ratios[2] >= least);
        }
    }
}
