//! Ids that nobody can guess who does not know the seed (RFC 5452 9.2).

/// SipHash-2-4 of a counter, under the seed as its key: a keyed pseudorandom function, whose past values tell nothing
/// about the next.
#[derive(Clone)]
pub(super) struct Random {
    seed: [u64; 2],
    counter: u64,
}

/// Without the seed, whatever is printed.
impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    pub(super) const fn new(seed: [u64; 2]) -> Self {
        Self { seed, counter: 0 }
    }

    pub(super) fn id(&mut self) -> u16 {
        self.counter = self.counter.wrapping_add(1);
        siphash(self.seed, self.counter) as u16
    }
}

/// Of the eight bytes of a word, little end first.
fn siphash([k0, k1]: [u64; 2], word: u64) -> u64 {
    // "somepseudorandomlygeneratedbytes", as the function's authors chose.
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The last block is the length, in its highest byte, of a message that ends with a whole word.
    for block in [word, 8 << 56] {
        v[3] ^= block;
        v = round(round(v));
        v[0] ^= block;
    }
    v[2] ^= 0xff;
    round(round(round(round(v)))).into_iter().fold(0, |hash, part| hash ^ part)
}

const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The standard library has the same function, and will keep it.
    #[allow(deprecated)]
    fn reference([k0, k1]: [u64; 2], word: u64) -> u64 {
        use core::hash::{Hasher, SipHasher};
        let mut hasher = SipHasher::new_with_keys(k0, k1);
        hasher.write(&word.to_le_bytes());
        hasher.finish()
    }

    #[test]
    fn it_is_siphash() {
        let mut word = 1u64;
        for _ in 0..1000 {
            word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7);
            let seed = [word.rotate_left(11), !word];
            assert_eq!(siphash(seed, word), reference(seed, word));
        }
    }

    #[test]
    fn ids_differ_and_repeat_with_the_seed_alone() {
        let ids = |seed| {
            let mut random = Random::new(seed);
            core::iter::repeat_with(|| random.id()).take(1000).collect::<std::vec::Vec<u16>>()
        };
        assert_eq!(ids([1, 2]), ids([1, 2]));
        assert_ne!(ids([1, 2]), ids([1, 3]));
        // Of 1,000 draws out of 65,536, some 8 are expected to be there twice.
        assert!(ids([1, 2]).into_iter().collect::<BTreeSet<_>>().len() > 970);
    }
}
