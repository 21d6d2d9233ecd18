//! Compressed messages on their way out (RFC 7692 7.2.1).

use alloc::vec::Vec;
use zlib_rs::{DeflateConfig, DeflateFlush, Status};

/// How a flush ends, which every message leaves out.
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// How much room a step is given at least.
const STEP: usize = 1024;

/// Blocks of 4,096 symbols instead of 16,384: they take 84 KB less, and messages are seldom longer.
const MEM_LEVEL: i32 = 6;

/// One direction's encoder.
pub(crate) struct Deflater {
    inner: zlib_rs::Deflate,
    bits: u8,
}

impl Deflater {
    pub(crate) fn new(level: u8, bits: u8) -> Self {
        // zlib's smallest window of 512 bytes refers back no further than 250: it serves for 256 as well.
        let config = DeflateConfig {
            level: i32::from(level),
            // Negative: without a header of zlib's.
            window_bits: -i32::from(bits.clamp(9, 15)),
            mem_level: MEM_LEVEL,
            ..DeflateConfig::default()
        };
        Self { inner: zlib_rs::Deflate::new_with_config(config), bits }
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    /// As new.
    pub(crate) fn reset(&mut self) {
        self.inner.reset();
    }

    /// Appends `payload` to `out`, deflated so far that a peer can inflate all of it.
    pub(crate) fn push(&mut self, payload: &[u8], is_last: bool, out: &mut Vec<u8>) {
        let start = out.len();
        let mut rest = payload;
        loop {
            let at = out.len();
            out.resize(at.saturating_add(STEP.max(rest.len() / 2)), 0);
            let room = out.get_mut(at..).unwrap_or_default();
            let (before, size) = ((self.inner.total_in(), self.inner.total_out()), room.len());
            // With room to write to it cannot fail.
            let status = self.inner.compress(rest, room, DeflateFlush::SyncFlush);
            let used = self.inner.total_in().saturating_sub(before.0) as usize;
            let made = self.inner.total_out().saturating_sub(before.1) as usize;
            out.truncate(at.saturating_add(made));
            rest = rest.get(used..).unwrap_or_default();
            // Room that is left over says that everything has been written.
            if made < size || status != Ok(Status::Ok) {
                break;
            }
        }
        if is_last {
            let made = out.get(start..).unwrap_or_default();
            if made.ends_with(&FLUSHED) {
                out.truncate(out.len().saturating_sub(FLUSHED.len()));
            } else {
                // Nothing came out because nothing went in: an empty block (RFC 7692 7.2.3.6).
                out.push(0);
            }
        }
    }
}

impl core::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Deflater").field("bits", &self.bits).finish_non_exhaustive()
    }
}
