//! The command line, as whoever has a shell uses it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{
    PASSWORD,
    process::{Place, Ran},
};

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A refusal is one line that says why, and a status that is not zero.
fn assert_refused(ran: &Ran, why: &str) {
    assert!(!ran.status.success(), "{}", ran.out);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains(why), "{} does not say {why}", ran.err);
}

async fn acme() -> Place {
    let place = Place::new();
    place.ask(&["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com"]).await;
    place
}

#[tokio::test]
async fn an_organization_begins_on_the_command_line_and_its_manager_sets_a_password() {
    let place = Place::new();
    let create = ["org", "create", "--name", "Acme", "--slug", "acme", "--manager", "mia@acme.com", "--json"];
    let made = objects(&place.ask(&create).await).remove(0);
    assert_eq!((made["slug"].as_str(), made["manager"].as_str()), (Some("acme"), Some("mia@acme.com")));
    let link = made["link"].as_str().unwrap().strip_prefix("http://127.0.0.1:8080").unwrap().to_owned();

    let server = place.serve().await;
    let mut mia = server.browser();
    assert_eq!(mia.get(&link).await.unwrap().status, 200);
    assert_eq!(mia.post(&link, &[("password", PASSWORD)]).await.unwrap().status, 303);
    assert_eq!(mia.post(&link, &[("password", PASSWORD)]).await.unwrap().status, 410, "it works once");
    let signed_in = mia.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", PASSWORD)]).await.unwrap();
    assert_eq!(signed_in.status, 303, "{}", signed_in.html);
    assert_eq!(mia.get("/settings/welcome").await.unwrap().status, 200);

    assert_refused(&place.run(&create).await, "Another organization has this short name");
    assert_eq!(objects(&place.ask(&["org", "list", "--json"]).await).len(), 1);
}

#[tokio::test]
async fn what_is_typed_wrong_is_refused_in_words() {
    let place = acme().await;
    let org = |name: &'static str, slug: &'static str, manager: &'static str| {
        ["org", "create", "--name", name, "--slug", slug, "--manager", manager]
    };
    assert_refused(&place.run(&org("Acme", "a", "mia@acme.com")).await, "Use 3 to 40 small letters");
    assert_refused(&place.run(&org("Acme", "admin", "mia@acme.com")).await, "used by the server itself");
    assert_refused(&place.run(&org("", "acme2", "mia@acme.com")).await, "Enter a name");
    assert_refused(&place.run(&org("Acme", "acme2", "mia@@acme.com")).await, "There is more than one @ here");
    assert_refused(&place.run(&["link", "show", "--org", "nope"]).await, "there is no organization \"nope\"");
    assert_refused(&place.run(&["user", "recover", "--org", "acme", "ada@acme.com"]).await, "there is no user");
    assert_refused(&place.run(&["user", "create", "--org", "acme", "ada\u{1b}[2J@acme.com"]).await, "\\u{1b}[2J");
    assert_refused(&place.run(&["user", "create", "--org", "acme", "mia@acme.com"]).await, "a user with this address");
    assert_refused(&place.run(&["user", "list"]).await, "--org <SLUG>");
    assert_refused(&place.run(&["usr"]).await, "usr");
}

#[tokio::test]
async fn a_command_in_the_wrong_folder_makes_no_database() {
    let place = Place::with_a_file();
    for command in [&["org", "list"][..], &["link", "show", "--org", "acme"], &["admit", "--org", "acme", "a@b.co"]] {
        assert_refused(&place.run(command).await, "there is no database at vestibule-data/vestibule.sqlite");
    }
    assert!(place.names().is_empty());
}

#[tokio::test]
async fn replacing_the_link_ends_the_old_one_at_once() {
    let place = Place::new();
    let mut server = place.serve().await;
    let (_, old) = server.acme().await;
    let shown = place.ask(&["link", "show", "--org", "acme"]).await;
    assert!(shown.trim().ends_with(&old), "{shown}");

    let mut ada = server.browser();
    let begun = ada.post(&old, &[("email", "ada@acme.com")]).await.unwrap();
    let waiting = begun.location.unwrap();
    assert_eq!(ada.get(&waiting).await.unwrap().status, 200);
    let replaced = objects(&place.ask(&["link", "replace", "--org", "acme", "--json"]).await).remove(0);
    assert_eq!(replaced["cancelled"], 1);
    assert_eq!(server.browser().get(&old).await.unwrap().status, 410);
    assert_eq!(ada.get(&waiting).await.unwrap().status, 410);
    let new = replaced["link"].as_str().unwrap().strip_prefix("http://127.0.0.1:8080").unwrap().to_owned();
    assert_eq!(server.browser().get(&new).await.unwrap().status, 200);

    let mut bob = server.browser();
    let waiting = bob.post(&new, &[("email", "bob@acme.com")]).await.unwrap().location.unwrap();
    place.ask(&["link", "replace", "--org", "acme", "--keep-open"]).await;
    assert_eq!(server.browser().get(&new).await.unwrap().status, 410);
    assert_eq!(bob.get(&waiting).await.unwrap().status, 200, "it may still finish");
}

#[tokio::test]
async fn users_are_made_listed_deactivated_and_deleted() {
    let place = acme().await;
    let user = |words: &[&'static str]| [&["user"], words, &["--org", "acme", "--json"]].concat();
    let ada = objects(&place.ask(&user(&["create", "Ada@acme.com", "--name", "Ada Lovelace"])).await).remove(0);
    assert_eq!((ada["role"].as_str(), ada["status"].as_str()), (Some("member"), Some("active")));
    place.ask(&user(&["create", "bob@acme.com", "--role", "manager"])).await;

    let addresses = |text: String| -> Vec<String> {
        objects(&text).iter().map(|user| user["email"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(addresses(place.ask(&user(&["list"])).await), ["Ada@acme.com", "bob@acme.com", "mia@acme.com"]);
    assert_eq!(addresses(place.ask(&user(&["list", "--search", "LOVE"])).await), ["Ada@acme.com"]);
    assert_eq!(addresses(place.ask(&user(&["list", "--search", "%"])).await), Vec::<String>::new());

    let gone = objects(&place.ask(&user(&["deactivate", "ada@acme.com"])).await).remove(0);
    assert_eq!(gone["status"], "deactivated");
    place.ask(&user(&["delete", "ada@acme.com"])).await;
    place.ask(&user(&["delete", "bob@acme.com", "--may-return"])).await;
    assert_eq!(addresses(place.ask(&user(&["list"])).await), ["mia@acme.com"]);
}

#[tokio::test]
async fn the_last_manager_who_can_sign_in_stays() {
    let place = Place::new();
    let mut server = place.serve().await;
    server.acme().await;
    for verb in ["deactivate", "delete"] {
        assert_refused(&place.run(&["user", verb, "--org", "acme", "mia@acme.com"]).await, "the last active manager");
    }
}

#[tokio::test]
async fn a_lost_password_is_set_anew_by_whoever_has_a_shell() {
    let place = Place::new();
    let mut server = place.serve().await;
    server.acme().await;
    let recover = ["user", "recover", "--org", "acme", "MIA@acme.com", "--json"];
    let link = objects(&place.ask(&recover).await).remove(0)["link"].as_str().unwrap().to_owned();
    let path = link.strip_prefix("http://127.0.0.1:8080").unwrap();
    let new = "eleven copper kettles sing";
    assert_eq!(server.browser().post(path, &[("password", new)]).await.unwrap().status, 303);
    let mut mia = server.browser();
    let signed_in = mia.post("/o/acme/login", &[("email", "mia@acme.com"), ("password", new)]).await.unwrap();
    assert_eq!(signed_in.status, 303);
    let listed = objects(&place.ask(&["user", "list", "--org", "acme", "--json"]).await).remove(0);
    assert_eq!((listed["role"].as_str(), listed["status"].as_str()), (Some("manager"), Some("active")));
}

#[tokio::test]
async fn a_decision_needs_neither_server_nor_database_nor_right_settings() {
    let place = Place::new().with("VESTIBULE_LISTEN", "nonsense");
    let asked = ["admit", "--json", "--allow", "@acme.com; *.b.org", "--allow", "c.net"];
    let answers =
        place.ask(&[&asked[..], &["a@acme.com", "a@x.b.org", "a@b.org", "a@c.net", "a b@c.net"]].concat()).await;
    let answers = objects(&answers);
    let of = |name: &str| answers.iter().map(|answer| answer[name].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of("verdict"), ["admit", "admit", "refuse-domain", "admit", "refuse-invalid"]);
    assert_eq!(of("rule"), ["acme.com", "*.b.org", "no-entry", "c.net", "not-an-address"]);
    assert!(place.names().is_empty());

    assert_refused(&place.run(&["admit", "--allow", "acme.com, com", "a@acme.com"]).await, "\"com\" is no entry");
    assert_refused(&place.run(&["admit", "a@acme.com"]).await, "say which list decides");
    assert_refused(&place.run(&["admit", "--allow", "acme.com", "-"]).await, "- stands alone");
}

#[tokio::test]
async fn a_line_that_cannot_be_read_ends_the_answers_with_its_number() {
    let good = "{\"email\": \"a@b.co\", \"allowlist\": []}\n";
    for bad in [
        "{\"email\": [\"a@b.co\"], \"allowlist\": []}",
        "{\"email\": \"a@b.co\"}",
        "a@b.co",
        "{\"email\":1,\"email\":2}",
    ] {
        let ran = Place::new().run_with(&["admit", "-"], &format!("{good}\n{bad}\n{good}")).await;
        assert_refused(&ran, "line 3 is not an object");
        assert_eq!(objects(&ran.out).len(), 1, "the answers before it stand");
    }
}

#[tokio::test]
async fn an_organizations_own_list_decides() {
    let place = acme().await;
    let answers = objects(&place.ask(&["admit", "--org", "acme", "--json", "a@anywhere.org", "nobody"]).await);
    assert_eq!((answers[0]["verdict"].as_str(), answers[0]["rule"].as_str()), (Some("admit"), Some("every-domain")));
    assert_eq!(answers[1]["verdict"], "refuse-invalid");
}

#[tokio::test]
async fn settings_are_shown_without_their_secrets() {
    let place = Place::new()
        .with("VESTIBULE_SMTP_URL", "smtp://door:canary@mail.acme.com")
        .with("VESTIBULE_MAIL_FROM", "door@acme.com")
        .with("VESTIBULE_PUBLIC_URL", "http://id.acme.com");
    let shown = objects(&place.ask(&["config", "show", "--json"]).await).remove(0);
    assert_eq!(shown["smtp_url"], "smtp://door:…@mail.acme.com:587?tls=required");
    let checked = place.ask(&["config", "check"]).await;
    assert!(checked.contains("right") && checked.contains("PLAIN HTTP"), "{checked}");
    assert!(place.names().is_empty());
}

#[tokio::test]
async fn plain_http_off_loopback_is_said_also_where_only_errors_are_logged() {
    let place = Place::new().with("VESTIBULE_PUBLIC_URL", "http://id.acme.com").with("RUST_LOG", "error");
    let mut server = place.begin_to_serve();
    server.says("PLAIN HTTP").await;
}

#[tokio::test]
async fn a_settings_file_with_a_password_that_everybody_may_read_is_refused() {
    let place = Place::new();
    let file = place.path("settings.toml");
    let may_be_read = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let checked = async || place.run(&["config", "check", "--config", file.to_str().unwrap()]).await;
    std::fs::write(&file, "listen = \"127.0.0.1:8089\"\n").unwrap();
    may_be_read(0o644);
    assert!(checked().await.status.success(), "it holds no password");
    for secret in [
        "database_url = \"postgres://door:canary@db.acme.com/door\"",
        "database_url = \"postgres://db.acme.com/door?user=door&password=canary\"",
        "smtp_url = \"smtp://door:canary@mail.acme.com\"",
    ] {
        std::fs::write(&file, format!("mail_from = \"door@acme.com\"\n{secret}\n")).unwrap();
        may_be_read(0o644);
        let ran = checked().await;
        assert!(!ran.status.success() && ran.err.contains("chmod o-rwx"), "{}", ran.err);
        assert!(!ran.err.contains("canary") && ran.err.lines().count() == 1, "{}", ran.err);
        may_be_read(0o640);
        let ran = checked().await;
        assert!(ran.status.success(), "{}", ran.err);
    }
}

#[tokio::test]
async fn every_command_and_option_is_explained() {
    let helps = Place::new().helps("-h").await;
    for (words, help) in &helps {
        let section = |name: &str| {
            let rest = help.split_once(name).map_or("", |(_, rest)| rest);
            rest.lines().skip(1).take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        for line in [section("Commands:"), section("Options:"), section("Settings:"), section("Arguments:")].concat() {
            assert!(line.trim().contains("  ") || line.starts_with("          "), "{words:?} does not explain: {line}");
        }
    }
    assert_eq!(helps.len(), 24);
}
