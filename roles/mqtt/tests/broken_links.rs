//! A broker whose link breaks at every byte of the exchanges of QoS 1 and 2, in both directions: nothing is lost, and
//! at QoS 2 nothing comes twice.

#[path = "common/broker.rs"]
mod broker;
mod common;

use broker::Broker;
use millstream_mqtt::{Connect, Engine, Event, Limits, PacketId, Property, Publish, QoS, Session, Version};
use std::collections::{BTreeMap, VecDeque};

/// An application with messages to publish, which keeps each until the server has it.
struct Client {
    version: Version,
    engine: Engine,
    queue: VecDeque<(QoS, Vec<u8>)>,
    kept: BTreeMap<PacketId, (QoS, Vec<u8>)>,
    acknowledged: Vec<Vec<u8>>,
    forgotten: Vec<Vec<u8>>,
    delivered: Vec<Vec<u8>>,
    /// Of a message that has begun.
    payload: Vec<u8>,
    ids: BTreeMap<PacketId, Vec<u8>>,
    rest: Vec<u8>,
}

fn engine(version: Version, session: Session, out: &mut Vec<u8>) -> Engine {
    let mut engine = Engine::new(version, Limits { in_flight: 3, ..Limits::default() }, session);
    let properties: &[_] = if version == Version::V5 { &[Property::SessionExpiry(1000)] } else { &[] };
    let connect = Connect { client_id: "c", clean_start: false, properties, ..Connect::default() };
    engine.connect(&connect, 0, out).unwrap();
    engine
}

impl Client {
    fn new(version: Version, queue: &[(QoS, Vec<u8>)], out: &mut Vec<u8>) -> Self {
        Self {
            version,
            engine: engine(version, Session::new(), out),
            queue: queue.iter().cloned().collect(),
            kept: BTreeMap::new(),
            acknowledged: Vec::new(),
            forgotten: Vec::new(),
            delivered: Vec::new(),
            payload: Vec::new(),
            ids: BTreeMap::new(),
            rest: Vec::new(),
        }
    }

    fn reconnect(&mut self, out: &mut Vec<u8>) {
        out.clear();
        self.rest.clear();
        self.payload.clear();
        let old =
            std::mem::replace(&mut self.engine, Engine::new(self.version, Limits::default(), Session::new()));
        self.engine = engine(self.version, old.into_session(), out);
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.engine.is_connected() && self.engine.session().in_flight() == 0
    }

    fn take(&mut self, input: &[u8]) {
        self.rest.extend_from_slice(input);
        loop {
            let (used, event) = self.engine.input(&self.rest).unwrap();
            if (used, &event) == (0, &None) {
                return;
            }
            if let Some(event) = event {
                self.event(&event);
            }
            self.rest.drain(..used);
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Connected { .. } => {}
            Event::Message(_) => {
                assert_eq!(self.engine.topic(), "down");
                self.payload.clear();
            }
            Event::Payload { range, is_last } => {
                self.payload.extend_from_slice(&self.rest[range.clone()]);
                if *is_last {
                    self.delivered.push(std::mem::take(&mut self.payload));
                }
            }
            Event::Received(id) => drop(self.kept.remove(id).expect("PUBREC of what is kept")),
            Event::Acknowledged { id, reason } => {
                assert!(!reason.is_failure());
                self.kept.remove(id);
                self.acknowledged
                    .push(self.ids.remove(id).expect("an acknowledgement of what was published"));
            }
            Event::Forgotten(id) => self.forgotten.push(self.ids.remove(id).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// Whatever can go out, payload in two pieces.
    fn write(&mut self, out: &mut Vec<u8>) {
        self.engine.poll_output(out);
        while let Some((id, qos)) = self.engine.next_resend() {
            let (kept_qos, payload) = &self.kept[&id];
            assert_eq!(*kept_qos, qos);
            let publish = Publish { topic: "up", qos, ..Publish::default() };
            self.engine.resend(id, &publish, payload.len() as u32, out).unwrap();
            self.payload_out(id, out);
        }
        while let Some((qos, payload)) = self.queue.front().cloned()
            && self.engine.can_publish(qos)
        {
            let publish = Publish { topic: "up", qos, ..Publish::default() };
            let id = self.engine.publish(&publish, payload.len() as u32, out).unwrap().unwrap();
            assert!(self.ids.insert(id, payload.clone()).is_none(), "an id stands for one message at a time");
            self.kept.insert(id, (qos, payload));
            self.queue.pop_front();
            self.payload_out(id, out);
        }
    }

    fn payload_out(&mut self, id: PacketId, out: &mut Vec<u8>) {
        for piece in self.kept[&id].1.chunks(2) {
            out.extend_from_slice(piece);
            self.engine.payload(piece.len()).unwrap();
        }
    }
}

/// What breaks: after so many bytes, both directions together, and then after so many more.
struct Link {
    cuts: VecDeque<usize>,
    crossed: usize,
}

impl Link {
    /// The bytes that get to the other side; false: no more will.
    fn cross(&mut self, bytes: &mut Vec<u8>) -> bool {
        self.crossed += bytes.len();
        let Some(cut) = self.cuts.front().copied().filter(|cut| self.crossed > *cut) else { return true };
        bytes.truncate(bytes.len() - (self.crossed - cut));
        self.crossed = 0;
        self.cuts.pop_front();
        false
    }
}

/// Messages each way, where not said otherwise.
const FEW: u8 = 4;

fn qos(number: u8) -> QoS {
    if number.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce }
}

fn messages(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![b'm', b's', b'g', number]).collect()
}

/// Both ends when all is done, and the bytes that went over the link since it broke last.
fn run(version: Version, forgets: bool, count: u8, cuts: &[usize]) -> (Client, Broker, usize) {
    let mut broker = Broker::new(version, forgets);
    let queue: Vec<_> = (0..).map(qos).zip(messages(count)).collect();
    broker.queue.extend(queue.iter().map(|(qos, payload)| (*qos as u8, payload.clone())));
    let mut link = Link { cuts: cuts.iter().copied().collect(), crossed: 0 };
    let mut out = Vec::new();
    let mut client = Client::new(version, &queue, &mut out);
    for _ in 0..10_000 {
        client.write(&mut out);
        let arrives = link.cross(&mut out);
        let mut back = broker.serve(&std::mem::take(&mut out));
        let holds = arrives && link.cross(&mut back);
        if arrives {
            client.take(&back);
        }
        if !holds {
            broker.lose();
            client.reconnect(&mut out);
        } else if client.is_idle() && broker.is_idle() && !client.engine.has_output() {
            return (client, broker, link.crossed);
        }
    }
    panic!("no end: {broker:?}");
}

fn times(all: &[Vec<u8>], payload: &[u8]) -> usize {
    all.iter().filter(|delivered| *delivered == payload).count()
}

/// In the order in which each was there first.
fn firsts(all: &[Vec<u8>], of: QoS) -> Vec<Vec<u8>> {
    let mut firsts = Vec::new();
    for payload in all.iter().filter(|payload| qos(payload[3]) == of) {
        if !firsts.contains(payload) {
            firsts.push(payload.clone());
        }
    }
    firsts
}

fn check_delivered(all: &[Vec<u8>], count: u8, cuts: &[usize]) {
    for payload in messages(count) {
        let times = times(all, &payload);
        let enough = if qos(payload[3]) == QoS::ExactlyOnce { times == 1 } else { times >= 1 };
        assert!(enough, "{payload:?} came {times} times, cut at {cuts:?}");
    }
    for of in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let sent: Vec<_> = messages(count).into_iter().filter(|payload| qos(payload[3]) == of).collect();
        assert_eq!(firsts(all, of), sent, "MQTT 5, 4.6: in order, cut at {cuts:?}");
    }
}

fn check(version: Version, count: u8, cuts: &[usize]) -> usize {
    let (client, broker, crossed) = run(version, false, count, cuts);
    let up: Vec<_> = broker.delivered.iter().map(|(_, payload)| payload.clone()).collect();
    assert!(broker.delivered.iter().all(|(topic, _)| topic == "up"));
    check_delivered(&up, count, cuts);
    check_delivered(&client.delivered, count, cuts);
    for payload in messages(count) {
        assert_eq!(times(&client.acknowledged, &payload), 1, "cut at {cuts:?}");
    }
    assert!(client.kept.is_empty() && client.ids.is_empty() && client.forgotten.is_empty());
    crossed
}

#[test]
fn a_link_that_breaks_at_any_byte_loses_nothing_and_doubles_nothing_of_qos_2() {
    for version in [Version::V4, Version::V5] {
        let all = check(version, FEW, &[]);
        assert!(all > 150);
        for cut in 0..all {
            check(version, FEW, &[cut]);
        }
    }
}

#[test]
fn nor_does_one_that_breaks_again_while_what_was_lost_comes_again() {
    for version in [Version::V4, Version::V5] {
        for first in 0..check(version, FEW, &[]) {
            for second in 0..check(version, FEW, &[first]) {
                check(version, FEW, &[first, second]);
            }
        }
    }
}

#[test]
fn nor_does_one_that_breaks_many_times() {
    for version in [Version::V4, Version::V5] {
        for often in 20..120 {
            check(version, FEW, &[often; 12]);
        }
    }
}

#[test]
fn nor_does_one_that_breaks_again_and_again_while_many_messages_go_through() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for version in [Version::V4, Version::V5] {
        for most in [60, 100, 200, 400] {
            let cuts: Vec<_> = (0..200)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random as usize % most
                })
                .collect();
            check(version, 200, &cuts);
        }
    }
}

#[test]
fn a_broker_that_loses_its_session_gets_what_it_did_not_acknowledge_and_the_rest_is_told() {
    for version in [Version::V4, Version::V5] {
        let (_, _, all) = run(version, true, FEW, &[]);
        for cut in 0..all {
            let (client, broker, _) = run(version, true, FEW, &[cut]);
            for payload in messages(FEW) {
                let delivered =
                    broker.delivered.iter().filter(|(_, delivered)| *delivered == payload).count();
                assert!((1..=2).contains(&delivered), "cut at {cut}");
                assert!(times(&client.delivered, &payload) >= 1, "cut at {cut}");
                let told = times(&client.acknowledged, &payload) + times(&client.forgotten, &payload);
                assert_eq!(told, 1, "cut at {cut}");
                if times(&client.forgotten, &payload) == 1 {
                    assert_eq!((qos(payload[3]), delivered), (QoS::ExactlyOnce, 1), "cut at {cut}");
                }
            }
        }
    }
}
