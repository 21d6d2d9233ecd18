//! Feeding engines, and telling what came out in a form that can be compared.

#![allow(dead_code, reason = "each test crate uses its share")]

use millstream_ws::{CloseCode, Deflate, Engine, Error, Event, Limits, Place, Scratch};

/// The key of every masked frame here.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Both sides remember, with the largest windows.
pub(crate) const TAKEOVER: Deflate = Deflate {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

/// What an engine told and said, with the pieces of a frame put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Binary or text, the first of its message, the last; whether it was complete.
    Frame {
        bytes: Vec<u8>,
        is_binary: bool,
        is_first: bool,
        is_last: bool,
        is_whole: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Sent(Vec<u8>),
    Error(Error),
}

fn tell(event: Event, input: &[u8], scratch: &Scratch, told: &mut Vec<Told>) {
    let next = match event {
        Event::Payload(piece) => {
            let new = piece.bytes(input, scratch).to_vec();
            if let Some(Told::Frame { bytes, is_last, is_whole: is_whole @ false, .. }) = told.last_mut() {
                assert!(!piece.is_first, "a first piece within a frame");
                bytes.extend_from_slice(&new);
                (*is_last, *is_whole) = (piece.is_last, piece.ends_frame);
                return;
            }
            Told::Frame {
                bytes: new,
                is_binary: piece.is_binary,
                is_first: piece.is_first,
                is_last: piece.is_last,
                is_whole: piece.ends_frame,
            }
        }
        Event::Ping(range) => Told::Ping(input[range].to_vec()),
        Event::Pong(range) => Told::Pong(input[range].to_vec()),
        Event::Close(code, range) => {
            Told::Close(code.get(), String::from_utf8(input[range].to_vec()).unwrap())
        }
    };
    told.push(next);
}

fn check_event(event: &Event, used: usize, scratch_len: usize) {
    match event {
        Event::Payload(piece) => {
            assert!(piece.ends_frame || !piece.is_last, "a message ends with a frame");
            match &piece.place {
                Place::Input(range) => assert!(range.start <= range.end && range.end <= used),
                Place::Scratch(range) => assert!(range.start <= range.end && range.end <= scratch_len),
            }
        }
        Event::Ping(range) | Event::Pong(range) | Event::Close(_, range) => {
            assert!(range.start <= range.end && range.end <= used);
        }
    }
}

fn say(engine: &mut Engine, told: &mut Vec<Told>) {
    let mut out = Vec::new();
    let has_output = engine.has_output();
    engine.poll_output(|| KEY, &mut out);
    assert_eq!(has_output, !out.is_empty());
    assert!(out.len() <= 139 && !engine.has_output());
    if !out.is_empty() {
        told.push(Told::Sent(out));
    }
}

/// An engine that is given bytes as a connection would, and what it has told. Checks what must hold on any input.
pub(crate) struct Reader<'a> {
    pub(crate) engine: &'a mut Engine,
    rest: Vec<u8>,
    pub(crate) told: Vec<Told>,
    has_failed: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(engine: &'a mut Engine) -> Self {
        Self { engine, rest: Vec::new(), told: Vec::new(), has_failed: false }
    }

    /// The next bytes; `scratch` has room for pieces of `scratch_len`.
    pub(crate) fn give(&mut self, piece: &[u8], scratch: &mut Scratch, scratch_len: usize) {
        let Self { engine, rest, told, .. } = self;
        rest.extend_from_slice(piece);
        while !self.has_failed && (!rest.is_empty() || engine.has_event()) {
            match engine.input(rest, scratch) {
                Ok((0, None)) => {
                    assert!(!engine.has_event() && rest.len() <= 130, "{} bytes wait", rest.len());
                    break;
                }
                Ok((used, event)) => {
                    assert!(used <= rest.len(), "took more than there was");
                    if let Some(event) = event {
                        check_event(&event, used, scratch_len);
                        tell(event, rest, scratch, told);
                    }
                    // What is wrong is told after what was good, however it was cut; only then is it answered.
                    if !engine.rx_done() || matches!(told.last(), Some(Told::Close(..))) {
                        say(engine, told);
                    }
                    rest.drain(..used);
                }
                Err(error) => {
                    assert_eq!(engine.input(rest, scratch), Err(error), "an error stays");
                    assert!(engine.rx_done());
                    told.push(Told::Error(error));
                    say(engine, told);
                    assert!(engine.is_closed());
                    self.has_failed = true;
                }
            }
        }
    }
}

/// Gives the engine `pieces` one after the other.
pub(crate) fn feed(engine: &mut Engine, pieces: &[&[u8]], scratch_len: usize) -> Vec<Told> {
    let (mut reader, mut scratch) = (Reader::new(engine), Scratch::new(scratch_len, 6));
    for piece in pieces {
        reader.give(piece, &mut scratch, scratch_len);
    }
    reader.told
}

/// The same bytes in one piece, in two at every place, and one by one give the same events, into any scratch.
pub(crate) fn every_split(make: impl Fn() -> Engine, input: &[u8]) -> Vec<Told> {
    let whole = feed(&mut make(), &[input], 16_384);
    for at in 0..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(feed(&mut make(), &[first, second], 1000), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes, 1), whole, "byte by byte");
    assert_eq!(feed(&mut make(), &[input], 7), whole, "through a small scratch");
    whole
}

/// A frame as a client sends it, masked, or as a server does.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if key.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(bit | len as u8),
        len @ 126..=0xffff => {
            out.push(bit | 0x7e);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(bit | 0x7f);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// From a client.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some(KEY))
}

/// From a server.
pub(crate) fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, None)
}

pub(crate) fn server() -> Engine {
    Engine::server(Limits::default(), None)
}

pub(crate) fn client() -> Engine {
    Engine::client(Limits::default(), None)
}

/// A whole frame of a message that is one frame.
pub(crate) fn whole(bytes: &[u8], is_binary: bool) -> Told {
    part(bytes, is_binary, true, true)
}

pub(crate) fn part(bytes: &[u8], is_binary: bool, is_first: bool, is_last: bool) -> Told {
    Told::Frame { bytes: bytes.to_vec(), is_binary, is_first, is_last, is_whole: true }
}

/// What a server that met `error` tells and says at last.
pub(crate) fn failed(error: Error) -> [Told; 2] {
    [Told::Error(error), Told::Sent(goodbye(error.code()))]
}

/// A server's close frame.
pub(crate) fn goodbye(code: CloseCode) -> Vec<u8> {
    bare(FIN | CLOSE, &code.get().to_be_bytes())
}
