//! Secrets that a person types, holds or is sent appear nowhere that they must not.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    process::{NetBrowser, Place},
    sink::{Sink, Ways},
};

#[tokio::test]
async fn no_secret_reaches_the_log_however_much_is_logged() {
    let sink = Sink::start(Ways { credentials: Some(("door", "canary-smtp-9173")), ..Ways::default() }).await;
    let place = Place::new()
        .with("RUST_LOG", "trace")
        .with("VESTIBULE_SMTP_URL", &sink.url("smtp", "door:canary-smtp-9173@", "?tls=none"))
        .with("VESTIBULE_MAIL_FROM", "door@acme.com");
    let mut server = place.serve().await;
    let set_up = server.set_up_address().await;
    let (mut manager, link) = server.acme().await;

    let mut ada = server.browser();
    let waiting = ada.post(&link, &[("email", "ada@acme.com")]).await.unwrap().location.unwrap();
    let registration = waiting.rsplit('=').next().unwrap().to_owned();
    let before = ada.cookies.clone();
    let mail = sink.mail_to("ada@acme.com").await;
    let confirm = mail.link(&server.origin);
    let code: String = mail.text().lines().map(str::trim).find(|line| line.len() == 6).unwrap().to_owned();
    let mut pages = vec![
        ada.post("/join/code", &[("registration", &registration), ("code", "000000x")]).await.unwrap(),
        ada.post(&confirm, &[("full_name", ""), ("password", "canary-password-8264")]).await.unwrap(),
        ada.post(&confirm, &[("full_name", "Ada"), ("password", "canary-password-8264")]).await.unwrap(),
        ada.post("/o/acme/login", &[("email", "ada@acme.com"), ("password", "canary-wrong-5530")]).await.unwrap(),
        ada.get("/reset/canary-token-7741").await.unwrap(),
        ada.get("/nowhere/canary-token-7741?token=canary-token-7741").await.unwrap(),
        manager.post("/o/acme/forgot-password", &[("email", "mia@acme.com")]).await.unwrap(),
    ];
    let reset = sink.mail_to("mia@acme.com").await.link(&server.origin);
    pages.push(manager.post(&reset, &[("password", "canary-password-8264")]).await.unwrap());
    assert_eq!(pages.last().unwrap().status, 303);
    let audit = audit_log(&mut manager).await;
    let sessions = [before, ada.cookies.clone(), manager.cookies.clone()];
    let ran = server.stop().await;
    let shown = place.ask(&["config", "show"]).await;

    let last = |path: &str| path.rsplit(['/', '=']).next().unwrap().to_owned();
    let mut secrets = vec![
        "canary-".to_owned(),
        crate::support::PASSWORD.to_owned(),
        STANDARD.encode("\0door\0canary-smtp-9173"),
        last(&set_up),
        last(&link),
        last(&confirm),
        last(&reset),
        std::fs::read_to_string(place.data().join("key")).unwrap().trim().to_owned(),
        " ".to_owned() + &code + " ",
    ];
    secrets.extend(sessions.iter().flat_map(|cookies| cookies.values().cloned()));
    assert!(ran.err.lines().count() > 100 && ran.err.contains("DEBUG"), "the log must be talkative: {}", ran.err);
    let said = ran.out.replace(&last(&set_up), "");
    for secret in secrets {
        for (place, text) in
            [("the log", &ran.err), ("standard output", &said), ("config show", &shown), ("the audit log", &audit)]
        {
            assert!(!text.contains(&secret), "{secret} is in {place}");
        }
        // A page may carry the address of its own form, and nothing that was typed as a secret.
        for page in pages.iter().filter(|_| secret.starts_with("canary") || secret == crate::support::PASSWORD) {
            assert!(!page.html.contains(&secret), "{secret} is in a page: {}", page.words());
        }
    }
    assert!(!ran.err.contains("ada@acme.com"), "nor an address");
}

/// Every page of the audit log, for a manager whose password was just set.
async fn audit_log(manager: &mut NetBrowser) -> String {
    let fields = [("email", "mia@acme.com"), ("password", "canary-password-8264")];
    assert_eq!(manager.post("/o/acme/login", &fields).await.unwrap().status, 303);
    for n in 0..60 {
        let page = manager.post("/settings/invitations", &[("emails", &format!("p{n}@acme.com"))]).await.unwrap();
        assert_eq!(page.status, 200);
    }
    let mut pages = vec![manager.get("/settings/audit").await.unwrap()];
    while pages.last().unwrap().says("Older") {
        let next = pages.last().unwrap().link_to("Older");
        pages.push(manager.get(&next).await.unwrap());
    }
    assert!(pages.len() > 1 && pages.last().unwrap().says("Made the organization"), "all of it: {}", pages.len());
    pages.into_iter().map(|page| page.html).collect()
}

#[tokio::test]
async fn no_secret_of_the_settings_is_in_the_help_of_any_command() {
    let place = Place::with_a_file()
        .with("VESTIBULE_SMTP_URL", "smtp://door:canary-smtp-9173@mail.acme.com")
        .with("VESTIBULE_DATABASE_URL", "postgres://door:canary-database-3310@127.0.0.1:1/door");
    for flag in ["-h", "--help"] {
        let helps = place.helps(flag).await;
        assert!(helps.len() > 20, "{helps:?}");
        for (words, help) in helps {
            assert!(help.contains("Usage:") && !help.contains("canary"), "{words:?} {flag}: {help}");
        }
    }
}
