//! Two engines with windows, tables and frames of any size, over a wire that delivers pieces of any size: every body
//! arrives whole, and nothing comes to a standstill. A seed tells a story again.

use http::{BodyLength, Head, Method, Status};
use millstream_h2::{Code, Engine, Event, Limits, Rate, Request, StreamId};
use std::collections::{BTreeMap, VecDeque};

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn limits(&mut self) -> Limits {
        let sizes = [0, 1, 10, 1000, 70_000];
        Limits {
            streams: 1 + self.below(5) as u32,
            header_table: sizes[self.below(4)],
            encoder_table: sizes[self.below(5)],
            initial_window: sizes[self.below(5)],
            window: 300 + sizes[self.below(5)],
            connection_window: 65_535 + sizes[self.below(5)],
            frame: 16_384 + sizes[self.below(5)],
            // Small windows make many frames of little data.
            frames: Rate { burst: u32::MAX, per_second: 0 },
            ..Limits::default()
        }
    }
}

/// What a side has to send on a stream, and what it got.
#[derive(Default)]
struct Body {
    unsent: usize,
    /// The message ends without its length having been said.
    ends_bare: bool,
    got: usize,
    has_ended: bool,
    is_over: bool,
}

struct Side {
    engine: Engine,
    head: Head,
    input: VecDeque<u8>,
    out: Vec<u8>,
    bodies: BTreeMap<StreamId, Body>,
    held: Vec<StreamId>,
    /// How many streams the peer takes is known.
    has_settings: bool,
}

impl Side {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            head: Head::new(),
            input: VecDeque::new(),
            out: Vec::new(),
            bodies: BTreeMap::new(),
            held: Vec::new(),
            has_settings: false,
        }
    }

    /// Takes some of what has come.
    fn receive(&mut self, random: &mut Random) {
        let piece = random.below(self.input.len() + 1);
        let bytes: Vec<u8> = self.input.iter().take(piece).copied().collect();
        let mut at = 0;
        loop {
            let (used, event) = self.engine.input(0, &bytes[at..], &mut self.head).unwrap();
            at += used;
            match event {
                Some(event) => self.told(&event, random),
                None if used == 0 => break,
                None => {}
            }
        }
        self.input.drain(..at);
    }

    fn told(&mut self, event: &Event, random: &mut Random) {
        match event {
            Event::Request { stream } => {
                let len = random.below(3) * random.below(40_000);
                let is_known = random.below(2) == 0;
                let body = if is_known { BodyLength::Known(len as u64) } else { BodyLength::Unknown };
                let fields = [(&b"x-number"[..], &[b'a' + random.below(26) as u8][..])];
                let out = &mut self.out;
                self.engine.encode_response(*stream, Status::OK, fields.into_iter(), body, out).unwrap();
                let body = Body { unsent: len, ends_bare: !is_known, ..Body::default() };
                self.bodies.insert(*stream, body);
            }
            Event::Response { stream } if random.below(3) == 0 => {
                self.engine.hold_credit(*stream);
                self.held.push(*stream);
            }
            Event::Body { stream, range } => {
                self.bodies.get_mut(stream).unwrap().got += range.len();
            }
            Event::End { stream } => self.bodies.get_mut(stream).unwrap().has_ended = true,
            Event::Reset { stream, code } => {
                assert_eq!(*code, Code::CANCEL);
                self.bodies.get_mut(stream).unwrap().is_over = true;
            }
            Event::Failed { error, .. } => panic!("{error}"),
            Event::Settings => self.has_settings = true,
            _ => {}
        }
    }

    /// Sends some of what there is room for.
    fn send(&mut self, random: &mut Random) {
        for (stream, body) in self.bodies.iter_mut().filter(|(_, body)| !body.is_over) {
            let room = self.engine.tx_room(*stream).min(body.unsent);
            let len = random.below(room + 1);
            let last = body.ends_bare && len == body.unsent;
            if self.engine.tx_done(*stream) || (len == 0 && !last) {
                continue;
            }
            let frame = self.engine.frame(*stream, len, last).unwrap();
            self.out.extend_from_slice(frame.prefix());
            self.out.resize(self.out.len() + len, b'.');
            body.unsent -= len;
        }
        if random.below(4) == 0
            && let Some(stream) = self.held.pop()
        {
            self.engine.release_credit(stream);
        }
        self.engine.poll_output(&mut self.out);
    }
}

fn story(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut client = Side::new(Engine::client(random.limits()));
    let mut server = Side::new(Engine::server(random.limits()));
    let (mut asked, mut lens) = (0, BTreeMap::new());
    for round in 0.. {
        assert!(round < 1_000_000, "seed {seed}: a standstill, or nearly");
        // One it takes in any case.
        let may_ask = client.has_settings || asked == 0;
        if asked < 20 && random.below(3) == 0 && may_ask && client.engine.can_open().is_ok() {
            let len = random.below(3) * random.below(40_000);
            let (method, body) = match len {
                0 => (Method::Get, BodyLength::None),
                _ => (Method::Post, BodyLength::Known(len as u64)),
            };
            let credit = Some(random.below(1000) as u32).filter(|_| asked % 4 == 3);
            let request = Request { credit, ..Request::new(method, b"https", b"a.example", b"/") };
            let out = &mut client.out;
            let stream = client.engine.encode_request(&request, [].into_iter(), body, out).unwrap();
            client.held.extend(credit.map(|_| stream));
            client.bodies.insert(stream, Body { unsent: len, ..Body::default() });
            lens.insert(stream, len);
            asked += 1;
        }
        client.send(&mut random);
        server.input.extend(client.out.drain(..));
        server.receive(&mut random);
        server.send(&mut random);
        client.input.extend(server.out.drain(..));
        client.receive(&mut random);
        if asked == 20 && client.engine.is_idle() && server.engine.is_idle() && client.input.is_empty() {
            break;
        }
    }
    for (stream, body) in &client.bodies {
        let other = &server.bodies[stream];
        assert!(body.has_ended && other.has_ended || body.is_over, "seed {seed}");
        assert_eq!((body.unsent, other.unsent), (0, 0), "seed {seed}");
        assert_eq!(other.got, lens[stream], "seed {seed}");
    }
}

#[test]
fn every_body_arrives_through_windows_of_any_size() {
    (1..=20).for_each(story);
}
