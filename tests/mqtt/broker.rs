//! A broker on a simulated network that does what a test tells it, and that remembers every packet.

use millstream::sim::{Host, Network, RawListener, RawSocket};
use std::collections::{BTreeMap, BTreeSet};

/// A packet of a client's: type and flags, and what stands behind the fixed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
    /// The protocol level of its connection: 4, or 5 for MQTT 5.
    pub(crate) level: u8,
}

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.first >> 4
    }

    pub(crate) fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    pub(crate) fn is_dup(&self) -> bool {
        self.first & 8 != 0
    }

    /// Of a PUBLISH: topic, packet id, payload.
    pub(crate) fn message(&self) -> (String, u16, Vec<u8>) {
        let (topic, id, rest) = self.topic();
        (topic, id, split_properties(rest, self.level).1.to_vec())
    }

    fn topic(&self) -> (String, u16, &[u8]) {
        let (topic, rest) = string(&self.body);
        if self.qos() == 0 { (topic, 0, rest) } else { (topic, id(rest), &rest[2..]) }
    }

    /// Of a PUBLISH, or of a CONNECT.
    pub(crate) fn properties(&self) -> &[u8] {
        let rest = if self.kind() == CONNECT { &self.body[10..] } else { self.topic().2 };
        split_properties(rest, self.level).0
    }

    /// Of whatever begins with one.
    pub(crate) fn id(&self) -> [u8; 2] {
        [self.body[0], self.body[1]]
    }

    /// Of SUBSCRIBE and UNSUBSCRIBE.
    pub(crate) fn filters(&self) -> Vec<String> {
        let (mut rest, mut all) = (split_properties(&self.body[2..], self.level).1, Vec::new());
        while !rest.is_empty() {
            let (filter, behind) = string(rest);
            all.push(filter);
            rest = if self.kind() == SUBSCRIBE { &behind[1..] } else { behind };
        }
        all
    }
}

fn string(bytes: &[u8]) -> (String, &[u8]) {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    (String::from_utf8(bytes[2..2 + len].to_vec()).unwrap(), &bytes[2 + len..])
}

fn id(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// Properties, and what stands behind them. Those of tests are short.
fn split_properties(bytes: &[u8], level: u8) -> (&[u8], &[u8]) {
    if level == 4 { (&[], bytes) } else { bytes[1..].split_at(usize::from(bytes[0])) }
}

/// A string as it stands in a packet.
pub(crate) fn written(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn publish(flags: u8, topic: &str, id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    packet_of(flags, topic, id, &[], payload)
}

/// The same, in MQTT 5.
pub(crate) fn publish5(
    flags: u8,
    topic: &str,
    id: Option<u16>,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let properties = [&[properties.len() as u8], properties].concat();
    packet_of(flags, topic, id, &properties, payload)
}

fn packet_of(flags: u8, topic: &str, id: Option<u16>, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = written(topic);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(properties);
    body.extend_from_slice(payload);
    let mut packet = vec![PUBLISH << 4 | flags];
    let mut len = body.len();
    loop {
        packet.push((len % 128) as u8 | if len > 127 { 128 } else { 0 });
        len /= 128;
        if len == 0 {
            break;
        }
    }
    packet.extend_from_slice(&body);
    packet
}

/// What stands between a socket and MQTT.
pub(crate) trait Wire {
    /// The MQTT in what has come. What is said to it on the way goes to `out`.
    fn unwrap(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Vec<u8>;
    fn wrap(&mut self, bytes: &[u8], out: &mut Vec<u8>);
}

struct Link {
    socket: RawSocket,
    wire: Option<Box<dyn Wire>>,
    unread: Vec<u8>,
    /// What the window did not hold.
    unsent: Vec<u8>,
    filters: BTreeSet<String>,
    level: u8,
    /// Topics by their aliases, in MQTT 5.
    aliases: BTreeMap<[u8; 2], String>,
}

impl Link {
    fn read(&mut self) {
        let bytes = self.socket.read();
        match &mut self.wire {
            Some(wire) => self.unread.extend(wire.unwrap(&bytes, &mut self.unsent)),
            None => self.unread.extend(bytes),
        }
        self.write();
    }

    fn say(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Some(wire) => wire.wrap(bytes, &mut self.unsent),
            None => self.unsent.extend_from_slice(bytes),
        }
        self.write();
    }

    fn write(&mut self) {
        while let Ok(sent @ 1..) = self.socket.write(&self.unsent) {
            self.unsent.drain(..sent);
        }
    }
}

/// What a test changes.
pub(crate) struct Broker {
    listener: RawListener,
    links: Vec<Link>,
    /// Connections so far.
    pub(crate) connections: usize,
    pub(crate) packets: Vec<Packet>,
    /// Messages that it has taken charge of, by QoS: each as often as it would be delivered.
    pub(crate) taken: Vec<(String, Vec<u8>)>,
    /// Packet types that are not answered.
    pub(crate) mute: BTreeSet<u8>,
    /// The code that CONNACK and SUBACK have.
    pub(crate) connack: u8,
    /// In MQTT 5: what stands in CONNACK beside it, and the reason of PUBACK and PUBREC with what stands there.
    pub(crate) connack_properties: Vec<u8>,
    pub(crate) puback: Option<(u8, Vec<u8>)>,
    pub(crate) refuse_filter: Option<String>,
    /// It keeps sessions; when not, they are gone with the connection.
    pub(crate) keeps_sessions: bool,
    has_session: bool,
    /// Filters of the session, and QoS 2 ids that wait for PUBREL.
    kept_filters: BTreeSet<String>,
    received: BTreeSet<[u8; 2]>,
    /// Breaks the link when a packet of this type arrives, before or after it is taken and answered.
    pub(crate) break_at: Option<(u8, Break)>,
    /// What comes in one segment with the next CONNACK.
    pub(crate) after_connack: Vec<u8>,
    /// Publishes back what it gets.
    pub(crate) routes: bool,
    /// Makes what stands between MQTT and each socket.
    pub(crate) wires: Option<Box<dyn Fn() -> Box<dyn Wire>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// The packet is lost.
    Before,
    /// It is taken, and its answer lost.
    Taken,
    /// It is answered, and then the link breaks.
    After,
}

impl Broker {
    pub(crate) fn new(network: &Network, host: &Host) -> Self {
        Self {
            listener: network.listen(host, 1883).unwrap(),
            links: Vec::new(),
            connections: 0,
            packets: Vec::new(),
            taken: Vec::new(),
            mute: BTreeSet::new(),
            connack: 0,
            connack_properties: Vec::new(),
            puback: None,
            refuse_filter: None,
            keeps_sessions: true,
            has_session: false,
            kept_filters: BTreeSet::new(),
            received: BTreeSet::new(),
            break_at: None,
            after_connack: Vec::new(),
            routes: false,
            wires: None,
        }
    }

    pub(crate) fn of_kind(&self, kind: u8) -> Vec<&Packet> {
        self.packets.iter().filter(|packet| packet.kind() == kind).collect()
    }

    pub(crate) fn count(&self, kind: u8) -> usize {
        self.of_kind(kind).len()
    }

    /// Sends these bytes to every client.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for link in &mut self.links {
            link.say(bytes);
        }
    }

    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// Breaks every connection.
    pub(crate) fn break_all(&mut self) {
        for link in self.links.drain(..) {
            link.socket.reset();
        }
    }

    /// Reads, answers.
    pub(crate) fn step(&mut self) {
        while let Some(socket) = self.listener.accept() {
            self.connections += 1;
            self.links.push(Link {
                socket,
                wire: self.wires.as_ref().map(|make| make()),
                unread: Vec::new(),
                unsent: Vec::new(),
                filters: BTreeSet::new(),
                level: 4,
                aliases: BTreeMap::new(),
            });
        }
        for mut link in std::mem::take(&mut self.links) {
            link.read();
            let mut lives = true;
            while lives && let Some(packet) = take_packet(&mut link.unread, &mut link.level) {
                lives = self.serve(&mut link, packet);
            }
            if !lives {
                link.socket.reset();
            } else if !link.socket.is_eof() {
                self.links.push(link);
            }
        }
    }

    /// False: the link is to break.
    fn serve(&mut self, link: &mut Link, packet: Packet) -> bool {
        let breaks = self.break_at.filter(|(kind, _)| *kind == packet.kind()).map(|(_, how)| how);
        if breaks.is_some() {
            self.break_at = None;
        }
        if breaks == Some(Break::Before) {
            return false;
        }
        let answer = self.answer(link, &packet);
        let kind = packet.kind();
        self.packets.push(packet);
        if breaks != Some(Break::Taken) && !self.mute.contains(&kind) {
            link.say(&answer);
        }
        breaks.is_none()
    }

    fn answer(&mut self, link: &mut Link, packet: &Packet) -> Vec<u8> {
        match packet.kind() {
            CONNECT => {
                let is_clean = packet.body[7] & 2 != 0;
                let present = self.has_session && self.keeps_sessions && !is_clean;
                if !present {
                    self.kept_filters.clear();
                    self.received.clear();
                }
                self.has_session = !is_clean;
                link.filters.clone_from(&self.kept_filters);
                let mut answer = vec![0x20, 2, u8::from(present && self.connack == 0), self.connack];
                if link.level == 5 {
                    answer[1] = 3 + self.connack_properties.len() as u8;
                    answer.push(self.connack_properties.len() as u8);
                    answer.extend_from_slice(&self.connack_properties);
                }
                answer.append(&mut self.after_connack);
                answer
            }
            PUBLISH => {
                let (mut topic, id, payload) = packet.message();
                let [high, low] = id.to_be_bytes();
                if let [0x23, a, b, ..] = *packet.properties() {
                    let known = link.aliases.entry([a, b]).or_default();
                    if topic.is_empty() { topic.clone_from(known) } else { known.clone_from(&topic) }
                }
                if let Some((reason, properties)) = self.puback.take() {
                    let first = if packet.qos() == 1 { 0x40 } else { 0x50 };
                    let len = properties.len() as u8;
                    return [&[first, 4 + len, high, low, reason, len], &properties[..]].concat();
                }
                let is_new = packet.qos() < 2 || self.received.insert([high, low]);
                if is_new {
                    self.taken.push((topic.clone(), payload.clone()));
                }
                let mut answer = match packet.qos() {
                    0 => Vec::new(),
                    1 => vec![0x40, 2, high, low],
                    _ => vec![0x50, 2, high, low],
                };
                if self.routes && link.filters.contains(&topic) {
                    let properties: &[u8] = if link.level == 5 { &[0] } else { &[] };
                    answer.extend(packet_of(0, &topic, None, properties, &payload));
                }
                answer
            }
            PUBREC => vec![0x62, 2, packet.body[0], packet.body[1]],
            PUBREL => {
                self.received.remove(&packet.id());
                vec![0x70, 2, packet.body[0], packet.body[1]]
            }
            SUBSCRIBE => {
                let filters = packet.filters();
                let mut answer = vec![0x90, 2 + filters.len() as u8, packet.body[0], packet.body[1]];
                if link.level == 5 {
                    answer[1] += 1;
                    answer.push(0);
                }
                for filter in filters {
                    let is_refused = self.refuse_filter.as_ref() == Some(&filter);
                    let refusal = if link.level == 5 { 0x87 } else { 0x80 };
                    answer.push(if is_refused { refusal } else { 1 });
                    link.filters.insert(filter);
                }
                self.kept_filters.clone_from(&link.filters);
                answer
            }
            UNSUBSCRIBE => {
                let filters = packet.filters();
                for filter in &filters {
                    link.filters.remove(filter);
                }
                self.kept_filters.clone_from(&link.filters);
                let mut answer = vec![0xb0, 2, packet.body[0], packet.body[1]];
                if link.level == 5 {
                    answer[1] += 1 + filters.len() as u8;
                    answer.extend(vec![0; 1 + filters.len()]);
                }
                answer
            }
            PINGREQ => vec![0xd0, 0],
            _ => Vec::new(),
        }
    }
}

fn take_packet(bytes: &mut Vec<u8>, level: &mut u8) -> Option<Packet> {
    let (mut len, mut at) = (0, 1);
    loop {
        let byte = *bytes.get(at)?;
        len |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte < 128 {
            break;
        }
    }
    if bytes.len() < at + len {
        return None;
    }
    let mut whole: Vec<u8> = bytes.drain(..at + len).collect();
    let body = whole.split_off(at);
    if whole[0] >> 4 == CONNECT {
        *level = body[6];
    }
    Some(Packet { first: whole[0], body, level: *level })
}
