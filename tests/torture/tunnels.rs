//! Websockets on streams of HTTP/2 whose peer, in the hands of the test, breaks off: after each step of the dialogue, in each way. What
//! concerns one stream leaves its sibling alone; what ends the connection is got over.

use crate::policy::{self, HOST, NAME};
use crate::recorder::{Heard, Member, Recorder, Shared};
use crate::runner::{self, Runner};
use h2::{Code, Engine, Event, Limits, Request};
use millstream::http::{BodyLength, Head, Status};
use millstream::sim::{Host, Network, RawListener, RawSocket};
use millstream::{Census, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::Cell;
use std::rc::Rc;
use ws::{CloseCode, Scratch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Reset(Code),
    /// `END_STREAM`, without a goodbye.
    End,
    Goodbye,
    /// A frame that is none, so that ours ends the stream.
    Fault,
    GoAway(Code),
    /// The same, and the stream was not looked at.
    GoAwayUnseen,
    HangUp,
    OutageOfReset,
    OutageOfSilence,
}

const BLOWS: [Blow; 13] = [
    Blow::Reset(Code::NO_ERROR),
    Blow::Reset(Code::CANCEL),
    Blow::Reset(Code::REFUSED_STREAM),
    Blow::Reset(Code::PROTOCOL_ERROR),
    Blow::End,
    Blow::Goodbye,
    Blow::Fault,
    Blow::GoAway(Code::NO_ERROR),
    Blow::GoAway(Code::INTERNAL_ERROR),
    Blow::GoAwayUnseen,
    Blow::HangUp,
    Blow::OutageOfReset,
    Blow::OutageOfSilence,
];

impl Blow {
    /// The connection goes on.
    fn is_for_one(self) -> bool {
        matches!(self, Self::Reset(_) | Self::End | Self::Goodbye | Self::Fault)
    }
}

/// What becomes of a stream of ours.
#[derive(Default)]
struct Fate {
    echoes: Cell<usize>,
    losses: Cell<usize>,
}

/// A client says a message of three pieces until it has it back; a server gives back what it gets.
struct Talker {
    member: Member,
    is_client: bool,
    fate: Rc<Fate>,
    to_say: Vec<(Vec<u8>, bool)>,
}

const PIECES: [&[u8]; 3] = [b"a ", b"mess", b"age"];

impl Talker {
    fn new(shared: &Shared, is_client: bool, fate: &Rc<Fate>) -> Self {
        Self { member: Member::new(shared), is_client, fate: Rc::clone(fate), to_say: Vec::new() }
    }

    fn note(&self, me: StreamId, what: Heard) {
        self.member.shared().borrow_mut().heard(me, what);
    }

    fn changed(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState) {
        self.note(me, Heard::State(state));
        match state {
            StreamState::Creating if self.is_client => cx.client_connect(me).unwrap(),
            StreamState::Connected if self.is_client && self.fate.echoes.get() == 0 => {
                self.to_say = PIECES.iter().map(|piece| (piece.to_vec(), piece.ends_with(b"age"))).collect();
                cx.request_tx(me).unwrap();
            }
            StreamState::Disconnected => {
                self.fate.losses.set(self.fate.losses.get() + 1);
                self.to_say.clear();
                if self.is_client && self.fate.echoes.get() == 0 {
                    drop(cx.client_connect(me));
                }
            }
            _ => {}
        }
    }
}

impl StreamHandler for Talker {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self::new(self.member.shared(), false, &self.fate)))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.member.clone().inside(|| {
            self.note(me, Heard::Rx(flags));
            if self.is_client {
                self.fate.echoes.set(self.fate.echoes.get() + usize::from(flags.is_eom()));
            } else {
                self.to_say.push((payload.to_vec(), flags.is_eom()));
                cx.request_tx(me).unwrap();
            }
            Flow::Ok
        })
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.member.clone().inside(|| {
            self.note(me, Heard::Tx);
            if self.to_say.is_empty() {
                return TxFlow::DontSend;
            }
            let (piece, is_last) = self.to_say.remove(0);
            tx.write(&piece);
            if is_last {
                tx.end_message();
            }
            if !self.to_say.is_empty() {
                cx.request_tx(me).unwrap();
            }
            TxFlow::Send
        })
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.member.clone().inside(|| self.changed(cx, me, state));
        Flow::Ok
    }
}

/// A websocket of the peer's.
struct Tunnel {
    stream: h2::StreamId,
    engine: ws::Engine,
    input: Vec<u8>,
    /// Messages that have come whole.
    messages: usize,
    is_granted: bool,
}

/// A connection of the peer's.
struct Peer {
    socket: RawSocket,
    engine: Engine,
    rest: Vec<u8>,
    tunnels: Vec<Tunnel>,
    /// Things that have happened to the first of them.
    steps: usize,
    scratch: Scratch,
}

impl Peer {
    fn new(socket: RawSocket, engine: Engine) -> Self {
        let (rest, tunnels, steps, scratch) = Default::default();
        Self { socket, engine, rest, tunnels, steps, scratch }
    }

    /// Takes what has come, and answers it, up to a step of the first websocket. True when that was reached.
    fn serve(&mut self, until: Option<usize>, is_server: bool) -> bool {
        if until != Some(self.steps) {
            self.grant();
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend(self.socket.read());
        let (mut at, mut head) = (0, Head::new());
        while until != Some(self.steps) {
            let Ok((used, event)) = self.engine.input(0, &bytes[at..], &mut head) else { break };
            match event {
                None if used == 0 => break,
                Some(event) => self.heard(event, &bytes[at..at + used], is_server),
                None => {}
            }
            at += used;
        }
        self.rest = bytes.split_off(at);
        self.flush();
        until == Some(self.steps)
    }

    fn heard(&mut self, event: Event, bytes: &[u8], is_server: bool) {
        let stream = match event {
            Event::Request { stream } => {
                self.join(stream, ws::Engine::server(ws::Limits::default(), None));
                stream
            }
            Event::Response { stream } => stream,
            Event::Body { stream, range } => {
                let Some(nth) = self.tunnels.iter().position(|tunnel| tunnel.stream == stream) else {
                    return;
                };
                self.tunnels[nth].input.extend_from_slice(&bytes[range]);
                self.talk(nth, is_server);
                stream
            }
            Event::End { stream } | Event::Reset { stream, .. } => {
                self.send(stream, &[], true);
                stream
            }
            _ => return,
        };
        self.steps += usize::from(self.tunnels.first().is_some_and(|tunnel| tunnel.stream == stream));
    }

    fn join(&mut self, stream: h2::StreamId, engine: ws::Engine) {
        self.tunnels.push(Tunnel { stream, engine, input: Vec::new(), messages: 0, is_granted: false });
    }

    /// Of a server: those that are asked for are there.
    fn grant(&mut self) {
        for tunnel in &mut self.tunnels {
            if std::mem::replace(&mut tunnel.is_granted, true) {
                continue;
            }
            let (mut out, fields) = (Vec::new(), std::iter::empty());
            let body = BodyLength::Unknown;
            // Refused when it has been reset.
            let _ = self.engine.encode_response(tunnel.stream, Status::OK, fields, body, &mut out);
            drop(self.socket.write(&out));
        }
    }

    /// Of a client: asks for one.
    fn ask(&mut self) {
        let request = Request::connect(b"websocket", b"http", b"10.0.0.1", b"/");
        let fields = [(&b"sec-websocket-version"[..], &b"13"[..])].into_iter();
        let mut out = Vec::new();
        if let Ok(stream) = self.engine.encode_request(&request, fields, BodyLength::Unknown, &mut out) {
            drop(self.socket.write(&out));
            self.join(stream, ws::Engine::client(ws::Limits::default(), None));
            self.tunnels.iter_mut().for_each(|tunnel| tunnel.is_granted = true);
        }
    }

    /// Of a client: a piece of a message on one of them.
    fn say(&mut self, nth: usize, first: u8, payload: &[u8]) {
        if let Some(tunnel) = self.tunnels.get(nth) {
            // With the mask 0, which changes nothing.
            let bytes = [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
            self.send(tunnel.stream, &bytes, false);
        }
    }

    /// Of a client: what it does at each turn.
    fn take_turn(&mut self, turn: usize) {
        match turn {
            0 | 1 | 6 => self.ask(),
            2..=4 => {
                let first = [0x01, 0x00, 0x80][turn - 2];
                self.say(0, first, PIECES[turn - 2]);
                self.say(1, first, PIECES[turn - 2]);
            }
            8 => self.say(2, 0x81, b"late"),
            _ => {}
        }
    }

    /// A server gives back a message once it is whole.
    fn talk(&mut self, nth: usize, is_server: bool) {
        let (mut out, scratch) = (Vec::new(), &mut self.scratch);
        let tunnel = &mut self.tunnels[nth];
        while let Ok((used, event)) = tunnel.engine.input(&mut tunnel.input, scratch) {
            if event.is_none() && used == 0 {
                break;
            }
            tunnel.input.drain(..used);
            if matches!(&event, Some(ws::Event::Payload(piece)) if piece.is_last) {
                tunnel.messages += 1;
                if is_server {
                    out.extend_from_slice(b"\x81\x06thanks");
                }
            }
            tunnel.engine.poll_output(|| [0; 4], &mut out);
        }
        let stream = tunnel.stream;
        if !out.is_empty() {
            self.send(stream, &out, false);
        }
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.engine.poll_output(&mut out);
        drop(self.socket.write(&out));
    }

    fn send(&mut self, stream: h2::StreamId, bytes: &[u8], is_last: bool) {
        let frame = self.engine.frame(stream, bytes.len(), is_last);
        if let Some(frame) = frame.ok().filter(|frame| !frame.is_suppressed()) {
            drop(self.socket.write(&[frame.prefix(), bytes].concat()));
        }
    }

    fn strike(&mut self, blow: Blow, network: &Network, ends: [&Host; 2]) {
        let Some(Tunnel { stream, engine, .. }) = self.tunnels.first_mut() else { return };
        let (stream, mut out) = (*stream, Vec::new());
        match blow {
            Blow::Reset(code) => self.engine.reset(stream, code),
            Blow::End => self.send(stream, &[], true),
            Blow::Goodbye => {
                let _ = engine.encode_close(CloseCode::RESTART, "", [0; 4], &mut out);
                self.send(stream, &out, false);
            }
            Blow::Fault => self.send(stream, b"\x8f\x00", false),
            Blow::GoAway(code) => {
                self.engine.go_away(code);
                self.flush();
                drop(self.socket.shutdown());
            }
            // The last stream that was looked at is none.
            Blow::GoAwayUnseen => {
                drop(self.socket.write(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"));
                drop(self.socket.shutdown());
            }
            Blow::HangUp => drop(self.socket.shutdown()),
            Blow::OutageOfReset => network.reset(ends[0]),
            Blow::OutageOfSilence => network.link_down(ends[0], ends[1]),
        }
        self.flush();
    }
}

/// The peer is a server: our clients say their messages until they have been heard. True when the step was reached.
fn clients(step: usize, blow: Blow) -> bool {
    let network = Network::new(11);
    network.name(NAME, &[HOST]);
    let (near, far) = (network.host("10.0.0.2"), network.host(HOST));
    let listener: RawListener = network.listen(&far, 82).unwrap();
    let mut context = Context::builder().policy(policy::text()).unwrap().sim(near.clone()).build().unwrap();
    let (shared, fates) =
        (Shared::new(Recorder::default().into()), [(); 2].map(|()| Rc::new(Fate::default())));
    let ids = fates
        .each_ref()
        .map(|fate| context.with(|cx| cx.create("h2ws", Talker::new(&shared, true, fate))).unwrap());
    let (mut peers, mut struck, mut accepted): (Vec<Peer>, bool, usize) = Default::default();
    for round in 0..400 {
        // Silence is noticed by nobody soon.
        let pause = if round < 200 { 1 } else { 5000 };
        runner::run(&network, &mut [&mut context], pause);
        if round == 350 {
            network.link_up(&near, &far);
        }
        while let Some(socket) = listener.accept() {
            let limits = Limits { connect_protocol: true, ..Limits::default() };
            peers.push(Peer::new(socket, Engine::server(limits)));
            accepted += 1;
        }
        for (nth, peer) in peers.iter_mut().enumerate() {
            let until = Some(step).filter(|_| nth == 0 && !struck);
            if peer.serve(until, true) {
                struck = true;
                peer.strike(blow, &network, [&near, &far]);
                peer.serve(None, true);
            }
        }
        // A stream that has used up its retries is asked anew.
        for (id, fate) in ids.iter().zip(&fates) {
            if fate.echoes.get() == 0 && round % 50 == 49 {
                context.with(|cx| drop(cx.client_connect(*id)));
            }
        }
    }
    assert!(fates.iter().all(|fate| fate.echoes.get() > 0), "all have had an answer");
    if struck && blow.is_for_one() {
        assert_eq!((fates[1].losses.get(), accepted), (0, 1), "the sibling is left alone");
    }
    context.with(|cx| ids.into_iter().for_each(|id| drop(cx.destroy(id))));
    drop(peers);
    runner::run(&network, &mut [&mut context], 400_000);
    assert_eq!(context.census(), Census::default());
    drop(context);
    shared.borrow().check();
    struck
}

/// The peer is a client of two websockets on one connection, of which the second goes on, and a third comes after. True when the step
/// was reached.
fn servers(step: usize, blow: Blow) -> bool {
    let network = Network::new(11);
    let (near, far) = (network.host(HOST), network.host("10.0.0.2"));
    let mut context = Context::builder().policy(policy::text()).unwrap().sim(near.clone()).build().unwrap();
    let (shared, fate) = (Shared::new(Recorder::default().into()), Rc::new(Fate::default()));
    let server = context.with(|cx| cx.create("h2_server", Talker::new(&shared, false, &fate))).unwrap();
    let mut run = |peer: Option<&mut Peer>, until| {
        runner::run(&network, &mut [&mut context], 10);
        peer.is_some_and(|peer| peer.serve(until, false))
    };
    run(None, None);
    let socket = network.connect(&far, &format!("{HOST}:82")).unwrap();
    run(None, None);
    let mut peer = Peer::new(socket, Engine::client(Limits::default()));
    peer.flush();
    for _ in 0..3 {
        run(Some(&mut peer), None);
    }
    let mut struck = false;
    for turn in 0..12 {
        peer.take_turn(turn);
        if !struck && run(Some(&mut peer), Some(step)) {
            struck = true;
            peer.strike(blow, &network, [&near, &far]);
        }
        run(Some(&mut peer), None);
    }
    let is_heard = |peer: &Peer, nth: usize| peer.tunnels[nth].messages == 1;
    assert!(!blow.is_for_one() || (is_heard(&peer, 1) && is_heard(&peer, 2)), "the others are left alone");
    assert!(struck || is_heard(&peer, 0));
    drop(peer);
    let accepted = |context: &mut Context| {
        let mut count = 0;
        context.with(|cx| cx.server_foreach_client(server, |_, _| count += 1)).unwrap();
        count
    };
    runner::run(&network, &mut [&mut context], 1_000_000);
    assert_eq!(accepted(&mut context), 0, "nobody is left");
    assert_eq!(context.census().wsis, 1, "but the listener");
    context.with(|cx| cx.destroy(server)).unwrap();
    runner::run(&network, &mut [&mut context], 10);
    assert_eq!(context.census(), Census::default());
    drop(context);
    shared.borrow().check();
    struck
}

/// Each way at each step, until a step is not reached any more.
fn torture(name: &str, least: usize, play: fn(usize, Blow) -> bool) {
    let mut runner = Runner::new();
    for blow in BLOWS {
        for step in 1.. {
            let mut is_reached = true;
            runner.run(&format!("tunnels/{name}/{blow:?}/{step}"), || is_reached = play(step, blow));
            if !is_reached || step > 20 {
                assert!(step > least, "{blow:?}: {step} steps");
                break;
            }
        }
    }
    runner.finish();
}

#[test]
fn websockets_on_streams_that_their_server_breaks_off() {
    torture("clients", 4, clients);
}

#[test]
fn websockets_on_streams_that_their_client_breaks_off() {
    torture("servers", 4, servers);
}
