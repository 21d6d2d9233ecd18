//! How many connections each peer has here, so that one of them does not take all the places (`ip_limit_wsi` of lws).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Counts accepted connections by where they come from. Bounded by their number.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// 0 is no limit, and no count.
    pub(crate) most: usize,
    counts: HashMap<IpAddr, usize>,
}

/// A host of IPv6 has a whole /64 to choose its addresses from (RFC 4291 2.5.4); they all count as one.
fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl Peers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, counts: HashMap::new() }
    }

    /// One more from there. False when there are as many as there may be.
    pub(super) fn enter(&mut self, ip: IpAddr) -> bool {
        if self.most == 0 {
            return true;
        }
        let count = self.counts.entry(host(ip)).or_default();
        let may = *count < self.most;
        *count += usize::from(may);
        may
    }

    /// One less from there.
    pub(crate) fn leave(&mut self, ip: IpAddr) {
        if let Some(count) = self.counts.get_mut(&host(ip)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&host(ip));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_places_and_gets_them_back() {
        let mut peers = Peers::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (a, b) = (ip("192.0.2.1"), ip("192.0.2.2"));
        assert!(peers.enter(a) && peers.enter(a) && peers.enter(b));
        assert!(!peers.enter(a) && !peers.enter(ip("::ffff:192.0.2.1")));
        peers.leave(a);
        assert!(peers.enter(a) && !peers.enter(a));
        for _ in 0..2 {
            peers.leave(a);
        }
        peers.leave(b);
        assert!(peers.counts.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let mut peers = Peers::new(1);
        assert!(peers.enter("2001:db8::1".parse().unwrap()));
        assert!(!peers.enter("2001:db8::ffff:2".parse().unwrap()));
        assert!(peers.enter("2001:db8:0:1::1".parse().unwrap()));
    }
}
