//! Compressed messages on their way in (RFC 7692 7.2.2).

use crate::Error;
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit};

/// What the sender took off the end of a message, and then a last, empty block: if that is where the decoder ends, the
/// message was whole. The block is a stored one, which costs nothing to begin.
pub(crate) const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// One direction's decoder, with the window that the peer may refer to.
///
/// The window is ours rather than the decoder's, so it has the size that was agreed on, and lives through a block that
/// calls itself the last (RFC 7692 7.2.3.4).
pub(crate) struct Inflater {
    core: DecompressorOxide,
    window: Vec<u8>,
    /// Where the next byte goes.
    at: usize,
    /// The window was filled once: all of it may be referred to.
    is_full: bool,
    /// The decoder is where it begins: nothing has come yet, or nothing after a block that called itself the last.
    is_fresh: bool,
    /// The output was full before the input was used up: there may be more without any.
    has_more: bool,
    /// Compressed bytes of the message that have been announced by frame headers.
    announced: u64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) used: usize,
    pub(crate) made: usize,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The input is used up, and there is nothing more to come out of it.
    Drained,
    /// The output is full; there may be more.
    Full,
    Failed,
}

impl Inflater {
    pub(crate) fn new(bits: u8) -> Self {
        let mut new = Self {
            core: DecompressorOxide::new(),
            window: Vec::new(),
            at: 0,
            is_full: false,
            is_fresh: true,
            has_more: false,
            announced: 0,
        };
        new.reset(bits);
        new
    }

    /// As new, for a window of 2 to the power of `bits`.
    pub(crate) fn reset(&mut self, bits: u8) {
        let size = 1 << bits.clamp(8, 15);
        if self.window.len() != size {
            self.window = alloc::vec![0; size];
        }
        self.core.init();
        (self.at, self.announced) = (0, 0);
        (self.is_full, self.is_fresh, self.has_more) = (false, true, false);
    }

    /// A frame of this many bytes belongs to the message.
    pub(crate) fn announce(&mut self, len: u64) {
        self.announced = self.announced.saturating_add(len);
    }

    /// How many bytes the message may inflate to at `ratio`, by what was announced.
    pub(crate) fn budget(&self, ratio: u16) -> u64 {
        self.announced.saturating_mul(u64::from(ratio)).saturating_add(crate::UNSUSPICIOUS)
    }

    /// A step that is given no input may still make something.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Inflates from `input` to `out` as far as either goes.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let step = self.decode_all(input, out);
        self.has_more = step.then == Then::Full;
        step
    }

    fn decode_all(&mut self, input: &[u8], out: &mut [u8]) -> Step {
        let mut step = Step { used: 0, made: 0, then: Then::Drained };
        loop {
            let rest = input.get(step.used..).unwrap_or_default();
            let room = out.get_mut(step.made..).unwrap_or_default();
            let (status, used, made) = self.decode(rest, room);
            step.used += used;
            step.made += made;
            self.is_fresh = status == TINFLStatus::Done || (self.is_fresh && used == 0);
            match status {
                TINFLStatus::NeedsMoreInput => return step,
                // More may follow a last block, and refer to what was before it.
                TINFLStatus::Done => self.core.init(),
                TINFLStatus::HasMoreOutput if step.made == out.len() => {
                    return Step { then: Then::Full, ..step };
                }
                TINFLStatus::HasMoreOutput => {}
                _ => return Step { then: Then::Failed, ..step },
            }
            if self.is_fresh && step.used == input.len() {
                return step;
            }
        }
    }

    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> (TINFLStatus, usize, usize) {
        // Until the window is full, a distance that goes back beyond its start is none; afterwards it is a ring.
        let start = if self.is_full { 0 } else { TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF };
        let flags = TINFL_FLAG_HAS_MORE_INPUT | start;
        let (status, used, made) =
            decompress_with_limit(&mut self.core, input, &mut self.window, self.at, out.len(), flags);
        let end = self.at.saturating_add(made);
        if let (Some(to), Some(from)) = (out.get_mut(..made), self.window.get(self.at..end)) {
            to.copy_from_slice(from);
        }
        self.at = end;
        if end >= self.window.len() {
            (self.at, self.is_full) = (0, true);
        }
        (status, used, made)
    }

    /// The message's payload is complete: what of [`TAIL`] is still to be given. Nothing, if its last block called itself
    /// so, or there is none: what no sender should leave out (RFC 7692 7.2.3.4 and 7.2.3.6), but no harm is done.
    pub(crate) fn tail(&self) -> &'static [u8] {
        if self.is_fresh { &[] } else { &TAIL }
    }

    /// The message is complete.
    ///
    /// # Errors
    /// It is not: its last block is broken off.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        self.announced = 0;
        if self.is_fresh { Ok(()) } else { Err(Error::Deflate) }
    }
}

impl core::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inflater").field("window", &self.window.len()).finish_non_exhaustive()
    }
}
