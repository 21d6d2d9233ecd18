//! The other end of a websocket, in the hands of a test: on a connection that was upgraded from HTTP/1.1, or on a stream of HTTP/2
//! (RFC 8441). What a test says and hears are the bytes of the websocket, the same on either.
#![allow(dead_code, reason = "each test uses its part")]

use h2::{Code, Engine, Event, Limits, Request, StreamId};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::{RawListener, RawSocket};
use ws::handshake::{Answer, Terms};

/// What the websocket is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Http1,
    Http2,
}

impl Carrier {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

/// Lets the others run for a while.
type Turn<'a> = &'a mut dyn FnMut();

const EXTENSIONS: &str = "sec-websocket-extensions";

pub(crate) struct WebSocket {
    pub(crate) socket: RawSocket,
    pub(crate) engine: Option<Engine>,
    pub(crate) stream: Option<StreamId>,
    /// What has come of the carrier, and is not whole.
    rest: Vec<u8>,
    heard: Vec<u8>,
    head: Head,
    /// The end of the stream, and how.
    has_ended: bool,
    pub(crate) reset: Option<Code>,
}

impl WebSocket {
    fn new(socket: RawSocket, engine: Option<Engine>) -> Self {
        Self {
            socket,
            engine,
            stream: None,
            rest: Vec::new(),
            heard: Vec::new(),
            head: Head::new(),
            has_ended: false,
            reset: None,
        }
    }

    /// A client that offers these extensions, and what it was granted of them.
    pub(crate) fn client(
        carrier: Carrier,
        socket: RawSocket,
        offer: &str,
        turn: Turn<'_>,
    ) -> (Self, Option<String>) {
        turn();
        match carrier {
            Carrier::Http1 => Self::upgrade(socket, offer, turn),
            Carrier::Http2 => Self::connect(socket, offer, turn),
        }
    }

    fn upgrade(socket: RawSocket, offer: &str, turn: Turn<'_>) -> (Self, Option<String>) {
        let mut new = Self::new(socket, None);
        let offer = if offer.is_empty() { String::new() } else { format!("{EXTENSIONS}: {offer}\r\n") };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        );
        new.socket.write(request.as_bytes()).unwrap();
        let head = new.head_of_http_1(turn);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let granted = field(&head);
        (new, granted)
    }

    fn connect(socket: RawSocket, offer: &str, turn: Turn<'_>) -> (Self, Option<String>) {
        let mut new = Self::new(socket, Some(Engine::client(Limits::default())));
        for _ in 0..2 {
            new.pump();
            turn();
        }
        let request = Request::connect(b"websocket", b"http", b"10.0.0.1", b"/");
        let offer = Some((EXTENSIONS.as_bytes(), offer.as_bytes())).filter(|(_, offer)| !offer.is_empty());
        let fields = [(&b"sec-websocket-version"[..], &b"13"[..])].into_iter().chain(offer);
        let (mut out, engine) = (Vec::new(), new.engine.as_mut().unwrap());
        new.stream = Some(engine.encode_request(&request, fields, BodyLength::Unknown, &mut out).unwrap());
        new.socket.write(&out).unwrap();
        for _ in 0..100 {
            turn();
            new.pump();
            if new.head.status().is_some() {
                break;
            }
        }
        assert_eq!(new.head.status(), Some(Status::OK));
        let granted = new.head.get(EXTENSIONS).map(|value| String::from_utf8(value.to_vec()).unwrap());
        (new, granted)
    }

    /// A server that grants these extensions, and what it was offered of them.
    pub(crate) fn server(
        carrier: Carrier,
        listener: &RawListener,
        grant: &str,
        turn: Turn<'_>,
    ) -> (Self, Option<String>) {
        let socket = loop {
            turn();
            if let Some(socket) = listener.accept() {
                break socket;
            }
        };
        let grant = Some((EXTENSIONS.as_bytes(), grant.as_bytes())).filter(|(_, grant)| !grant.is_empty());
        match carrier {
            Carrier::Http1 => Self::answer_upgrade(socket, grant, turn),
            Carrier::Http2 => Self::answer_connect(socket, grant, turn),
        }
    }

    fn answer_upgrade(
        socket: RawSocket,
        grant: Option<(&[u8], &[u8])>,
        turn: Turn<'_>,
    ) -> (Self, Option<String>) {
        let mut new = Self::new(socket, None);
        let head = new.head_of_http_1(turn);
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let answer = Answer::new(Method::Get, fields, &Terms::default()).unwrap();
        let mut out = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n".to_vec();
        for (name, value) in answer.fields().chain(grant) {
            out.extend([name, b": ", value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        new.socket.write(&out).unwrap();
        let offered = field(&head);
        (new, offered)
    }

    fn answer_connect(
        socket: RawSocket,
        grant: Option<(&[u8], &[u8])>,
        turn: Turn<'_>,
    ) -> (Self, Option<String>) {
        let limits = Limits { connect_protocol: true, ..Limits::default() };
        let mut new = Self::new(socket, Some(Engine::server(limits)));
        while new.stream.is_none() {
            new.pump();
            turn();
        }
        assert_eq!(new.head.get(":protocol"), Some(&b"websocket"[..]));
        let (mut out, engine) = (Vec::new(), new.engine.as_mut().unwrap());
        let stream = new.stream.unwrap();
        engine.encode_response(stream, Status::OK, grant.into_iter(), BodyLength::Unknown, &mut out).unwrap();
        new.socket.write(&out).unwrap();
        let offered = new.head.get(EXTENSIONS).map(|value| String::from_utf8(value.to_vec()).unwrap());
        (new, offered)
    }

    /// The head of a message, and what comes behind it as the websocket's.
    fn head_of_http_1(&mut self, turn: Turn<'_>) -> String {
        loop {
            turn();
            self.heard.extend(self.socket.read());
            if let Some(end) = self.heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return String::from_utf8(self.heard.drain(..end + 4).collect()).unwrap();
            }
        }
    }

    /// Takes what has come, and says what the carrier has to say.
    pub(crate) fn pump(&mut self) {
        let Some(engine) = &mut self.engine else { return self.heard.extend(self.socket.read()) };
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend(self.socket.read());
        let (mut at, mut head) = (0, Head::new());
        loop {
            let (used, event) = engine.input(0, &bytes[at..], &mut head).unwrap();
            match event {
                None if used == 0 => break,
                Some(Event::Request { stream }) => {
                    self.stream.get_or_insert(stream);
                    self.head = head.clone();
                }
                Some(Event::Response { .. }) => self.head = head.clone(),
                Some(Event::Body { stream, range }) if self.stream == Some(stream) => {
                    self.heard.extend_from_slice(&bytes[at..][range]);
                }
                Some(Event::End { stream }) if self.stream == Some(stream) => self.has_ended = true,
                Some(Event::Reset { stream, code }) if self.stream == Some(stream) => self.reset = Some(code),
                _ => {}
            }
            at += used;
        }
        self.rest = bytes.split_off(at);
        let mut out = Vec::new();
        engine.poll_output(&mut out);
        let _ = self.socket.write(&out);
    }

    /// Sends bytes of the websocket, as its carrier has room for them.
    pub(crate) fn write(&mut self, mut bytes: &[u8], turn: Turn<'_>) {
        while !bytes.is_empty() {
            let room = match (&self.engine, self.stream) {
                (Some(engine), Some(stream)) => engine.tx_room(stream),
                _ => bytes.len(),
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()).min(16_384));
            if now.is_empty() {
                turn();
                self.pump();
            }
            self.write_piece(now, false);
            bytes = later;
        }
    }

    fn write_piece(&mut self, bytes: &[u8], is_last: bool) {
        match (&mut self.engine, self.stream) {
            (Some(engine), Some(stream)) => {
                // None when the other side has reset the stream.
                let frame = engine.frame(stream, bytes.len(), is_last).ok();
                if let Some(frame) = frame.filter(|frame| !frame.is_suppressed()) {
                    let _ = self.socket.write(&[frame.prefix(), bytes].concat());
                }
            }
            _ => drop(self.socket.write(bytes)),
        }
    }

    /// Ends its side of the carrier.
    pub(crate) fn end(&mut self) {
        if self.engine.is_some() {
            self.write_piece(&[], true);
        } else {
            let _ = self.socket.shutdown();
        }
    }

    /// Bytes of the websocket that have come.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        self.pump();
        std::mem::take(&mut self.heard)
    }

    /// The other side has ended the carrier.
    pub(crate) fn is_ended(&self) -> bool {
        if self.engine.is_some() { self.has_ended || self.reset.is_some() } else { self.socket.is_eof() }
    }
}

/// The extensions that a head of HTTP/1.1 names.
fn field(head: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(name, _)| name.eq_ignore_ascii_case(EXTENSIONS)).map(|(_, value)| value.to_owned())
}
