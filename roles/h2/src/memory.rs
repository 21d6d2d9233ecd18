//! Memory that engines of one loop share, because most of them are at rest.

use crate::input::Receiving;
use crate::output::Staging;
use crate::stream::Stream;
use crate::{Engine, message};
use alloc::vec::Vec;

/// What is larger than this is not kept for the next.
const KEPT: usize = 16 * 1024;

/// What an engine needs while there are streams, and not between them: see [`Engine::put_by`].
#[derive(Clone, Debug, Default)]
pub struct Memory {
    block: Vec<u8>,
    text: Vec<u8>,
    control: Vec<u8>,
    rows: Vec<Stream>,
    fields: message::Scratch,
    staging: Staging,
}

/// An allocation without what was in it.
fn emptied<T>(used: &mut Vec<T>) -> Vec<T> {
    let mut kept = core::mem::take(used);
    kept.clear();
    if kept.capacity().saturating_mul(size_of::<T>()) > KEPT { Vec::new() } else { kept }
}

/// Gives `place` an allocation, if there is nothing in it.
fn furnish<T>(place: &mut Vec<T>, memory: Vec<T>) {
    if place.is_empty() {
        *place = memory;
    }
}

impl Engine {
    /// Gives up what the engine needs only while there are streams, so that thousands of idle connections do not each keep
    /// it; `None` while something is under way. An engine that is given nothing by [`Self::take_up`] allocates anew.
    ///
    /// ```
    /// use millstream_h2::{Engine, Limits};
    ///
    /// let (mut first, mut second) = (Engine::client(Limits::default()), Engine::client(Limits::default()));
    /// first.poll_output(&mut Vec::new());
    /// if let Some(memory) = first.put_by() {
    ///     second.take_up(memory);
    /// }
    /// ```
    pub fn put_by(&mut self) -> Option<Memory> {
        let is_at_rest = self.receiving == Receiving::Frame && self.open.is_none();
        if !is_at_rest || !self.streams.is_empty() || !self.control.is_empty() {
            return None;
        }
        Some(Memory {
            block: emptied(&mut self.block),
            text: emptied(self.decoder.text_mut()),
            control: emptied(&mut self.control),
            rows: emptied(self.streams.rows_mut()),
            fields: core::mem::take(&mut self.scratch),
            staging: core::mem::take(&mut self.staging),
        })
    }

    /// Takes what another engine, or this one, has given up.
    pub fn take_up(&mut self, memory: Memory) {
        let Memory { block, text, control, rows, fields, staging } = memory;
        furnish(&mut self.block, block);
        furnish(self.decoder.text_mut(), text);
        furnish(&mut self.control, control);
        furnish(self.streams.rows_mut(), rows);
        self.scratch = fields;
        self.staging = staging;
    }
}
