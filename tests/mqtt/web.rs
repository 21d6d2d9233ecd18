//! The server's end of a websocket, for a broker behind it.

use super::broker::Wire;
use http::Method;
use std::cell::RefCell;
use std::rc::Rc;
use ws::handshake::{Answer, Terms};
use ws::{CloseCode, Engine, Event, Limits, Piece, Scratch};

/// How the broker speaks websocket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Bytes of MQTT in a message.
    pub(crate) size: usize,
    /// What it calls itself; another client is answered without a subprotocol.
    pub(crate) protocols: &'static str,
    /// Says this instead of what was asked for.
    pub(crate) refusal: Option<&'static str>,
    pub(crate) is_text: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { size: usize::MAX, protocols: "mqtt", refusal: None, is_text: false }
    }
}

pub(crate) struct Web {
    manner: Manner,
    /// None before the upgrade.
    engine: Option<Engine>,
    unread: Vec<u8>,
    scratch: Scratch,
    seen: Rc<RefCell<Seen>>,
}

/// What clients have said.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What was asked for, the head as it was.
    pub(crate) request: String,
    pub(crate) goodbye: Option<CloseCode>,
    /// Bytes in each message that came.
    pub(crate) messages: Vec<usize>,
}

impl Web {
    pub(crate) fn new(manner: Manner, seen: &Rc<RefCell<Seen>>) -> Self {
        Self { manner, engine: None, unread: Vec::new(), scratch: Scratch::default(), seen: Rc::clone(seen) }
    }

    fn upgrade(&mut self, request: &str, out: &mut Vec<u8>) {
        if let Some(refusal) = self.manner.refusal {
            return out.extend_from_slice(refusal.as_bytes());
        }
        let fields: Vec<_> = request.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let terms = Terms { protocols: self.manner.protocols, deflate: None };
        let answer = Answer::new(Method::Get, fields, &terms).unwrap();
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
        for (name, value) in answer.fields() {
            out.extend([name, b": ", value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        self.engine = Some(Engine::server(Limits::default(), None));
    }
}

impl Wire for Web {
    fn unwrap(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        if self.engine.is_none() {
            let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Vec::new();
            };
            let request = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
            self.upgrade(&request, out);
            self.seen.borrow_mut().request = request;
        }
        let mut mqtt = Vec::new();
        let Some(engine) = &mut self.engine else { return mqtt };
        loop {
            let (used, event) = engine.input(&mut self.unread, &mut self.scratch).unwrap();
            match &event {
                Some(Event::Payload(piece)) => {
                    assert!(piece.is_binary);
                    let bytes = piece.bytes(&self.unread, &self.scratch);
                    mqtt.extend_from_slice(bytes);
                    let messages = &mut self.seen.borrow_mut().messages;
                    if piece.is_first {
                        messages.push(0);
                    }
                    *messages.last_mut().unwrap() += bytes.len();
                }
                Some(Event::Close(code, _)) => self.seen.borrow_mut().goodbye = Some(*code),
                _ => {}
            }
            self.unread.drain(..used);
            if used == 0 && event.is_none() {
                engine.poll_output(|| [0; 4], out);
                return mqtt;
            }
        }
    }

    fn wrap(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // Before the client has asked, and after it has said goodbye, there is nobody to hear it.
        let Some(engine) = self.engine.as_mut().filter(|engine| !engine.tx_done()) else { return };
        for message in bytes.chunks(self.manner.size) {
            let piece = if self.manner.is_text { Piece::TEXT } else { Piece::BINARY };
            let mut payload = message.to_vec();
            out.extend_from_slice(engine.frame(&mut payload, piece, [0; 4]).unwrap().as_bytes());
            out.extend_from_slice(&payload);
        }
    }
}
