//! Every address of the server, as its router has them: what no test lists by hand, none forgets.

use axum::{
    body::Body,
    http::{Request, header},
};

use super::TestApp;

/// An address with its placeholders, and what it answers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub path: String,
    pub gets: bool,
    pub posts: bool,
}

impl Route {
    /// The router names the methods of an address to whoever comes with another one.
    async fn of(app: &TestApp, path: &str) -> Self {
        let asked = Request::options(path.replace(['{', '}'], "0")).body(Body::empty()).unwrap();
        let page = app.browser().send(asked).await;
        assert_eq!(page.status, 405, "{path}");
        let methods = page.headers[header::ALLOW].to_str().unwrap();
        assert!(methods.split(',').all(|known| ["GET", "HEAD", "POST"].contains(&known)), "{path}: {methods}");
        Self { path: path.to_owned(), gets: methods.contains("GET"), posts: methods.contains("POST") }
    }
}

/// All of them, in the order of their paths.
pub async fn all(app: &TestApp) -> Vec<Route> {
    // What a router shows of itself is promised nowhere: a test compares it with the sources.
    let shown = format!("{:?}", vestibule::router(&app.app));
    let paths = shown.split("Node { paths: ").nth(1).and_then(|rest| rest.split("fallback_router").next());
    let mut routes = Vec::new();
    for path in paths.expect("a router shows its paths").split('"').skip(1).step_by(2) {
        routes.push(Route::of(app, path).await);
    }
    routes.sort();
    routes
}

/// Those that take forms. What ends something that others need comes last.
pub async fn forms(app: &TestApp) -> Vec<String> {
    let mut forms: Vec<String> =
        all(app).await.into_iter().filter(|route| route.posts).map(|route| route.path).collect();
    forms.sort_by_key(|path| match path.as_str() {
        "/account/address" => 3,
        "/account/address/{token}" => 2,
        _ => i32::from(path.ends_with("/deletion")),
    });
    forms
}
