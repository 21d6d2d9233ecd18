//! What `ops` asks for below streams: user code straight on connections, datagrams, vhosts.

use super::{Notes, Shared, flow, request};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::{
    Acceptor, Address, Cause, ClientInfo, ClientRole, Cx, Flow, ListenInfo, Protocol, ServerRole, Target, Tx,
    TxFlow, UdpInfo, Validity, WsDeflate, WsInfo, WsiId,
};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Names that are served on one port.
const NAMES: [&str; 3] = ["v0.test", "v1.test", "deep.v0.test"];

/// Where datagrams and clients go: to bound sockets, to listeners, to where nobody is.
const PEERS: [(&str, u16); 10] = [
    ("10.0.0.1", 53),
    ("10.0.0.2", 53),
    ("server.test", 7),
    ("10.0.0.1", 80),
    ("10.0.0.9", 7),
    ("no.test", 7),
    ("server.test", 82),
    ("10.0.0.2", 82),
    ("10.0.0.1", 83),
    ("10.0.0.2", 1883),
];

/// What clients speak that are not for datagrams.
const ROLES: [ClientRole; 8] = [
    ClientRole::Raw,
    ClientRole::H2,
    ClientRole::H1,
    ClientRole::Raw,
    ClientRole::Ws,
    ClientRole::H2,
    ClientRole::H1,
    ClientRole::Mqtt,
];

/// Connections and vhosts beyond these are not made.
const MOST_WSIS: usize = 24;
const MOST_VHOSTS: usize = 8;

/// What a connection's user has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Established,
    Payload,
    Closed,
}

struct User(Shared);

impl User {
    fn new(shared: &Shared) -> Self {
        shared.borrow_mut().handlers += 1;
        Self(Rc::clone(shared))
    }

    fn hear(&self, cx: &mut Cx<'_>, me: WsiId, what: Told) -> u8 {
        self.0.borrow_mut().wsis.entry(me).or_default().push(what);
        self.react(cx, me)
    }

    /// Perhaps asks for something, mostly on itself, and says what to return.
    fn react(&self, cx: &mut Cx<'_>, me: WsiId) -> u8 {
        let inside = std::mem::replace(&mut self.0.borrow_mut().is_inside, true);
        assert!(!inside, "a handler was re-entered");
        let code = self.0.borrow_mut().reaction();
        match code & 0x38 {
            0x08 => act(cx, &self.0, Some(me), code),
            0x10 => drop(cx.wsi_request_tx(me)),
            0 => {}
            _ => request(cx, &self.0, None, code),
        }
        self.0.borrow_mut().is_inside = false;
        code >> 6
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Ok(mut notes) = self.0.try_borrow_mut() {
            notes.handlers -= 1;
        }
    }
}

/// A question in words of HTTP, on whatever it is.
fn ask(cx: &mut Cx<'_>, me: WsiId, code: u8) {
    let info = WsInfo {
        protocols: "ops",
        is_binary: false,
        prioritize_reads: false,
        deflate: (code & 8 == 0).then(WsDeflate::default),
    };
    drop(match code & 7 {
        0 => cx.http_request(me, Method::Get, "/", "a", &[], BodyLength::None),
        1 => cx.http_request(me, Method::Post, "/", "a", &[("x-word", "a")], BodyLength::Known(code.into())),
        2 => cx.http_request(me, Method::Post, "/", "a", &[], BodyLength::Unknown),
        3 => cx.ws_request(me, "/", "a", &[], &info),
        4 => cx.http_respond(me, Status::OK, &[], BodyLength::Known(code.into())),
        5 => cx.http_respond(me, Status::NOT_FOUND, &[], BodyLength::Unknown),
        _ => Ok(()),
    });
}

impl Protocol for User {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        ask(cx, me, self.0.borrow_mut().byte());
        flow(self.hear(cx, me, Told::Established))
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let code = self.0.borrow_mut().byte();
        if code & 7 == 7 {
            let info = WsInfo {
                protocols: "ops",
                is_binary: true,
                prioritize_reads: true,
                deflate: Some(WsDeflate::TAKEOVER),
            };
            let _ = cx.ws_accept(me, head, &info);
        } else {
            ask(cx, me, code);
        }
        drop(cx.wsi_request_tx(me));
        flow(self.hear(cx, me, Told::Payload))
    }

    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        flow(self.hear(cx, me, Told::Payload))
    }

    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        ask(cx, me, self.0.borrow_mut().byte());
        flow(self.hear(cx, me, Told::Payload))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        flow(self.hear(cx, me, Told::Payload))
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let (len, to) = {
            let mut notes = self.0.borrow_mut();
            (usize::from(notes.byte()), peer(notes.byte()))
        };
        if let Ok(ip) = to.0.parse() {
            tx.to(SocketAddr::new(ip, to.1));
        }
        tx.write(&[b'x'; 255][..len]);
        if len > 240 {
            tx.end_message();
        }
        match self.react(cx, me) {
            0 => TxFlow::Send,
            1 => TxFlow::DontSend,
            2 => TxFlow::DisconnectMe,
            _ => TxFlow::DestroyMe,
        }
    }

    fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        flow(self.react(cx, me))
    }

    fn ping(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        self.react(cx, me);
    }

    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&Cause>) {
        self.hear(cx, me, Told::Closed);
    }
}

impl Acceptor for User {
    fn accept(&mut self, cx: &mut Cx<'_>, me: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        (self.react(cx, me) != 3).then(|| Box::new(Self::new(&self.0)) as _)
    }
}

fn peer(code: u8) -> (&'static str, u16) {
    PEERS[usize::from(code) % PEERS.len()]
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// How long a connection may be silent, by two bits.
fn validity(code: u8) -> Option<Validity> {
    let secs = |secs: u8| Some(Duration::from_secs(secs.into()));
    match code >> 6 {
        0 => None,
        1 => Some(Validity { ping: secs(2), hangup: secs(4) }),
        2 => Some(Validity { ping: None, hangup: secs(3) }),
        _ => Some(Validity { ping: secs(5), hangup: secs(1) }),
    }
}

fn connect(cx: &mut Cx<'_>, shared: &Shared, role: ClientRole) {
    let code = shared.borrow_mut().byte();
    let (host, port) = peer(code);
    let mut info = ClientInfo::new(Target::Host(host.to_owned(), port), role);
    info.validity = validity(code);
    let id = cx.connect(&info, User::new(shared));
    shared.borrow_mut().wsis.entry(id).or_default();
}

fn bind(cx: &mut Cx<'_>, shared: &Shared) {
    // One port that is asked for again and again, and any.
    let port = if shared.borrow_mut().byte() & 1 == 0 { 53 } else { 0 };
    if let Ok(id) = cx.udp_bind(UdpInfo::new(address(port)), User::new(shared)) {
        shared.borrow_mut().wsis.entry(id).or_default();
    }
}

/// A name for a server stream, or a listener with user code of its own.
fn serve(cx: &mut Cx<'_>, shared: &Shared) {
    let code = shared.borrow_mut().byte();
    let role = match code & 0x22 {
        0 => ServerRole::H1,
        0x20 => ServerRole::Http,
        _ => ServerRole::Raw,
    };
    let is_named = code & 1 == 0;
    let mut info = ListenInfo::new(Address::Ip(address(if is_named { 8080 } else { 53 })), role);
    info.name = is_named.then(|| NAMES[usize::from(code >> 2) % NAMES.len()].to_owned());
    info.validity = validity(code);
    let made = if is_named { cx.vhost_create(info) } else { cx.listen(info, User::new(shared)) };
    if let Ok(vhost) = made {
        shared.borrow_mut().vhosts.push(vhost);
    }
}

/// One request below streams.
pub(super) fn act(cx: &mut Cx<'_>, shared: &Shared, me: Option<WsiId>, code: u8) {
    let picked = |notes: &mut Notes| {
        let nth = usize::from(notes.byte()) % notes.wsis.len().max(1);
        notes.wsis.keys().nth(nth).copied()
    };
    let target = me.or_else(|| picked(&mut shared.borrow_mut()));
    let (wsis, vhosts) = {
        let notes = shared.borrow();
        (notes.wsis.len() < MOST_WSIS, notes.vhosts.len() < MOST_VHOSTS)
    };
    match (code & 7, target) {
        (0, _) if wsis => connect(cx, shared, ClientRole::Udp),
        (1, _) if wsis => connect(cx, shared, ROLES[usize::from(code >> 3 & 7)]),
        (2, _) if wsis => bind(cx, shared),
        (3, _) if vhosts => serve(cx, shared),
        (4, _) => {
            let mut notes = shared.borrow_mut();
            let nth = usize::from(notes.byte()) % notes.vhosts.len().max(1);
            let vhost = notes.vhosts.get(nth).copied();
            drop(notes);
            drop(vhost.map(|vhost| cx.vhost_destroy(vhost)));
        }
        (5, Some(id)) => drop(cx.wsi_close(id)),
        (6, Some(id)) => {
            let how = shared.borrow_mut().byte();
            match how & 7 {
                0 | 1 => drop(cx.wsi_rx_flow(id, how & 1 == 0)),
                2 => drop(cx.wsi_validity_confirm(id)),
                3 if cx.wsi_release(id).is_ok() => drop(shared.borrow_mut().released.insert(id)),
                4 => {
                    cx.sul_schedule(Duration::ZERO, move |cx| drop(cx.wsi_close(id)));
                }
                5 => ask(cx, id, how >> 3),
                _ => drop(cx.wsi_request_tx(id)),
            }
        }
        (7, Some(id)) => drop(cx.wsi_request_tx(id)),
        _ => {}
    }
}

/// Checks what each connection's user has heard, once all are over.
pub(super) fn check(notes: &Notes) {
    for (id, life) in &notes.wsis {
        let count = |what| life.iter().filter(|heard| **heard == what).count();
        let is_released = notes.released.contains(id);
        assert!(count(Told::Closed) == 1 || is_released, "{id}: {life:?}");
        assert!(count(Told::Closed) <= 1 && count(Told::Established) <= 1, "{id}: {life:?}");
        assert!(is_released || life.last() == Some(&Told::Closed), "{id}: {life:?}");
        assert!(life.first() != Some(&Told::Payload), "{id}: {life:?}");
    }
}
