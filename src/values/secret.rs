use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::Invalid;

/// A 256-bit token as it travels in a link or a cookie. Never stored, never logged.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The token of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text, for the one place that it goes to: a link or a cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it. 256 random bits need no key and no salt.
    pub fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        Digest(bytes)
    }
}

impl FromStr for Secret {
    type Err = Invalid;

    fn from_str(typed: &str) -> Result<Self, Invalid> {
        match URL_SAFE_NO_PAD.decode(typed) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(Zeroizing::new(typed.to_owned()))),
            _ => Err(Invalid::Token),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a [`Secret`]: enough to recognise it, useless to a thief.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The octets, for a column.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From a column; `None` when its length is wrong.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// Where randomness comes from. Tests hand in a seeded one.
#[derive(Clone, Debug)]
pub enum Randomness {
    /// The operating system's.
    System,
    /// A sequence of hashes that depends on nothing but its seed. For tests only.
    Seeded(u64, Arc<AtomicU64>),
}

impl Randomness {
    /// The same bytes in the same order for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(seed, Arc::default())
    }

    /// Fresh random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can be done then.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            #[expect(clippy::expect_used, reason = "a server without randomness must stop")]
            Self::System => aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes"),
            Self::Seeded(seed, counter) => {
                for chunk in bytes.chunks_mut(32) {
                    let count = counter.fetch_add(1, Ordering::SeqCst);
                    let block = digest(&SHA256, format!("{seed}/{count}").as_bytes());
                    for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
                        *to = *from;
                    }
                }
            }
        }
        bytes
    }

    /// A fresh 256-bit token.
    pub fn secret(&self) -> Secret {
        Secret::from_bytes(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Randomness::seeded(1).secret();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{:?}", secret.digest()), "Digest(…)");
    }

    #[test]
    fn a_secret_comes_back_from_its_link_with_the_same_digest() {
        let secret = Randomness::System.secret();
        let returned: Secret = secret.expose().parse().unwrap();
        assert_eq!(secret.digest(), returned.digest());
        assert!("short".parse::<Secret>().is_err());
    }

    #[test]
    fn tokens_share_no_pattern() {
        let mut counts = [0_u32; 256];
        for _ in 0..20_000 {
            for byte in Randomness::System.bytes::<32>() {
                counts[usize::from(byte)] += 1;
            }
        }
        // Chi-square over 256 buckets: beyond 340 has p < 0.001 for honest randomness.
        let expected = 20_000.0 * 32.0 / 256.0;
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        assert!(chi < 370.0, "{chi}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(Randomness::seeded(3).bytes::<40>(), Randomness::seeded(3).bytes::<40>());
        assert_ne!(Randomness::seeded(3).bytes::<40>(), Randomness::seeded(4).bytes::<40>());
    }
}
