//! `/etc/resolv.conf`: whom to ask, and how.

use crate::{Limits, Name};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// A server, as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its address.
    pub address: IpAddr,
    /// The zone of a link-local address (RFC 4007 11): an interface's name or index.
    pub zone: Option<Box<str>>,
}

impl NameServer {
    /// Where to send to: the port is 53 but in tests. `index` turns an interface's name into its index; an index is
    /// taken as it is. `None`: there is no such interface.
    pub fn socket_addr(&self, port: u16, index: impl FnOnce(&str) -> Option<u32>) -> Option<SocketAddr> {
        match (self.address, self.zone.as_deref()) {
            (IpAddr::V6(address), Some(zone)) => {
                let scope = zone.parse().ok().or_else(|| index(zone))?;
                Some(SocketAddrV6::new(address, port, 0, scope).into())
            }
            (address, _) => Some(SocketAddr::new(address, port)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        if zone.is_some_and(|zone| zone.is_empty() || zone.len() > MAX_ZONE || address.is_ipv4()) {
            return None;
        }
        Some(Self { address, zone: zone.map(Into::into) })
    }
}

/// Bytes of an interface's name: more than any system allows.
const MAX_ZONE: usize = 64;
// The bounds that resolv.conf(5) names.
const MAX_NDOTS: u8 = 15;
const MAX_TIMEOUT: u8 = 30;
const MAX_ATTEMPTS: u8 = 5;

/// What a resolv.conf says (resolv.conf(5)).
///
/// ```
/// use millstream_dns::{Limits, ResolvConf};
///
/// let text = b"nameserver fe80::1%eth0\nsearch lan example.com\noptions ndots:2 rotate\n";
/// let conf = ResolvConf::parse(text, &Limits::default());
/// let server = conf.servers[0].socket_addr(53, |zone| (zone == "eth0").then_some(3)).unwrap();
/// assert_eq!(server.to_string(), "[fe80::1%3]:53");
/// assert_eq!((conf.search.len(), conf.ndots, conf.rotate), (2, 2, true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver`, in order; this machine when the file names none.
    pub servers: Vec<NameServer>,
    /// `search` or `domain`, whichever stands last.
    pub search: Vec<Name>,
    /// `ndots`: with so many dots a name is first tried as it is. 1.
    pub ndots: u8,
    /// `timeout`: seconds to wait for a server. 5.
    pub timeout: u8,
    /// `attempts`: how often each server is asked. 2.
    pub attempts: u8,
    /// `rotate`: begin with another server each time.
    pub rotate: bool,
    /// Lines, words and options that make no sense, or are beyond the limits.
    pub ignored: u32,
}

impl Default for ResolvConf {
    /// What holds where the file says nothing.
    fn default() -> Self {
        let here = NameServer { address: Ipv4Addr::LOCALHOST.into(), zone: None };
        Self {
            servers: Vec::from([here]),
            search: Vec::new(),
            ndots: 1,
            timeout: 5,
            attempts: 2,
            rotate: false,
            ignored: 0,
        }
    }
}

impl ResolvConf {
    /// Reads the file's text. What is not known here, or makes no sense, changes nothing.
    pub fn parse(text: &[u8], limits: &Limits) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.split(|&byte| byte == b'\n') {
            match core::str::from_utf8(line) {
                Ok(line) => conf.line(line, limits),
                Err(_) => conf.ignore(),
            }
        }
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn ignore(&mut self) {
        self.ignored = self.ignored.saturating_add(1);
    }

    fn line(&mut self, line: &str, limits: &Limits) {
        // Only in front: elsewhere these characters are part of a word.
        if line.starts_with([';', '#']) {
            return;
        }
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            None => {}
            Some("nameserver") => match words.next().and_then(NameServer::parse) {
                Some(server) if self.servers.len() < usize::from(limits.servers) => self.servers.push(server),
                _ => self.ignore(),
            },
            Some("domain") => self.search(words.take(1), limits),
            Some("search") => self.search(words, limits),
            Some("options") => words.for_each(|option| self.option(option)),
            Some(_) => self.ignore(),
        }
    }

    fn search<'a>(&mut self, domains: impl Iterator<Item = &'a str>, limits: &Limits) {
        self.search.clear();
        // The root is searched anyway: it is the name as it stands.
        for domain in domains.filter(|&domain| domain != ".") {
            match Name::from_text(domain) {
                Ok(domain) if self.search.len() < usize::from(limits.search) => self.search.push(domain),
                _ => self.ignore(),
            }
        }
    }

    fn option(&mut self, option: &str) {
        let (key, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>().ok().map(|number| u8::try_from(number).unwrap_or(u8::MAX));
        match (key, number) {
            ("ndots", Some(number)) => self.ndots = number.min(MAX_NDOTS),
            ("timeout", Some(number)) => self.timeout = number.clamp(1, MAX_TIMEOUT),
            ("attempts", Some(number)) => self.attempts = number.clamp(1, MAX_ATTEMPTS),
            ("rotate", _) => self.rotate = true,
            _ => self.ignore(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text.as_bytes(), &Limits::default())
    }

    fn search(text: &str) -> Vec<String> {
        parse(text).search.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_file_means_this_machine() {
        assert_eq!(parse(""), ResolvConf::default());
        assert_eq!(parse("# nothing\n; here\n\n   \n"), ResolvConf::default());
        assert_eq!(ResolvConf::default().servers[0].address.to_string(), "127.0.0.1");
    }

    #[test]
    fn servers_come_in_order_and_three_of_them() {
        let conf = parse(
            "nameserver 192.0.2.1\nnameserver\t2001:db8::1 # trailing\r\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(|server| server.address.to_string()).collect();
        assert_eq!(servers, ["192.0.2.1", "2001:db8::1", "192.0.2.3"]);
        assert_eq!(conf.ignored, 1);
    }

    #[test]
    fn a_zone_is_a_name_or_an_index_and_belongs_to_ipv6() {
        let conf = parse("nameserver fe80::1%eth0\nnameserver fe80::2%7\n");
        let at = |server: &NameServer, known| {
            server.socket_addr(5353, |zone| if zone == "eth0" { known } else { None })
        };
        assert_eq!(at(&conf.servers[0], Some(3)).unwrap().to_string(), "[fe80::1%3]:5353");
        assert_eq!(at(&conf.servers[0], None), None);
        assert_eq!(at(&conf.servers[1], None).unwrap().to_string(), "[fe80::2%7]:5353");
        let long = format!("nameserver fe80::1%{}\n", "x".repeat(65));
        for text in ["nameserver fe80::1%\n", "nameserver 192.0.2.1%eth0\n", &long] {
            assert_eq!(parse(text).ignored, 1);
        }
    }

    #[test]
    fn the_last_of_search_and_domain_counts() {
        assert_eq!(search("search a.example b.example\n"), ["a.example", "b.example"]);
        assert_eq!(search("search a b\ndomain c d\n"), ["c"]);
        assert_eq!(search("domain c\nsearch a . b\n"), ["a", "b"]);
        assert_eq!(search("search a\nsearch\n"), [""; 0]);
        let many = (0..20).map(|n| format!("d{n}")).collect::<Vec<_>>().join(" ");
        let conf = parse(&format!("search {many}\n"));
        assert_eq!((conf.search.len(), conf.ignored), (16, 4));
    }

    #[test]
    fn options_are_bounded_and_unknown_ones_are_left() {
        let conf = parse("options ndots:3 timeout:2 attempts:4\noptions rotate\n");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts, conf.rotate), (3, 2, 4, true));
        let conf = parse("options ndots:99 timeout:4000000000 attempts:300\n");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (15, 30, 5));
        let conf = parse("options timeout:0 attempts:0 edns0 trust-ad ndots: ndots:x ndots:-1 timeout\n");
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (1, 1, 1));
        assert_eq!(conf.ignored, 6);
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_the_rest_holds() {
        let text =
            b"nameserver\nnameserver x\n\xff\xfe\nsortlist 1.2.3.4\n nameserver 192.0.2.1\nsearch a b/c\n";
        let conf = ResolvConf::parse(text, &Limits::default());
        assert_eq!(conf.servers.len(), 1);
        assert_eq!((conf.search.len(), conf.ignored), (1, 5));
    }
}
