use super::LoginMethod;
use crate::{
    platform::{
        App, Fault,
        db::{Db, FromRow, Target, Tx, query},
    },
    values::{OrganizationId, OrganizationName, Slug, Timestamp, UserId, kinds},
};

/// An organization and its settings.
#[derive(Debug, Clone, FromRow)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its short name in addresses.
    pub slug: Slug,
    /// Its name.
    pub name: OrganizationName,
    /// How its users prove themselves.
    pub login_method: LoginMethod,
    /// Whether people may register through the invite link.
    pub self_service: bool,
    /// Grows with every save, so that two managers do not overwrite each other.
    pub settings_version: i64,
    /// Who saved last.
    pub settings_by: Option<UserId>,
    /// When that was.
    pub settings_at: Timestamp,
}

/// The columns of an organization.
macro_rules! columns {
    () => {
        "id, slug, name, login_method, self_service, settings_version, settings_by, settings_at"
    };
}

pub(super) async fn insert(tx: &mut Tx, name: &OrganizationName, slug: &Slug) -> Result<Option<OrganizationId>, Fault> {
    let made: Option<(OrganizationId,)> = query(
        "insert into organizations (id, slug, name, login_method, self_service, settings_version, settings_at, created_at)
         values ($1, $2, $3, $4, $5, 1, $6, $6)
         on conflict (slug) do nothing returning id",
    )
    .bind(tx.new_id::<kinds::Organization>())
    .bind(slug)
    .bind(name)
    .bind(LoginMethod::Password)
    .bind(true)
    .bind(tx.now)
    .optional(tx)
    .await?;
    Ok(made.map(|(id,)| id))
}

/// Whether there is any organization.
pub async fn any<'a>(on: impl Into<Target<'a>>) -> Result<bool, Fault> {
    let found: Option<(OrganizationId,)> = query("select id from organizations limit 1").optional(on).await?;
    Ok(found.is_some())
}

/// The organization, where there is exactly one.
pub async fn only_one(db: &Db) -> Result<Option<Organization>, Fault> {
    let mut two: Vec<Organization> =
        query(concat!("select ", columns!(), " from organizations limit 2")).all(db).await?;
    Ok(if two.len() == 1 { two.pop() } else { None })
}

/// By its id.
pub async fn by_id<'a>(on: impl Into<Target<'a>>, id: OrganizationId) -> Result<Option<Organization>, Fault> {
    query(concat!("select ", columns!(), " from organizations where id = $1")).bind(id).optional(on).await
}

/// By its slug.
pub async fn by_slug(db: &Db, slug: &Slug) -> Result<Option<Organization>, Fault> {
    query(concat!("select ", columns!(), " from organizations where slug = $1")).bind(slug).optional(db).await
}

/// A page of organizations by slug, for the command line.
pub async fn list<'a>(on: impl Into<Target<'a>>, after: Option<&Slug>, limit: i64) -> Result<Vec<Organization>, Fault> {
    query(concat!("select ", columns!(), " from organizations where ($1 is null or slug > $1) order by slug limit $2"))
        .bind(after.map(Slug::as_str))
        .bind(limit)
        .all(on)
        .await
}

/// Locks the organization until the end of this write: whatever reads other rows to decide (the last
/// manager, the list and the switch at creation) does so behind it, on both databases.
pub async fn lock(tx: &mut Tx, id: OrganizationId) -> Result<Option<Organization>, Fault> {
    query(concat!("update organizations set settings_version = settings_version where id = $1 returning ", columns!()))
        .bind(id)
        .optional(tx)
        .await
}

/// Locks the making of organizations until the end of this write: whether there is a first one decides about set-up.
pub async fn lock_all(tx: &mut Tx) -> Result<(), Fault> {
    query("update server set public_url = public_url where id = 1").execute(tx).await?;
    Ok(())
}

/// Saves the settings if nobody else has since `version`; `None` when somebody has.
pub async fn save_settings(
    tx: &mut Tx,
    id: OrganizationId,
    version: i64,
    (login_method, self_service): (LoginMethod, bool),
    by: Option<UserId>,
) -> Result<Option<Organization>, Fault> {
    let now = tx.now;
    query(concat!(
        "update organizations set login_method = $1, self_service = $2, settings_version = settings_version + 1,
                settings_by = $3, settings_at = $4
          where id = $5 and settings_version = $6 returning ",
        columns!()
    ))
    .bind(login_method)
    .bind(self_service)
    .bind(by)
    .bind(now)
    .bind(id)
    .bind(version)
    .optional(tx)
    .await
}

/// A change of the server's public address (decision L12): what it was before, and when it changed.
#[derive(Debug, Clone, FromRow)]
pub struct Moved {
    /// The address before.
    pub previous_url: String,
    /// When the server first started with the new one.
    pub url_changed_at: Timestamp,
}

/// Remembers how people reach the server, and that it changed where it did.
pub async fn remember_public_url(app: &App) -> Result<(), Fault> {
    let mut tx = app.db.write().await?;
    let now = tx.now;
    query(
        "update server set previous_url = public_url,
                url_changed_at = case when public_url is null then null else $1 end, public_url = $2
          where id = 1 and (public_url is null or public_url <> $2)",
    )
    .bind(now)
    .bind(app.config.origin())
    .later(&mut tx);
    tx.commit().await
}

/// The last change of the public address, if it was after `since`.
pub async fn moved_since(db: &Db, since: Timestamp) -> Result<Option<Moved>, Fault> {
    query("select previous_url, url_changed_at from server where previous_url is not null and url_changed_at > $1")
        .bind(since)
        .optional(db)
        .await
}
