//! The mark of a browser that has signed a user in: a stranger's wrong guesses do not shut such a browser out.
//!
//! Half of it is random and half says, by a keyed hash, whose it is. It needs no row, opens nothing, and is good for its
//! user alone.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    platform::{
        App,
        keys::{Purpose, same},
    },
    values::{Secret, UserId},
};

/// Octets of each half.
const HALF: usize = 16;

/// A new mark for a user's browser.
pub(super) fn mark(app: &App, user: UserId) -> Secret {
    let random: [u8; HALF] = app.randomness.bytes();
    let mac = app.keys.mac(Purpose::KnownBrowser, &[user.uuid().as_bytes(), &random]);
    let mut bytes = [0; 2 * HALF];
    // The key's id heads a keyed hash; the mark is too small for it, and is looked for under every key.
    for (octet, made) in bytes.iter_mut().zip(random.iter().chain(mac.iter().skip(4))) {
        *octet = *made;
    }
    Secret::from_bytes(bytes)
}

/// Whether a mark was made for this user, under any key.
pub(super) fn is_marked(app: &App, user: UserId, mark: &Secret) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(mark.expose()) else { return false };
    let Some((random, hash)) = bytes.split_at_checked(HALF) else { return false };
    let macs = app.keys.macs(Purpose::KnownBrowser, &[user.uuid().as_bytes(), random]);
    macs.iter().any(|mac| mac.get(4..4 + HALF).is_some_and(|made| same(made, hash)))
}
