//! In the steady state an exchange costs no heap allocation, and an idle connection little memory: counted, not estimated.

use http::{BodyLength, Head, Method, Status};
use millstream_h2::{Engine, Event, Limits, Request, StreamId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Both sides of a connection, and the memory that they are lent.
struct Pair {
    client: Engine,
    server: Engine,
    head: Head,
    there: Vec<u8>,
    back: Vec<u8>,
    round: u32,
}

const BODY: [u8; 1000] = [b'.'; 1000];

fn send(engine: &mut Engine, stream: StreamId, out: &mut Vec<u8>) {
    let frame = engine.frame(stream, BODY.len(), true).unwrap();
    out.extend_from_slice(frame.prefix());
    out.extend_from_slice(&BODY);
}

impl Pair {
    fn new() -> Self {
        Self {
            client: Engine::client(Limits::default()),
            server: Engine::server(Limits::default()),
            head: Head::new(),
            there: Vec::new(),
            back: Vec::new(),
            round: 0,
        }
    }

    fn exchange(&mut self) {
        self.round += 1;
        // Never the same twice, so that both tables turn over.
        let target = [b'/', b'a' + (self.round % 26) as u8, b'a' + (self.round / 26 % 26) as u8];
        let fields = [(&b"X-Round"[..], &target[1..]), (b"cookie", b"a=b"), (b"cookie", b"c=d")];
        let request = Request::new(Method::Post, b"https", b"a.example", &target);
        let body = BodyLength::Known(BODY.len() as u64);
        let asked = self.client.encode_request(&request, fields.into_iter(), body, &mut self.there).unwrap();
        send(&mut self.client, asked, &mut self.there);
        self.client.poll_output(&mut self.there);
        let mut at = 0;
        loop {
            match self.server.input(0, &self.there[at..], &mut self.head).unwrap() {
                (0, None) => break,
                (used, event) => {
                    at += used;
                    if let Some(Event::End { stream }) = event {
                        let fields = [(&b"x-answer"[..], &target[..])];
                        let out = &mut self.back;
                        self.server
                            .encode_response(stream, Status::OK, fields.into_iter(), body, out)
                            .unwrap();
                        send(&mut self.server, stream, out);
                    }
                }
            }
        }
        self.there.clear();
        self.server.poll_output(&mut self.back);
        let (mut at, mut ended) = (0, false);
        loop {
            match self.client.input(0, &self.back[at..], &mut self.head).unwrap() {
                (0, None) => break,
                (used, event) => {
                    at += used;
                    ended |= event == Some(Event::End { stream: asked });
                }
            }
        }
        self.back.clear();
        assert!(ended && self.client.is_idle() && self.server.is_idle());
    }
}

/// One test, because others would be counted too.
#[test]
fn an_exchange_allocates_nothing_and_an_idle_connection_is_small() {
    let mut pair = Pair::new();
    (0..2000).for_each(|_| pair.exchange());
    let region = Region::new(HEAP);
    (0..1000).for_each(|_| pair.exchange());
    let change = region.change();
    assert_eq!(change.allocations + change.reallocations, 0);

    // Connections at rest take turns with one memory, and keep their tables alone.
    let mut others = Pair::new();
    (0..2000).for_each(|_| others.exchange());
    let region = Region::new(HEAP);
    for round in 0..1000 {
        let (from, to) = if round % 2 == 0 { (&mut pair, &mut others) } else { (&mut others, &mut pair) };
        drop(to.server.put_by().unwrap());
        to.server.take_up(from.server.put_by().unwrap());
        to.exchange();
    }
    let change = region.change();
    assert_eq!(change.allocations + change.reallocations, 0);
    assert!(change.bytes_deallocated > 300, "{change:?}");

    let region = Region::new(HEAP);
    let mut server = Engine::server(Limits::default());
    server.poll_output(&mut Vec::with_capacity(100));
    let fresh = region.change();
    let bytes = size_of::<Engine>() + fresh.bytes_allocated - fresh.bytes_deallocated;
    assert!(bytes <= 1024, "{bytes}");
}
