//! What a connection in service has to say and has not sent yet: payloads where callbacks left them in the loop's buffer,
//! each between what its role put around it, so that one write takes many of them and none is copied that found its place.

use crate::context::scratch::{FRONT_ROOM, PREFIX_ROOM};
use std::ops::Range;

/// Which part of [`Scratch::tx`](crate::context::scratch::Scratch::tx) is to be sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Burst {
    start: usize,
    end: usize,
    /// Of the piece that came last: the next one's is likely to be as long, and its payload then stands where it has to.
    prefix_len: usize,
}

/// A payload at `at`, and what belongs around it.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) heads: [&'a [u8]; 2],
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) suffix: &'a [u8],
}

impl Burst {
    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Where the next payload is to begin, with `front` bytes to come before it.
    pub(crate) fn place(self, front: usize) -> usize {
        if self.is_empty() { FRONT_ROOM.max(front) + PREFIX_ROOM } else { self.end + front + self.prefix_len }
    }

    /// Takes a payload with what belongs around it, behind all that is there already. It is moved only when its head is not as
    /// long as it was expected to be.
    pub(crate) fn push(&mut self, buffer: &mut Vec<u8>, part: &Part<'_>) {
        let Part { heads: [front, prefix], at, len, suffix } = *part;
        let before = front.len() + prefix.len();
        let start = if self.is_empty() { at.saturating_sub(before) } else { self.end };
        let (payload, end) = (start + before, start + before + len + suffix.len());
        if buffer.len() < end {
            buffer.resize(end, 0);
        }
        if payload != at && len > 0 && at + len <= buffer.len() {
            buffer.copy_within(at..at + len, payload);
        }
        put(buffer.get_mut(start..), &[front, prefix]);
        put(buffer.get_mut(payload + len..), &[suffix]);
        if self.is_empty() {
            self.start = start;
        }
        (self.end, self.prefix_len) = (end, prefix.len());
    }
}

/// Copies `pieces` into `place`, one behind the other.
fn put(place: Option<&mut [u8]>, pieces: &[&[u8]]) {
    let mut place = place.unwrap_or_default();
    for piece in pieces {
        let Some((to, rest)) = place.split_at_mut_checked(piece.len()) else { return };
        to.copy_from_slice(piece);
        place = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts payloads as callbacks do, and says what is to be sent, and how often a payload stood where it had to.
    fn sent(pieces: &[(&str, &str, &str, &str)]) -> (String, usize) {
        let (mut burst, mut buffer, mut in_place) = (Burst::default(), Vec::new(), 0);
        for (front, prefix, payload, suffix) in pieces {
            let at = burst.place(front.len());
            buffer.resize(buffer.len().max(at + payload.len()), b'-');
            buffer[at..at + payload.len()].copy_from_slice(payload.as_bytes());
            let heads = [front.as_bytes(), prefix.as_bytes()];
            burst.push(&mut buffer, &Part { heads, at, len: payload.len(), suffix: suffix.as_bytes() });
            in_place += usize::from(buffer[at..].starts_with(payload.as_bytes()));
        }
        (String::from_utf8(buffer[burst.range()].to_vec()).unwrap(), in_place)
    }

    #[test]
    fn payloads_with_heads_of_one_length_are_not_moved() {
        let pieces = [("", "5:", "hello", ";"), ("", "3:", "big", ";"), ("ping ", "5:", "world", ";")];
        assert_eq!(sent(&pieces), ("5:hello;3:big;ping 5:world;".into(), 3));
    }

    #[test]
    fn a_payload_with_another_head_closes_up() {
        let pieces = [
            ("head ", "", "a", ""),
            ("", "12:", "twelve bytes", ""),
            ("", "3:", "one", "."),
            ("", "", "", "end"),
        ];
        assert_eq!(sent(&pieces).0, "head a12:twelve bytes3:one.end");
    }

    #[test]
    fn a_head_beyond_all_room_goes_before_its_payload() {
        let head = "x".repeat(3 * FRONT_ROOM);
        assert_eq!(sent(&[(&head, "<", "payload", ">")]).0, format!("{head}<payload>"));
    }

    #[test]
    fn a_head_that_grew_while_its_payload_was_made_moves_it() {
        let (mut burst, mut buffer) = (Burst::default(), vec![0; FRONT_ROOM + 100]);
        let at = burst.place(0);
        buffer[at..at + 4].copy_from_slice(b"body");
        let head = "h".repeat(FRONT_ROOM + 500);
        burst.push(&mut buffer, &Part { heads: [head.as_bytes(), b""], at, len: 4, suffix: b"" });
        assert_eq!(buffer[burst.range()], *format!("{head}body").as_bytes());
    }
}
