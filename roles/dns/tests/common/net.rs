//! A resolver among servers that a test plays.

use super::*;
use millstream_dns::{Event, Failure, Family, Hosts, Output, ResolvConf, Resolver, SocketId, Transport};
use std::collections::BTreeMap;

pub(crate) const SECOND: u64 = 1_000_000;

/// A socket that the resolver has opened, and what it sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) socket: SocketId,
    /// The server's address, without its port.
    pub(crate) server: String,
    pub(crate) transport: Transport,
    pub(crate) sent: Vec<u8>,
}

impl Asked {
    /// Name and type.
    pub(crate) fn what(&self) -> (String, u16) {
        let (_, name, record_type) = read_query(&self.sent);
        (name, record_type)
    }

    /// The query has an additional record.
    pub(crate) fn has_edns(&self) -> bool {
        self.sent[11] == 1
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::to_query(&self.sent)
    }
}

/// Sockets are what the resolver says that they are: nothing may be sent through one that is closed.
pub(crate) struct Net {
    pub(crate) resolver: Resolver,
    pub(crate) now: u64,
    pub(crate) open: BTreeMap<SocketId, Asked>,
}

pub(crate) fn net(conf: &str) -> Net {
    net_with(conf, "", Limits::default())
}

pub(crate) fn net_with(conf: &str, hosts: &str, limits: Limits) -> Net {
    let conf = ResolvConf::parse(conf.as_bytes(), &limits);
    let hosts = Hosts::parse(hosts.as_bytes(), &limits);
    Net { resolver: Resolver::new(hosts, conf, limits, [1, 2]), now: 0, open: BTreeMap::new() }
}

impl Net {
    pub(crate) fn lookup(&mut self, id: u64, name: &str) {
        self.resolver.lookup(id, name, self.now).unwrap();
    }

    /// Does what the resolver wants done; what it has asked in doing so, in order. Connections stand at once.
    pub(crate) fn asked(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        while let Some(output) = self.resolver.poll_output() {
            match output {
                Output::Open { socket, server, transport } => {
                    assert_eq!(server.port(), 53);
                    let server = server.ip().to_string();
                    let fresh = Asked { socket, server, transport, sent: Vec::new() };
                    assert!(self.open.insert(socket, fresh).is_none(), "an id is used again");
                    if transport == Transport::Tcp {
                        self.resolver.connected(socket);
                    }
                }
                Output::Send { socket, bytes } => {
                    let to = self.open.get_mut(&socket).expect("an open socket");
                    assert!(to.sent.is_empty(), "one question for each socket");
                    to.sent = match to.transport {
                        Transport::Udp => bytes,
                        Transport::Tcp => {
                            let (len, message) = bytes.split_at(2);
                            assert_eq!(usize::from(len[0]) << 8 | usize::from(len[1]), message.len());
                            message.to_vec()
                        }
                    };
                    asked.push(to.clone());
                }
                Output::Close { socket } => assert!(self.open.remove(&socket).is_some()),
            }
        }
        asked
    }

    /// The only question that was asked.
    pub(crate) fn asked_once(&mut self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    /// Both questions of a lookup: for AAAA and A.
    pub(crate) fn asked_both(&mut self) -> [Asked; 2] {
        let asked: [Asked; 2] = self.asked().try_into().unwrap();
        assert_eq!((asked[0].what().1, asked[1].what().1), (AAAA, A));
        asked
    }

    pub(crate) fn answer(&mut self, asked: &Asked, reply: &Reply) {
        match asked.transport {
            Transport::Udp => self.resolver.datagram(asked.socket, &reply.0, self.now),
            Transport::Tcp => self.resolver.stream(asked.socket, &framed(reply), self.now),
        }
    }

    pub(crate) fn fail(&mut self, asked: &Asked) {
        self.resolver.failed(asked.socket, self.now);
    }

    /// Goes to when the resolver wants to be called, and calls it.
    pub(crate) fn wait(&mut self) {
        self.now = self.resolver.next_due().expect("something to wait for");
        self.resolver.handle_due(self.now);
    }

    /// What has been found out, as "4:192.0.2.1 192.0.2.2" or "6:Timeout" behind the lookup's id.
    pub(crate) fn told(&mut self) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        while let Some(Event { id, family, result }) = self.resolver.poll_event() {
            let family = if family == Family::V4 { 4 } else { 6 };
            let result = match result {
                Ok(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(failure) => format!("{failure:?}"),
            };
            told.push((id, format!("{family}:{result}")));
        }
        told
    }

    /// What lookup 1 was told.
    pub(crate) fn told_one(&mut self) -> Vec<String> {
        let told = self.told();
        assert!(told.iter().all(|&(id, _)| id == 1), "{told:?}");
        told.into_iter().map(|(_, text)| text).collect()
    }

    /// Nothing is left behind.
    pub(crate) fn assert_idle(&mut self) {
        assert_eq!(self.asked().len(), 0);
        assert!(self.open.is_empty(), "{:?}", self.open);
        assert_eq!(self.resolver.next_due(), None);
        assert_eq!(self.told(), []);
    }
}

/// Behind its length.
pub(crate) fn framed(reply: &Reply) -> Vec<u8> {
    [&(reply.0.len() as u16).to_be_bytes()[..], &reply.0].concat()
}

pub(crate) fn refused(net: &mut Net, name: &str) -> Failure {
    net.resolver.lookup(1, name, net.now).unwrap_err()
}
