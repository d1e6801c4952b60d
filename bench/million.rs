//! An organization of a million users, and how each of them came.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{
    database::{On, run, size},
    row,
    server::{Folder, Server, binary},
};

const USERS: u32 = 1_000_000;

/// A million users with lifelike skew: most of one domain, a tail of many, few managers, some deactivated, three years.
const SQLITE_USERS: &str = "
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < {users})
insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, password_hash,
                   proved_how, came_by, created_at)
select unhex(printf('%012x7%03x8%015x', 1700000000000 + i * 80000, i % 4096, i)), o.id,
       f || '.' || l || i || '@' || d, f || '.' || l || i || '@' || d, d, f || ' ' || l,
       f || '.' || l || i || '@' || d || char(10) || f || ' ' || l,
       case when i % 2000 = 0 then 'manager' else 'member' end, case when i % 33 = 0 then 'deactivated' else 'active' end,
       u.password_hash, 'mail', 'link', (1700000000000 + i * 80000) * 1000
  from (select i, (select id from organizations where slug = 'acme') as organization,
               case i * 7 % 20 {firsts} end as f, case i * 13 % 23 {lasts} end as l,
               case when i % 10 < 6 then 'acme.com' when i % 10 < 8 then 'gmail.com' when i % 10 < 9 then 'acme.de'
                    else 'd' || (i % 997) || '.example' end as d
          from n), organizations o, (select password_hash from users where email_key = 'person0@acme.com') u
 where o.id = organization;
commit;
analyze;";

const POSTGRES_USERS: &str = "
alter table users disable trigger user;
insert into users (id, organization_id, email, email_key, email_domain, full_name, search_key, role, status, password_hash,
                   proved_how, came_by, created_at)
select cast(lpad(to_hex(1700000000000 + i * 80000), 12, '0') || '7' || lpad(to_hex(i % 4096), 3, '0') || '8' || lpad(to_hex(i), 15, '0') as uuid),
       o.id, f || '.' || l || i || '@' || d, f || '.' || l || i || '@' || d, d, f || ' ' || l,
       f || '.' || l || i || '@' || d || chr(10) || f || ' ' || l,
       case when i % 2000 = 0 then 'manager' else 'member' end, case when i % 33 = 0 then 'deactivated' else 'active' end,
       u.password_hash, 'mail', 'link', to_timestamp(1700000000 + i * 80.0)
  from (select cast(i as bigint) as i, case i * 7 % 20 {firsts} end as f, case i * 13 % 23 {lasts} end as l,
               case when i % 10 < 6 then 'acme.com' when i % 10 < 8 then 'gmail.com' when i % 10 < 9 then 'acme.de'
                    else 'd' || (i % 997) || '.example' end as d
          from generate_series(1, {users}) i) n,
       organizations o, (select password_hash from users where email_key = 'person0@acme.com') u
 where o.slug = 'acme';
alter table users enable trigger user;
delete from user_counts;
insert into user_counts select organization_id, email_domain, count(*) from users group by organization_id, email_domain;
insert into user_counts select organization_id, '', count(*) from users group by organization_id;";

/// How each of them came, and what the audit log says about it; of those who were deactivated one registration more is open.
const CAME_BY: &str = "
insert into registrations (id, organization_id, link_id, link_code_id, email, email_key, email_domain, state, ended_why,
                           begun_at, expires_at, asked_at, ended_at, user_id)
select u.id, u.organization_id, l.id, c.id, u.email, u.email_key, u.email_domain,
       case u.status when 'active' then 'finished' else 'begun' end, case u.status when 'active' then 'finished' end,
       u.created_at, {future}, u.created_at, case u.status when 'active' then u.created_at end,
       case u.status when 'active' then u.id end
  from users u join links l on l.organization_id = u.organization_id join link_codes c on c.link_id = l.id;
insert into audit_events (id, organization_id, kind, actor_kind, actor_id, subject_id, at, parameters)
select id, organization_id, 'user.created', 'user', id, id, created_at, '{}' from users;";

const FIRSTS: [&str; 20] = [
    "ada", "ben", "cleo", "dara", "emil", "fay", "gus", "hana", "ivo", "jana", "kai", "lena", "milo", "nora", "otto",
    "pia", "quin", "rosa", "samuel", "tove",
];
pub const LASTS: [&str; 23] = [
    "abel", "berg", "cohen", "diaz", "eriksen", "fischer", "garcia", "huber", "ito", "jones", "kowalski", "lovelace",
    "meyer", "nguyen", "okafor", "patel", "quist", "rossi", "smith", "tanaka", "ueda", "vogel", "weber",
];

fn cases(words: &[&str]) -> String {
    let cases: Vec<String> =
        words.iter().enumerate().map(|(place, word)| format!("when {place} then '{word}'")).collect();
    cases.join(" ")
}

fn filled(template: &str, users: u32) -> String {
    template
        .replace("{users}", &users.to_string())
        .replace("{firsts}", &cases(&FIRSTS))
        .replace("{lasts}", &cases(&LASTS))
}

pub fn run_on(folder: &Folder, sqlite: &str, postgres: &str) {
    let file = folder.folder.path().join("vestibule.sqlite");
    folder.runtime.block_on(run(folder.url.as_deref(), &file, sqlite, postgres));
}

/// Copies an installation of a million users from a file to a server and on to another file.
pub fn copies() {
    let Some(on) = On::all().into_iter().find(|on| *on == On::Postgres) else { return };
    let (folder, _) = users(On::Sqlite);
    let first = format!("sqlite:{}", folder.folder.path().join("vestibule.sqlite").display());
    let server = folder.runtime.block_on(on.fresh()).expect("a database");
    let last = format!("sqlite:{}", folder.folder.path().join("copied.sqlite").display());
    for (from, to, what) in [(&first, &server, "SQLite to PostgreSQL"), (&server, &last, "PostgreSQL to SQLite")] {
        let started = Instant::now();
        let copied = Command::new(binary())
            .args(["--json", "--key-file"])
            .arg(folder.folder.path().join("key"))
            .arg("copy")
            .env("VESTIBULE_COPY_FROM", from)
            .env("VESTIBULE_COPY_TO", to)
            .output()
            .expect("the command");
        let said = String::from_utf8_lossy(&copied.stdout);
        let last = said.lines().last().unwrap_or_default();
        let each = folder.runtime.block_on(size(to)) / u64::from(USERS);
        let measured = format!("{:.0} s, {each} octets for each user, {last}", started.elapsed().as_secs_f64());
        row(&format!("a million users copied, {what}"), &measured, "told, and counted", copied.status.success());
    }
}

/// An organization that they fill, and how long writing them took.
pub fn users(on: On) -> (Folder, Duration) {
    let folder = Server::seed(on, 1);
    let started = Instant::now();
    run_on(&folder, &filled(SQLITE_USERS, USERS), &filled(POSTGRES_USERS, USERS));
    // On its own, as PostgreSQL wants it; its own clean-up would do it a minute later.
    run_on(&folder, "", "vacuum analyze users");
    let took = started.elapsed();
    let came_by = |future| CAME_BY.replace("{future}", future);
    run_on(&folder, &came_by("4102444800000000"), &came_by("timestamptz '2100-01-01'"));
    run_on(&folder, "analyze", "vacuum analyze registrations");
    (folder, took)
}
