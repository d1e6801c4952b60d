//! Users in lists: by address, narrowed by the one thing that narrows most; or those that a search finds, the newest first.

use std::collections::HashMap;

use super::{Role, Status, User};
use crate::{
    platform::{
        Fault,
        db::{Db, Query, query},
    },
    values::{Domain, OrganizationId, UserId},
};

/// Which users to list: everything left empty is every one.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Part of a name or address.
    pub search: Option<String>,
    /// With this role.
    pub role: Option<Role>,
    /// With this status.
    pub status: Option<Status>,
    /// With an address of exactly this domain.
    pub domain: Option<Domain>,
    /// The last one of the page before.
    pub after: Option<Place>,
}

/// The place of a user in a list: the address by which it is sorted, and the id. What a search finds is sorted by the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address as it is compared.
    pub address: String,
    /// The user.
    pub id: UserId,
}

/// No name and address together are longer; a longer search finds nobody, and no database takes it amiss.
const SEARCHED: usize = 1_000;
/// The index holds every three letters that stand together; fewer are looked for row by row, and found soon.
const INDEXED: usize = 3;
/// Among so many users of one organization a search reads them all, rather than what it finds in every organization.
const FEW: i64 = 5_000;

/// The columns of a user, before whatever narrows the list.
macro_rules! users {
    ($rest:expr) => {
        users!("users u ", $rest)
    };
    ($from:expr, $rest:expr) => {
        concat!("select ", user_columns!("u."), " from ", $from, $rest)
    };
}

/// A list by address of which one column is given, so that an index holds it in its order.
macro_rules! by_address {
    ($given:literal) => {
        users!(concat!(
            "where u.organization_id = $1 and ",
            $given,
            " and ($2 is null or u.role = $2) and ($3 is null or u.status = $3) and ($4 is null or u.email_domain = $4)
              and ($5 is null or (u.email_key, u.id) > ($5, $6)) order by u.email_key, u.id limit $7"
        ))
    };
}

/// What a search keeps of an organization's users.
macro_rules! found {
    () => {
        "where u.organization_id = $1 and u.search_key like $2 escape '\\'
           and ($3 is null or u.role = $3) and ($4 is null or u.status = $4) and ($5 is null or u.email_domain = $5)
           and ($6 is null or u.id < $6) "
    };
}

/// Those that a search finds, read row by row.
const FOUND_BY_READING: &str = users!(concat!(found!(), "order by u.id desc limit $7"));

/// The same among the newest alone: what many have is found there, and looking for all of them by the index of letters
/// would take longer the more there are. `PostgreSQL` cannot choose by itself: it guesses how many have three letters from
/// a hundred rows, and that they are spread evenly.
const FOUND_AMONG_NEWEST: &str = users!(
    "(select * from users where organization_id = $1 and ($6 is null or id < $6) order by id desc limit 10000) u ",
    concat!(found!(), "order by u.id desc limit $7")
);

/// The same by `PostgreSQL`'s index of letters, for what few have.
const FOUND_BY_INDEX: &str = concat!(
    "with found as materialized (select u.id from users u ",
    found!(),
    "), page as (select id from found order by id desc limit $7) ",
    users!("page join users u on u.id = page.id ", "order by u.id desc")
);

/// The same by the index of letters, which `SQLite` asks with words of its own.
const FOUND_BY_LETTERS: &str = users!(
    "join user_rows r on r.user_id = u.id join user_letters l on l.rowid = r.row_number
      where u.organization_id = $1 and u.search_key like $2 escape '\\'
        and ($3 is null or u.role = $3) and ($4 is null or u.status = $4) and ($5 is null or u.email_domain = $5)
        and l.rowid < coalesce((select row_number from user_rows where user_id = $6), 9223372036854775807)
        and user_letters match $8 order by l.rowid desc limit $7"
);

/// A page of users; one more than asked for says that there is another page.
pub async fn list(db: &Db, organization: OrganizationId, filter: &Filter, limit: i64) -> Result<Vec<User>, Fault> {
    let Some(search) = &filter.search else { return by_address(organization, filter, limit).all(db).await };
    if search.len() > SEARCHED || search.contains('\0') {
        return Ok(Vec::new());
    }
    let ask = |sql| {
        query(sql)
            .planned_anew()
            .bind(organization)
            .bind(like(search))
            .bind(filter.role.map(Role::as_str))
            .bind(filter.status.map(Status::as_str))
            .bind(filter.domain.as_ref().map(Domain::as_str))
            .bind(filter.after.as_ref().map(|after| after.id))
            .bind(limit + 1)
    };
    if search.chars().count() < INDEXED || count(db, organization).await? <= FEW {
        return ask(FOUND_BY_READING).all(db).await;
    }
    if !db.is_shared() {
        return ask(FOUND_BY_LETTERS).bind(letters(search)).all(db).await;
    }
    let newest: Vec<User> = ask(FOUND_AMONG_NEWEST).all(db).await?;
    let is_whole_page = i64::try_from(newest.len()).is_ok_and(|found| found > limit);
    if is_whole_page { Ok(newest) } else { ask(FOUND_BY_INDEX).all(db).await }
}

fn by_address(organization: OrganizationId, filter: &Filter, limit: i64) -> Query {
    // Each text begins with what an index sorts by address; the first that narrows the list is the one to take.
    let sql = if filter.domain.is_some() {
        by_address!("u.email_domain = $4")
    } else if filter.role == Some(Role::Manager) {
        by_address!("u.role = $2")
    } else if filter.status == Some(Status::Deactivated) {
        by_address!("u.status = $3")
    } else {
        by_address!("u.email_key >= ''")
    };
    query(sql)
        .bind(organization)
        .bind(filter.role.map(Role::as_str))
        .bind(filter.status.map(Status::as_str))
        .bind(filter.domain.as_ref().map(Domain::as_str))
        .bind(filter.after.as_ref().map(|after| after.address.clone()))
        .bind(filter.after.as_ref().map(|after| after.id))
        .bind(limit + 1)
}

fn like(search: &str) -> String {
    let literal = search.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{literal}%")
}

/// Every three letters of a search that stand together, each quoted so that nothing has a meaning of its own.
fn letters(search: &str) -> String {
    let letters: Vec<char> = search.to_ascii_lowercase().chars().collect();
    let threes = letters.windows(INDEXED).map(|three| format!("\"{}\"", String::from_iter(three).replace('"', "\"\"")));
    threes.collect::<Vec<_>>().join(" AND ")
}

/// How many users an organization has.
pub async fn count(db: &Db, organization: OrganizationId) -> Result<i64, Fault> {
    let found: Option<(i64,)> = query("select users from user_counts where organization_id = $1 and email_domain = ''")
        .bind(organization)
        .optional(db)
        .await?;
    Ok(found.map_or(0, |(users,)| users))
}

/// How many users there are of each domain.
pub async fn count_by_domain(db: &Db, organization: OrganizationId) -> Result<HashMap<Domain, i64>, Fault> {
    let rows: Vec<(Domain, i64)> = query(
        "select email_domain, users from user_counts where organization_id = $1 and email_domain <> '' and users > 0",
    )
    .bind(organization)
    .all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_literal_in_both_ways_of_asking() {
        assert_eq!(like("50%_\\"), "%50\\%\\_\\\\%");
        assert_eq!(letters("Adá"), "\"adá\"");
        assert_eq!(letters("a\" OR"), "\"a\"\" \" AND \"\"\" o\" AND \" or\"");
    }
}
