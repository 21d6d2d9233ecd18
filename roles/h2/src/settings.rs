//! Settings (RFC 9113 6.5): what we tell the peer, and what it tells us.

use crate::frame::{Kind, put};
use crate::{Error, Limits};
use alloc::vec::Vec;

/// The window that streams and connections begin with, until somebody says otherwise (RFC 9113 6.9.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;
/// No window grows beyond this (RFC 9113 6.9.1).
pub(crate) const MAX_WINDOW: u32 = 0x7fff_ffff;
/// The smallest limit of a frame's payload that there can be (RFC 9113 4.2).
pub(crate) const MIN_FRAME: u32 = 16_384;
const MAX_FRAME: u32 = 0x00ff_ffff;
/// Streams that a client begins before the server has said how many it takes: what RFC 9113 6.5.2 wants as a minimum.
const STREAMS_AT_FIRST: u32 = 100;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What the peer has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) header_table: u32,
    pub(crate) streams: u32,
    pub(crate) window: u32,
    pub(crate) frame: u32,
    pub(crate) header_list: u32,
    pub(crate) connect_protocol: bool,
}

impl Peer {
    pub(crate) const fn new() -> Self {
        Self {
            header_table: hpack::DEFAULT_TABLE_SIZE,
            streams: STREAMS_AT_FIRST,
            window: DEFAULT_WINDOW,
            frame: MIN_FRAME,
            header_list: u32::MAX,
            connect_protocol: false,
        }
    }

    /// One setting of a frame.
    pub(crate) fn apply(&mut self, entry: [u8; 6], from_server: bool) -> Result<(), Error> {
        let [a, b, value @ ..] = entry;
        let value = u32::from_be_bytes(value);
        match u16::from_be_bytes([a, b]) {
            HEADER_TABLE_SIZE => self.header_table = value,
            // RFC 9113 6.5.2: a server never asks to be pushed to.
            ENABLE_PUSH if value > 1 || (from_server && value == 1) => return Err(Error::Setting),
            MAX_CONCURRENT_STREAMS => self.streams = value,
            INITIAL_WINDOW_SIZE if value > MAX_WINDOW => return Err(Error::WindowOverflow),
            INITIAL_WINDOW_SIZE => self.window = value,
            MAX_FRAME_SIZE if !(MIN_FRAME..=MAX_FRAME).contains(&value) => return Err(Error::Setting),
            MAX_FRAME_SIZE => self.frame = value,
            MAX_HEADER_LIST_SIZE => self.header_list = value,
            // RFC 8441 3: once said, it stays.
            ENABLE_CONNECT_PROTOCOL if value > 1 || (self.connect_protocol && value == 0) => {
                return Err(Error::Setting);
            }
            ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
            _ => {}
        }
        Ok(())
    }
}

/// Appends our own.
pub(crate) fn put_own(out: &mut Vec<u8>, limits: &Limits, is_server: bool) {
    let settings = [
        Some((HEADER_TABLE_SIZE, limits.header_table)).filter(|own| own.1 != hpack::DEFAULT_TABLE_SIZE),
        Some((ENABLE_PUSH, 0)).filter(|_| !is_server),
        Some((MAX_CONCURRENT_STREAMS, limits.streams)).filter(|_| is_server),
        Some((INITIAL_WINDOW_SIZE, limits.initial_window)).filter(|own| own.1 != DEFAULT_WINDOW),
        Some((MAX_FRAME_SIZE, limits.frame)).filter(|own| own.1 != MIN_FRAME),
        Some((MAX_HEADER_LIST_SIZE, limits.header_list)),
        Some((ENABLE_CONNECT_PROTOCOL, 1)).filter(|_| is_server && limits.connect_protocol),
    ];
    let mut payload = [0; 6 * 7];
    let mut len = 0;
    for ((id, value), place) in settings.into_iter().flatten().zip(payload.chunks_exact_mut(6)) {
        for (octet, from) in place.iter_mut().zip(id.to_be_bytes().into_iter().chain(value.to_be_bytes())) {
            *octet = from;
        }
        len += 6;
    }
    put(out, Kind::Settings, 0, 0, payload.get(..len).unwrap_or_default());
}

impl Limits {
    /// With every value that HTTP/2 has no number for moved to the next one.
    pub(crate) fn in_range(self) -> Self {
        Self {
            initial_window: self.initial_window.min(MAX_WINDOW),
            window: self.window.min(MAX_WINDOW),
            connection_window: self.connection_window.clamp(DEFAULT_WINDOW, MAX_WINDOW),
            frame: self.frame.clamp(MIN_FRAME, MAX_FRAME),
            requests: self.requests.min(1 << 30),
            ..self
        }
    }
}
