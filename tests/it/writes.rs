//! What a write promises: all or nothing, in its order, also where nobody waits for each answer.

use vestibule::{
    platform::db::{Tx, query},
    values::{AuditEventId, SubjectId},
};

use crate::support::TestApp;

/// Some subject that nothing else knows.
fn subject(tx: &Tx) -> SubjectId {
    let id: AuditEventId = tx.new_id();
    id.subject()
}

fn add(tx: &mut Tx, id: SubjectId, name: &str) {
    query("insert into audit_names (id, organization_id, name) select $1, id, $2 from organizations")
        .bind(id)
        .bind(name)
        .later(tx);
}

fn rename(tx: &mut Tx, id: SubjectId, name: &str) {
    query("update audit_names set name = $1 where id = $2").bind(name).bind(id).later(tx);
}

async fn name_of(app: &TestApp, id: SubjectId) -> Option<String> {
    let found: Option<(String,)> =
        query("select name from audit_names where id = $1").bind(id).optional(&app.app.db).await.unwrap();
    found.map(|(name,)| name)
}

#[tokio::test]
async fn what_nobody_waits_for_is_done_in_its_order_and_seen_by_the_next_question() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut tx = app.write().await;
    let (one, other) = (subject(&tx), subject(&tx));
    add(&mut tx, one, "first");
    for n in 0..40 {
        rename(&mut tx, one, &format!("name {n}"));
    }
    let (seen,): (String,) = query("select name from audit_names where id = $1").bind(one).one(&mut tx).await.unwrap();
    assert_eq!(seen, "name 39");
    rename(&mut tx, one, "last");
    add(&mut tx, other, "another");
    assert_eq!(name_of(&app, one).await, None, "nobody else sees it before its end");
    tx.commit().await.unwrap();
    assert_eq!(name_of(&app, one).await.as_deref(), Some("last"));
    assert_eq!(name_of(&app, other).await.as_deref(), Some("another"));
}

#[tokio::test]
async fn what_waits_is_forgotten_with_a_write_that_has_no_end() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut tx = app.write().await;
    let id = subject(&tx);
    add(&mut tx, id, "never");
    drop(tx);
    assert_eq!(name_of(&app, id).await, None);
}

#[tokio::test]
async fn one_fault_among_what_waits_undoes_the_whole_write_and_no_other() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut tx = app.write().await;
    let (one, other) = (subject(&tx), subject(&tx));
    query("update organizations set name = 'Nobody' where slug = 'acme'").execute(&mut tx).await.unwrap();
    add(&mut tx, one, "once");
    add(&mut tx, one, "twice");
    add(&mut tx, other, "another");
    tx.commit().await.unwrap_err();
    assert_eq!((name_of(&app, one).await, name_of(&app, other).await), (None, None));
    let (acme,): (String,) =
        query("select name from organizations where slug = 'acme'").one(&app.app.db).await.unwrap();
    assert_eq!(acme, "Acme");

    let mut tx = app.write().await;
    add(&mut tx, one, "again");
    tx.commit().await.unwrap();
    assert_eq!(name_of(&app, one).await.as_deref(), Some("again"), "the next one goes on");
}

#[tokio::test]
async fn the_first_statement_of_a_write_tells_how_many_rows_it_touched_itself() {
    let app = TestApp::start().await;
    app.acme().await;
    let mut tx = app.write().await;
    let (one, other) = (subject(&tx), subject(&tx));
    add(&mut tx, one, "one");
    add(&mut tx, other, "other");
    tx.commit().await.unwrap();
    for (id, touched) in [(one, 1), (one, 0), (other, 1)] {
        let mut tx = app.write().await;
        let gone = query("delete from audit_names where id = $1").bind(id).execute(&mut tx).await.unwrap();
        assert_eq!(gone, touched);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_write_that_asks_nothing_leaves_nothing_open() {
    let app = TestApp::start().await;
    app.acme().await;
    app.write().await.commit().await.unwrap();
    drop(app.write().await);
    let mut tx = app.write().await;
    let id = subject(&tx);
    add(&mut tx, id, "next");
    tx.commit().await.unwrap();
    assert_eq!(name_of(&app, id).await.as_deref(), Some("next"));
}
