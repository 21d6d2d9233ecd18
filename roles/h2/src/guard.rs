//! How much work a peer may make: allowances that time gives back, and useful traffic too. A peer that does what others
//! do never notices; one that makes frames for their own sake runs out within a second.

/// So many at once, and so many a second after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How many a second are given back.
    pub per_second: u32,
}

/// What is left of an allowance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    rate: Rate,
    /// In millionths, since time is in microseconds.
    left: u64,
    at: u64,
}

const UNIT: u64 = 1_000_000;

impl Allowance {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, left: rate.burst as u64 * UNIT, at: 0 }
    }

    /// Takes one. False when there is none.
    pub(crate) fn take(&mut self, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.add(elapsed.saturating_mul(u64::from(self.rate.per_second)));
        let left = self.left.checked_sub(UNIT);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Gives back so many: something useful was done.
    pub(crate) fn give(&mut self, count: u32) {
        self.add(u64::from(count) * UNIT);
    }

    fn add(&mut self, millionths: u64) {
        self.left = self.left.saturating_add(millionths).min(u64::from(self.rate.burst) * UNIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_ends_and_comes_back_with_time_and_use() {
        let mut allowance = Allowance::new(Rate { burst: 3, per_second: 2 });
        assert!((0..3).all(|_| allowance.take(7)));
        assert!(!allowance.take(7) && !allowance.take(499_000));
        assert!(allowance.take(500_007) && !allowance.take(500_007));
        allowance.give(1);
        assert!(allowance.take(500_007) && !allowance.take(400_000));
        assert!((0..3).all(|_| allowance.take(u64::MAX)) && !allowance.take(u64::MAX));
    }
}
