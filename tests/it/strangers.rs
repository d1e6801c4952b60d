//! What somebody who is not signed in may learn and do: nothing about others.

use vestibule::values::{DAY, MINUTE};

use crate::support::{Browser, Opened as _, PASSWORD, Page, TestApp};

/// What an answer shows once the address, ids and the values of cookies are taken out.
pub fn shape(page: &Page, email: &str) -> String {
    let mut shown = format!("{}\n", page.status);
    for (name, value) in &page.headers {
        let value = value.to_str().unwrap();
        let told = if name == "set-cookie" { value.split('=').next().unwrap() } else { value };
        if name != "content-length" {
            shown = format!("{shown}{name}: {told}\n");
        }
    }
    shown.push_str(&page.html.replace(email, "EMAIL"));
    let mut pieces = shown.split("reg_");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |before, piece| before + "REGISTRATION" + &piece[26..])
}

async fn four_kinds(app: &TestApp) -> [&'static str; 4] {
    let mut acme = app.acme().await;
    app.join(&acme.link, "active@acme.com", "Active").await;
    app.join(&acme.link, "gone@acme.com", "Gone").await;
    let users = vestibule::features::users::list(
        &app.app.db,
        org(app).await,
        &vestibule::features::users::Filter::default(),
        10,
    )
    .await
    .unwrap();
    let gone = users.iter().find(|user| user.email.as_str() == "gone@acme.com").unwrap();
    let authority = vestibule::features::audit::Authority::command_line(gone.organization_id);
    vestibule::features::users::deactivate(&app.app, &authority, gone.id).await.unwrap();
    app.browser().post(&acme.link, &[("email", "pending@acme.com")]).await;
    app.deliver().await;
    acme.manager.get("/").await;
    ["active@acme.com", "gone@acme.com", "pending@acme.com", "unknown@acme.com"]
}

async fn org(app: &TestApp) -> vestibule::values::OrganizationId {
    vestibule::features::organizations::only_one(&app.app.db).await.unwrap().unwrap().id
}

async fn link(app: &TestApp) -> String {
    vestibule::features::links::path_of_own(&app.app, org(app).await).await.unwrap()
}

pub fn all_equal(shapes: &[String]) {
    for other in shapes {
        assert_eq!(&shapes[0], other);
    }
}

#[tokio::test]
async fn every_anonymous_answer_is_the_same_whoever_an_address_belongs_to() {
    let app = TestApp::start().await;
    let kinds = four_kinds(&app).await;
    let link = link(&app).await;
    let (mut begun, mut waiting, mut resent, mut coded, mut forgot, mut signed) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for email in kinds {
        let mut browser = app.browser();
        browser.get(&link).await;
        let page = browser.post(&link, &[("email", email)]).await;
        begun.push(shape(&page, email));
        let page = browser.follow(page).await;
        waiting.push(shape(&page, email));
        let registration = page.input("registration");
        app.deliver().await;
        let page = browser.post("/join/code", &[("registration", &registration), ("code", "000000")]).await;
        coded.push(shape(&page, email));
        let page = browser.post("/join/resend", &[("registration", &registration)]).await;
        resent.push(shape(&page, email));
        let page = browser.follow(page).await;
        resent.push(shape(&page, email));
        forgot.push(shape(&browser.post("/o/acme/forgot-password", &[("email", email)]).await, email));
        let page = browser.post("/o/acme/login", &[("email", email), ("password", "not the password at all")]).await;
        signed.push(shape(&page, email));
    }
    for shapes in [begun, waiting, coded, forgot, signed] {
        all_equal(&shapes);
    }
    for first in [0, 1] {
        all_equal(&resent.iter().skip(first).step_by(2).cloned().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_mail_says_what_the_page_does_not() {
    let app = TestApp::start().await;
    let [active, gone, pending, unknown] = four_kinds(&app).await;
    let link = link(&app).await;
    app.advance(DAY);
    for email in [active, gone, pending, unknown] {
        app.browser().post(&link, &[("email", email)]).await;
    }
    let mail = app.mail_to(active).await;
    assert!(
        mail.text.contains("you have an account there already")
            && mail.text.contains("/o/acme/login")
            && mail.text.contains("/o/acme/forgot-password")
    );
    assert!(!mail.text.contains("/confirm/"));
    let mail = app.mail_to(gone).await;
    assert!(mail.text.contains("ask a manager of Acme") && !mail.text.contains("/confirm/"));
    for email in [pending, unknown] {
        assert!(app.mail_to(email).await.link().starts_with("/confirm/"));
    }
}

#[tokio::test]
async fn a_stranger_cannot_plant_a_password_for_a_victim() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    // The attacker begins first, sends the details of the victim everywhere a form takes them, and keeps the browser.
    let mut attacker = app.browser();
    let sent = attacker
        .post(
            &acme.link,
            &[("email", "victim@acme.com"), ("password", "planted password here"), ("full_name", "Planted")],
        )
        .await;
    let registration = attacker.follow(sent).await.input("registration");
    let details =
        [("registration", registration.as_str()), ("full_name", "Planted"), ("password", "planted password here")];
    assert_eq!(
        attacker.post("/join/details", &details).await.status,
        410,
        "no password is accepted before the mailbox is proved"
    );

    app.deliver().await;
    let mut victim = app.join(&acme.link, "victim@acme.com", "Victim").await;
    assert_eq!(attacker.post("/join/details", &details).await.location.as_deref(), Some("/o/acme/login"));
    for (password, status) in [("planted password here", 422), (PASSWORD, 303)] {
        assert_eq!(
            app.browser().post("/o/acme/login", &[("email", "victim@acme.com"), ("password", password)]).await.status,
            status
        );
    }
    assert!(victim.get("/join/waiting").await.status < 500);
    assert!(!attacker.cookies.contains_key("__Host-session"));
}

#[tokio::test]
async fn a_registration_is_good_only_in_the_browser_that_began_it() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let place = sent.location.clone().unwrap();
    let registration = ada.follow(sent).await.input("registration");
    let code = app.mail_to("ada@acme.com").await.code();

    let mut other = app.browser();
    other.post(&acme.link, &[("email", "ada@acme.com")]).await;
    for browser in [&mut other, &mut app.browser()] {
        assert_eq!(browser.get(&place).await.status, 404);
        assert_eq!(browser.post("/join/code", &[("registration", &registration), ("code", &code)]).await.status, 404);
        assert_eq!(browser.post("/join/resend", &[("registration", &registration)]).await.status, 404);
        assert_eq!(
            browser.post("/join/address", &[("registration", &registration), ("email", "eve@acme.com")]).await.status,
            404
        );
    }
    // Whoever knew the secret before the code was accepted is shut out.
    let thief = ada.clone();
    let entered = ada.post("/join/code", &[("registration", &registration), ("code", &code)]).await;
    let details = entered.location.clone().unwrap();
    assert_eq!(ada.get(&details).await.status, 200);
    assert_eq!(thief.clone().get(&details).await.status, 404);
}

#[tokio::test]
async fn two_tabs_of_one_browser_stay_two_registrations() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut browser = app.browser();
    browser.get(&acme.link).await;
    let first = browser.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let first = browser.follow(first).await.input("registration");
    let second = browser.post(&acme.link, &[("email", "bea@acme.com")]).await;
    let second = browser.follow(second).await.input("registration");
    let code = app.mail_to("ada@acme.com").await.code();
    assert_eq!(
        browser.post("/join/code", &[("registration", &second), ("code", &code)]).await.status,
        422,
        "a code belongs to one registration"
    );
    assert_eq!(browser.post("/join/code", &[("registration", &first), ("code", &code)]).await.status, 303);
    assert_eq!(browser.get(&format!("/join/waiting?registration={second}")).await.status, 200, "the other tab goes on");
}

#[tokio::test]
async fn a_mistyped_address_is_changed_and_the_old_link_is_dead() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "adda@acme.com")]).await;
    let registration = ada.follow(sent).await.input("registration");
    let old = app.mail_to("adda@acme.com").await.link();
    let wrong = ada.post("/join/address", &[("registration", &registration), ("email", "nonsense")]).await;
    assert_eq!((wrong.status, wrong.input("email").as_str()), (422, "nonsense"));
    let changed = ada.post("/join/address", &[("registration", &registration), ("email", "ada@acme.com")]).await;
    assert!(ada.follow(changed).await.says("ada@acme.com"));
    assert_eq!(app.browser().get(&old).await.status, 410);
    assert_eq!(app.browser().get(&app.mail_to("ada@acme.com").await.link()).await.status, 200);
}

#[tokio::test]
async fn a_scanner_that_opens_and_presses_everything_achieves_nothing() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await;
    let link = app.mail_to("ada@acme.com").await.link();
    let mut scanner = app.browser();
    for _ in 0..20 {
        assert_eq!(scanner.get(&link).await.status, 200);
        assert_eq!(scanner.post(&link, &[("full_name", ""), ("password", "")]).await.status, 422);
    }
    let page = app.browser().post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(page.location.as_deref(), Some("/account"));
}

#[tokio::test]
async fn a_code_lives_a_quarter_of_an_hour_and_only_the_newest_counts() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let registration = ada.follow(sent).await.input("registration");
    let first = app.mail_to("ada@acme.com").await;
    app.advance(MINUTE);
    ada.post("/join/resend", &[("registration", &registration)]).await;
    let second = app.mail_to("ada@acme.com").await;
    let enter = async |ada: &mut Browser, code: String| {
        ada.post("/join/code", &[("registration", &registration), ("code", &code)]).await
    };
    assert_eq!(enter(&mut ada, first.code()).await.status, 422);
    assert_eq!(app.browser().get(&first.link()).await.status, 200, "every link sent works until the registration ends");
    app.advance(16 * MINUTE);
    assert!(enter(&mut ada, second.code()).await.says("can't be tried any more"));
    ada.post("/join/resend", &[("registration", &registration)]).await;
    let third = app.mail_to("ada@acme.com").await.code();
    let spaced = format!(" {} {} ", &third[..3], &third[3..]);
    assert_eq!(enter(&mut ada, spaced).await.status, 303);
    app.advance(61 * MINUTE);
    let late = ada.get(&format!("/join/details?registration={registration}")).await;
    assert_eq!(late.status, 410, "after a right code the details page stands an hour");
}

#[tokio::test]
async fn a_registration_ends_after_seven_days() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.browser();
    let sent = ada.post(&acme.link, &[("email", "ada@acme.com")]).await;
    let place = sent.location.unwrap();
    app.advance(7 * DAY);
    let page = ada.get(&place).await;
    assert_eq!(page.status, 410);
    assert!(page.says("This registration has expired"));
    vestibule::worker::clean_up(&app.app).await.unwrap();
    assert_eq!(ada.get(&place).await.status, 410);
    app.advance(8 * DAY);
    vestibule::worker::clean_up(&app.app).await.unwrap();
    assert_eq!(ada.get(&place).await.status, 404, "the address is forgotten a week later");
}

#[tokio::test]
async fn three_hundred_people_of_one_office_join_in_ten_minutes() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    for person in 0..300 {
        let page = app.browser().post(&acme.link, &[("email", &format!("person{person}@acme.com"))]).await;
        assert_eq!(page.status, 303, "{person}");
    }
    for _ in 0..100 {
        app.browser().post(&acme.link, &[("email", "again@acme.com")]).await;
    }
    let page = app.browser().post(&acme.link, &[("email", "late@acme.com")]).await;
    assert_eq!(page.status, 429);
    assert!(page.headers.contains_key("retry-after"));
    app.advance(11 * MINUTE);
    assert_eq!(app.browser().post(&acme.link, &[("email", "late@acme.com")]).await.status, 303);
}

#[tokio::test]
async fn a_password_is_refused_with_its_reason_and_the_name_is_kept() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada.lovelace@acme.com")]).await;
    let link = app.mail_to("ada.lovelace@acme.com").await.link();
    let long = "x".repeat(129);
    let huge = "x".repeat(5_000);
    for (password, words) in [
        ("short", "at least 12 characters"),
        ("password1234", "among the first that people guess"),
        ("AdaLovelace2026", "made of your name"),
        ("acme-acme-acme", "made of your name"),
        (long.as_str(), "at most 128 characters"),
        (huge.as_str(), "at most"),
        ("twelve\u{0}characters", "a keyboard can't type"),
    ] {
        let page = app.browser().post(&link, &[("full_name", "Ada Lovelace"), ("password", password)]).await;
        assert_eq!(page.status, 422, "{words}");
        assert!(page.says(words), "{words}: {}", page.words());
        assert_eq!(page.input("full_name"), "Ada Lovelace");
        assert!(!page.html.contains(password) && page.input("password").is_empty());
    }
    let unicode = "наступает лето снова";
    assert_eq!(app.browser().post(&link, &[("full_name", "Ada 👩🏽‍🚀 Łovelace"), ("password", unicode)]).await.status, 303);
}
