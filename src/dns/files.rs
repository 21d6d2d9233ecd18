//! What the system says about names: `/etc/hosts` and `/etc/resolv.conf`, or what the application says in their place.

use crate::plat::Plat;
use ::dns::{Hosts, Limits, ResolvConf, Resolver};
use std::net::SocketAddr;
use std::time::Duration;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How names are turned into addresses. [`Names::default`] does it as the system's files say.
///
/// In a simulation there are no files: names are those of [`Network::name`](crate::sim::Network::name), unless `servers`
/// says whom to ask on the simulated network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Whom to ask, in place of the `nameserver` lines of `/etc/resolv.conf`; at most 3.
    pub servers: Vec<SocketAddr>,
    /// What stands in for `/etc/hosts`, in its form.
    pub hosts: Option<String>,
    /// How long a server has to answer before the next one is asked, in place of `options timeout`: 1 s to 30 s, in whole
    /// seconds.
    pub timeout: Option<Duration>,
    /// How often all servers are asked, in place of `options attempts`: 1 to 5.
    pub attempts: Option<u8>,
}

/// By what a change of the files is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp([Option<std::time::SystemTime>; 2]);

impl Names {
    pub(super) fn stamp(&self, plat: &Plat) -> Stamp {
        let own = [self.hosts.is_some(), false];
        let mut stamp = Stamp::default();
        for ((place, path), is_own) in stamp.0.iter_mut().zip([HOSTS, RESOLV_CONF]).zip(own) {
            *place = if is_own { None } else { plat.file_changed(path) };
        }
        stamp
    }

    pub(super) fn resolver(&self, plat: &Plat, seed: [u64; 2]) -> Resolver {
        let limits = Limits::default();
        let hosts = match &self.hosts {
            Some(text) => Hosts::parse(text.as_bytes(), &limits),
            None => Hosts::parse(&plat.read_file(HOSTS), &limits),
        };
        let mut conf = ResolvConf::parse(&plat.read_file(RESOLV_CONF), &limits);
        if let Some(timeout) = self.timeout {
            conf.timeout = u8::try_from(timeout.as_secs().clamp(1, 30)).unwrap_or(30);
        }
        if let Some(attempts) = self.attempts {
            conf.attempts = attempts.clamp(1, 5);
        }
        let zoned: Vec<_> = conf
            .servers
            .iter()
            .filter_map(|server| server.socket_addr(53, |zone| plat.interface_index(zone)))
            .collect();
        let mut resolver = Resolver::new(hosts, conf, limits, seed);
        resolver.set_servers(if self.servers.is_empty() { zoned } else { self.servers.clone() });
        resolver
    }
}
