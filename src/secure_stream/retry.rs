//! When to try again, and when to stop trying.
//!
//! Everything here is a function of its arguments: the caller brings the policy's numbers, the count of failures and
//! the randomness, so that a simulation can own them all.

use std::time::Duration;

/// The delay where the policy names none.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(3);

/// The jitter where the policy names none, in percent.
pub const DEFAULT_JITTER_PC: u8 = 30;

/// The value of `conceal` that means: never stop trying.
pub const CONCEAL_FOREVER: u16 = 65535;

/// A backoff scheme, as the policy's `retry` section gives it. [`Backoff::default`] is that of a stream type which
/// names none: every failure is told at once.
///
/// ```
/// use std::time::Duration;
/// use millstream::secure_stream::retry::{Backoff, Decision};
///
/// let backoff = Backoff { table: &[1000, 2000], conceal: 3, jitterpc: 0 };
/// assert_eq!(backoff.decide(0, 0, None), Decision::Retry(Duration::from_millis(1000)));
/// assert_eq!(backoff.decide(2, 0, None), Decision::Retry(Duration::from_millis(2000)));
/// assert_eq!(backoff.decide(3, 0, None), Decision::AllRetriesFailed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff<'a> {
    /// The delay of each retry in turn, in milliseconds (`backoff`); the last is used for all further ones, and
    /// [`DEFAULT_DELAY`] when there is none.
    pub table: &'a [u32],
    /// How many retries are made before the stream says `ALL_RETRIES_FAILED`; [`CONCEAL_FOREVER`]: it never does.
    pub conceal: u16,
    /// How much may be added to a delay at random, in percent of it.
    pub jitterpc: u8,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt, after this long.
    Retry(Duration),
    /// None; the stream is idle until it is asked again.
    AllRetriesFailed,
}

impl Default for Backoff<'_> {
    fn default() -> Self {
        Self { table: &[], conceal: 0, jitterpc: DEFAULT_JITTER_PC }
    }
}

impl Backoff<'_> {
    /// How long to wait before retry `nth`, counted from 0. `random` is spread evenly over the jitter, in microseconds:
    /// 0 adds none, `u64::MAX` adds almost all of it, and the whole is never reached.
    pub fn delay(&self, nth: u16, random: u64) -> Duration {
        let delay = match self.table.get(usize::from(nth)).or_else(|| self.table.last()) {
            Some(&ms) => Duration::from_millis(u64::from(ms)),
            None => DEFAULT_DELAY,
        };
        let jitter_us = delay.as_micros().saturating_mul(u128::from(self.jitterpc)) / 100;
        // random / 2^64 of the jitter. It is below 2^64, since a table entry is below 2^32 ms and `jitterpc` below 256.
        let added_us = jitter_us.saturating_mul(u128::from(random)) >> u64::BITS;
        delay.saturating_add(Duration::from_micros(u64::try_from(added_us).unwrap_or(u64::MAX)))
    }

    /// What to do after a failure which was preceded by `nth` retries since the last success. A peer's `Retry-After`
    /// lengthens the wait and never shortens it.
    pub fn decide(&self, nth: u16, random: u64, retry_after: Option<Duration>) -> Decision {
        if self.conceal != CONCEAL_FOREVER && nth >= self.conceal {
            return Decision::AllRetriesFailed;
        }
        Decision::Retry(self.delay(nth, random).max(retry_after.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u64 = 0;
    const HALF: u64 = 1 << 63;
    const MOST: u64 = u64::MAX;

    #[test]
    fn delays_are_those_of_the_table() {
        let table: &[u32] = &[1000, 2000, 3000, 5000, 10000];
        // (backoff, jitterpc, nth, random, expected microseconds)
        let expected: &[(&[u32], u8, u16, u64, u64)] = &[
            (table, 0, 0, NONE, 1_000_000),
            (table, 0, 0, MOST, 1_000_000),
            (table, 0, 1, NONE, 2_000_000),
            (table, 0, 4, NONE, 10_000_000),
            (table, 0, 5, NONE, 10_000_000),
            (table, 0, u16::MAX, NONE, 10_000_000),
            (table, 20, 0, NONE, 1_000_000),
            (table, 20, 0, HALF, 1_100_000),
            (table, 20, 0, MOST, 1_199_999),
            (table, 20, u16::MAX, MOST, 11_999_999),
            (table, 100, 2, HALF, 4_500_000),
            (table, 255, 1, MOST, 7_099_999),
            (&[], 0, 0, MOST, 3_000_000),
            (&[], 30, 0, HALF, 3_450_000),
            (&[], 30, 700, MOST, 3_899_999),
            (&[0], 255, 0, MOST, 0),
            (&[1], 1, 0, MOST, 1_009),
            (&[u32::MAX], 0, 0, MOST, 4_294_967_295_000),
            (&[u32::MAX], 255, 9, MOST, 15_247_133_897_249),
        ];
        for &(table, jitterpc, nth, random, expected) in expected {
            let backoff = Backoff { table, conceal: 0, jitterpc };
            assert_eq!(
                backoff.delay(nth, random),
                Duration::from_micros(expected),
                "{backoff:?}, retry {nth}, {random:#x}"
            );
        }
    }

    #[test]
    fn jitter_is_spread_evenly_and_never_reaches_its_end() {
        let backoff = Backoff { table: &[1000], conceal: 0, jitterpc: 20 };
        let steps = 1000u64;
        let total: u128 = (0..steps)
            .map(|step| {
                let delay_us = backoff.delay(0, step * (u64::MAX / (steps - 1))).as_micros();
                assert!((1_000_000..1_200_000).contains(&delay_us));
                delay_us - 1_000_000
            })
            .sum();
        assert!((99_000..=101_000).contains(&(total / u128::from(steps))));
    }

    #[test]
    fn conceal_counts_retries_and_65535_never_stops() {
        for (conceal, nth, stops) in [
            (0, 0, true),
            (1, 0, false),
            (1, 1, true),
            (5, 4, false),
            (5, 5, true),
            (5, u16::MAX, true),
            (65534, 65533, false),
            (65534, 65534, true),
            (65535, 0, false),
            (65535, u16::MAX, false),
        ] {
            let backoff = Backoff { conceal, ..Backoff::default() };
            let decision = backoff.decide(nth, NONE, None);
            assert_eq!(decision == Decision::AllRetriesFailed, stops, "conceal {conceal}, retry {nth}");
        }
    }

    #[test]
    fn retry_after_lengthens_the_wait_and_does_not_add_retries() {
        let backoff = Backoff { table: &[2000], conceal: 1, jitterpc: 0 };
        let retry = |seconds| Decision::Retry(Duration::from_secs(seconds));
        assert_eq!(backoff.decide(0, MOST, Some(Duration::from_secs(1))), retry(2));
        assert_eq!(backoff.decide(0, MOST, Some(Duration::from_secs(60))), retry(60));
        assert_eq!(backoff.decide(1, MOST, Some(Duration::from_secs(60))), Decision::AllRetriesFailed);
    }

    #[test]
    fn without_a_scheme_the_first_failure_is_told() {
        assert_eq!(Backoff::default().decide(0, NONE, None), Decision::AllRetriesFailed);
    }
}
