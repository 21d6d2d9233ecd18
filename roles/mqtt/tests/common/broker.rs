//! A broker in memory that does what the standard says (method A of QoS 2), over a link that breaks where it is told.

use millstream_mqtt::Version;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The ids that clients may have open at a time, told to those of MQTT 5; and the aliases.
pub(crate) const WINDOW: usize = 2;

/// A message, its QoS, and the id it goes to the client under.
#[derive(Clone, Debug)]
struct Sent {
    id: u16,
    qos: u8,
    payload: Vec<u8>,
    is_released: bool,
    /// It went out on an earlier connection.
    is_dup: bool,
}

#[derive(Debug)]
pub(crate) struct Broker {
    version: Version,
    /// It loses its session with each connection.
    forgets: bool,
    has_session: bool,
    /// What of the client's has come to its subscribers.
    pub(crate) delivered: Vec<(String, Vec<u8>)>,
    /// What is to go to the client.
    pub(crate) queue: VecDeque<(u8, Vec<u8>)>,
    in_flight: Vec<Sent>,
    next_id: u16,
    /// Ids of QoS 2 that the client has not released.
    received: BTreeSet<u16>,
    /// Ids that came on any connection of the session and were not acknowledged: to come again with DUP.
    open: BTreeSet<u16>,
    aliases: BTreeMap<u16, String>,
    defined_alias: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Broker {
    pub(crate) fn new(version: Version, forgets: bool) -> Self {
        Self {
            version,
            forgets,
            has_session: false,
            delivered: Vec::new(),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            next_id: 0,
            received: BTreeSet::new(),
            open: BTreeSet::new(),
            aliases: BTreeMap::new(),
            defined_alias: false,
            inbox: Vec::new(),
            outbox: Vec::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && self.received.is_empty()
    }

    /// The link is gone.
    pub(crate) fn lose(&mut self) {
        self.inbox.clear();
        self.outbox.clear();
        self.aliases.clear();
        self.defined_alias = false;
        for sent in &mut self.in_flight {
            sent.is_dup = true;
        }
        if self.forgets {
            self.has_session = false;
            self.received.clear();
            self.open.clear();
            // What was not acknowledged is kept for whoever asks next: a retained queue, say.
            for sent in self.in_flight.drain(..).rev() {
                if !sent.is_released {
                    self.queue.push_front((sent.qos, sent.payload));
                }
            }
        }
    }

    /// Takes bytes of the client's, gives those that answer.
    pub(crate) fn serve(&mut self, input: &[u8]) -> Vec<u8> {
        self.inbox.extend_from_slice(input);
        while let Some((first, body)) = take_packet(&mut self.inbox) {
            self.packet(first, &body);
        }
        std::mem::take(&mut self.outbox)
    }

    fn packet(&mut self, first: u8, body: &[u8]) {
        let id = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        match first >> 4 {
            1 => self.connect(),
            3 => self.message(first, body),
            4 | 7 => self.in_flight.retain(|sent| sent.id != id(0)),
            5 => {
                let sent =
                    self.in_flight.iter_mut().find(|sent| sent.id == id(0)).expect("PUBREC of what was sent");
                sent.is_released = true;
                self.outbox.extend_from_slice(&[0x62, 2, body[0], body[1]]);
            }
            6 => {
                self.received.remove(&id(0));
                self.open.remove(&id(0));
                self.outbox.extend_from_slice(&[0x70, 2, body[0], body[1]]);
            }
            12 => self.outbox.extend_from_slice(&[0xd0, 0]),
            kind => panic!("packet {kind}"),
        }
        self.send();
    }

    fn connect(&mut self) {
        let present = u8::from(self.has_session);
        self.has_session = true;
        if self.version == Version::V4 {
            self.outbox.extend_from_slice(&[0x20, 2, present, 0]);
        } else {
            let window = WINDOW as u8;
            self.outbox.extend_from_slice(&[0x20, 9, present, 0, 6, 0x21, 0, window, 0x22, 0, window]);
        }
        for sent in self.in_flight.clone() {
            if sent.is_released {
                let [high, low] = sent.id.to_be_bytes();
                self.outbox.extend_from_slice(&[0x62, 2, high, low]);
            } else {
                self.push_message(&sent);
            }
        }
    }

    /// What waits goes to the client, as far as the window goes.
    fn send(&mut self) {
        while self.in_flight.len() < WINDOW
            && let Some((qos, payload)) = self.queue.pop_front()
        {
            self.next_id += 1;
            let sent = Sent { id: self.next_id, qos, payload, is_released: false, is_dup: false };
            self.push_message(&sent);
            self.in_flight.push(sent);
        }
    }

    fn push_message(&mut self, sent: &Sent) {
        let mut body = Vec::new();
        let topic: &[u8] = if self.defined_alias { b"" } else { b"down" };
        body.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        body.extend_from_slice(topic);
        body.extend_from_slice(&sent.id.to_be_bytes());
        if self.version == Version::V5 {
            body.extend_from_slice(&[3, 0x23, 0, 1]);
            self.defined_alias = true;
        }
        body.extend_from_slice(&sent.payload);
        self.outbox.push(0x30 | u8::from(sent.is_dup) << 3 | sent.qos << 1);
        self.outbox.push(u8::try_from(body.len()).unwrap());
        self.outbox.extend_from_slice(&body);
    }

    fn message(&mut self, first: u8, body: &[u8]) {
        let (qos, is_dup) = (first >> 1 & 3, first & 8 != 0);
        let (len, body) = body.split_first_chunk().unwrap();
        let (topic, body) = body.split_at(usize::from(u16::from_be_bytes(*len)));
        let (id, mut body) = body.split_first_chunk().unwrap();
        let mut topic = String::from_utf8(topic.to_vec()).unwrap();
        if self.version == Version::V5 {
            let (properties, payload) = body[1..].split_at(usize::from(body[0]));
            body = payload;
            if let [0x23, high, low] = *properties {
                let alias = u16::from_be_bytes([high, low]);
                if topic.is_empty() {
                    topic.clone_from(&self.aliases[&alias]);
                }
                self.aliases.insert(alias, topic.clone());
            }
        }
        let (high, low, id) = (id[0], id[1], u16::from_be_bytes(*id));
        assert!(!(is_dup && self.forgets), "to who has no session nothing is sent again");
        // A message that broke off before it was here has DUP too.
        assert!(is_dup || self.open.insert(id), "what comes again says so");
        assert!(self.version == Version::V4 || self.open.len() <= WINDOW, "the window is kept");
        if qos == 1 {
            self.open.remove(&id);
            self.delivered.push((topic, body.to_vec()));
            self.outbox.extend_from_slice(&[0x40, 2, high, low]);
        } else {
            self.open.insert(id);
            if self.received.insert(id) {
                self.delivered.push((topic, body.to_vec()));
            }
            self.outbox.extend_from_slice(&[0x50, 2, high, low]);
        }
    }
}

/// A packet with a body of less than 128 bytes, if it is there as a whole.
fn take_packet(inbox: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [first, len, ..] = inbox[..] else { return None };
    assert!(len < 0x80, "packets of this test are short");
    let end = 2 + usize::from(len);
    let body = inbox.get(2..end)?.to_vec();
    inbox.drain(..end);
    Some((first, body))
}
