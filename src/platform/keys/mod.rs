//! The server's keys: one file that everything short, guessable or sealed depends on.
//!
//! Every use derives its own key (HKDF-SHA256, RFC 5869) by purpose, and what is stored carries the id of the
//! key it was made with. A new key is added on top of the file and used from a moment on that stands beside it; the
//! older ones go on reading what they made (`docs/decisions/0007-keys.md`).

mod file;
mod ring;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use self::{
    file::Stamp,
    ring::{Key, Ring},
};
use super::{
    Fault,
    db::{Db, query},
};
use crate::values::{Clock, MessageId, Randomness, Secret, Timestamp};

/// Keys in one file: what is found by a hash is looked for under each of them, in one statement.
pub const MOST: usize = 4;

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
    /// Knowing a browser again that has signed a user in.
    KnownBrowser,
    /// Remembering an address that may not return, without keeping it.
    BarredAddress,
    /// Counting per address, account or source, without keeping them.
    Counting,
    /// Recognising the key itself.
    KeyCheck,
}

impl Purpose {
    /// Those that hash something.
    const MACS: [Self; 6] = [
        Self::LinkCode,
        Self::ConfirmationCode,
        Self::KnownBrowser,
        Self::BarredAddress,
        Self::Counting,
        Self::KeyCheck,
    ];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::LinkCode => b"vestibule/link-code/1",
            Self::LinkDisplay => b"vestibule/link-display/1",
            Self::KnownBrowser => b"vestibule/known-browser/1",
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
    /// It must be there and is not.
    #[error(
        "there is no key file {0}. Put a copy of the key file of this installation there, or name it with --key-file"
    )]
    Missing(PathBuf),
    /// Others may read it.
    #[error("the key file {0} can be read by other users. Run: chmod 600 {0}")]
    Readable(PathBuf),
    /// It is not a key file.
    #[error("{0} is not a key file of Vestibule. Restore it from your backup")]
    Malformed(PathBuf),
    /// It holds as many as are read.
    #[error("{0} holds {MOST} keys. Take out its last line, the oldest key, once nothing needs it (docs/operating.md)")]
    Full(PathBuf),
    /// The database was made with another key.
    #[error(
        "the database was made with another key than {0}. Restore the right key file, or start with a new data folder"
    )]
    Other(PathBuf),
}

/// The keys, by purpose. They cannot be printed. A file that was changed is read again before the next use.
pub struct Keys {
    ring: RwLock<Arc<Ring>>,
    file: Option<(PathBuf, Mutex<Option<Stamp>>)>,
}

impl Keys {
    /// One key of these bytes, without a file.
    pub fn from_bytes(id: [u8; 4], bytes: &[u8; 32]) -> Result<Self, Fault> {
        let only = Key::new(id, bytes, Timestamp::from_micros(0));
        let ring = Ring::new(vec![only]).ok_or(Fault::Crypto)?;
        Ok(Self { ring: RwLock::new(Arc::new(ring)), file: None })
    }

    /// Reads the key file; makes one (mode 0600) where there is none.
    pub fn open(path: &Path, randomness: &Randomness) -> Result<Self, KeyError> {
        // Stamped before it is read: a change in between is read again.
        let stamp = file::stamp(path);
        let (ring, stamp) = match file::read(path)? {
            Some(ring) => (ring, stamp),
            None => (file::make(path, randomness)?, file::stamp(path)),
        };
        Ok(Self { ring: RwLock::new(Arc::new(ring)), file: Some((path.to_owned(), Mutex::new(stamp))) })
    }

    /// Reads a key file that must be there.
    pub fn open_existing(path: &Path) -> Result<Self, KeyError> {
        match file::read(path)? {
            Some(ring) => Ok(Self { ring: RwLock::new(Arc::new(ring)), file: None }),
            None => Err(KeyError::Missing(path.to_owned())),
        }
    }

    /// Adds a key to the file, to be used from that moment on.
    pub fn add(&self, path: &Path, randomness: &Randomness, from: Timestamp) -> Result<(), KeyError> {
        file::add(path, randomness, from)
    }

    /// The keys as the file has them now. Asked at every use: what another process has made with a key that was
    /// added a moment ago is found, and a question to the file system takes about a microsecond.
    fn ring(&self) -> Arc<Ring> {
        if let Some((path, known)) = &self.file {
            self.look(path, known);
        }
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, path: &Path, known: &Mutex<Option<Stamp>>) {
        let stamp = file::stamp(path);
        let mut known: MutexGuard<'_, Option<Stamp>> = known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == stamp {
            return;
        }
        *known = stamp;
        match file::read(path) {
            Ok(Some(ring)) => {
                tracing::info!(keys = ring.len(), "the key file was read again");
                *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
            }
            Ok(None) => tracing::error!("the key file is gone; the server goes on with the keys it has read"),
            Err(error) => tracing::error!(%error, "the server goes on with the keys it has read"),
        }
    }

    /// The newest key alone: what is made anew is made with it.
    pub fn newest(&self) -> Newest {
        Newest(self.ring())
    }

    /// Whether there are older keys beside the newest.
    pub fn are_several(&self) -> bool {
        self.ring().len() > 1
    }

    /// Refuses a database that was made with another key; remembers the key in a new one.
    pub async fn check(&self, db: &Db, path: &Path) -> Result<(), KeyCheckError> {
        let ring = self.ring();
        let mut tx = db.write().await?;
        query("insert into server (id, key_check) values (1, $1) on conflict (id) do nothing")
            .bind(ring.at(Clock::of_this_machine()).mac(Purpose::KeyCheck, &[]))
            .later(&mut tx);
        let (known,): (Vec<u8>,) = query("select key_check from server where id = 1").one(&mut tx).await?;
        if !self.made(&known) {
            return Err(KeyError::Other(path.to_owned()).into());
        }
        Ok(tx.commit().await?)
    }

    /// Whether one of these keys made a database, by its key check.
    pub fn made(&self, key_check: &[u8]) -> bool {
        self.is_mac(key_check, Purpose::KeyCheck, &[])
    }

    /// Whether the database is known by one of these keys.
    pub async fn know(&self, db: &Db) -> Result<bool, Fault> {
        let (known,): (Vec<u8>,) = query("select key_check from server where id = 1").one(db).await?;
        Ok(self.made(&known))
    }

    /// Whether the database is known by the newest key, and not only by an older one.
    pub async fn is_turned(&self, db: &Db) -> Result<bool, Fault> {
        let newest = self.newest().mac(Purpose::KeyCheck, &[]);
        let (known,): (Vec<u8>,) = query("select key_check from server where id = 1").one(db).await?;
        Ok(same(&known, &newest))
    }

    /// From now on the database is known by the newest key; a server that has only older ones does not start on it.
    pub async fn turn(&self, db: &Db) -> Result<(), Fault> {
        let mut tx = db.write().await?;
        query("update server set key_check = $1 where id = 1")
            .bind(self.newest().mac(Purpose::KeyCheck, &[]))
            .later(&mut tx);
        tx.commit().await
    }

    /// The token of a message, the same however often it is asked for: the key is that of the moment at which the
    /// message was written, which its id tells.
    pub fn derive_secret(&self, purpose: Purpose, of: MessageId) -> Secret {
        Secret::from_bytes(self.ring().at(of.made_at()).derive(purpose, &[b"/", of.uuid().as_bytes()]))
    }

    /// A number that depends on the key and on the message: what a confirmation code is made from.
    pub fn derive_number(&self, purpose: Purpose, of: MessageId) -> u64 {
        let derived = self.ring().at(of.made_at()).derive(purpose, &[b"/", of.uuid().as_bytes()]);
        derived.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// HMAC-SHA-256 of something short or guessable, headed by the key's id. Parts are kept apart by their lengths.
    /// Counters stay with the oldest key: nothing knows what they are about, so that they could be made anew.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        let ring = self.ring();
        let key = if purpose == Purpose::Counting { ring.oldest() } else { ring.at(Clock::of_this_machine()) };
        key.mac(purpose, parts)
    }

    /// The same under every key, the newest first, for finding what any of them has made. The newest stands for
    /// those that there are not.
    pub fn macs(&self, purpose: Purpose, parts: &[&[u8]]) -> [Vec<u8>; MOST] {
        let ring = self.ring();
        let mut macs = ring.all().map(|key| key.mac(purpose, parts));
        let newest = macs.next().unwrap_or_default();
        std::array::from_fn(|place| if place == 0 { None } else { macs.next() }.unwrap_or_else(|| newest.clone()))
    }

    /// Whether this is the hash of these parts, under whichever key it was made.
    pub fn is_mac(&self, stored: &[u8], purpose: Purpose, parts: &[&[u8]]) -> bool {
        self.ring().of(stored).is_some_and(|key| same(stored, &key.mac(purpose, parts)))
    }

    /// AES-256-GCM; `bound` is what the sealed text belongs to and opens with.
    pub fn seal(&self, purpose: Purpose, bound: &[u8], text: &[u8]) -> Result<Vec<u8>, Fault> {
        self.ring().at(Clock::of_this_machine()).seal(purpose, bound, text)
    }

    /// Opens what [`Keys::seal`] made, under whichever key.
    pub fn open_sealed(&self, purpose: Purpose, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.ring().of(sealed).ok_or(Fault::Crypto)?.open(purpose, bound, sealed)
    }
}

/// The newest key, for making anew what older ones made.
pub struct Newest(Arc<Ring>);

impl Newest {
    /// From when it is used.
    pub fn from(&self) -> Timestamp {
        self.0.newest().from()
    }

    /// Whether it made this hash or seal.
    pub fn made(&self, stored: &[u8]) -> bool {
        stored.starts_with(&self.0.newest().id())
    }

    /// A hash, as [`Keys::mac`] makes it.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        self.0.newest().mac(purpose, parts)
    }

    /// A seal, as [`Keys::seal`] makes it.
    pub fn seal(&self, purpose: Purpose, bound: &[u8], text: &[u8]) -> Result<Vec<u8>, Fault> {
        self.0.newest().seal(purpose, bound, text)
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
    use crate::values::MINUTE;

    fn keys() -> Keys {
        Keys::from_bytes([1; 4], &[2; 32]).unwrap()
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

    #[test]
    fn a_key_that_was_added_is_used_from_its_moment_on_and_the_old_one_reads_what_it_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let keys = Keys::open(&path, &Randomness::System).unwrap();
        let another = Keys::open(&path, &Randomness::System).unwrap();
        let (hash, sealed) =
            (keys.mac(Purpose::LinkCode, &[b"a"]), keys.seal(Purpose::LinkDisplay, b"l", b"a").unwrap());
        let counted = keys.mac(Purpose::Counting, &[b"ada"]);
        let from = Timestamp::from_rfc3339(&Clock::of_this_machine().rfc3339()).unwrap() - MINUTE;
        let (before, after) = (MessageId::new(from - MINUTE, [7; 10]), MessageId::new(from, [7; 10]));
        let old = (keys.derive_secret(Purpose::MessageToken, before), keys.derive_number(Purpose::MessageCode, before));
        let never = keys.derive_number(Purpose::MessageCode, after);

        another.add(&path, &Randomness::System, from).unwrap();
        assert!(keys.are_several(), "a process that runs sees the file as it is");
        assert!(!keys.newest().made(&hash) && keys.newest().made(&keys.mac(Purpose::LinkCode, &[b"a"])));
        assert!(keys.is_mac(&hash, Purpose::LinkCode, &[b"a"]) && !keys.is_mac(&hash, Purpose::LinkCode, &[b"b"]));
        assert!(keys.macs(Purpose::LinkCode, &[b"a"]).contains(&hash));
        assert_eq!(keys.open_sealed(Purpose::LinkDisplay, b"l", &sealed).unwrap().as_slice(), b"a");
        assert_eq!(keys.mac(Purpose::Counting, &[b"ada"]), counted, "what is counted goes on");
        assert_eq!(keys.derive_secret(Purpose::MessageToken, before).expose(), old.0.expose());
        assert_eq!(keys.derive_number(Purpose::MessageCode, before), old.1);
        assert_ne!(keys.derive_number(Purpose::MessageCode, after), never);
    }

    #[test]
    fn a_key_whose_moment_has_not_come_only_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let keys = Keys::open(&path, &Randomness::System).unwrap();
        let hash = keys.mac(Purpose::LinkCode, &[b"a"]);
        keys.add(&path, &Randomness::System, Clock::of_this_machine() + MINUTE).unwrap();
        assert_eq!(keys.mac(Purpose::LinkCode, &[b"a"]), hash);
        let coming = keys.newest().mac(Purpose::LinkCode, &[b"a"]);
        assert!(coming != hash && keys.is_mac(&coming, Purpose::LinkCode, &[b"a"]));
    }

    #[test]
    fn a_file_that_is_gone_or_spoilt_takes_no_key_from_a_server_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let keys = Keys::open(&path, &Randomness::System).unwrap();
        let hash = keys.mac(Purpose::LinkCode, &[b"a"]);
        std::fs::write(&path, "nonsense").unwrap();
        assert_eq!(keys.mac(Purpose::LinkCode, &[b"a"]), hash);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(keys.mac(Purpose::LinkCode, &[b"a"]), hash);
    }
}
