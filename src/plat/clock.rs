//! Time, as the loop counts it.

use std::time::Duration;

/// A time: microseconds since the context (or the simulated network) was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Us(u64);

impl Us {
    /// The time `us` microseconds after the beginning.
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the beginning.
    pub const fn as_us(self) -> u64 {
        self.0
    }

    /// This much later; at the end of time, the end of time.
    #[must_use]
    pub fn saturating_add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn saturating_sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
