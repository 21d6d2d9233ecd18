//! Names, from a table: at once or late, known or not, as the test wants it.

use super::net::{Event, Net};
use crate::cause::DnsFailure;
use crate::plat::Resolution;
use std::net::{IpAddr, SocketAddr};

impl Net {
    /// Answers, after a while, to the token.
    pub(super) fn resolve(&mut self, host: usize, name: &str, port: u16, token: u64) {
        let with_port =
            |ips: &Vec<IpAddr>| ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect::<Vec<_>>();
        let result = if self.fallible("resolve").is_err() {
            Err(DnsFailure::ServerFailure)
        } else {
            match self.names.get(&name.to_ascii_lowercase()) {
                Some(Ok(ips)) if ips.is_empty() => Err(DnsFailure::NoAddress),
                Some(Ok(ips)) => Ok(with_port(ips)),
                Some(Err(failure)) => Err(*failure),
                None if name == "localhost" => Ok(with_port(&vec![IpAddr::from([127, 0, 0, 1])])),
                None => Err(DnsFailure::NoSuchName),
            }
        };
        self.note(format_args!("host {host} asks for {name}"));
        let at = self.now.saturating_add(self.name_delay);
        self.schedule(at, Event::Name(host, Resolution { token, result }));
    }
}
