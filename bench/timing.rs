//! Whether the time of an answer tells who has an account (security requirement P0-31).

use std::time::Instant;

use super::{client::Client, client::form, database::On, row, server::Server};

const SAMPLES: usize = 1_000;
const WARM_UP: usize = 50;

/// Known and unknown addresses in turn, at every anonymous door.
pub fn differences() {
    for on in On::all() {
        differences_on(on);
    }
}

fn differences_on(on: On) {
    let folder = Server::seed(on, SAMPLES + WARM_UP);
    let server = Server::start(&folder);
    let link = folder.link.clone();
    compare(&server, &format!("beginning a registration, {}", on.name()), 3.0, |address| {
        (link.clone(), format!("email={address}"))
    });
    compare(&server, &format!("asking for a new password, {}", on.name()), 3.0, |address| {
        ("/o/acme/forgot-password".to_owned(), format!("email={address}"))
    });
    compare(&server, &format!("signing in with a wrong password, {}", on.name()), 3.0, |address| {
        ("/o/acme/login".to_owned(), format!("email={address}&password=not+the+password+at+all"))
    });
}

fn compare(server: &Server, what: &str, least: f64, request: impl Fn(&str) -> (String, String)) {
    let mut client = Client::connect(server.port);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for person in 0..SAMPLES + WARM_UP {
        // In turn, and each pair the other way round, so that drift meets both alike.
        for is_known in if person % 2 == 0 { [true, false] } else { [false, true] } {
            let address =
                if is_known { format!("person{person}%40acme.com") } else { format!("nobody{person}%40acme.com") };
            let (path, body) = request(&address);
            let sent = Instant::now();
            let status = client.send(&form(&path, &body, person * 2 + usize::from(is_known)));
            assert!(status < 500 && status != 429, "{what}: {status}");
            let took = sent.elapsed().as_secs_f64() * 1000.0;
            if person >= WARM_UP {
                if is_known { &mut known } else { &mut unknown }.push(took);
            }
        }
    }
    known.sort_by(f64::total_cmp);
    unknown.sort_by(f64::total_cmp);
    let (one, other) = (known[SAMPLES / 2], unknown[SAMPLES / 2]);
    let auc = area_under_the_curve(&known, &unknown);
    let bound = least.max(0.03 * other);
    let measured = format!("AUC {auc:.3}, medians {one:.2} and {other:.2} ms");
    row(
        &format!("known and unknown addresses, {what}"),
        &measured,
        &format!("AUC <= 0.55, apart <= {bound:.1} ms"),
        auc <= 0.55 && (one - other).abs() <= bound,
    );
}

/// The chance that somebody who must guess from one pair of times guesses right; 0.5 is a coin. Both are sorted.
fn area_under_the_curve(known: &[f64], unknown: &[f64]) -> f64 {
    let below: usize = known.iter().map(|time| unknown.partition_point(|other| other < time)).sum();
    let area = below as f64 / (known.len() * unknown.len()) as f64;
    area.max(1.0 - area)
}
