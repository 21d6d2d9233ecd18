//! Which address is tried when: Happy Eyeballs (RFC 8305).

use crate::Family;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Microseconds that IPv4 waits for the addresses of IPv6, when it is known first (RFC 8305 3, 8).
pub const RESOLUTION_DELAY: u64 = 50_000;

/// Microseconds that an attempt has to itself before the next begins (RFC 8305 5, 8).
pub const ATTEMPT_DELAY: u64 = 250_000;

/// Addresses that are tried at all: as many as would take 4 s to begin with.
const MAX_ATTEMPTS: usize = 16;

/// A race of the addresses of one name. Whichever connects first has won, and the race can be dropped.
///
/// Addresses come when they are known, in the order in which they are to be tried (see [`sort`](crate::sort)); the
/// families take turns. Times are microseconds.
///
/// ```
/// use millstream_dns::{Family, Race};
///
/// let v6: std::net::IpAddr = "2001:db8::1".parse().unwrap();
/// let v4: std::net::IpAddr = "192.0.2.1".parse().unwrap();
/// let mut race = Race::new(Family::V6);
/// race.addresses(Family::V4, [v4], 0);
/// assert_eq!((race.poll(0), race.next_due()), (None, Some(50_000)));
/// race.addresses(Family::V6, [v6], 20_000);
/// assert_eq!((race.poll(20_000), race.next_due()), (Some(v6), Some(270_000)));
/// // IPv6 leads nowhere, and nobody says so.
/// assert_eq!(race.poll(270_000), Some(v4));
/// ```
#[derive(Clone, Debug)]
pub struct Race {
    preferred: Family,
    v4: Runners,
    v6: Runners,
    /// The family of the attempt that began last.
    last: Option<Family>,
    /// Before this no attempt begins.
    not_before: u64,
    begun: Vec<IpAddr>,
    /// Those of them that have not failed.
    running: Vec<IpAddr>,
}

/// The addresses of a family.
#[derive(Clone, Debug, Default)]
struct Runners {
    is_known: bool,
    /// To be tried yet.
    waiting: VecDeque<IpAddr>,
}

impl Race {
    /// `preferred` is the family that is waited for, and tried first: IPv6 (RFC 8305 4), but where it is known to lead
    /// nowhere.
    pub fn new(preferred: Family) -> Self {
        Self {
            preferred,
            v4: Runners::default(),
            v6: Runners::default(),
            last: None,
            not_before: 0,
            begun: Vec::new(),
            running: Vec::new(),
        }
    }

    const fn runners(&self, family: Family) -> &Runners {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn runners_mut(&mut self, family: Family) -> &mut Runners {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The addresses of a family are known, best first. Those of another family, those that are here already, and those
    /// beyond 16 are left out.
    pub fn addresses(&mut self, family: Family, addresses: impl IntoIterator<Item = IpAddr>, now: u64) {
        for address in addresses {
            let waiting = &self.runners(family).waiting;
            let is_new = !waiting.contains(&address) && !self.begun.contains(&address);
            if waiting.len() >= MAX_ATTEMPTS {
                break;
            }
            if is_new && Family::of(address) == family {
                self.runners_mut(family).waiting.push_back(address);
            }
        }
        self.know(family, now);
    }

    /// A family has no addresses, or nobody could tell them.
    pub fn no_addresses(&mut self, family: Family, now: u64) {
        self.know(family, now);
    }

    fn know(&mut self, family: Family, now: u64) {
        let runners = self.runners_mut(family);
        let is_news = !core::mem::replace(&mut runners.is_known, true);
        if !self.begun.is_empty() {
            return;
        }
        if self.runners(self.preferred).is_known {
            self.not_before = now;
        } else if is_news {
            self.not_before = now.saturating_add(RESOLUTION_DELAY);
        }
    }

    /// The address to be tried now, if any; to be called until there is none: after each other call, and when
    /// [`Race::next_due`] says so.
    pub fn poll(&mut self, now: u64) -> Option<IpAddr> {
        if now < self.not_before || self.begun.len() >= MAX_ATTEMPTS {
            return None;
        }
        let turn = self.last.map_or(self.preferred, Family::other);
        let family =
            [turn, turn.other()].into_iter().find(|&family| !self.runners(family).waiting.is_empty())?;
        let address = self.runners_mut(family).waiting.pop_front()?;
        self.last = Some(family);
        self.not_before = now.saturating_add(ATTEMPT_DELAY);
        self.begun.push(address);
        self.running.push(address);
        Some(address)
    }

    /// An attempt has failed: the next begins at once.
    pub fn failed(&mut self, address: IpAddr, now: u64) {
        let count = self.running.len();
        self.running.retain(|&running| running != address);
        if self.running.len() < count {
            self.not_before = now;
        }
    }

    /// When [`Race::poll`] will have another address, as far as is known now.
    pub fn next_due(&self) -> Option<u64> {
        let is_over = self.begun.len() >= MAX_ATTEMPTS;
        let is_anyone_waiting = !self.v4.waiting.is_empty() || !self.v6.waiting.is_empty();
        (is_anyone_waiting && !is_over).then_some(self.not_before)
    }

    /// Everything was tried and has failed, and nothing more is to come: there is no way to connect.
    pub fn exhausted(&self) -> bool {
        let is_over = self.begun.len() >= MAX_ATTEMPTS;
        let is_known = self.v4.is_known && self.v6.is_known;
        self.running.is_empty() && (is_over || is_known && self.next_due().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Family::{V4, V6};
    use alloc::format;
    use alloc::string::{String, ToString};

    const MS: u64 = 1000;

    fn v4(last: u8) -> IpAddr {
        format!("192.0.2.{last}").parse().unwrap()
    }

    fn v6(last: u8) -> IpAddr {
        format!("2001:db8::{last}").parse().unwrap()
    }

    /// What begins when, in milliseconds, until nothing more does.
    fn run(race: &mut Race, mut now: u64) -> Vec<(u64, String)> {
        let mut begun = Vec::new();
        loop {
            while let Some(address) = race.poll(now) {
                begun.push((now / MS, address.to_string()));
            }
            match race.next_due() {
                Some(due) => now = due,
                None => return begun,
            }
        }
    }

    fn at(begun: &[(u64, String)]) -> Vec<(u64, &str)> {
        begun.iter().map(|(when, address)| (*when, address.as_str())).collect()
    }

    #[test]
    fn families_take_turns_a_quarter_of_a_second_apart() {
        let mut race = Race::new(V6);
        race.addresses(V6, [v6(1), v6(2), v6(3)], 10 * MS);
        race.addresses(V4, [v4(1)], 10 * MS);
        let begun = run(&mut race, 10 * MS);
        let expected = [(10, "2001:db8::1"), (260, "192.0.2.1"), (510, "2001:db8::2"), (760, "2001:db8::3")];
        assert_eq!(at(&begun), expected);
        assert!(!race.exhausted());
    }

    #[test]
    fn what_is_preferred_does_not_wait() {
        let mut race = Race::new(V6);
        race.addresses(V6, [v6(1)], 10 * MS);
        assert_eq!(race.poll(10 * MS), Some(v6(1)));
        // A family that comes later takes its turn.
        race.addresses(V4, [v4(1)], 100 * MS);
        assert_eq!((race.poll(259 * MS), race.next_due()), (None, Some(260 * MS)));
        assert_eq!(race.poll(260 * MS), Some(v4(1)));
    }

    #[test]
    fn the_other_family_waits_a_moment_and_no_longer() {
        let mut race = Race::new(V6);
        race.addresses(V4, [v4(1), v4(2)], 10 * MS);
        assert_eq!((race.poll(59 * MS), race.next_due()), (None, Some(60 * MS)));
        race.addresses(V4, [v4(2)], 30 * MS);
        assert_eq!(race.next_due(), Some(60 * MS));
        let mut in_time = race.clone();
        in_time.addresses(V6, [v6(1)], 59 * MS);
        assert_eq!(in_time.poll(59 * MS), Some(v6(1)));
        let mut none = race.clone();
        none.no_addresses(V6, 20 * MS);
        assert_eq!(none.poll(20 * MS), Some(v4(1)));
        assert_eq!(race.poll(60 * MS), Some(v4(1)));
        race.addresses(V6, [v6(1)], 70 * MS);
        assert_eq!(at(&run(&mut race, 70 * MS)), [(310, "2001:db8::1"), (560, "192.0.2.2")]);
    }

    #[test]
    fn without_addresses_of_the_one_family_the_other_still_waits_for_nobody() {
        let mut race = Race::new(V6);
        race.no_addresses(V4, 10 * MS);
        assert_eq!((race.poll(10 * MS), race.next_due(), race.exhausted()), (None, None, false));
        race.addresses(V6, [v6(1)], 12 * MS);
        assert_eq!(race.poll(12 * MS), Some(v6(1)));
    }

    #[test]
    fn where_ipv6_is_known_to_lead_nowhere_ipv4_comes_first() {
        let mut race = Race::new(V4);
        race.addresses(V6, [v6(1)], 0);
        assert_eq!(race.poll(0), None);
        race.addresses(V4, [v4(1)], 5 * MS);
        assert_eq!(at(&run(&mut race, 5 * MS)), [(5, "192.0.2.1"), (255, "2001:db8::1")]);
    }

    #[test]
    fn a_failure_lets_the_next_begin_at_once() {
        let mut race = Race::new(V6);
        race.addresses(V6, [v6(1), v6(2)], 0);
        race.addresses(V4, [v4(1)], 0);
        assert_eq!(race.poll(0), Some(v6(1)));
        race.failed(v6(1), 30 * MS);
        assert_eq!((race.next_due(), race.poll(30 * MS)), (Some(30 * MS), Some(v4(1))));
        assert_eq!((race.poll(30 * MS), race.next_due()), (None, Some(280 * MS)));
        // Who fails twice, or was never tried, hurries nobody.
        race.failed(v6(1), 40 * MS);
        race.failed(v6(2), 40 * MS);
        assert_eq!(race.poll(40 * MS), None);
        assert_eq!(race.poll(280 * MS), Some(v6(2)));
    }

    #[test]
    fn the_race_is_over_when_all_have_failed_and_nobody_is_to_come() {
        let mut race = Race::new(V6);
        race.addresses(V6, [v6(1)], 0);
        assert_eq!(race.poll(0), Some(v6(1)));
        race.failed(v6(1), MS);
        assert!(!race.exhausted());
        race.addresses(V4, [v4(1)], 2 * MS);
        assert!(!race.exhausted());
        assert_eq!(race.poll(2 * MS), Some(v4(1)));
        assert!(!race.exhausted());
        race.failed(v4(1), 3 * MS);
        assert!(race.exhausted());
        let mut nothing = Race::new(V6);
        nothing.no_addresses(V6, 0);
        nothing.addresses(V4, [], 0);
        assert!(nothing.exhausted());
    }

    #[test]
    fn nobody_runs_twice_and_sixteen_run_at_most() {
        let mut race = Race::new(V6);
        race.addresses(V6, (1..=40).map(v6), 0);
        race.addresses(V6, [v6(1), v4(9)], 0);
        race.addresses(V4, [v4(1), v4(1), v4(2)], 0);
        let begun = run(&mut race, 0);
        let addresses: Vec<&str> = begun.iter().map(|(_, address)| address.as_str()).collect();
        assert_eq!(addresses.len(), 16);
        assert_eq!(addresses[..5], ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]);
        for address in addresses {
            assert!(!race.exhausted());
            race.failed(address.parse().unwrap(), 0);
        }
        assert!(race.exhausted());
        race.addresses(V4, [v4(7)], 0);
        assert_eq!((race.poll(u64::MAX), race.next_due()), (None, None));
    }

    #[test]
    fn who_has_run_is_not_taken_again() {
        let mut race = Race::new(V6);
        race.addresses(V6, [v6(1)], 0);
        assert_eq!(race.poll(0), Some(v6(1)));
        race.addresses(V6, [v6(1)], 0);
        assert_eq!(race.next_due(), None);
    }

    #[test]
    fn a_family_that_leads_nowhere_costs_a_quarter_of_a_second() {
        // Black-holed IPv6, each way round of the answers: IPv4 begins no later than 250 ms after both are known.
        for (first, second) in [(V6, V4), (V4, V6)] {
            let mut race = Race::new(V6);
            for (family, when) in [(first, 0), (second, 40 * MS)] {
                let address = if family == V4 { v4(1) } else { v6(1) };
                race.addresses(family, [address], when);
            }
            let begun = run(&mut race, 40 * MS);
            assert!(at(&begun).contains(&(290, "192.0.2.1")), "{begun:?}");
        }
    }
}
