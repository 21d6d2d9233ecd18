//! Clients that mean harm, over HTTP/2: each is told so and left, what it makes the server keep has a bound, and somebody
//! else is served meanwhile (RFC 9113 10.5).

#![cfg(feature = "h2")]

use h2::Code;
use millstream::sim::{Host, Network, RawSocket};
use millstream::{Census, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counted for the whole process: one test at a time.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
static ALONE: Mutex<()> = Mutex::new(());

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "metadata": [{"path": ""}]}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "b",
        "opportunistic": true}}]}"#;

/// What a single client may make the server hold, the 64 KB that the network keeps in each direction included.
const MODEST: usize = 512 * 1024;

/// Requests of somebody else: one before, one during and one after an attack.
const OTHERS: usize = 3;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_STREAM | END_HEADERS;

/// `GET http://10.0.0.1/b`, which is answered, by the indexes of RFC 7541 A and a literal that is not remembered.
const GET: &[u8] = b"\x82\x86\x04\x02/b\x01\x0810.0.0.1";
/// `GET http://10.0.0.1/h`, whose answer is a head alone, which no window holds back.
const BARE: &[u8] = b"\x82\x86\x04\x02/h\x01\x0810.0.0.1";
/// `POST http://10.0.0.1/n`, which is never answered.
const POST: &[u8] = b"\x83\x86\x04\x02/n\x01\x0810.0.0.1";
/// `GET http://10.0.0.1/e`, whose answer has no end.
const ENDLESS: &[u8] = b"\x82\x86\x04\x02/e\x01\x0810.0.0.1";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The number of the nth stream.
fn id(nth: usize) -> u32 {
    2 * nth as u32 + 1
}

#[derive(Default)]
struct Served {
    requests: usize,
    open: usize,
    most: usize,
}

/// Answers `/b` with a byte, `/h` with a head, `/e` without end, and `/n` never.
struct Server {
    served: Rc<RefCell<Served>>,
    is_endless: bool,
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { served: Rc::clone(&self.served), is_endless: false }))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if self.is_endless {
            tx.fill(|room| room.len());
            cx.request_tx(me).unwrap();
        } else {
            tx.write(b"b");
            tx.end_message();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut served = self.served.borrow_mut();
        match state {
            StreamState::ServerTxn => {
                served.requests += 1;
                served.open += 1;
                served.most = served.most.max(served.open);
                let path = cx.metadata(me, "path").unwrap().to_vec();
                self.is_endless = path == b"/e";
                match &path[..] {
                    b"/n" => {}
                    b"/h" => cx.request_tx_len(me, 0).unwrap(),
                    _ => cx.request_tx(me).unwrap(),
                }
            }
            StreamState::Disconnected => served.open -= 1,
            _ => {}
        }
        Flow::Ok
    }
}

/// Asks, and counts its answers.
struct Client(Rc<RefCell<usize>>);

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        *self.0.borrow_mut() += payload.len();
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Disconnected { Flow::DestroyMe } else { Flow::Ok }
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    enemy: Host,
    served: Rc<RefCell<Served>>,
    now: u64,
    before: Census,
    /// Of the heap, when nobody was there.
    base: usize,
    peak: usize,
    _alone: MutexGuard<'static, ()>,
}

fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

impl World {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let network = Network::new(1);
        let context =
            |address| Context::builder().policy(POLICY).unwrap().sim(network.host(address)).build().unwrap();
        let (mut server, client) = (context("10.0.0.1"), context("10.0.0.2"));
        let enemy = network.host("10.0.0.6");
        let served = Rc::<RefCell<Served>>::default();
        let root = Server { served: Rc::clone(&served), is_endless: false };
        server.with(|cx| cx.create("server", root)).unwrap();
        let before = server.census();
        let mut world =
            Self { network, server, client, enemy, served, now: 0, before, base: 0, peak: 0, _alone: alone };
        // What the contexts themselves keep for good is there after a first exchange.
        world.serves_others();
        world.base = heap();
        world
    }

    fn run_us(&mut self, micros: u64) {
        self.now += micros;
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(self.now)).unwrap();
        self.peak = self.peak.max(heap().saturating_sub(self.base));
    }

    fn run(&mut self, millis: u64) {
        self.run_us(millis * 1000);
    }

    /// Somebody else gets an answer, on a connection of their own, soon.
    #[track_caller]
    fn serves_others(&mut self) {
        let got = Rc::<RefCell<usize>>::default();
        self.client.with(|cx| {
            let id = cx.create("get", Client(Rc::clone(&got))).unwrap();
            cx.client_connect(id).unwrap();
        });
        self.run(20);
        assert_eq!(*got.borrow(), 1, "somebody else is not served");
    }

    fn connect(&mut self) -> Enemy {
        let socket = self.network.connect(&self.enemy, "10.0.0.1:80").unwrap();
        self.run(10);
        assert!(socket.is_connected());
        Enemy { socket, unsent: Vec::new(), unread: Vec::new(), heard: Heard::default() }
    }

    /// One that has introduced itself.
    fn enemy(&mut self) -> Enemy {
        let mut enemy = self.connect();
        enemy.unsent.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        enemy.unsent.extend(frame(SETTINGS, 0, 0, &[]));
        enemy.unsent.extend(frame(SETTINGS, ACK, 0, &[]));
        self.turn(&mut enemy);
        enemy
    }

    /// Lets the enemy speak and hear. One that has been told goodbye goes on all the same.
    fn turn(&mut self, enemy: &mut Enemy) {
        if let Ok(sent) = enemy.socket.write(&enemy.unsent) {
            enemy.unsent.drain(..sent);
        }
        self.run_us(200);
        enemy.listen();
        self.run_us(2000);
    }

    /// Says all of `frames`, unless the server has enough of it before; then waits for what is still to come.
    #[track_caller]
    fn attack(&mut self, mut enemy: Enemy, frames: impl IntoIterator<Item = Vec<u8>>) -> Heard {
        let (mut frames, mut turns) = (frames.into_iter(), 0);
        loop {
            while enemy.unsent.len() < 32 * 1024
                && let Some(next) = frames.next()
            {
                enemy.unsent.extend(next);
            }
            let is_over = enemy.unsent.is_empty() || enemy.heard.goodbye.is_some();
            self.turn(&mut enemy);
            turns += 1;
            if turns == 2 {
                self.serves_others();
            }
            if is_over {
                break;
            }
        }
        for _ in 0..4 {
            self.turn(&mut enemy);
        }
        if enemy.heard.goodbye.is_some() {
            self.run(3000);
            enemy.listen();
            assert!(enemy.socket.is_eof() || !enemy.socket.is_connected(), "the connection is still there");
        }
        let heard = std::mem::take(&mut enemy.heard);
        drop(enemy);
        self.serves_others();
        heard
    }

    /// The attack ends with a goodbye for this reason, and cost no more than `MODEST`.
    #[track_caller]
    fn ends(&mut self, frames: impl IntoIterator<Item = Vec<u8>>, code: Code) -> Heard {
        let enemy = self.enemy();
        let heard = self.attack(enemy, frames);
        assert_eq!(heard.goodbye, Some(code));
        assert!(self.peak < MODEST, "{} bytes of the heap", self.peak);
        self.leaves_nothing();
        heard
    }

    /// When all connections are over the server is what it was.
    #[track_caller]
    fn leaves_nothing(&mut self) {
        self.run(70_000);
        assert_eq!(self.server.census(), self.before);
        assert_eq!(self.served.borrow().open, 0);
    }
}

#[derive(Debug, Default)]
struct Heard {
    goodbye: Option<Code>,
    resets: usize,
    heads: usize,
    bytes: usize,
}

struct Enemy {
    socket: RawSocket,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    heard: Heard,
}

impl Enemy {
    /// Takes in what the server says, frame by frame.
    fn listen(&mut self) {
        let read = self.socket.read();
        self.heard.bytes += read.len();
        self.unread.extend(read);
        let mut at = 0;
        while let Some(head) = self.unread[at..].first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let kind = head[3];
            let Some(payload) = self.unread[at + 9..].get(..len) else { break };
            match kind {
                HEADERS => self.heard.heads += 1,
                RST_STREAM => self.heard.resets += 1,
                GOAWAY => {
                    self.heard.goodbye = Some(Code(u32::from_be_bytes(payload[4..8].try_into().unwrap())));
                }
                _ => {}
            }
            at += 9 + len;
        }
        self.unread.drain(..at);
    }
}

#[test]
fn a_hundred_thousand_streams_begun_to_be_reset() {
    let mut world = World::new();
    let rapid = (0..100_000).map(|nth| [frame(HEADERS, WHOLE, id(nth), POST), reset(id(nth))].concat());
    world.ends(rapid, Code::ENHANCE_YOUR_CALM);
    assert!(world.served.borrow().requests < 230, "{} requests", world.served.borrow().requests);
}

#[test]
fn streams_that_make_the_server_reset_them() {
    let overflow = |nth| {
        let update = frame(WINDOW_UPDATE, 0, id(nth), &0x7fff_ffff_u32.to_be_bytes());
        [frame(HEADERS, WHOLE, id(nth), POST), update].concat()
    };
    let heard = World::new().ends((0..100_000).map(overflow), Code::ENHANCE_YOUR_CALM);
    assert!(heard.resets < 300, "{heard:?}");
    let empty = (0..100_000).map(|nth| frame(HEADERS, WHOLE, id(nth), &[]));
    World::new().ends(empty, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn more_streams_than_are_taken() {
    let mut world = World::new();
    let open = (0..100_000).map(|nth| frame(HEADERS, END_HEADERS, id(nth), POST));
    world.ends(open, Code::ENHANCE_YOUR_CALM);
    assert!(world.served.borrow().most <= 101, "{} at once", world.served.borrow().most);
}

#[test]
fn frames_that_are_only_work() {
    let floods = [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        setting(4, 1),
        frame(PRIORITY, 0, 5, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(0x77, 0, 0, b"?"),
    ];
    for flood in floods {
        World::new().ends((0..100_000).map(|_| flood.clone()), Code::ENHANCE_YOUR_CALM);
    }
}

#[test]
fn frames_that_are_only_work_on_a_stream() {
    let floods = [
        frame(DATA, 0, 1, &[]),
        frame(DATA, 8, 1, &[3, 0, 0, 0]),
        frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        [frame(WINDOW_UPDATE, 0, 3, &1_u32.to_be_bytes()), reset(3)].concat(),
        frame(HEADERS, WHOLE, 5, b"\x00\x01a\x01b"),
    ];
    for flood in floods {
        let open = [
            frame(HEADERS, END_HEADERS, 1, POST),
            frame(HEADERS, WHOLE, 3, POST),
            reset(3),
            // One that the server resets, because it is malformed.
            frame(HEADERS, END_HEADERS, 5, b"\x82"),
        ]
        .concat();
        let frames = std::iter::once(open).chain((0..100_000).map(|_| flood.clone()));
        World::new().ends(frames, Code::ENHANCE_YOUR_CALM);
    }
}

#[test]
fn header_blocks_without_end() {
    for piece in [0, 1, 16_384] {
        let first = frame(HEADERS, END_STREAM, 1, GET);
        let more = (0..10_000).map(|_| frame(CONTINUATION, 0, 1, &vec![0x82; piece]));
        World::new().ends(std::iter::once(first).chain(more), Code::ENHANCE_YOUR_CALM);
    }
}

#[test]
fn bombs_of_compression() {
    // A field of 4,000 bytes that is remembered, and then named again and again.
    let stored = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000]].concat();
    let bomb = |times| [GET, &stored, &vec![0x80 + 62; times]].concat();
    let huge = std::iter::once(frame(HEADERS, WHOLE, 1, &bomb(12_000)));
    World::new().ends(huge, Code::ENHANCE_YOUR_CALM);
    // Small ones are each answered 431, and end the connection when they go on.
    let mut world = World::new();
    let small = (0..10_000).map(|nth| {
        let block = if nth == 0 { bomb(20) } else { [GET, &[0x80 + 62; 200]].concat() };
        frame(HEADERS, WHOLE, id(nth), &block)
    });
    let heard = world.ends(small, Code::ENHANCE_YOUR_CALM);
    assert!((200..300).contains(&heard.heads), "{heard:?}");
    assert_eq!(world.served.borrow().requests, OTHERS);
}

#[test]
fn header_lists_that_are_too_long_are_answered_and_what_comes_behind_them_too() {
    let mut world = World::new();
    let long = [GET, &[0x00, 1, b'x', 0x7f, 0xe1, 0x5c], &[b'v'; 12_000][..]].concat();
    let block = [&long[..], &[0x00, 1, b'y', 0x7f, 0x89, 0x26], &[b'v'; 5000]].concat();
    let frames = vec![
        [
            frame(HEADERS, END_STREAM, 1, &block[..16_000]),
            frame(CONTINUATION, END_HEADERS, 1, &block[16_000..]),
        ]
        .concat(),
        frame(HEADERS, WHOLE, 3, &long),
        frame(HEADERS, WHOLE, 5, GET),
    ];
    let enemy = world.enemy();
    let heard = world.attack(enemy, frames);
    assert_eq!((heard.goodbye, heard.heads, heard.resets), (None, 3, 0));
    assert_eq!(world.served.borrow().requests, 2 + OTHERS);
    world.leaves_nothing();
}

#[test]
fn a_client_that_grants_nothing_is_left_alone_at_last() {
    let mut world = World::new();
    let mut enemy = world.enemy();
    enemy.unsent.extend(setting(4, 0));
    for nth in 0..100 {
        enemy.unsent.extend(frame(HEADERS, WHOLE, id(nth), ENDLESS));
    }
    for _ in 0..5 {
        world.turn(&mut enemy);
    }
    assert_eq!((enemy.heard.heads, world.served.borrow().open), (100, 100));
    world.serves_others();
    world.run(70_000);
    enemy.listen();
    assert_eq!((enemy.heard.resets, world.served.borrow().open), (100, 0));
    assert!(world.peak < MODEST, "{} bytes of the heap", world.peak);
    world.serves_others();
    world.leaves_nothing();
}

#[test]
fn a_client_that_grants_all_and_reads_nothing_is_left_at_last() {
    let mut world = World::new();
    let mut enemy = world.enemy();
    enemy.unsent.extend(setting(4, 0x7fff_ffff));
    enemy.unsent.extend(frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes()));
    for nth in 0..100 {
        enemy.unsent.extend(frame(HEADERS, WHOLE, id(nth), ENDLESS));
    }
    let sent = enemy.socket.write(&enemy.unsent).unwrap();
    assert_eq!(sent, enemy.unsent.len());
    world.run(1000);
    world.serves_others();
    assert_eq!(world.served.borrow().open, 100);
    world.run(70_000);
    assert_eq!(world.served.borrow().open, 0);
    assert!(world.peak < MODEST, "{} bytes of the heap", world.peak);
    world.leaves_nothing();
}

#[test]
fn a_client_that_asks_and_reads_no_answer_is_not_listened_to_and_left_at_last() {
    let questions =
        [(GET, frame(PING, 0, 0, &[0; 8])), (GET, frame(SETTINGS, 0, 0, &[])), (BARE, Vec::new())];
    for (request, question) in questions {
        let mut world = World::new();
        let mut enemy = world.enemy();
        let mut nth = 0;
        for _ in 0..2000 {
            // Requests, so that the questions are not what ends it.
            while enemy.unsent.len() < 16 * 1024 {
                enemy.unsent.extend([frame(HEADERS, WHOLE, id(nth), request), question.clone()].concat());
                nth += 1;
            }
            let Ok(sent) = enemy.socket.write(&enemy.unsent) else { break };
            enemy.unsent.drain(..sent);
            world.run(1);
        }
        assert!(world.peak < MODEST, "{} bytes of the heap", world.peak);
        world.serves_others();
        world.run(70_000);
        enemy.listen();
        assert!(enemy.socket.is_eof() || !enemy.socket.is_connected());
        world.leaves_nothing();
    }
}

/// Sends a byte at a time, one a second, until the server has enough of it: how many seconds that takes.
fn drip(world: &mut World, mut enemy: Enemy, bytes: &[u8]) -> usize {
    for (second, byte) in bytes.iter().enumerate() {
        if enemy.socket.write(&[*byte]).is_err() {
            return second;
        }
        world.run(1000);
        enemy.listen();
        if enemy.socket.is_eof() || !enemy.socket.is_connected() {
            return second;
        }
    }
    bytes.len()
}

#[test]
fn a_head_that_comes_by_drips_is_not_waited_for() {
    let drips =
        [frame(HEADERS, WHOLE, 1, &[GET, &[0x82; 400]].concat()), frame(CONTINUATION, 0, 1, b"").repeat(50)];
    let mut world = World::new();
    let enemy = world.connect();
    assert!(drip(&mut world, enemy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") <= 12);
    for bytes in &drips {
        let enemy = world.enemy();
        let first = frame(HEADERS, END_STREAM, 1, GET);
        let bytes = if bytes[3] == HEADERS { bytes.clone() } else { [&first[..], bytes].concat() };
        assert!(drip(&mut world, enemy, &bytes) <= 12);
    }
    world.serves_others();
    world.leaves_nothing();
}

#[test]
fn nor_is_one_beside_a_stream_that_is_open() {
    let mut world = World::new();
    let mut enemy = world.enemy();
    // Complete, and never answered: it may take its time.
    enemy.unsent.extend(frame(HEADERS, WHOLE, 1, POST));
    world.turn(&mut enemy);
    assert_eq!(world.served.borrow().open, 1);
    let bytes = frame(HEADERS, WHOLE, 3, &[GET, &[0x82; 400]].concat());
    // Nine seconds for the frame's own head, and the time of a request from there on.
    assert!(drip(&mut world, enemy, &bytes) <= 21);
    world.leaves_nothing();
}

/// A server that says `frames` to a client which has asked it, until that has enough: what the client says then, and how
/// much it held meanwhile.
fn meets(frames: impl IntoIterator<Item = Vec<u8>>) -> (Heard, usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let network = Network::new(1);
    let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
    let listener = network.listen(&far, 80).unwrap();
    let mut client = Context::builder().policy(POLICY).unwrap().sim(near).build().unwrap();
    let (mut now, mut peak, base) = (0, 0, heap());
    let mut run = |client: &mut Context, micros| {
        now += micros;
        network.run(&mut [client], Us::from_us(now)).unwrap();
        peak = peak.max(heap().saturating_sub(base));
    };
    client.with(|cx| {
        let id = cx.create("get", Client(Rc::default())).unwrap();
        cx.client_connect(id).unwrap();
    });
    run(&mut client, 10_000);
    let mut socket = listener.accept().unwrap();
    // What is read at once has the room of a megabyte.
    let hello = socket.read().into_boxed_slice();
    assert!(hello.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    let mut enemy =
        Enemy { socket, unsent: Vec::new(), unread: hello[24..].to_vec(), heard: Heard::default() };
    enemy.unsent = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    let mut frames = frames.into_iter();
    loop {
        while enemy.unsent.len() < 4 * 1024
            && let Some(next) = frames.next()
        {
            enemy.unsent.extend(next);
        }
        let is_over = enemy.unsent.is_empty() || enemy.heard.goodbye.is_some();
        let Ok(sent) = enemy.socket.write(&enemy.unsent) else { break };
        enemy.unsent.drain(..sent);
        run(&mut client, 200);
        enemy.listen();
        run(&mut client, 2000);
        if is_over || enemy.socket.is_eof() {
            break;
        }
    }
    (enemy.heard, peak)
}

#[test]
fn servers_that_mean_harm_are_left_as_well() {
    let head = frame(HEADERS, END_HEADERS, 1, b"\x88");
    let bomb = [&[0x88, 0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'v'; 4000], &[0x80 + 62; 12_000]].concat();
    // What is said once, and then again and again.
    let floods = [
        (vec![], frame(PING, 0, 0, &[0; 8])),
        (vec![], frame(SETTINGS, 0, 0, &[])),
        (vec![], frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        (head, frame(DATA, 0, 1, &[])),
        (frame(HEADERS, 0, 1, b"\x88"), frame(CONTINUATION, 0, 1, b"")),
        (frame(HEADERS, WHOLE, 1, &bomb), vec![]),
    ];
    for (first, again) in floods {
        let (heard, peak) = meets(std::iter::once(first).chain((0..10_000).map(|_| again.clone())));
        assert_eq!(heard.goodbye, Some(Code::ENHANCE_YOUR_CALM), "{again:?}");
        assert!(peak < MODEST, "{peak} bytes of the heap");
    }
    // Interim responses are an affair of their stream.
    let (heard, peak) = meets((0..17).map(|_| frame(HEADERS, END_HEADERS, 1, b"\x08\x03103")));
    assert_eq!((heard.goodbye, heard.resets), (None, 1));
    assert!(peak < MODEST, "{peak} bytes of the heap");
}
