//! Users: everyone with an account, searched and filtered in the address bar, paged by key.

use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Deserialize;

use crate::{
    features::{
        sessions::Manager,
        users::{self, Filter, Place, Role, Status, User},
    },
    platform::{
        App,
        web::{
            PageError, Portal, page,
            paging::{PAGE, Paged, place_by_text, read_place_by_text},
        },
    },
    values::{Domain, UserId},
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/settings/users", get(show))
}

/// The filters as the address bar has them. What is no role or status is no filter.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    search: String,
    role: String,
    status: String,
    domain: String,
    after: String,
    notice: String,
}

impl Asked {
    /// `None` when nobody can be of what stands in the place of a domain.
    fn filter(&self) -> Option<Filter> {
        let domain = match self.domain.trim().trim_start_matches('@') {
            "" => None,
            typed => Some(typed.parse::<Domain>().ok()?),
        };
        Some(Filter {
            search: (!self.search.is_empty()).then(|| self.search.clone()),
            role: Role::from_word(&self.role),
            status: Status::from_word(&self.status),
            domain,
            after: read_place_by_text(&self.after).map(|(address, id)| Place { address, id }),
        })
    }

    /// Whether the list is narrowed, so that being empty needs another word.
    fn is_narrowed(&self) -> bool {
        [&self.search, &self.role, &self.status, &self.domain].iter().any(|typed| !typed.is_empty())
    }

    fn address_of(&self, after: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let places =
            [("search", &self.search), ("role", &self.role), ("status", &self.status), ("domain", &self.domain)];
        for (name, value) in places.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if let Some(after) = after {
            query.append_pair("after", after);
        }
        let query = query.finish();
        if query.is_empty() { "/settings/users".to_owned() } else { format!("/settings/users?{query}") }
    }
}

#[derive(Template)]
#[template(path = "features/settings/users.html")]
struct UsersPage<'a> {
    portal: Portal,
    asked: &'a Asked,
    rows: Vec<User>,
    count: i64,
    me: UserId,
    first: Option<String>,
    next: Option<String>,
    was_deleted: bool,
}

async fn show(State(app): State<App>, manager: Manager, Query(asked): Query<Asked>) -> Result<Response, PageError> {
    let (rows, is_first) = match asked.filter() {
        Some(filter) => (users::list(&app.db, manager.organization, &filter, PAGE).await?, filter.after.is_none()),
        None => (Vec::new(), true),
    };
    let paged = Paged::new(rows, |user| place_by_text(&user.email.identity(), user.id));
    let shown = UsersPage {
        portal: manager.portal("users"),
        rows: paged.rows,
        count: users::count(&app.db, manager.organization).await?,
        me: manager.user,
        first: (!is_first).then(|| asked.address_of(None)),
        next: paged.next.map(|next| asked.address_of(Some(&next))),
        was_deleted: asked.notice == "deleted",
        asked: &asked,
    };
    page(StatusCode::OK, &shown)
}
