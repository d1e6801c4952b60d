//! What a database is, before anything in it is changed.

use super::{
    Arg, DatabaseUrl,
    migrations::{self, NEWEST},
    open::{self, OpenError},
    plain::Plain,
};

/// What stands in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Its schema; nothing has been made yet where there is none.
    pub schema: Option<i64>,
    /// The oldest schema whose servers may work on it.
    pub oldest: i64,
    /// By which its key is known; nothing before the first start.
    pub key_check: Option<Vec<u8>>,
    /// Whether there is any organization.
    pub is_in_use: bool,
}

impl Looked {
    /// Whether this version may work on it, or bring it up to date.
    pub const fn suits(&self) -> bool {
        match self.schema {
            Some(there) => migrations::suits(NEWEST, there, self.oldest),
            None => true,
        }
    }
}

/// Looks and changes nothing. `None` where there is no file.
pub async fn look(url: &DatabaseUrl) -> Result<Option<Looked>, OpenError> {
    let Some(mut plain) = Plain::reading(url).await? else { return Ok(None) };
    let looked = look_through(&mut plain).await.map_err(|error| open::failed(url, &error))?;
    // What was only looked at needs no good order.
    drop(plain.close().await);
    Ok(Some(looked))
}

pub(super) async fn look_through(plain: &mut Plain) -> Result<Looked, sqlx::Error> {
    let nothing = Looked { schema: None, oldest: 1, key_check: None, is_in_use: false };
    let schema: Result<Vec<(Option<i64>,)>, _> = plain.all("select max(version) from _sqlx_migrations", vec![]).await;
    let schema = match schema {
        Ok(rows) => rows.into_iter().find_map(|(version,)| version),
        Err(error) if open::is_missing(&error) => return Ok(nothing),
        Err(error) => return Err(error),
    };
    let Some(there) = schema else { return Ok(nothing) };
    let server: Vec<(Vec<u8>,)> = plain.all("select key_check from server where id = 1", vec![]).await?;
    let oldest: Vec<(i64,)> = if there < migrations::KNOWS_OLDEST {
        Vec::new()
    } else {
        plain.all("select oldest_schema from server where id = 1", vec![]).await?
    };
    let any: Vec<(uuid::Uuid,)> = plain.all("select id from organizations limit 1", Vec::<Arg>::new()).await?;
    Ok(Looked {
        schema: Some(there),
        oldest: oldest.first().map_or(1, |(oldest,)| *oldest),
        key_check: server.into_iter().next().map(|(check,)| check),
        is_in_use: !any.is_empty(),
    })
}
