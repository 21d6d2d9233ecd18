//! The other end of an HTTP/2 connection, in the hands of a test.
#![allow(dead_code, reason = "each test uses its part")]

use h2::{Code, Engine, Event, StreamId};
use millstream::http::{BodyLength, Head, Status};
use millstream::sim::RawSocket;

/// An engine at the end of a raw connection, and what it was told.
pub(crate) struct Peer {
    pub(crate) socket: RawSocket,
    pub(crate) engine: Engine,
    pub(crate) requests: Vec<(StreamId, Vec<u8>)>,
    /// Of requests and of responses, as they came.
    pub(crate) heads: Vec<(StreamId, Head)>,
    /// Whose message is complete.
    pub(crate) ended: Vec<StreamId>,
    pub(crate) resets: Vec<Code>,
    pub(crate) leaving: Vec<(u32, Code)>,
    pub(crate) body: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(socket: RawSocket, engine: Engine) -> Self {
        let (requests, heads, ended, resets, leaving) = Default::default();
        Self { socket, engine, requests, heads, ended, resets, leaving, body: Vec::new() }
    }

    /// Takes what has come, and says what the protocol has to say.
    pub(crate) fn serve(&mut self) {
        let (bytes, mut head, mut at) = (self.socket.read(), Head::new(), 0);
        loop {
            let (used, event) = self.engine.input(0, &bytes[at..], &mut head).unwrap();
            if let Some(Event::Request { stream } | Event::Response { stream }) = event {
                self.heads.push((stream, head.clone()));
            }
            match event {
                Some(Event::Request { stream }) => self.requests.push((stream, head.path().to_vec())),
                Some(Event::Body { range, .. }) => self.body.extend_from_slice(&bytes[at..][range]),
                Some(Event::End { stream }) => self.ended.push(stream),
                Some(Event::Reset { code, .. }) => self.resets.push(code),
                Some(Event::GoAway { last, code }) => self.leaving.push((last, code)),
                None if used == 0 => break,
                _ => {}
            }
            at += used;
        }
        assert_eq!(at, bytes.len());
        self.say(|_, _| ());
    }

    pub(crate) fn say(&mut self, what: impl FnOnce(&mut Engine, &mut Vec<u8>)) {
        let mut out = Vec::new();
        what(&mut self.engine, &mut out);
        self.engine.poll_output(&mut out);
        let _ = self.socket.write(&out);
    }

    /// Answers the request of this ordinal with its own path.
    pub(crate) fn answer(&mut self, nth: usize) {
        let (stream, path) = self.requests[nth].clone();
        self.say(|engine, out| {
            let body = BodyLength::Known(path.len() as u64);
            engine.encode_response(stream, Status::OK, std::iter::empty(), body, out).unwrap();
        });
        self.send(stream, &path, true);
    }

    /// A response whose end is not near.
    pub(crate) fn begin_answer(&mut self, stream: StreamId) {
        self.say(|engine, out| {
            let body = BodyLength::Unknown;
            engine.encode_response(stream, Status::OK, std::iter::empty(), body, out).unwrap();
        });
    }

    /// More of it.
    pub(crate) fn send(&mut self, stream: StreamId, payload: &[u8], last: bool) {
        self.say(|engine, out| {
            out.extend_from_slice(engine.frame(stream, payload.len(), last).unwrap().prefix());
            out.extend_from_slice(payload);
        });
    }
}
