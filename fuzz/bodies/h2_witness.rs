//! An HTTP/2 connection as somebody sees it who reads both directions and keeps count: what an engine may say (RFC 9113
//! 5.1, 5.2, 6), what it may tell its user, and what it has to keep for either.

use super::common::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use core::ops::ControlFlow;
use hpack::Decoder;
use millstream_h2::{Engine, Error, Event, StreamId};
use std::collections::{BTreeMap, VecDeque};

/// RFC 9113 6.9.1.
const LARGEST_WINDOW: i64 = 0x7fff_ffff;
const DEFAULT_WINDOW: i64 = 65_535;

/// A stream.
#[derive(Debug, Default)]
struct Line {
    /// What the engine may send.
    tx: i64,
    /// What its peer may, by what that is known to know, and once it knows all that it has been told.
    rx: i64,
    rx_soon: i64,
    /// The engine has said the head that counts, and the end.
    has_head: bool,
    has_ended: bool,
    /// One of both has broken it off.
    is_reset: bool,
    /// The user knows of the stream, of the head that counts, and of the end.
    is_told: bool,
    is_headed: bool,
    is_over: bool,
    /// What could be sent when somebody last looked.
    room: Option<usize>,
}

impl Line {
    fn is_live(&self) -> bool {
        self.is_told && !self.is_reset && !(self.has_ended && self.is_over)
    }
}

pub(crate) struct Witness {
    is_server: bool,
    saturates: bool,
    lines: BTreeMap<u32, Line>,
    names: BTreeMap<u32, StreamId>,
    /// Bytes of the peer's that are no whole frame yet, and how many behind them do not matter.
    heard: Vec<u8>,
    to_skip: usize,
    has_heard_preface: bool,
    has_said_preface: bool,
    has_said_settings: bool,
    /// Table sizes by the peer's settings, and its pings: what the engine has to answer.
    unacknowledged: VecDeque<Vec<u32>>,
    pings: VecDeque<Vec<u8>>,
    /// Windows by the engine's settings, which the peer has to acknowledge.
    own: VecDeque<i64>,
    /// As of a line, of the connection; then what lines begin with.
    tx: i64,
    rx: i64,
    tx_initial: i64,
    rx_initial: i64,
    rx_initial_soon: i64,
    frame_most: u32,
    /// Reads the engine's header blocks: the one that is open, and whether its stream ends with it.
    decoder: Decoder,
    block: Option<(u32, bool, Vec<u8>)>,
    /// The last stream and the code of the last goodbye.
    goodbye: Option<(u32, u32)>,
    /// The peer has just sent on this stream what it may not: it has to fail.
    at_fault: Option<u32>,
    /// Who was told that there may be room: the stream, or 0 for all.
    woken: Option<u32>,
}

impl Witness {
    pub(crate) fn new(is_server: bool, saturates: bool) -> Self {
        Self {
            is_server,
            saturates,
            lines: BTreeMap::new(),
            names: BTreeMap::new(),
            heard: Vec::new(),
            to_skip: 0,
            has_heard_preface: !is_server,
            has_said_preface: is_server,
            has_said_settings: false,
            unacknowledged: VecDeque::new(),
            pings: VecDeque::new(),
            own: VecDeque::new(),
            tx: DEFAULT_WINDOW,
            rx: DEFAULT_WINDOW,
            tx_initial: DEFAULT_WINDOW,
            rx_initial: DEFAULT_WINDOW,
            rx_initial_soon: DEFAULT_WINDOW,
            frame_most: 16_384,
            decoder: Decoder::new(hpack::Limits::default()),
            block: None,
            goodbye: None,
            at_fault: None,
            woken: None,
        }
    }

    /// The streams that live.
    pub(crate) fn live(&self) -> Vec<StreamId> {
        let live = self.lines.iter().filter(|(_, line)| line.is_live());
        live.map(|(id, _)| self.names[id]).collect()
    }

    /// The user of a client has begun a stream.
    pub(crate) fn asked(&mut self, stream: StreamId) {
        self.names.insert(stream.get(), stream);
    }

    fn begin(&mut self, stream: u32) -> &mut Line {
        let (tx, rx, rx_soon) = (self.tx_initial, self.rx_initial, self.rx_initial_soon);
        let is_told = !self.is_server;
        self.lines.entry(stream).or_insert_with(|| Line { tx, rx, rx_soon, is_told, ..Line::default() })
    }

    /// The engine has taken these bytes, and found nothing wrong with the connection.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        self.heard.extend_from_slice(&bytes[skipped..]);
        if !self.has_heard_preface && self.heard.len() >= PREFACE.len() {
            self.heard.drain(..PREFACE.len());
            self.has_heard_preface = true;
        }
        while self.has_heard_preface && self.hear_frame() {}
    }

    /// Takes the next frame, as soon as what matters of it is there: what the engine goes by at once.
    fn hear_frame(&mut self) -> bool {
        let Some((len, kind, flags, stream)) = parse(&self.heard) else { return false };
        let size = 9 + len as usize;
        let needed = match kind {
            SETTINGS => size,
            PING | GOAWAY => 9 + 8,
            RST_STREAM | WINDOW_UPDATE => 9 + 4,
            _ => 9,
        };
        if self.heard.len() < needed {
            return false;
        }
        let payload = self.heard[9..needed].to_vec();
        let taken = size.min(self.heard.len());
        self.heard.drain(..taken);
        self.to_skip = size - taken;
        let number = payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes)) & 0x7fff_ffff;
        if kind != CONTINUATION {
            let line = self.at_fault.take().and_then(|id| self.lines.get(&id));
            assert!(!line.is_some_and(Line::is_live), "a stream goes on that has to fail: {line:?}");
        }
        match kind {
            DATA => self.heard_data(stream, len.into()),
            HEADERS => self.heard_head(stream),
            RST_STREAM => drop(self.lines.get_mut(&stream).map(|line| line.is_reset = true)),
            SETTINGS if flags & ACK != 0 => self.heard_acknowledgement(),
            SETTINGS => self.heard_settings(&payload),
            PING if flags & ACK == 0 => self.pings.push_back(payload),
            GOAWAY if !self.is_server => {
                self.lines.range_mut(number + 1..).for_each(|(_, line)| line.is_reset = true);
            }
            WINDOW_UPDATE => self.heard_window(stream, i64::from(number)),
            _ => {}
        }
        true
    }

    /// RFC 9113 5.1: nothing follows what ends a stream.
    fn heard_head(&mut self, stream: u32) {
        if self.is_server || self.lines.contains_key(&stream) {
            let line = self.begin(stream);
            self.at_fault = (line.is_live() && line.is_over).then_some(stream);
        }
    }

    fn heard_data(&mut self, stream: u32, len: i64) {
        self.rx -= len;
        assert!(self.rx >= 0, "the connection takes more than it has granted");
        if let Some(line) = self.lines.get_mut(&stream).filter(|line| line.is_live()) {
            let is_fault = len > line.rx.max(0) || line.is_over || !line.is_headed;
            self.at_fault = is_fault.then_some(stream);
            (line.rx, line.rx_soon) = (line.rx - len, line.rx_soon - len);
        }
    }

    fn heard_window(&mut self, stream: u32, increment: i64) {
        let line = self.lines.get_mut(&stream).map(|line| &mut line.tx);
        if let Some(window) = if stream == 0 { Some(&mut self.tx) } else { line } {
            let most = if self.saturates { LARGEST_WINDOW } else { i64::MAX };
            *window = (*window + increment).min(most);
        }
    }

    fn heard_acknowledgement(&mut self) {
        let window = self.own.pop_front().expect("settings that were sent");
        let change = window - std::mem::replace(&mut self.rx_initial, window);
        self.lines.values_mut().for_each(|line| line.rx += change);
    }

    fn heard_settings(&mut self, payload: &[u8]) {
        let (mut tables, mut initial) = (Vec::new(), self.tx_initial);
        for (id, value) in settings(payload) {
            match id {
                1 => tables.push(value),
                4 => initial = i64::from(value),
                5 => self.frame_most = value,
                _ => {}
            }
        }
        self.unacknowledged.push_back(tables);
        let change = initial - std::mem::replace(&mut self.tx_initial, initial);
        self.lines.values_mut().for_each(|line| line.tx += change);
    }

    /// The engine has told its user: only of streams that live, and each thing in its place (RFC 9113 8.1).
    pub(crate) fn told(&mut self, event: &Event) {
        let stream = match event {
            Event::Settings | Event::Window { stream: None } => return self.woken = Some(0),
            Event::GoAway { .. } | Event::Pong { .. } => return,
            Event::Window { stream: Some(stream) }
            | Event::Request { stream }
            | Event::Informational { stream }
            | Event::Response { stream }
            | Event::Body { stream, .. }
            | Event::End { stream }
            | Event::Reset { stream, .. }
            | Event::Failed { stream, .. } => *stream,
        };
        let line = self.lines.get_mut(&stream.get()).expect("a stream that has begun");
        match event {
            Event::Request { .. } => {
                assert!(self.is_server && !line.is_told && !line.is_reset);
                (line.is_told, line.is_headed) = (true, true);
                self.names.insert(stream.get(), stream);
            }
            Event::Reset { .. } => assert!(line.is_told && line.is_reset),
            _ => assert!(line.is_live(), "{event:?} of {line:?}"),
        }
        match event {
            Event::Window { .. } => self.woken = Some(stream.get()),
            Event::Informational { .. } => assert!(!line.is_headed),
            Event::Response { .. } => assert!(!std::mem::replace(&mut line.is_headed, true)),
            Event::Body { .. } => assert!(line.is_headed && !line.is_over && self.at_fault.is_none()),
            Event::End { .. } => assert!(line.is_headed && !std::mem::replace(&mut line.is_over, true)),
            Event::Failed { .. } => self.at_fault = None,
            _ => {}
        }
    }

    /// The engine has said this: whole frames, each of which it may send.
    pub(crate) fn read(&mut self, said: &mut Vec<u8>) {
        let mut rest = &said[..];
        if !self.has_said_preface && !rest.is_empty() {
            rest = rest.strip_prefix(PREFACE).expect("the preface comes first");
            self.has_said_preface = true;
        }
        while let Some((len, kind, flags, stream)) = parse(rest) {
            assert!(self.has_said_settings || kind == SETTINGS, "settings come first");
            let (frame, behind) = rest.split_at_checked(9 + len as usize).expect("a whole frame");
            assert!(len <= self.frame_most, "a frame that is longer than the peer takes");
            self.read_frame(kind, flags, stream, &frame[9..]);
            rest = behind;
        }
        assert!(rest.is_empty());
        said.clear();
    }

    fn read_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let is_continued = self.block.as_ref().is_some_and(|block| block.0 == stream);
        assert_eq!(
            self.block.is_some(),
            kind == CONTINUATION && is_continued,
            "a header block is interrupted"
        );
        let number = payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        match kind {
            DATA => self.read_data(stream, payload, flags & END_STREAM != 0),
            HEADERS | CONTINUATION => self.read_block(flags, stream, payload),
            SETTINGS if flags & ACK != 0 => {
                let tables = self.unacknowledged.pop_front().expect("settings that came");
                for size in tables {
                    self.decoder.set_max_table_size(size);
                }
            }
            SETTINGS => self.read_settings(payload),
            PING if flags & ACK != 0 => assert_eq!(self.pings.pop_front().as_deref(), Some(payload)),
            PING => assert_eq!(payload.len(), 8),
            WINDOW_UPDATE => self.read_window(stream, i64::from(number)),
            RST_STREAM => {
                let line = self.lines.get_mut(&stream).expect("a stream that has begun");
                assert!(!std::mem::replace(&mut line.is_reset, true), "{stream} was reset before");
            }
            GOAWAY => {
                let code = u32::from_be_bytes(*payload[4..].first_chunk().unwrap());
                // RFC 9113 6.8: what was not acted on may be on its way elsewhere.
                assert!(self.goodbye.is_none_or(|before| number <= before.0), "{number}, {:?}", self.goodbye);
                self.goodbye = Some((number, code));
            }
            other => panic!("nobody asks for frames of type {other}"),
        }
    }

    fn read_data(&mut self, stream: u32, payload: &[u8], ends: bool) {
        let len = i64::try_from(payload.len()).unwrap();
        let line = self.lines.get_mut(&stream).expect("a stream that has begun");
        assert!(line.has_head && !line.has_ended && !line.is_reset, "{line:?}");
        (line.tx, self.tx) = (line.tx - len, self.tx - len);
        assert!(len == 0 || (line.tx >= 0 && self.tx >= 0), "more is sent than there is room for");
        line.has_ended = ends;
    }

    fn read_block(&mut self, flags: u8, stream: u32, payload: &[u8]) {
        let block = self.block.get_or_insert_with(|| (stream, flags & END_STREAM != 0, Vec::new()));
        block.2.extend_from_slice(payload);
        if flags & END_HEADERS == 0 {
            return;
        }
        let Some((_, ends, text)) = self.block.take() else { return };
        let mut pseudo = Vec::new();
        let read = self.decoder.decode(&text, |name, value| {
            if name.starts_with(b":") {
                pseudo.push(value.to_vec());
            }
            ControlFlow::Continue(())
        });
        assert_eq!(read, Ok(()));
        if !self.is_server && !self.lines.contains_key(&stream) {
            assert!(stream % 2 == 1 && self.lines.range(stream..).next().is_none());
            self.begin(stream);
        }
        let line = self.lines.get_mut(&stream).expect("a stream that has begun");
        assert!(!line.has_ended && !line.is_reset, "{line:?}");
        if line.has_head {
            assert!(ends && pseudo.is_empty(), "what follows a head is trailers");
        } else {
            let is_interim = self.is_server && pseudo.first().is_some_and(|status| status[0] == b'1');
            assert!(!pseudo.is_empty(), "a head without a beginning");
            assert!(!is_interim || !ends, "an interim response is not the end");
            line.has_head = !is_interim;
        }
        line.has_ended = ends;
    }

    fn read_settings(&mut self, payload: &[u8]) {
        self.has_said_settings = true;
        let initial = settings(payload).find(|setting| setting.0 == 4).map(|setting| i64::from(setting.1));
        let initial = initial.unwrap_or(self.rx_initial_soon);
        self.own.push_back(initial);
        let change = initial - std::mem::replace(&mut self.rx_initial_soon, initial);
        self.lines.values_mut().for_each(|line| line.rx_soon += change);
    }

    fn read_window(&mut self, stream: u32, increment: i64) {
        let window = if stream == 0 {
            self.rx += increment;
            self.rx
        } else {
            let line =
                self.lines.get_mut(&stream).filter(|line| line.is_live()).expect("a stream that lives");
            (line.rx, line.rx_soon) = (line.rx + increment, line.rx_soon + increment);
            line.rx_soon
        };
        assert!(increment > 0 && window <= LARGEST_WINDOW, "{stream}: {increment} make {window}");
    }

    /// What the engine has to keep, now that all is read that it said.
    pub(crate) fn look(&mut self, engine: &Engine) {
        assert!(self.unacknowledged.is_empty() && self.pings.is_empty(), "answers are due");
        let woken = self.woken.take();
        let mut live = 0;
        for (id, line) in self.lines.iter_mut().filter(|(_, line)| line.is_live()) {
            let name = self.names[id];
            let room = engine.tx_room(name);
            let expected = line.tx.min(self.tx).clamp(0, self.frame_most.into());
            assert_eq!(i64::try_from(room), Ok(expected), "{line:?}");
            assert_eq!(engine.rx_credit(name).map(i64::from), Some(line.rx_soon.max(0)), "{line:?}");
            assert_eq!(
                (engine.rx_done(name), engine.tx_done(name)),
                (line.is_over, line.has_ended),
                "{line:?}"
            );
            let is_told = woken.is_some_and(|who| who == 0 || who == *id);
            let has_opened = line.room.replace(room) == Some(0) && room > 0;
            assert!(!has_opened || is_told || line.has_ended, "nobody is told of {room} bytes of room");
            live += 1;
        }
        assert_eq!((engine.streams(), engine.is_idle()), (live, live == 0));
    }

    /// The connection has failed: that is what the engine says last (RFC 9113 5.4.1).
    pub(crate) fn failed(&self, error: Error) {
        assert_eq!(self.goodbye.map(|goodbye| goodbye.1), Some(error.code().0), "{error}");
    }
}

/// Length, type, flags and stream of a frame.
fn parse(bytes: &[u8]) -> Option<(u32, u8, u8, u32)> {
    let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<9>()?;
    let len = u32::from_be_bytes([0, a, b, c]);
    Some((len, kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff))
}

fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload
        .as_chunks::<6>()
        .0
        .iter()
        .map(|[a, b, value @ ..]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value)))
}
