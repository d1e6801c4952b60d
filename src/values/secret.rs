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
    use std::collections::HashSet;

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

    fn hundred_thousand() -> Vec<Secret> {
        (0..100_000).map(|_| Randomness::System.secret()).collect()
    }

    /// Pearson's chi-squared over how often each octet is in the tokens.
    fn chi_squared(tokens: &[Secret]) -> f64 {
        let mut counts = [0_u32; 256];
        for token in tokens {
            for octet in URL_SAFE_NO_PAD.decode(token.expose()).unwrap() {
                counts[usize::from(octet)] += 1;
            }
        }
        let expected = f64::from(counts.iter().sum::<u32>()) / 256.0;
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn a_hundred_thousand_tokens_share_no_beginning() {
        let tokens = hundred_thousand();
        let beginnings: HashSet<&str> = tokens.iter().map(|token| &token.expose()[..12]).collect();
        assert_eq!(beginnings.len(), tokens.len());
        assert!(tokens.iter().all(|token| token.expose().len() == 43), "256 bits at six a character");
    }

    /// Of 256 kinds of octets the statistic has 255 degrees of freedom, and honest randomness is beyond 340 one time in
    /// 3,400 (the upper tail of that distribution, by the approximation of Wilson and Hilferty). That is too often for a
    /// test that runs all day, so that a second sample decides: both are beyond it one time in eleven million. A fault
    /// worth the name is beyond it always: one per cent too many or too few of each octet adds 320.
    #[test]
    fn each_octet_is_as_frequent_in_tokens_as_any_other() {
        let found: Vec<f64> =
            (0..2).map(|_| chi_squared(&hundred_thousand())).take_while(|chi| *chi >= 340.0).collect();
        assert!(found.len() < 2, "{found:?}");
    }

    #[test]
    fn a_pattern_in_tokens_is_found() {
        let patterned = |n: u32| Secret::from_bytes(Randomness::seeded(n.into()).bytes::<32>().map(|octet| octet & !1));
        assert!(chi_squared(&(0..1_000).map(patterned).collect::<Vec<_>>()) > 1_000.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(Randomness::seeded(3).bytes::<40>(), Randomness::seeded(3).bytes::<40>());
        assert_ne!(Randomness::seeded(3).bytes::<40>(), Randomness::seeded(4).bytes::<40>());
    }
}
