//! What servers said, for as long as it holds.

use crate::{Failure, Family, Name};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Addresses of a name of one family, or that there are none.
pub(crate) type Known = Result<Vec<IpAddr>, Failure>;

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Microseconds; from then on it is as if it had never been said.
    until: u64,
    /// When it was last asked for, in calls: what was so longest ago makes room.
    used: u64,
}

/// Bounded in entries; each has at most [`crate::Limits::addresses`] addresses.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: BTreeMap<(Name, Family), Entry>,
    limit: usize,
    clock: u64,
}

impl Cache {
    pub(crate) const fn new(limit: u16) -> Self {
        Self { entries: BTreeMap::new(), limit: limit as usize, clock: 0 }
    }

    pub(crate) fn get(&mut self, key: &(Name, Family), now: u64) -> Option<&Known> {
        let entry = self.entries.get_mut(key).filter(|entry| now < entry.until)?;
        self.clock += 1;
        entry.used = self.clock;
        Some(&entry.known)
    }

    /// Keeps it for `ttl` seconds; 0 is not at all, and forgets what was there.
    pub(crate) fn insert(&mut self, key: (Name, Family), known: Known, ttl: u32, now: u64) {
        self.entries.remove(&key);
        if ttl == 0 || self.limit == 0 {
            return;
        }
        if self.entries.len() >= self.limit {
            self.make_room(now);
        }
        self.clock += 1;
        let until = now.saturating_add(u64::from(ttl) * 1_000_000);
        self.entries.insert(key, Entry { known, until, used: self.clock });
    }

    /// What has ended goes first; when nothing has, what was of no use for longest.
    fn make_room(&mut self, now: u64) {
        self.entries.retain(|_, entry| now < entry.until);
        if self.entries.len() < self.limit {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.entries.remove(&key);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;

    const SECOND: u64 = 1_000_000;

    fn key(text: &str) -> (Name, Family) {
        (Name::from_text(text).unwrap(), Family::V4)
    }

    fn addresses(last: u8) -> Vec<IpAddr> {
        vec![Ipv4Addr::new(192, 0, 2, last).into()]
    }

    #[test]
    fn an_entry_holds_to_the_microsecond() {
        let mut cache = Cache::new(8);
        cache.insert(key("a"), Ok(addresses(1)), 60, 5);
        cache.insert(key("b"), Err(Failure::NoSuchName), 1, 5);
        assert_eq!(cache.get(&key("a"), 60 * SECOND + 4), Some(&Ok(addresses(1))));
        assert_eq!(cache.get(&key("a"), 60 * SECOND + 5), None);
        assert_eq!(cache.get(&key("b"), SECOND + 4), Some(&Err(Failure::NoSuchName)));
        assert_eq!(cache.get(&(key("a").0, Family::V6), 5), None);
    }

    #[test]
    fn an_answer_without_time_forgets_the_one_before() {
        let mut cache = Cache::new(8);
        cache.insert(key("a"), Ok(addresses(1)), 60, 0);
        cache.insert(key("a"), Ok(addresses(2)), 0, 1);
        assert_eq!(cache.get(&key("a"), 2), None);
    }

    #[test]
    fn what_ended_makes_room_before_what_was_unused_longest() {
        let mut cache = Cache::new(3);
        cache.insert(key("ended"), Ok(addresses(1)), 1, 0);
        cache.insert(key("a"), Ok(addresses(2)), 60, 0);
        cache.insert(key("b"), Ok(addresses(3)), 60, 0);
        cache.insert(key("c"), Ok(addresses(4)), 60, SECOND);
        assert_eq!(cache.get(&key("a"), SECOND), Some(&Ok(addresses(2))));
        cache.insert(key("d"), Ok(addresses(5)), 60, SECOND);
        assert_eq!(cache.get(&key("b"), SECOND), None);
        assert!([key("a"), key("c"), key("d")].iter().all(|key| cache.get(key, SECOND).is_some()));
        assert_eq!(cache.len(), 3);
        cache.clear();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_cache_of_no_size_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.insert(key("a"), Ok(addresses(1)), 60, 0);
        assert_eq!(cache.len(), 0);
    }
}
