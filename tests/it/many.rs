//! An organization with many users: they are found by any part of a name or address, counted, and paged to the end.

use std::collections::BTreeSet;

use vestibule::platform::db::query;

use crate::support::{Browser, TestApp};

/// More than a search reads one by one.
const MANY: i64 = 5_200;

/// Ada 1 to Ada 5,200, of two domains, in one statement.
async fn acme_with_many(app: &TestApp) -> Browser {
    let acme = app.acme().await;
    let mut tx = app.write().await;
    query(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < $1)
         insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, proved_how, came_by, created_at)
         select unhex(printf('019000000000700080000000%08x', i)), o.id, 'ada' || i || d, 'ada' || i || d, substr(d, 2), 'Ada ' || i,
                'ada' || i || d || char(10) || 'ada ' || i, 'member', 'active', 'mail', 'link', $2
           from (select i, case i % 2 when 0 then '@acme.com' else '@acme.de' end as d from n), organizations o",
    )
    .on_postgres(
        "insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, proved_how, came_by, created_at)
         select cast('019000000000700080000000' || lpad(to_hex(i), 8, '0') as uuid), o.id, 'ada' || i || d, 'ada' || i || d, substr(d, 2), 'Ada ' || i,
                'ada' || i || d || chr(10) || 'ada ' || i, 'member', 'active', 'mail', 'link', $2
           from (select i, case i % 2 when 0 then '@acme.com' else '@acme.de' end as d from generate_series(1, $1) i) n, organizations o",
    )
    .bind(MANY)
    .bind(tx.now)
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    acme.manager
}

/// The names on every page from here on.
async fn all_names(manager: &mut Browser, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = manager.get(&path).await;
        assert_eq!(page.status, 200);
        names.extend(page.rows().iter().map(|row| row.split(['@', '+']).next().unwrap().to_owned()));
        next = page.html.contains("rel=\"next\"").then(|| page.link_to("Next page"));
    }
    names
}

#[tokio::test]
async fn any_part_of_a_name_or_address_finds_its_users_and_nothing_has_a_meaning_of_its_own() {
    let app = TestApp::start().await;
    let mut manager = acme_with_many(&app).await;
    for (search, found) in [
        ("ada4711", 1),
        ("ADA4711%40ACME.DE", 1),
        ("a471", 11),
        ("Ada+47", 111),
        ("a4711%40acme.com", 0),
        ("%25", 0),
        ("%22ada%22", 0),
        ("ada_1", 0),
        ("ada+OR+mia", 0),
        ("%00ada", 0),
    ] {
        let names = all_names(&mut manager, &format!("/settings/users?search={search}")).await;
        assert_eq!(names.len(), found, "{search}: {names:?}");
    }
    let of_both = all_names(&mut manager, "/settings/users?search=ada47&domain=acme.com").await;
    assert_eq!(of_both.len(), 55, "{of_both:?}");
    let newest = manager.get("/settings/users?search=ada").await;
    assert!(newest.rows()[0].contains("ada5200@"), "{}", newest.rows()[0]);
}

#[tokio::test]
async fn a_list_of_many_is_paged_to_its_end_and_its_count_follows_every_change() {
    let app = TestApp::start().await;
    let mut manager = acme_with_many(&app).await;
    let first = manager.get("/settings/users").await;
    assert!(first.says("5,201 users"), "{}", first.words());
    let names = all_names(&mut manager, "/settings/users?domain=acme.de").await;
    assert_eq!(names.len(), 2_600);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 2_600, "nobody stands twice");
    assert_eq!(all_names(&mut manager, "/settings/users?role=manager").await.len(), 1);
    assert_eq!(all_names(&mut manager, "/settings/users?status=deactivated").await.len(), 0);

    let one = manager.get("/settings/users?search=ada4711").await;
    let user = one.html.split("/settings/users/usr_").nth(1).unwrap().split(['/', '"']).next().unwrap().to_owned();
    let deleted = manager.post(&format!("/settings/users/usr_{user}/deletion"), &[("may_return", "on")]).await;
    assert_eq!(deleted.status, 303, "{}", deleted.words());
    assert!(manager.get("/settings/users").await.says("5,200 users"));
    assert!(all_names(&mut manager, "/settings/users?search=ada4711").await.is_empty());
    let counted: Vec<(String, i64)> =
        query("select email_domain, users from user_counts order by email_domain").all(&app.app.db).await.unwrap();
    let counted: Vec<(&str, i64)> = counted.iter().map(|(domain, users)| (domain.as_str(), *users)).collect();
    assert_eq!(counted, [("", 5_200), ("acme.com", 2_601), ("acme.de", 2_599)]);
}
