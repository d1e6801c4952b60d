//! The corpus of addresses and lists: every case comes out as written, through every way in.

use serde::Deserialize;
use vestibule::{
    features::admission::AllowlistEntry,
    platform::db::query,
    values::{EmailAddress, OrganizationId, Slug},
};

use crate::support::{TestApp, process::Place};

const CORPUS: &str = include_str!("../corpus/emails.jsonl");

#[derive(Deserialize)]
struct Case {
    id: String,
    email: String,
    allowlist: Vec<String>,
    verdict: String,
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = CORPUS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 178);
    cases
}

#[tokio::test]
async fn every_case_comes_out_as_written_on_the_command_line() {
    let ran = Place::new().run_with(&["admit", "-"], CORPUS).await;
    assert!(ran.status.success(), "{}", ran.err);
    let answers: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cases = cases();
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer["email"], case.email, "{}", case.id);
        assert_eq!(answer["verdict"], case.verdict, "{}: {answer}", case.id);
        assert!(answer["rule"].is_string() && answer["why"].is_string(), "{}: {answer}", case.id);
    }
}

/// Writes a list into the store as old data or a hand in the database may have: some of these are lists that the
/// editor refuses to save.
async fn store(app: &TestApp, organization: OrganizationId, list: &[String]) {
    let mut tx = app.write().await;
    query("delete from allowlist_entries where organization_id = $1")
        .bind(organization)
        .execute(&mut tx)
        .await
        .unwrap();
    for (place, entry) in (0_i64..).zip(list) {
        let domain = entry.parse::<AllowlistEntry>().map(|entry| entry.domain().to_string()).unwrap_or_default();
        query("insert into allowlist_entries (organization_id, place, entry, domain) values ($1, $2, $3, $4)")
            .bind(organization)
            .bind(place)
            .bind(entry.as_str())
            .bind(domain)
            .execute(&mut tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_case_comes_out_as_written_on_the_links_page() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let slug: Slug = "acme".parse().unwrap();
    let organization = vestibule::features::organizations::by_slug(&app.app.db, &slug).await.unwrap().unwrap().id;
    for (n, case) in cases().iter().enumerate() {
        store(&app, organization, &case.allowlist).await;
        let mut browser = app.browser();
        browser.address = "10.0.0.1:50000".parse().unwrap();
        browser.forwarded_for = Some(format!("198.51.100.{}", n % 250));
        let page = browser.post(&acme.link, &[("email", &case.email)]).await;
        match case.verdict.as_str() {
            "admit" => {
                assert_eq!(page.status, 303, "{}: {}", case.id, page.words());
                assert!(page.location.unwrap().starts_with("/join/waiting"), "{}", case.id);
            }
            "refuse-domain" => {
                let address: EmailAddress = case.email.parse().unwrap();
                assert_eq!(page.status, 422, "{}: {}", case.id, page.words());
                let words = format!("Addresses of {} can", address.domain().shown());
                assert!(page.says(&words), "{}: {}", case.id, page.words());
            }
            _ => {
                assert_eq!(page.status, 422, "{}: {}", case.id, page.words());
                assert!(!page.says("can't join with this link"), "{}: {}", case.id, page.words());
                assert!(case.email.parse::<EmailAddress>().is_err(), "{}", case.id);
            }
        }
    }
}
