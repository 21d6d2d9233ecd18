//! Frames made by hand, engines to give them to, and what came out in a form that can be compared.

#![allow(dead_code, reason = "each test crate uses its share")]

use hpack::Encoder;
use http::{BodyLength, Head, Method};
use millstream_h2::{Code, Engine, Error, Event, Limits, Request, StreamId};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 0x20;
/// A head that is complete.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header block that changes no table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(4096), Vec::new());
    let mut block = encoder.block(&mut out);
    for (name, value) in fields {
        block.field_as(name.as_bytes(), value.as_bytes(), hpack::Indexing::Without);
    }
    out
}

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")];

pub(crate) fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32, code: Code) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

/// What an engine told, with the pieces of a body put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Request(u32, String),
    Informational(u32, u16),
    Response(u32, u16, String),
    Body(u32, Vec<u8>),
    End(u32, String),
    Reset(u32, Code),
    Failed(u32, Error),
    Window(u32),
    Settings,
    Pong([u8; 8]),
    GoAway(u32, Code),
    Error(Error),
}

fn fields(head: &Head) -> String {
    let mut text = String::new();
    for (name, value) in head.iter() {
        text.extend([&String::from_utf8_lossy(name), "=", &String::from_utf8_lossy(value), ";"]);
    }
    text
}

pub(crate) fn tell(event: Event, input: &[u8], head: &Head, told: &mut Vec<Told>) {
    let next = match event {
        Event::Request { stream } => {
            let target = String::from_utf8_lossy(head.target());
            Told::Request(stream.get(), format!("{} {target} {}", head.method().unwrap(), fields(head)))
        }
        Event::Informational { stream } => Told::Informational(stream.get(), head.status().unwrap().code()),
        Event::Response { stream } => {
            Told::Response(stream.get(), head.status().unwrap().code(), fields(head))
        }
        Event::Body { stream, range } => {
            let piece = &input[range];
            match told.last_mut() {
                Some(Told::Body(last, bytes)) if *last == stream.get() => {
                    bytes.extend_from_slice(piece);
                    return;
                }
                _ => Told::Body(stream.get(), piece.to_vec()),
            }
        }
        Event::End { stream } => Told::End(stream.get(), fields(head)),
        Event::Reset { stream, code } => Told::Reset(stream.get(), code),
        Event::Failed { stream, error } => Told::Failed(stream.get(), error),
        Event::Window { stream } => Told::Window(stream.map_or(0, StreamId::get)),
        Event::Settings => Told::Settings,
        Event::Pong { payload } => Told::Pong(payload),
        Event::GoAway { last, code } => Told::GoAway(last, code),
    };
    told.push(next);
}

/// Gives the engine `pieces` one after the other, as a connection would. Checks what must hold on any input.
pub(crate) fn feed_at(engine: &mut Engine, now: u64, pieces: &[&[u8]]) -> Vec<Told> {
    let (mut told, mut head, mut rest) = (Vec::new(), Head::new(), Vec::new());
    for piece in pieces {
        rest.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let left = &rest[at..];
            match engine.input(now, left, &mut head) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    assert!(used <= left.len(), "took more than there was");
                    if let Some(Event::Body { range, .. }) = &event {
                        assert!(range.end <= used && range.start < range.end);
                    }
                    if let Some(event) = event {
                        tell(event, left, &head, &mut told);
                    }
                    at += used;
                }
                Err(error) => {
                    assert_eq!(engine.input(now, left, &mut head), Err(error), "an error stays");
                    told.push(Told::Error(error));
                    return told;
                }
            }
        }
        rest.drain(..at);
        assert!(rest.len() < 24, "little is left to the caller");
    }
    told
}

pub(crate) fn feed(engine: &mut Engine, input: &[u8]) -> Vec<Told> {
    feed_at(engine, 0, &[input])
}

/// Gives a server bytes with a request in them, and returns its stream.
pub(crate) fn accept(engine: &mut Engine, input: &[u8]) -> StreamId {
    let (mut head, mut at, mut accepted) = (Head::new(), 0, None);
    loop {
        match engine.input(0, &input[at..], &mut head).unwrap() {
            (0, None) => return accepted.unwrap(),
            (used, event) => {
                at += used;
                if let Some(Event::Request { stream }) = event {
                    accepted = Some(stream);
                }
            }
        }
    }
}

/// A frame that an engine has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    while !bytes.is_empty() {
        let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        let payload = bytes[9..9 + len].to_vec();
        frames.push(Sent { kind: bytes[3], flags: bytes[4], stream, payload });
        bytes = &bytes[9 + len..];
    }
    frames
}

/// What the engine has to say by itself.
pub(crate) fn output(engine: &mut Engine) -> Vec<Sent> {
    let mut out = Vec::new();
    engine.poll_output(&mut out);
    frames(&out)
}

/// A server whose client has introduced itself, and has nothing more to say of that.
pub(crate) fn server_with(limits: Limits) -> Engine {
    let mut engine = Engine::server(limits);
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
    assert_eq!(feed(&mut engine, &hello), [Told::Settings]);
    output(&mut engine);
    engine
}

pub(crate) fn server() -> Engine {
    server_with(Limits::default())
}

/// A client likewise.
pub(crate) fn idle_client_with(limits: Limits) -> Engine {
    let mut engine = Engine::client(limits);
    let hello = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    assert_eq!(feed(&mut engine, &hello), [Told::Settings]);
    output(&mut engine);
    engine
}

pub(crate) fn ask(engine: &mut Engine, method: Method, body: BodyLength) -> StreamId {
    let request = Request::new(method, b"https", b"a.example", b"/");
    engine.encode_request(&request, [].into_iter(), body, &mut Vec::new()).unwrap()
}

/// A client that has asked on stream 1, whole.
pub(crate) fn client() -> Engine {
    let mut engine = idle_client_with(Limits::default());
    ask(&mut engine, Method::Get, BodyLength::None);
    engine
}

/// The connection is lost, and its peer is told so.
#[track_caller]
pub(crate) fn assert_connection_error(engine: &mut Engine, input: &[u8], code: Code) {
    let told = feed(engine, input);
    let Some(Told::Error(error)) = told.last() else { panic!("{told:?}") };
    assert_eq!(error.code(), code, "{error}");
    let sent = output(engine);
    let goodbye = sent.last().unwrap();
    assert_eq!((goodbye.kind, goodbye.stream), (GOAWAY, 0), "{sent:?}");
    assert_eq!(goodbye.payload[4..8], code.0.to_be_bytes());
}

/// The stream is lost, its peer is told so, and the connection goes on.
#[track_caller]
pub(crate) fn assert_stream_error(engine: &mut Engine, input: &[u8], stream: u32, code: Code) {
    let told = feed(engine, input);
    assert!(!matches!(told.last(), Some(Told::Error(_))), "{told:?}");
    let sent = output(engine);
    let reset: Vec<_> = sent.iter().filter(|sent| sent.kind == RST_STREAM).collect();
    assert_eq!(reset.len(), 1, "{told:?} {sent:?}");
    assert_eq!((reset[0].stream, &reset[0].payload[..]), (stream, &code.0.to_be_bytes()[..]), "{told:?}");
    assert_eq!(feed(engine, &frame(PING, 0, 0, b"12345678")), []);
    assert_eq!(output(engine)[0].flags, ACK);
}

/// The same bytes in one piece, in two at every place, and one by one give the same events and the same answers.
pub(crate) fn every_split(make: impl Fn() -> Engine, input: &[u8]) -> Vec<Told> {
    let run = |pieces: &[&[u8]]| {
        let mut engine = make();
        let told = feed_at(&mut engine, 0, pieces);
        (told, output(&mut engine))
    };
    let whole = run(&[input]);
    for at in 0..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(run(&[first, second]), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&bytes), whole, "byte by byte");
    whole.0
}
