//! The server's key: one file that everything short, guessable or sealed depends on.
//!
//! Every use derives its own key (HKDF-SHA256, RFC 5869) by purpose, and what is stored carries the id of the
//! key it was made with, so that a key can be replaced later without losing what the old one made.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{aead, constant_time, hkdf, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{
    Fault,
    db::{Db, query},
};
use crate::values::{Randomness, Secret};

/// What a derived key is for. The words are part of every hash and seal: never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Finding a link by its code.
    LinkCode,
    /// Sealing a link's code for display.
    LinkDisplay,
    /// Hashing confirmation codes.
    ConfirmationCode,
    /// Deriving the link token of a message.
    MessageToken,
    /// Deriving the confirmation code of a message.
    MessageCode,
    /// Remembering an address that may not return, without keeping it.
    BarredAddress,
    /// Counting per address, account or source, without keeping them.
    Counting,
    /// Recognising the key itself.
    KeyCheck,
}

impl Purpose {
    /// Those that hash something.
    const MACS: [Self; 5] =
        [Self::LinkCode, Self::ConfirmationCode, Self::BarredAddress, Self::Counting, Self::KeyCheck];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::LinkCode => b"vestibule/link-code/1",
            Self::LinkDisplay => b"vestibule/link-display/1",
            Self::ConfirmationCode => b"vestibule/confirmation-code/1",
            Self::MessageToken => b"vestibule/message-token/1",
            Self::MessageCode => b"vestibule/message-code/1",
            Self::BarredAddress => b"vestibule/barred-address/1",
            Self::Counting => b"vestibule/counting/1",
            Self::KeyCheck => b"vestibule/key-check/1",
        }
    }
}

/// Why the key file could not be used; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make the key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the key file {0} can be read by other users. Run: chmod 600 {0}")]
    Readable(PathBuf),
    /// It is not a key file.
    #[error("{0} is not a key file of Vestibule. Restore it from your backup")]
    Malformed(PathBuf),
    /// The database was made with another key.
    #[error(
        "the database was made with another key than {0}. Restore the right key file, or start with a new data folder"
    )]
    Other(PathBuf),
}

/// The key, by purpose. It cannot be printed.
pub struct Keys {
    id: [u8; 4],
    root: hkdf::Prk,
    macs: Vec<(Purpose, hmac::Key)>,
}

impl Keys {
    /// A key of these bytes.
    pub fn from_bytes(id: [u8; 4], bytes: &[u8; 32]) -> Self {
        let mut keys =
            Self { id, root: hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule").extract(bytes), macs: Vec::new() };
        // Derived once: a link is looked up by such a hash on every page view.
        keys.macs = Purpose::MACS
            .iter()
            .map(|purpose| (*purpose, hmac::Key::new(hmac::HMAC_SHA256, &keys.derive(*purpose, &[]))))
            .collect();
        keys
    }

    /// Reads the key file; makes one (mode 0600) where there is none.
    pub fn open(path: &Path, randomness: &Randomness) -> Result<Self, KeyError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &Zeroizing::new(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path, randomness),
            Err(source) => Err(KeyError::File { path: path.to_owned(), source }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        if fs::metadata(path).map_err(failed)?.permissions().mode().trailing_zeros() < 6 {
            return Err(KeyError::Readable(path.to_owned()));
        }
        let malformed = || KeyError::Malformed(path.to_owned());
        let encoded = text.trim().strip_prefix("vestibule-key-1:").ok_or_else(malformed)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| malformed())?);
        let (id, key) = bytes.split_first_chunk::<4>().ok_or_else(malformed)?;
        Ok(Self::from_bytes(*id, key.try_into().map_err(|_| malformed())?))
    }

    fn make(path: &Path, randomness: &Randomness) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let bytes = Zeroizing::new(randomness.bytes::<36>());
        let text = Zeroizing::new(format!("vestibule-key-1:{}\n", URL_SAFE_NO_PAD.encode(bytes.as_slice())));
        // Written beside and linked into place: a crash leaves no half key, and of two first starts one wins.
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside).map_err(failed)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Self::parse(path, &Zeroizing::new(fs::read_to_string(path).map_err(failed)?)),
        }
    }

    /// Refuses a database that was made with another key; remembers the key in a new one.
    pub async fn check(&self, db: &Db, path: &Path) -> Result<(), KeyCheckError> {
        let mine = self.mac(Purpose::KeyCheck, &[]);
        let mut tx = db.write().await?;
        query("insert into server (id, key_check) values (1, $1) on conflict (id) do nothing")
            .bind(mine.clone())
            .execute(&mut tx)
            .await?;
        let (known,): (Vec<u8>,) = query("select key_check from server where id = 1").one(&mut tx).await?;
        if !same(&known, &mine) {
            return Err(KeyError::Other(path.to_owned()).into());
        }
        Ok(tx.commit().await?)
    }

    fn derive(&self, purpose: Purpose, context: &[&[u8]]) -> [u8; 32] {
        let mut info = vec![purpose.label()];
        info.extend_from_slice(context);
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 octets; 32 never fail")]
        self.root.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).expect("32 octets");
        key
    }

    /// The token of a message, the same however often it is asked for.
    pub fn derive_secret(&self, purpose: Purpose, of: &[u8]) -> Secret {
        Secret::from_bytes(self.derive(purpose, &[b"/", of]))
    }

    /// A number that depends on the key and on `of`: what a confirmation code is made from.
    pub fn derive_number(&self, purpose: Purpose, of: &[u8]) -> u64 {
        let derived = self.derive(purpose, &[b"/", of]);
        derived.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// HMAC-SHA-256 of something short or guessable, headed by the key's id. Parts are kept apart by their lengths.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        let known = self.macs.iter().find(|(known, _)| *known == purpose).map(|(_, key)| key.clone());
        let key = known.unwrap_or_else(|| hmac::Key::new(hmac::HMAC_SHA256, &self.derive(purpose, &[])));
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        [&self.id, context.sign().as_ref()].concat()
    }

    /// AES-256-GCM; `bound` is what the sealed text belongs to and opens with.
    pub fn seal(&self, purpose: Purpose, bound: &[u8], text: &[u8]) -> Result<Vec<u8>, Fault> {
        let key =
            aead::RandomizedNonceKey::new(&aead::AES_256_GCM, &self.derive(purpose, &[])).map_err(|_| Fault::Crypto)?;
        let mut sealed = text.to_vec();
        let nonce = key.seal_in_place_append_tag(aead::Aad::from(bound), &mut sealed).map_err(|_| Fault::Crypto)?;
        Ok([self.id.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    /// Opens what [`Keys::seal`] made.
    pub fn open_sealed(&self, purpose: Purpose, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let rest = sealed.strip_prefix(self.id.as_slice()).ok_or(Fault::Crypto)?;
        let (nonce, text) = rest.split_first_chunk::<12>().ok_or(Fault::Crypto)?;
        let key =
            aead::RandomizedNonceKey::new(&aead::AES_256_GCM, &self.derive(purpose, &[])).map_err(|_| Fault::Crypto)?;
        let mut text = text.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, aead::Aad::from(bound), &mut text).map_err(|_| Fault::Crypto)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Why the key could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheckError {
    /// It is the wrong key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::from_bytes([1; 4], &[2; 32])
    }

    #[test]
    fn the_key_file_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Keys::open(&path, &Randomness::System).unwrap();
        let read = Keys::open(&path, &Randomness::System).unwrap();
        assert_eq!(made.mac(Purpose::KeyCheck, &[]), read.mac(Purpose::KeyCheck, &[]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keys::open(&path, &Randomness::System), Err(KeyError::Readable(_))));
    }

    #[test]
    fn purposes_and_parts_never_meet() {
        assert_ne!(keys().mac(Purpose::LinkCode, &[b"a"]), keys().mac(Purpose::Counting, &[b"a"]));
        assert_ne!(keys().mac(Purpose::LinkCode, &[b"ab", b"c"]), keys().mac(Purpose::LinkCode, &[b"a", b"bc"]));
    }

    #[test]
    fn what_is_sealed_opens_only_where_it_belongs() {
        let sealed = keys().seal(Purpose::LinkDisplay, b"acme", b"code").unwrap();
        assert!(!sealed.windows(4).any(|window| window == b"code"));
        assert_eq!(keys().open_sealed(Purpose::LinkDisplay, b"acme", &sealed).unwrap().as_slice(), b"code");
        assert!(keys().open_sealed(Purpose::LinkDisplay, b"evil", &sealed).is_err());
        assert!(keys().open_sealed(Purpose::LinkDisplay, b"acme", b"short").is_err());
    }
}
