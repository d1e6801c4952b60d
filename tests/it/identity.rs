//! Identity Configuration: what managers see, change and save.

use vestibule::{
    features::organizations,
    platform::config::Written,
    values::{DAY, HOUR, MINUTE},
};

use crate::support::{Acme, Browser, Opened as _, PASSWORD, Page, TestApp};

const PAGE: &str = "/settings/identity";

async fn save(manager: &mut Browser, domains: &str, on: bool) -> Page {
    let version = manager.get(PAGE).await.input("version");
    save_version(manager, &version, domains, on).await
}

async fn save_version(manager: &mut Browser, version: &str, domains: &str, on: bool) -> Page {
    let mut fields = vec![("version", version), ("login_method", "password"), ("allowed_domains", domains)];
    if on {
        fields.push(("self_service", "on"));
    }
    manager.post(PAGE, &fields).await
}

async fn check(manager: &mut Browser, domains: &str, emails: &str) -> Page {
    let fields = [
        ("version", "1"),
        ("login_method", "password"),
        ("self_service", "on"),
        ("allowed_domains", domains),
        ("emails", emails),
    ];
    manager.post("/settings/identity/check", &fields).await
}

async fn begin(app: &TestApp, acme: &Acme, email: &str) -> (Browser, Page) {
    let mut browser = app.browser();
    browser.get(&acme.link).await;
    let page = browser.post(&acme.link, &[("email", email)]).await;
    (browser, page)
}

#[tokio::test]
async fn on_the_first_day_anyone_with_the_link_can_join_and_the_page_says_so() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("anyone with the link can join"), "{}", page.words());
    assert!(page.html.contains("id=\"self_service\" name=\"self_service\" value=\"on\" checked"));
    assert_eq!(begin(&app, &acme, "anybody@example.org").await.1.status, 303);
}

#[tokio::test]
async fn a_saved_list_admits_its_domains_and_nobody_else() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    assert_eq!(
        save(&mut acme.manager, "@acme.com, *.acme.de;\nACME.com", true).await.location.as_deref(),
        Some("/settings/identity?saved=0")
    );

    assert_eq!(begin(&app, &acme, "ada@acme.com").await.1.status, 303);
    assert_eq!(begin(&app, &acme, "ada@eu.acme.de").await.1.status, 303);
    for stranger in ["ada@evil-acme.com", "ada@evilacme.com", "ada@eu.acme.com", "ada@acme.de", "ada@acme.com.evil.org"]
    {
        let (_, page) = begin(&app, &acme, stranger).await;
        assert_eq!(page.status, 422, "{stranger}");
        let domain = stranger.split_once('@').unwrap().1;
        assert!(
            page.says(&format!("Addresses of {domain} can't join with this link")) && page.says("If you were invited"),
            "{}",
            page.words()
        );
        assert_eq!(page.input("email"), stranger, "what was typed is kept");
        assert!(!page.says("acme.de;") && !page.html.contains("*.acme.de"), "the accepted domains are not listed");
        assert!(app.all_mail_to(stranger).await.is_empty());
    }
}

#[tokio::test]
async fn the_switch_wins_over_the_list_always() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    save(&mut acme.manager, "@acme.com", false).await;
    let page = app.browser().get(&acme.link).await;
    assert_eq!(page.status, 410);
    assert!(page.says("Joining by link is closed"));
    assert_eq!(begin(&app, &acme, "ada@acme.com").await.1.status, 410);
}

#[tokio::test]
async fn what_was_unfinished_does_not_revive_when_the_switch_is_on_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut ada, sent) = begin(&app, &acme, "ada@acme.com").await;
    let waiting = ada.follow(sent).await;
    let mail = app.mail_to("ada@acme.com").await;

    assert_eq!(save(&mut acme.manager, "", false).await.location.as_deref(), Some("/settings/identity?saved=1"));
    for step in ["/join/code", "/join/resend", "/join/address"] {
        let fields = [
            ("registration", waiting.input("registration")),
            ("code", mail.code()),
            ("email", "bea@acme.com".to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(ada.post(step, &fields).await.status, 410, "{step}");
    }
    assert_eq!(ada.get(&mail.link()).await.status, 410);
    save(&mut acme.manager, "", true).await;
    assert_eq!(ada.get(&mail.link()).await.status, 410, "off means off");
    assert_eq!(ada.post(&mail.link(), &[("full_name", "Ada"), ("password", PASSWORD)]).await.status, 410);
    assert_eq!(app.browser().get(&acme.link).await.status, 200, "posters keep working");
}

#[tokio::test]
async fn the_list_is_asked_again_when_the_user_is_created() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut ada, _) = begin(&app, &acme, "ada@other.org").await;
    let link = app.mail_to("ada@other.org").await.link();

    let reading = check(&mut acme.manager, "@acme.com", "").await;
    assert!(reading.says("Saving would stop 1 open registration"), "{}", reading.words());
    save(&mut acme.manager, "@acme.com", true).await;
    let saved = acme.manager.get("/settings/identity").await;
    assert!(saved.says("The list stops 1 open registration"), "{}", saved.words());
    let page = ada.post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, 410);
    assert!(page.says("has changed which addresses may register"), "{}", page.words());

    save(&mut acme.manager, "@acme.com @other.org", true).await;
    assert_eq!(ada.post(&link, &[("full_name", "Ada"), ("password", PASSWORD)]).await.status, 303);
}

#[tokio::test]
async fn every_line_is_read_and_what_cannot_be_saved_is_kept_with_its_reason() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let typed = "@acme.com eve@partner.example com *.com *.co.uk gmail.com аcme.org acme.com";
    let page = save(&mut acme.manager, typed, true).await;
    assert_eq!(page.status, 422);
    assert!(page.html.contains(typed), "what was typed is kept");
    for words in [
        "eve@partner.example is a whole address",
        "Invite eve@partner.example",
        "com: One word is too wide",
        "*.com: One word is too wide",
        "co.uk is a public suffix: everybody who owns a domain below it could join",
        "Anyone can get such an address",
        "the same as a line above, kept once",
        "xn--",
    ] {
        assert!(page.says(words), "{words}: {}", page.words());
    }
    assert!(acme.manager.get(PAGE).await.says("The list is empty"), "nothing was saved");
}

#[tokio::test]
async fn an_address_that_is_tried_is_explained_and_nothing_is_saved() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let page = check(&mut acme.manager, "@acme.com", "ada@acme.com, eve@evilacme.com bob@eu.acme.com nonsense").await;
    assert_eq!(page.status, 200);
    assert!(page.says("The entry acme.com admits it."));
    assert!(
        page.says("eu.acme.com is not on the list; the nearest entry, acme.com, matches that domain exactly."),
        "{}",
        page.words()
    );
    assert!(page.says("Not an address"));
    assert_eq!(begin(&app, &acme, "eve@evilacme.com").await.1.status, 303, "nothing was saved");
}

#[tokio::test]
async fn the_live_reading_is_a_fragment_of_the_same_words() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let page = acme
        .manager
        .post(
            "/settings/identity/check",
            &[("allowed_domains", "@gmail.com"), ("self_service", "on"), ("part", "reading")],
        )
        .await;
    assert_eq!(page.status, 200);
    assert!(page.says("Anyone can get such an address") && !page.html.contains("<html"));
}

#[tokio::test]
async fn of_two_managers_who_save_at_once_the_second_sees_what_changed_and_chooses() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut second = acme.manager.clone();
    let version = second.get(PAGE).await.input("version");
    save(&mut acme.manager, "@first.com", true).await;

    let conflict = save_version(&mut second, &version, "@second.com", true).await;
    assert_eq!(conflict.status, 409);
    assert!(
        conflict.says("Mia Manager changed this page") && conflict.says("first.com") && conflict.says("second.com"),
        "{}",
        conflict.words()
    );
    let mine = save_version(&mut second, &conflict.input("version"), &conflict.input("allowed_domains"), true).await;
    assert_eq!(mine.status, 303);
    assert!(second.get(PAGE).await.html.contains("@second.com"));
}

#[tokio::test]
async fn users_who_came_before_a_tighter_list_stay_and_are_pointed_out() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@other.org", "Ada").await;
    save(&mut acme.manager, "@acme.com", true).await;
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("1 user of other.org"), "{}", page.words());
    let login = ada.post("/o/acme/login", &[("email", "ada@other.org"), ("password", PASSWORD)]).await;
    assert_eq!(login.location.as_deref(), Some("/account"), "the list is about registration, not sign-in");
}

#[tokio::test]
async fn a_replaced_link_ends_at_once_and_cancels_what_was_begun_with_it() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut ada, _) = begin(&app, &acme, "ada@acme.com").await;
    let mail = app.mail_to("ada@acme.com").await;

    let replaced = acme.manager.post("/settings/identity/replacement", &[("cancel", "on")]).await;
    assert_eq!(replaced.location.as_deref(), Some("/settings/identity?replaced=1"));
    for page in [app.browser().get(&acme.link).await, ada.get(&mail.link()).await] {
        assert_eq!(page.status, 410);
        assert!(page.says("This link was replaced"), "{}", page.words());
    }
    let new = acme.manager.get(PAGE).await.input("link");
    assert!(!new.ends_with(&acme.link));
    assert_eq!(app.browser().get(new.strip_prefix(crate::support::ORIGIN).unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_replaced_link_lets_the_open_ones_finish_when_the_manager_says_so() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let (mut ada, _) = begin(&app, &acme, "ada@acme.com").await;
    let mail = app.mail_to("ada@acme.com").await;
    acme.manager.post("/settings/identity/replacement", &[]).await;
    assert_eq!(ada.post(&mail.link(), &[("full_name", "Ada"), ("password", PASSWORD)]).await.status, 303);
}

#[tokio::test]
async fn replacing_asks_for_the_password_again_after_a_quarter_of_an_hour() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.advance(16 * MINUTE);
    assert!(acme.manager.get("/settings/identity/replacement").await.says("Your password"));
    for (password, status) in [("", 422), ("wrong password here", 422), (PASSWORD, 303)] {
        let page = acme
            .manager
            .post("/settings/identity/replacement", &[("cancel", "on"), ("current_password", password)])
            .await;
        assert_eq!(page.status, status, "{password}");
    }
    assert_eq!(
        acme.manager.post("/settings/identity/replacement", &[("cancel", "on")]).await.status,
        303,
        "fresh again"
    );
}

#[tokio::test]
async fn a_member_opening_the_link_is_told_so_and_nothing_is_begun() {
    let app = TestApp::start().await;
    let acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let page = ada.get(&acme.link).await;
    assert_eq!(page.status, 200);
    assert!(page.says("You are already a member") && page.says("ada@acme.com"));
}

#[tokio::test]
async fn a_session_of_a_manager_ends_after_twelve_idle_hours() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.advance(13 * HOUR);
    let page = acme.manager.get(PAGE).await;
    assert_eq!(page.location.as_deref(), Some("/login?return_to=%2Fsettings%2Fidentity"));
}

#[tokio::test]
async fn managers_are_told_for_a_month_when_the_servers_address_changed() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    organizations::remember_public_url(&app.app).await.unwrap();
    assert!(!acme.manager.get(PAGE).await.says("The address of this server changed"));
    let mut moved = app.app.clone();
    let written = Written {
        public_url: Some("https://door.vestibule.test".to_owned()),
        data_dir: Some(app.app.config.data_dir.clone()),
        ..Written::default()
    };
    moved.config = std::sync::Arc::new(written.parse().unwrap());
    organizations::remember_public_url(&moved).await.unwrap();
    organizations::remember_public_url(&moved).await.unwrap();
    let page = acme.manager.get(PAGE).await;
    assert!(page.says("The address of this server changed from https://id.vestibule.test"), "{}", page.words());
    assert_eq!(app.browser().get(&acme.link).await.status, 200, "codes do not depend on the address");
    app.advance(31 * DAY);
    app.sign_in(&mut acme.manager, "acme", "mia@acme.com").await;
    assert!(!acme.manager.get(PAGE).await.says("The address of this server changed"));
}

#[tokio::test]
async fn of_too_many_addresses_to_try_the_page_says_how_many_were_left() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let emails: Vec<String> = (0..203).map(|n| format!("a{n}@acme.com")).collect();
    let page = check(&mut acme.manager, "", &emails.join(" ")).await;
    assert!(page.says("a199@acme.com") && page.says("3 more were not tried"), "{}", page.words());
}

#[tokio::test]
async fn a_domain_that_is_refused_is_named_as_it_was_typed() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    assert_eq!(save(&mut acme.manager, "acme.com", true).await.status, 303);
    let (_, page) = begin(&app, &acme, "ada@münchen.de").await;
    assert_eq!(page.status, 422);
    assert!(page.says("Addresses of münchen.de (xn--mnchen-3ya.de) can't join"), "{}", page.words());
}
