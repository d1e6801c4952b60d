//! The keys of one key file, and what each of them makes.

use aws_lc_rs::{aead, hkdf, hmac};
use zeroize::Zeroizing;

use super::{MOST, Purpose};
use crate::{platform::Fault, values::Timestamp};

/// One key of the file, by purpose. It cannot be printed.
pub(super) struct Key {
    id: [u8; 4],
    from: Timestamp,
    root: hkdf::Prk,
    macs: Vec<(Purpose, hmac::Key)>,
}

impl Key {
    pub(super) fn new(id: [u8; 4], bytes: &[u8; 32], from: Timestamp) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule").extract(bytes);
        let mut key = Self { id, from, root, macs: Vec::new() };
        // Derived once: a link is looked up by such a hash on every page view.
        key.macs = Purpose::MACS
            .iter()
            .map(|purpose| (*purpose, hmac::Key::new(hmac::HMAC_SHA256, &key.derive(*purpose, &[]))))
            .collect();
        key
    }

    pub(super) const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// From when it is used; the first key of all always was.
    pub(super) const fn from(&self) -> Timestamp {
        self.from
    }

    pub(super) fn derive(&self, purpose: Purpose, context: &[&[u8]]) -> [u8; 32] {
        let mut info = vec![purpose.label()];
        info.extend_from_slice(context);
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 octets; 32 never fail")]
        self.root.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).expect("32 octets");
        key
    }

    pub(super) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
        let known = self.macs.iter().find(|(known, _)| *known == purpose).map(|(_, key)| key.clone());
        let key = known.unwrap_or_else(|| hmac::Key::new(hmac::HMAC_SHA256, &self.derive(purpose, &[])));
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        [&self.id, context.sign().as_ref()].concat()
    }

    pub(super) fn seal(&self, purpose: Purpose, bound: &[u8], text: &[u8]) -> Result<Vec<u8>, Fault> {
        let key =
            aead::RandomizedNonceKey::new(&aead::AES_256_GCM, &self.derive(purpose, &[])).map_err(|_| Fault::Crypto)?;
        let mut sealed = text.to_vec();
        let nonce = key.seal_in_place_append_tag(aead::Aad::from(bound), &mut sealed).map_err(|_| Fault::Crypto)?;
        Ok([self.id.as_slice(), nonce.as_ref(), &sealed].concat())
    }

    /// `sealed` begins with this key's id.
    pub(super) fn open(&self, purpose: Purpose, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
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

/// The keys of the file, never none.
pub(super) struct Ring {
    oldest: Key,
    /// Those added since, the newest first.
    later: Vec<Key>,
}

impl Ring {
    /// The newest first. Nothing where there are none, more than are read at once, two of one id, or an older
    /// one that would be used after a newer.
    pub(super) fn new(mut keys: Vec<Key>) -> Option<Self> {
        let oldest = keys.pop()?;
        let ring = Self { oldest, later: keys };
        let all: Vec<&Key> = ring.all().collect();
        let in_order = all.is_sorted_by(|newer, older| newer.from >= older.from);
        let apart = all.iter().enumerate().all(|(place, key)| !all.iter().skip(place + 1).any(|k| k.id == key.id));
        (ring.len() <= MOST && in_order && apart).then_some(ring)
    }

    pub(super) const fn len(&self) -> usize {
        self.later.len() + 1
    }

    /// Every key, the newest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.later.iter().chain([&self.oldest])
    }

    pub(super) const fn oldest(&self) -> &Key {
        &self.oldest
    }

    pub(super) fn newest(&self) -> &Key {
        self.later.first().unwrap_or(&self.oldest)
    }

    /// The key that was, is or will be used at this moment.
    pub(super) fn at(&self, moment: Timestamp) -> &Key {
        self.later.iter().find(|key| key.from <= moment).unwrap_or(&self.oldest)
    }

    /// The key that made this hash or seal.
    pub(super) fn of(&self, made: &[u8]) -> Option<&Key> {
        self.all().find(|key| made.starts_with(&key.id))
    }
}
