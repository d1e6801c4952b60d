//! The list of addresses that other tests go through is the server's own, and whole.

use crate::{
    floors::sources,
    support::{
        Page, TestApp,
        house::House,
        routes::{self, Route},
    },
};

#[tokio::test]
async fn every_address_that_a_source_writes_down_is_in_the_list_with_its_methods() {
    let routes = routes::all(&TestApp::start().await).await;
    let mut written = Vec::new();
    // What is measured has a router and a port of its own.
    for source in sources().iter().filter(|source| source.name != "src/platform/web/scrape.rs") {
        for way in [".nest(", "_service(", ".route_layer("] {
            assert!(!source.text.contains(way), "{} adds addresses in a way that is not looked for", source.name);
        }
        written.extend(source.text.split(".route(").skip(1).map(route_of));
    }
    written.sort();
    assert_eq!(written, routes);
}

/// What stands behind `.route(`: an address, and methods with their handlers.
fn route_of(text: &str) -> Route {
    let (path, rest) = text.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\",")).unwrap();
    let (mut depth, mut outside) = (0, String::new());
    for c in rest.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            break;
        }
        if depth == 0 {
            outside.push(c);
        }
    }
    let methods: Vec<&str> = outside.split([')', '.', ',']).map(str::trim).filter(|word| !word.is_empty()).collect();
    assert!(methods.iter().all(|method| ["get", "post"].contains(method)), "{path}: {methods:?}");
    Route { path: path.to_owned(), gets: methods.contains(&"get"), posts: methods.contains(&"post") }
}

#[tokio::test]
async fn every_address_leads_somewhere_for_somebody() {
    let mut house = House::start().await;
    let mut people = house.people().await;
    let nowhere = people[0].get("/nowhere").await.words();
    // Being sent to sign in says nothing about an address, and set-up is over in words of its own.
    let leads = |page: &Page| match page.status {
        200 => true,
        303 => !page.location.as_ref().unwrap().starts_with("/login"),
        _ => page.status == 404 && page.words() != nowhere,
    };
    for route in routes::all(&house.app).await.iter().filter(|route| route.gets) {
        let mut answers = Vec::new();
        for browser in &mut people {
            answers.push(browser.get(&house.fill(&route.path)).await);
        }
        let statuses: Vec<_> = answers.iter().map(|page| page.status).collect();
        assert!(answers.iter().any(leads), "{}: {statuses:?}", route.path);
    }
}
