//! Settings > Users: who is there, and what managers may do.

use vestibule::{
    platform::db::query,
    values::{DAY, HOUR, MINUTE},
    worker,
};

use crate::support::{Browser, Opened as _, PASSWORD, Page, TestApp};

const PAGE: &str = "/settings/users";

/// The address of the user with this mail address, from the manager's list.
pub async fn user(manager: &mut Browser, email: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    let page = manager.get(&format!("{PAGE}?search={query}")).await;
    let links = links(&page);
    assert_eq!(links.len(), 1, "one user is {email}: {}", page.words());
    links[0].clone()
}

/// The addresses of the users that a page lists, in its order.
fn links(page: &Page) -> Vec<String> {
    page.html
        .split("<th scope=\"row\"><a href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Where "Next page" leads.
fn next(page: &Page) -> Option<String> {
    let before = page.html.split("\" rel=\"next\"").next().filter(|before| before.len() < page.html.len())?;
    Some(before.rsplit("href=\"").next().unwrap().replace("&#38;", "&").replace("&amp;", "&"))
}

pub async fn create(manager: &mut Browser, email: &str, name: &str, role: &str) -> Page {
    manager.post("/settings/users/new", &[("email", email), ("full_name", name), ("role", role)]).await
}

pub async fn sign_in(browser: &mut Browser, email: &str, password: &str) -> Page {
    browser.post("/o/acme/login", &[("email", email), ("password", password)]).await
}

#[tokio::test]
async fn a_search_is_literal_and_blind_to_case() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    create(&mut acme.manager, "per.cent@acme.com", "Hundred % Percent", "member").await;
    create(&mut acme.manager, "under_score@acme.com", "Under_Score", "member").await;
    create(&mut acme.manager, "underxscore@acme.com", "Conan O'Brien \\ \"Coco\"", "member").await;
    for (typed, found) in [
        ("%", 1),
        ("_", 1),
        ("'", 1),
        ("\"", 1),
        ("\\", 1),
        ("UNDER_SCORE", 1),
        ("o'brien", 1),
        ("under", 2),
        ("*", 0),
        ("?", 0),
        ("[a-z]", 0),
        ("' or 1=1 --", 0),
        ("acme.com", 4),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(typed.as_bytes()).collect();
        let page = acme.manager.get(&format!("{PAGE}?search={query}")).await;
        assert_eq!((page.status, links(&page).len()), (200, found), "{typed}: {}", page.words());
        assert_eq!(page.input("search"), typed, "what was searched for stays");
    }
    let page = acme.manager.get(&format!("{PAGE}?search=zelda")).await;
    assert!(page.says("Nobody fits"), "{}", page.words());
    for strange in ["%00", "%ff%fe", &"a".repeat(20_000)] {
        let page = acme.manager.get(&format!("{PAGE}?search={strange}&after={strange}&domain={strange}")).await;
        assert!(page.status < 500, "{} {}", strange.len(), page.status);
    }
}

#[tokio::test]
async fn a_hundred_and_twenty_users_are_read_page_by_page() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    for number in 0..119 {
        let made = create(&mut acme.manager, &format!("user{number:03}@acme.com"), "", "member").await;
        assert_eq!(made.status, 303, "{}", made.html);
    }
    let (mut seen, mut page) = (Vec::new(), acme.manager.get(&format!("{PAGE}?domain=acme.com")).await);
    assert!(!page.says("First page"), "the first page has no way back to itself");
    loop {
        seen.extend(links(&page));
        let Some(next) = next(&page) else { break };
        assert!(next.contains("domain=acme.com"), "filters stay: {next}");
        page = acme.manager.get(&next).await;
        assert!(page.says("First page"));
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!((seen.len(), once.len()), (120, 120), "everybody once");
}

#[tokio::test]
async fn filters_narrow_by_role_status_and_domain() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    create(&mut acme.manager, "ada@acme.com", "", "member").await;
    create(&mut acme.manager, "eve@partner.example", "", "manager").await;
    let ada = user(&mut acme.manager, "ada@acme.com").await;
    acme.manager.post(&format!("{ada}/deactivation"), &[]).await;
    for (query, found) in [
        ("role=manager", 2),
        ("role=member", 1),
        ("status=deactivated", 1),
        ("status=active", 2),
        ("domain=partner.example", 1),
        ("domain=@PARTNER.example", 1),
        ("domain=ner.example", 0),
        ("domain=nonsense", 0),
        ("role=nonsense", 3),
        ("role=manager&status=active&domain=acme.com&search=mia", 1),
    ] {
        let page = acme.manager.get(&format!("{PAGE}?{query}")).await;
        assert_eq!((page.status, links(&page).len()), (200, found), "{query}: {}", page.words());
    }
}

#[tokio::test]
async fn a_created_user_sets_a_password_by_mail_and_then_signs_in() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let made = create(&mut acme.manager, "ada.lovelace@elsewhere.example", "", "member").await;
    let page = acme.manager.follow(made).await;
    assert!(page.says("ada.lovelace has an account") && page.says("No password yet"), "{}", page.words());
    assert!(page.says("Address proved Not yet"), "{}", page.words());

    let link = app.mail_to("ada.lovelace@elsewhere.example").await.link();
    let mut ada = app.browser();
    assert_eq!(ada.get(&link).await.status, 200);
    let set = ada.post(&link, &[("password", PASSWORD)]).await;
    assert_eq!(set.location.as_deref(), Some("/o/acme/login?notice=password-set"), "a reset signs nobody in");
    assert_eq!(ada.get("/account").await.location.as_deref(), Some("/login?return_to=%2Faccount"));
    assert_eq!(ada.get(&link).await.status, 410, "the link works once");
    let entered = sign_in(&mut ada, "ada.lovelace@elsewhere.example", PASSWORD).await;
    assert_eq!(entered.location.as_deref(), Some("/account"));

    let facts = user(&mut acme.manager, "ada.lovelace").await;
    let facts = acme.manager.get(&facts).await;
    assert!(
        facts.says("Address proved By mail, 2026-11-22") && facts.says("who made the account"),
        "{}",
        facts.words()
    );
    assert!(!facts.says("No password yet"));
}

#[tokio::test]
async fn the_first_message_can_be_sent_again_until_there_is_a_password() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    create(&mut acme.manager, "ada@acme.com", "Ada", "member").await;
    let first = app.mail_to("ada@acme.com").await.link();
    let ada = user(&mut acme.manager, "ada@acme.com").await;
    app.advance(MINUTE);
    let again = acme.manager.post(&format!("{ada}/first-password"), &[]).await;
    assert!(acme.manager.follow(again).await.says("A message with a link to set a password is on its way"));
    let second = app.mail_to("ada@acme.com").await.link();
    assert_ne!(first, second);
    let mut browser = app.browser();
    assert_eq!(browser.get(&first).await.status, 200, "links already sent stay good");
    assert_eq!(browser.post(&second, &[("password", PASSWORD)]).await.status, 303);
    assert_eq!(browser.get(&first).await.status, 410, "until one is used");
    app.advance(MINUTE);
    acme.manager.post(&format!("{ada}/first-password"), &[]).await;
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 2, "whoever has a password is sent none");
}

#[tokio::test]
async fn a_manager_cannot_bury_one_address_in_mail() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    create(&mut acme.manager, "ada@acme.com", "Ada", "member").await;
    let ada = user(&mut acme.manager, "ada@acme.com").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        app.advance(MINUTE);
        statuses.push(acme.manager.post(&format!("{ada}/first-password"), &[]).await.status);
    }
    assert_eq!(statuses, [303, 303, 303, 303, 429, 429]);
    assert_eq!(app.all_mail_to("ada@acme.com").await.len(), 5);
}

#[tokio::test]
async fn without_a_mail_server_the_page_says_where_the_message_waits() {
    let app = TestApp::start_without_mail().await;
    let mut acme = app.acme().await;
    let made = create(&mut acme.manager, "ada@acme.com", "Ada", "member").await;
    let page = acme.manager.follow(made).await;
    assert!(page.says("waits under Mail until you hand it over"), "{}", page.words());
}

#[tokio::test]
async fn an_address_that_has_a_user_is_refused_and_what_was_typed_stays() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let page = create(&mut acme.manager, "MIA@acme.com", "Another Mia", "manager").await;
    assert_eq!(page.status, 422);
    assert!(page.says("There is a user with this address already"), "{}", page.words());
    assert_eq!((page.input("email"), page.input("full_name")), ("MIA@acme.com".into(), "Another Mia".into()));
    assert!(page.html.contains("value=\"manager\" selected"));
    let page = create(&mut acme.manager, "not an address", "\u{202e}Eve", "owner").await;
    assert_eq!(page.status, 422);
    assert!(page.says("3 things to put right"), "{}", page.words());
}

#[tokio::test]
async fn a_creation_ends_what_the_person_had_begun_and_its_invitation() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.browser().post(&acme.link, &[("email", "ada@acme.com")]).await;
    let confirm = app.mail_to("ada@acme.com").await.link();
    create(&mut acme.manager, "ada@acme.com", "Ada", "member").await;
    let page = app.browser().get(&confirm).await;
    assert_eq!(page.location.as_deref(), Some("/o/acme/login"), "what has succeeded leads to sign-in");
}

#[tokio::test]
async fn deactivating_holds_at_the_next_request_and_can_be_undone() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    assert_eq!(ada.get("/account").await.status, 200);
    let mut pending = app.browser();
    pending.post("/o/acme/forgot-password", &[("email", "ada@acme.com")]).await;
    let reset = app.mail_to("ada@acme.com").await.link();

    let page = user(&mut acme.manager, "ada@acme.com").await;
    let done = acme.manager.post(&format!("{page}/deactivation"), &[]).await;
    assert!(acme.manager.follow(done).await.says("Ada is deactivated and signed out everywhere"));
    assert_eq!(ada.get("/account").await.status, 303, "at the next request");
    assert_eq!(pending.get(&reset).await.status, 410, "open links end too");
    let refused = sign_in(&mut ada, "ada@acme.com", PASSWORD).await;
    assert!(refused.status == 422 && refused.says("This address and password don't match"), "{}", refused.words());
    let mut newcomer = app.browser();
    newcomer.get(&acme.link).await;
    newcomer.post(&acme.link, &[("email", "ada@acme.com")]).await;
    assert!(
        app.mail_to("ada@acme.com").await.text.to_lowercase().contains("ask a manager"),
        "the mail says whom to ask"
    );

    let done = acme.manager.post(&format!("{page}/reactivation"), &[]).await;
    assert!(acme.manager.follow(done).await.says("Ada may sign in again"));
    assert_eq!(ada.get("/account").await.status, 303, "the old session stays ended");
    assert_eq!(sign_in(&mut ada, "ada@acme.com", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_deleted_user_may_not_return_unless_the_manager_says_so() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let page = user(&mut acme.manager, "ada@acme.com").await;
    let question = acme.manager.get(&format!("{page}/deletion")).await;
    assert!(question.says("Delete Ada?") && question.says("Ada may return through the invite link"));
    assert!(!question.html.contains("value=\"yes\" checked"), "no is the default");
    let done = acme.manager.post(&format!("{page}/deletion"), &[]).await;
    assert!(acme.manager.follow(done).await.says("The user was deleted"));
    assert_eq!(ada.get("/account").await.status, 303, "signed out at once");
    assert_eq!(acme.manager.get(&page).await.status, 404);

    let mut back = app.browser();
    back.get(&acme.link).await;
    let asked = back.post(&acme.link, &[("email", "ada@acme.com")]).await;
    assert_eq!(asked.status, 303, "the page says the same as to everybody");
    let told = app.mail_to("ada@acme.com").await;
    assert!(told.text.to_lowercase().contains("ask a manager") && !told.text.contains("/confirm/"), "{}", told.text);

    app.advance(HOUR);
    assert_eq!(create(&mut acme.manager, "ada@acme.com", "Ada", "member").await.status, 303, "a manager always may");
    let page = user(&mut acme.manager, "ada@acme.com").await;
    let answer = [("may_return", "yes"), ("current_password", PASSWORD)];
    let deleted = acme.manager.post(&format!("{page}/deletion"), &answer).await;
    assert_eq!(deleted.location.as_deref(), Some("/settings/users?notice=deleted"), "{}", deleted.words());
    app.advance(DAY);
    app.join(&acme.link, "ada@acme.com", "Ada").await;
}

#[tokio::test]
async fn what_cannot_be_undone_asks_for_the_password_again() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let page = user(&mut acme.manager, "ada@acme.com").await;
    app.advance(16 * MINUTE);
    for act in ["deletion", "role"] {
        let path = format!("{page}/{act}");
        assert!(acme.manager.get(&path).await.says("Your password"));
        for (wrong, words) in
            [("", "Enter your password again"), ("not the password", "That is not your current password")]
        {
            let fields = [("role", "manager"), ("may_return", "yes"), ("current_password", wrong)];
            let refused = acme.manager.post(&path, &fields).await;
            assert_eq!(refused.status, 422);
            assert!(refused.says(words), "{}", refused.words());
            assert!(wrong.is_empty() || !refused.html.contains(wrong), "a password is never shown back");
        }
    }
    let refused = acme.manager.post(&format!("{page}/deletion"), &[("may_return", "yes")]).await;
    assert!(refused.html.contains("value=\"yes\" checked"), "the answer stays");
    let fields = [("role", "manager"), ("current_password", PASSWORD)];
    assert_eq!(acme.manager.post(&format!("{page}/role"), &fields).await.status, 303);
    assert_eq!(acme.manager.post(&format!("{page}/deletion"), &[]).await.status, 303, "once is enough for a while");
}

#[tokio::test]
async fn a_member_is_allowed_nothing_in_settings() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    let mut ada = app.join(&acme.link, "ada@acme.com", "Ada").await;
    let mia = user(&mut acme.manager, "mia@acme.com").await;
    for path in [PAGE.to_owned(), format!("{PAGE}/new"), mia.clone(), format!("{mia}/deletion"), format!("{mia}/role")]
    {
        assert_eq!(ada.get(&path).await.status, 403, "GET {path}");
        assert_eq!(app.browser().get(&path).await.status, 303, "GET {path} for nobody");
    }
    for act in ["deactivation", "reactivation", "deletion", "role", "first-password"] {
        let page = ada.post(&format!("{mia}/{act}"), &[("role", "member"), ("current_password", PASSWORD)]).await;
        assert_eq!(page.status, 403, "POST {act}");
    }
    assert_eq!(create(&mut ada, "eve@acme.com", "Eve", "manager").await.status, 403);
    assert!(!ada.get("/account").await.says("Settings"), "and sees no way there");
    assert_eq!(acme.manager.get(PAGE).await.status, 200, "nothing happened");
}

#[tokio::test]
async fn users_of_another_organization_are_as_unknown_as_random_ids() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let theirs = user(&mut acme.manager, "ada@acme.com").await;
    let mut other = app.second_organization().await;
    let listed = other.get(PAGE).await;
    assert_eq!(links(&listed).len(), 1, "a list has one organization's users: {}", listed.words());
    let random = "/settings/users/usr_01jd4x8z0v7k3m2n5p6q8r9s0t".to_owned();
    for (path, act) in [(&theirs, ""), (&theirs, "/deletion"), (&theirs, "/role")] {
        let (real, unknown) = (other.get(&format!("{path}{act}")).await, other.get(&format!("{random}{act}")).await);
        assert_eq!((real.status, real.words()), (404, unknown.words()), "GET {act}");
    }
    for act in ["deactivation", "reactivation", "deletion", "role", "first-password"] {
        let fields = [("role", "manager"), ("may_return", "yes")];
        assert_eq!(other.post(&format!("{theirs}/{act}"), &fields).await.status, 404, "POST {act}");
        assert_eq!(other.post(&format!("{random}/{act}"), &fields).await.status, 404, "POST {act}");
    }
    let untouched = acme.manager.get(&theirs).await;
    assert!(untouched.says("Active Member"), "{}", untouched.words());
}

#[tokio::test]
async fn the_hash_of_an_address_that_may_not_return_is_forgotten_after_two_years() {
    let app = TestApp::start().await;
    let mut acme = app.acme().await;
    app.join(&acme.link, "ada@acme.com", "Ada").await;
    let ada = user(&mut acme.manager, "ada@acme.com").await;
    assert_eq!(acme.manager.post(&format!("{ada}/deletion"), &[]).await.status, 303);
    for (span, kept) in [(729 * DAY, 1), (2 * DAY, 0)] {
        app.advance(span);
        worker::clean_up(&app.app).await.unwrap();
        let (barred,): (i64,) = query("select count(*) from barred_addresses").one(&app.app.db).await.unwrap();
        assert_eq!(barred, kept);
    }
}
