//! Links: invite links as small policies. Whoever holds one may begin a registration.
//!
//! A link's code is found by a keyed hash and kept sealed for display. Replacing a link ends its code at once;
//! whether it is off, expired or full is asked of the link itself, whether it was replaced of its code.
//!
//! Tables: `links`, `link_codes`, `link_days`.

mod model;
mod store;

use std::sync::LazyLock;

pub use model::{Found, Link, LinkKind, LinkState, Policy};
pub use store::{count_use, in_transaction, of_organization, write_funnel};

use super::{
    audit::{self, Authority, EventKind, Happened},
    organizations,
};
use crate::{
    platform::{App, Fault, db::Tx, keys::Purpose, together::Together},
    values::{LinkCodeId, LinkId, OrganizationId, Secret},
};

/// Makes the organization's own link, with the first code.
pub fn create_own(app: &App, tx: &mut Tx, organization: OrganizationId) -> Result<LinkId, Fault> {
    let link = store::insert_own(tx, organization);
    new_code(app, tx, organization, link)?;
    Ok(link)
}

/// 24 letters and digits, 142 random bits: no `-` or `_`, where mail programs break links.
fn code_text(random: &Secret) -> String {
    random.expose().chars().filter(char::is_ascii_alphanumeric).take(24).collect()
}

/// A new code, unrelated to any id.
fn new_code(app: &App, tx: &mut Tx, organization: OrganizationId, link: LinkId) -> Result<(LinkCodeId, String), Fault> {
    let code = code_text(&tx.new_secret());
    let id = tx.new_id();
    let hash = app.keys.mac(Purpose::LinkCode, &[code.as_bytes()]);
    let sealed = app.keys.seal(Purpose::LinkDisplay, id_bytes(id).as_slice(), code.as_bytes())?;
    store::insert_code(tx, organization, link, (id, hash, sealed));
    Ok((id, code))
}

fn id_bytes(id: LinkCodeId) -> Vec<u8> {
    id.uuid().as_bytes().to_vec()
}

/// Everybody of an office opens the same link at once. The keyed hash of a code belongs to one server only.
static LOOKED_UP: LazyLock<Together<Option<Found>>> = LazyLock::new(Together::new);

/// The link behind a code, whatever its state. `None` for a code that never was.
pub async fn find(app: &App, code: &str) -> Result<Option<Found>, Fault> {
    if code.len() > 64 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(None);
    }
    loop {
        let hashes = app.keys.macs(Purpose::LinkCode, &[code.as_bytes()]);
        let found = LOOKED_UP.ask(hashes.concat(), || store::find(&app.db, hashes.clone())).await?;
        // A key that was added meanwhile may have made the hash anew.
        if found.is_some() || app.keys.macs(Purpose::LinkCode, &[code.as_bytes()]) == hashes {
            return Ok(found);
        }
    }
}

/// The path of the organization's own link, opened for display: `/join/…`.
pub async fn path_of_own(app: &App, organization: OrganizationId) -> Result<String, Fault> {
    let (id, sealed) =
        store::current_code(&app.db, organization).await?.ok_or(Fault::Data("an organization has no link"))?;
    let code = app.keys.open_sealed(Purpose::LinkDisplay, id_bytes(id).as_slice(), &sealed)?;
    let code = std::str::from_utf8(&code).map_err(|_| Fault::Data("a sealed link code is no text"))?;
    Ok(format!("/join/{code}"))
}

/// Ends the organization's link and makes another. The caller decides about registrations begun with the old one.
/// Returns the path of the new one.
pub async fn replace_own(app: &App, tx: &mut Tx, by: &Authority) -> Result<String, Fault> {
    organizations::lock(tx, by.organization).await?.ok_or(Fault::Data("an organization is gone"))?;
    let link = store::own_in(tx, by.organization).await?.ok_or(Fault::Data("an organization has no link"))?;
    store::end_codes(tx, link);
    let (_, code) = new_code(app, tx, by.organization, link)?;
    audit::record(tx, by.organization, &by.actor, Happened::to(EventKind::LinkReplaced, link));
    Ok(format!("/join/{code}"))
}

/// Codes made anew in one write.
const BATCH: i64 = 500;

/// Follows a new key: seals and hashes every code anew that an older key made, while servers work, and lets the
/// database be known by the newest key then. How many codes there were. Stopped halfway, it goes on another time.
pub async fn follow_key(app: &App) -> Result<usize, Fault> {
    let (mut made, mut after) = (0, None);
    let newest = app.keys.newest();
    loop {
        let page = store::codes_after(&app.db, after, BATCH).await?;
        let Some((last, _, _)) = page.last() else { break };
        after = Some(*last);
        let older = |(_, hash, sealed): &&store::Sealed| !newest.made(hash) || !newest.made(sealed);
        let mut anew = Vec::new();
        for (id, _, sealed) in page.iter().filter(older) {
            let bound = id_bytes(*id);
            let code = app.keys.open_sealed(Purpose::LinkDisplay, &bound, sealed)?;
            let hash = newest.mac(Purpose::LinkCode, &[code.as_slice()]);
            anew.push((*id, hash, newest.seal(Purpose::LinkDisplay, &bound, &code)?));
        }
        if anew.is_empty() {
            continue;
        }
        made += anew.len();
        let mut tx = app.db.write().await?;
        for code in anew {
            store::seal_code_anew(&mut tx, code);
        }
        tx.commit().await?;
    }
    if !app.keys.is_turned(&app.db).await? {
        app.keys.turn(&app.db).await?;
    }
    Ok(made)
}

/// Follows a new key whose moment has come, where there is one, and says so where this server has not got it.
pub async fn follow_key_in_use(app: &App) -> Result<(), Fault> {
    if !app.keys.know(&app.db).await? {
        tracing::error!(
            "the key file lacks the key that this database is known by: copy the newest key file to this server"
        );
        return Ok(());
    }
    if app.keys.are_several() && app.keys.newest().from() <= app.db.now() {
        follow_key(app).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Randomness;

    #[test]
    fn a_code_has_at_least_128_random_bits_and_survives_any_mail_program() {
        for _ in 0..1_000 {
            let code = code_text(&Randomness::System.secret());
            // 62 letters and digits: log2(62) is 5.95 bits each.
            assert!(f64::from(u32::try_from(code.len()).unwrap()) * 62_f64.log2() >= 128.0, "{code}");
            assert!(code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
