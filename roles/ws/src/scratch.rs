//! What the connections of one loop share, because only one of them is at work at a time.

use crate::deflate::Deflater;
use crate::inflate::Inflater;
use crate::params::Direction;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// Room for inflated payload, and the compression state that is not in use: one for each direction, so that a loop which
/// deals with one message at a time allocates once and not per message. Nothing is allocated before the first compressed
/// message.
#[derive(Debug)]
pub struct Scratch {
    buffer: Vec<u8>,
    len: usize,
    level: u8,
    inflater: Option<Box<Inflater>>,
    deflater: Option<Box<Deflater>>,
    held: Option<Box<Held>>,
}

/// What an engine holds while there is something to hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) pong: Option<Pong>,
    pub(crate) inflater: Option<Box<Inflater>>,
    pub(crate) deflater: Option<Box<Deflater>>,
}

/// The payload of a ping that has not been answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pong {
    bytes: [u8; crate::frame::CONTROL],
    len: u8,
}

impl Pong {
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut bytes = [0; crate::frame::CONTROL];
        for (to, from) in bytes.iter_mut().zip(payload) {
            *to = *from;
        }
        Self { bytes, len: payload.len().min(bytes.len()) as u8 }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for Scratch {
    /// Pieces of 16,384 bytes, level 6.
    fn default() -> Self {
        Self::new(16_384, 6)
    }
}

impl Scratch {
    /// `len` is the most that one event carries of an inflated message, in bytes (at least 1). `level` is how hard to try
    /// when deflating, 1 to 9.
    pub fn new(len: usize, level: u8) -> Self {
        let (len, level) = (len.max(1), level.clamp(1, 9));
        Self { buffer: Vec::new(), len, level, inflater: None, deflater: None, held: None }
    }

    /// Inflated payload: where an event said that it is.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        if self.buffer.len() != self.len {
            self.buffer = alloc::vec![0; self.len];
        }
        &mut self.buffer
    }

    /// An inflater that is lent to `held`, if it has none.
    pub(crate) fn lend_inflater<'a>(
        &mut self,
        held: &'a mut Option<Box<Held>>,
        direction: Direction,
    ) -> &'a mut Inflater {
        let slot = &mut self.lend_held(held).inflater;
        slot.get_or_insert_with(|| match self.inflater.take() {
            Some(mut spare) => {
                spare.reset(direction.bits);
                spare
            }
            None => Box::new(Inflater::new(direction.bits)),
        })
    }

    pub(crate) fn lend_deflater<'a>(
        &mut self,
        held: &'a mut Option<Box<Held>>,
        direction: Direction,
    ) -> &'a mut Deflater {
        let level = self.level;
        let slot = &mut self.lend_held(held).deflater;
        slot.get_or_insert_with(|| match self.deflater.take() {
            Some(mut spare) if spare.bits() == direction.bits => {
                spare.reset();
                spare
            }
            _ => Box::new(Deflater::new(level, direction.bits)),
        })
    }

    pub(crate) fn lend_held<'a>(&mut self, held: &'a mut Option<Box<Held>>) -> &'a mut Held {
        held.get_or_insert_with(|| self.held.take().unwrap_or_default())
    }

    pub(crate) fn return_inflater(&mut self, held: &mut Option<Box<Held>>) {
        self.inflater = held.as_mut().and_then(|held| held.inflater.take()).or_else(|| self.inflater.take());
        self.return_held(held);
    }

    pub(crate) fn return_deflater(&mut self, held: &mut Option<Box<Held>>) {
        self.deflater = held.as_mut().and_then(|held| held.deflater.take()).or_else(|| self.deflater.take());
        self.return_held(held);
    }

    pub(crate) fn return_held(&mut self, held: &mut Option<Box<Held>>) {
        if held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held = held.take();
        }
    }
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.pong.is_none() && self.inflater.is_none() && self.deflater.is_none()
    }
}
