//! `/etc/hosts`: names that this machine knows by itself.

use crate::{Limits, Name};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What a hosts file says (hosts(5)).
///
/// ```
/// use millstream_dns::{Hosts, Limits, Name};
///
/// let hosts = Hosts::parse(b"192.0.2.1 printer.lan printer # upstairs\n", &Limits::default());
/// let printer = Name::from_text("Printer").unwrap();
/// assert_eq!(hosts.addresses(&printer), ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeMap<Name, Vec<IpAddr>>,
    ignored: u32,
}

impl Hosts {
    /// Reads the file's text: on each line an address and names. What makes no sense is left out, and counted. An
    /// address with a zone (`fe80::1%eth0`) is left out too: without its zone it leads nowhere.
    pub fn parse(text: &[u8], limits: &Limits) -> Self {
        let mut hosts = Self::default();
        for line in text.split(|&byte| byte == b'\n') {
            hosts.line(line, limits);
        }
        hosts
    }

    fn line(&mut self, line: &[u8], limits: &Limits) {
        let said = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let mut words = said.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(address) = words.next() else { return };
        let Some(address) = core::str::from_utf8(address).ok().and_then(|word| word.parse().ok()) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        for word in words {
            let name = core::str::from_utf8(word).ok().and_then(|word| Name::from_text(word).ok());
            if !name.is_some_and(|name| self.add(name, address, limits)) {
                self.ignored = self.ignored.saturating_add(1);
            }
        }
    }

    /// Whether there was room.
    fn add(&mut self, name: Name, address: IpAddr, limits: &Limits) -> bool {
        let has_room = self.names.len() < limits.host_names as usize;
        let addresses = match self.names.get_mut(&name) {
            Some(addresses) => addresses,
            None if has_room => self.names.entry(name).or_default(),
            None => return false,
        };
        if addresses.contains(&address) {
            return true;
        }
        let has_room = addresses.len() < usize::from(limits.addresses);
        if has_room {
            addresses.push(address);
        }
        has_room
    }

    /// The addresses of a name, in the order of the file; none when the file does not name it.
    pub fn addresses(&self, name: &Name) -> &[IpAddr] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many names the file has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// No line of the file names anything.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Lines without an address, names that are none, and what is beyond the limits.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn parse(text: &str) -> Hosts {
        Hosts::parse(text.as_bytes(), &Limits::default())
    }

    fn addresses(hosts: &Hosts, name: &str) -> Vec<String> {
        hosts.addresses(&Name::from_text(name).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_gives_its_address_all_its_names() {
        let hosts =
            parse("127.0.0.1\tlocalhost\n  ::1  ip6-localhost   IP6-Loopback\r\n192.0.2.1 a.example a");
        assert_eq!(addresses(&hosts, "localhost"), ["127.0.0.1"]);
        assert_eq!(addresses(&hosts, "ip6-loopback"), ["::1"]);
        assert_eq!(addresses(&hosts, "a"), ["192.0.2.1"]);
        assert_eq!(addresses(&hosts, "b"), [""; 0]);
        assert_eq!((hosts.len(), hosts.ignored()), (5, 0));
    }

    #[test]
    fn lines_add_up_and_nothing_is_there_twice() {
        let hosts = parse("192.0.2.1 a\n2001:db8::1 A\n192.0.2.1 a.\n");
        assert_eq!(addresses(&hosts, "a"), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!((hosts.len(), hosts.ignored()), (1, 0));
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        let hosts = parse("# 192.0.2.1 a\n\n   \n#\n192.0.2.2 b#c d\n192.0.2.3#\n");
        assert_eq!(addresses(&hosts, "b"), ["192.0.2.2"]);
        assert_eq!((hosts.len(), hosts.ignored()), (1, 0));
        assert!(parse("").is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_left_out_and_the_rest_holds() {
        let hosts = parse("nonsense a\n192.0.2.256 b\nfe80::1%lo0 c\n192.0.2.1 d e..f g/h i\n192.0.2.1\n");
        assert_eq!((hosts.len(), hosts.ignored()), (2, 5));
        assert_eq!(addresses(&hosts, "i"), ["192.0.2.1"]);
        let hosts = Hosts::parse(b"\xff\xfe a\n192.0.2.1 \xff b\0c d\n", &Limits::default());
        assert_eq!((hosts.len(), hosts.ignored()), (1, 3));
    }

    #[test]
    fn names_and_addresses_end_at_their_limits() {
        let limits = Limits { host_names: 3, addresses: 2, ..Limits::default() };
        let text = [1, 2, 3, 4, 5].map(|n| format!("192.0.2.{n} all n{n}\n")).concat();
        let hosts = Hosts::parse(text.as_bytes(), &limits);
        assert_eq!(hosts.len(), 3);
        assert_eq!(addresses(&hosts, "all"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(addresses(&hosts, "n2"), ["192.0.2.2"]);
        assert_eq!(addresses(&hosts, "n3"), [""; 0]);
        assert_eq!(hosts.ignored(), 6);
    }
}
