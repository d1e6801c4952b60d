//! A user whom a manager makes: active at once, without a password until the mail's link sets one.

use super::end_everything_of;
use crate::{
    features::{
        admission::Admitted,
        audit::Authority,
        organizations, sign_in,
        users::{self, CameBy, NewUser, Proved, ProvedHow, Role, User},
    },
    platform::{App, Fault},
    values::{EmailAddress, FullName, UserId},
};

/// Whom a manager makes.
pub struct ByManager {
    /// The address; the allowlist does not apply to it.
    pub email: EmailAddress,
    /// The name; without one, what stands before the `@`.
    pub full_name: Option<FullName>,
    /// What they may do.
    pub role: Role,
    /// The manager; none on the command line.
    pub manager: Option<UserId>,
}

/// Makes the user and writes the mail that leads to a first password. It ends what the address had open, and lets an
/// address come back that was barred. `None` when there is a user with this address already.
pub async fn create_by_manager(app: &App, by: &Authority, new: ByManager) -> Result<Option<User>, Fault> {
    let mut tx = app.db.write().await?;
    organizations::lock(&mut tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    users::unbar(app, &mut tx, by.organization, &new.email).await?;
    let full_name = new.full_name.unwrap_or_else(|| users::name_from_address(&new.email));
    let came_by = if new.manager.is_some() { CameBy::Manager } else { CameBy::CommandLine };
    let user = NewUser {
        organization: by.organization,
        admitted: Admitted::by_manager(new.email),
        full_name,
        password_hash: None,
        role: new.role,
        proved: Proved::by(ProvedHow::NotYet),
        came_by,
        came_by_id: None,
    };
    let Some(user) = users::create(&mut tx, user, &by.actor).await? else { return Ok(None) };
    end_everything_of(&mut tx, &user, &by.actor).await?;
    sign_in::write_first_password(app, &mut tx, &user, new.manager).await?;
    tx.commit().await?;
    Ok(Some(user))
}
