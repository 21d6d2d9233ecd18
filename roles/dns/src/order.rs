//! Which address is to be tried before which: destination address selection (RFC 6724 6).

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A row of the policy table.
struct Policy {
    prefix: u128,
    len: u32,
    precedence: u8,
    label: u8,
}

const fn policy(prefix: u128, len: u32, precedence: u8, label: u8) -> Policy {
    Policy { prefix, len, precedence, label }
}

/// RFC 6724 2.1; longer prefixes first.
const POLICIES: [Policy; 8] = [
    policy(1, 128, 50, 0),
    policy(0xffff << 32, 96, 35, 4),
    policy(0, 96, 1, 3),
    policy(0x2001 << 112, 32, 5, 5),
    policy(0x2002 << 112, 16, 30, 2),
    policy(0x3ffe << 112, 16, 1, 12),
    policy(0xfec0 << 112, 10, 1, 11),
    policy(0xfc00 << 112, 7, 3, 13),
];

/// Of `::/0`.
const DEFAULT_PRECEDENCE: u8 = 40;
const DEFAULT_LABEL: u8 = 1;

const LINK_LOCAL: u8 = 2;
const SITE_LOCAL: u8 = 5;
const GLOBAL: u8 = 14;

/// Bits of an address that tell its network: what is behind them tells nothing about the way (RFC 6724 2.2).
const NETWORK: u32 = 64;

/// Puts the addresses that are most likely to be reached, and to be meant, in front: the rules of RFC 6724 6 that can be
/// told from addresses alone, which are 1, 2, 5, 6, 8, 9 and 10. Where they do not decide, the order stays. IPv4 is left
/// to the order of its server among equals: rule 9 would undo the rotation by which servers share load.
///
/// `source` says which address of this machine would be used towards a destination, as the system tells after `connect`
/// of a datagram socket; `None`: there is no way there.
///
/// ```
/// let mut addresses = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
/// // Without a way to IPv6:
/// millstream_dns::sort(&mut addresses, |to| to.is_ipv4().then_some([198, 51, 100, 7].into()));
/// assert!(addresses[0].is_ipv4());
/// millstream_dns::sort(&mut addresses, |to| Some(if to.is_ipv4() { [198, 51, 100, 7].into() } else { to }));
/// assert!(addresses[0].is_ipv6());
/// ```
pub fn sort(addresses: &mut [IpAddr], mut source: impl FnMut(IpAddr) -> Option<IpAddr>) {
    addresses.sort_by_cached_key(|&address| Rank::of(address, source(address)));
}

/// What decides, in this order; smaller is tried earlier. A total order: only precedence 35 is IPv4's, so that the last
/// field compares addresses of one family alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Rule 1.
    is_unreachable: bool,
    /// Rule 2.
    is_of_other_scope: bool,
    /// Rule 5.
    is_of_other_label: bool,
    /// Rule 6.
    precedence: Reverse<u8>,
    /// Rule 8.
    scope: u8,
    /// Rule 9.
    common: Reverse<u32>,
}

impl Rank {
    fn of(destination: IpAddr, source: Option<IpAddr>) -> Self {
        let to = mapped(destination);
        let (precedence, label) = policy_of(to);
        let from = source.map(mapped);
        Self {
            is_unreachable: from.is_none(),
            is_of_other_scope: from.is_some_and(|from| scope(from) != scope(to)),
            is_of_other_label: from.is_some_and(|from| policy_of(from).1 != label),
            precedence: Reverse(precedence),
            scope: scope(to),
            common: Reverse(from.map_or(0, |from| common_prefix(from, to))),
        }
    }
}

/// RFC 6724 3.2: IPv4 as IPv6.
const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Precedence and label.
fn policy_of(address: Ipv6Addr) -> (u8, u8) {
    let is_within = |policy: &&Policy| (address.to_bits() ^ policy.prefix).leading_zeros() >= policy.len;
    POLICIES
        .iter()
        .find(is_within)
        .map_or((DEFAULT_PRECEDENCE, DEFAULT_LABEL), |policy| (policy.precedence, policy.label))
}

/// RFC 6724 3.1, 3.2 and 3.4: private addresses of IPv4 are global, as their translators make them.
fn scope(address: Ipv6Addr) -> u8 {
    if let Some(address) = address.to_ipv4_mapped() {
        return scope_v4(address);
    }
    match address.octets() {
        [0xff, flags_and_scope, ..] => flags_and_scope & 0x0f,
        [0xfe, 0x80..=0xbf, ..] => LINK_LOCAL,
        [0xfe, 0xc0..=0xff, ..] => SITE_LOCAL,
        _ if address.is_loopback() => LINK_LOCAL,
        _ => GLOBAL,
    }
}

const fn scope_v4(address: Ipv4Addr) -> u8 {
    if address.is_link_local() || address.is_loopback() { LINK_LOCAL } else { GLOBAL }
}

fn common_prefix(from: Ipv6Addr, to: Ipv6Addr) -> u32 {
    if to.to_ipv4_mapped().is_some() {
        return 0;
    }
    (from.to_bits() ^ to.to_bits()).leading_zeros().min(NETWORK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    /// Sorts destinations, each with the source that leads to it ("" is none); given best last.
    fn sorted(pairs: &[(&str, &str)]) -> Vec<String> {
        let source = |to: IpAddr| pairs.iter().find(|pair| pair.0 == to.to_string())?.1.parse().ok();
        let mut addresses: Vec<IpAddr> = pairs.iter().map(|pair| pair.0.parse().unwrap()).collect();
        sort(&mut addresses, source);
        addresses.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_turned(pairs: &[(&str, &str)]) {
        let expected: Vec<&str> = pairs.iter().rev().map(|pair| pair.0).collect();
        assert_eq!(sorted(pairs), expected);
        let reversed: Vec<_> = pairs.iter().rev().copied().collect();
        assert_eq!(sorted(&reversed), expected);
    }

    /// RFC 6724 10.2, with addresses for documentation where it has them; what it decides by rules 3 and 4 is not here.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        // Prefer matching scope.
        assert_turned(&[("198.51.100.121", "169.254.13.78"), ("2001:db8:1::1", "2001:db8:1::2")]);
        assert_turned(&[("2001:db8:1::1", "fe80::1"), ("198.51.100.121", "198.51.100.117")]);
        // Prefer higher precedence.
        assert_turned(&[("10.1.2.3", "10.1.2.4"), ("2001:db8:1::1", "2001:db8:1::2")]);
        // Prefer smaller scope.
        assert_turned(&[("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe80::2")]);
        // It counts more than how near the network is.
        assert_turned(&[("2001:db8:1::1", "2001:db8:1::2"), ("fe80::1", "fe90::2")]);
        // Prefer matching label.
        assert_turned(&[("2001:db8:1::1", "2002:c633:6401::2"), ("2002:c633:6401::1", "2002:c633:6401::2")]);
        // Prefer higher precedence.
        assert_turned(&[("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2001:db8:1::2")]);
    }

    #[test]
    fn what_cannot_be_reached_comes_last() {
        assert_turned(&[("2001:db8::1", ""), ("192.0.2.1", "198.51.100.7")]);
        assert_turned(&[("::1", ""), ("3ffe::1", "fe80::1")]);
    }

    #[test]
    fn among_addresses_of_ipv6_the_nearer_network_comes_first() {
        assert_turned(&[("2001:db8:9::1", "2001:db8:1::2"), ("2001:db8:1::1", "2001:db8:1::2")]);
        // Not the nearer host.
        let same = [("2001:db8:1::ff:1", "2001:db8:1::1"), ("2001:db8:1::2", "2001:db8:1::1")];
        assert_eq!(sorted(&same), ["2001:db8:1::ff:1", "2001:db8:1::2"]);
    }

    #[test]
    fn equals_stay_in_their_order() {
        let of = "203.0.113.1";
        let addresses = ["198.51.100.1", "203.0.113.9", "192.0.2.1"];
        assert_eq!(sorted(&addresses.map(|address| (address, of))), addresses);
        assert_eq!(sorted(&addresses.map(|address| (address, ""))), addresses);
        assert_eq!(sorted(&[]), [""; 0]);
    }

    #[test]
    fn the_table_says_what_the_rfc_says() {
        for (address, expected) in [
            ("::1", (50, 0)),
            ("2001:db8::1", (40, 1)),
            ("::ffff:192.0.2.1", (35, 4)),
            ("2002:c000:201::1", (30, 2)),
            ("2001:0:1::1", (5, 5)),
            ("fd00::1", (3, 13)),
            ("fc00::1", (3, 13)),
            ("::192.0.2.1", (1, 3)),
            ("fec0::1", (1, 11)),
            ("3ffe::1", (1, 12)),
            ("fe80::1", (40, 1)),
        ] {
            assert_eq!(policy_of(address.parse().unwrap()), expected, "{address}");
        }
        assert!(POLICIES.windows(2).all(|pair| pair[0].len >= pair[1].len));
    }

    #[test]
    fn scopes_are_told_by_the_first_bits() {
        for (address, expected) in [
            ("ff02::1", 2),
            ("ff0e::1", 14),
            ("ff15::1", 5),
            ("fe80::1", LINK_LOCAL),
            ("febf::1", LINK_LOCAL),
            ("fec0::1", SITE_LOCAL),
            ("feff::1", SITE_LOCAL),
            ("fd00::1", GLOBAL),
            ("::1", LINK_LOCAL),
            ("127.0.0.1", LINK_LOCAL),
            ("169.254.1.1", LINK_LOCAL),
            ("192.168.1.1", GLOBAL),
            ("2001:db8::1", GLOBAL),
        ] {
            assert_eq!(scope(mapped(address.parse().unwrap())), expected, "{address}");
        }
    }
}
