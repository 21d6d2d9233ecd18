//! Header blocks to fields (RFC 7541 3).

use crate::table::{Name, Table, size_of};
use crate::{DEFAULT_TABLE_SIZE, Error, fixed, huffman, integer};
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

/// How much a peer may send of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the dynamic table that the peer may choose, as RFC 7541 4.1 counts them. 4,096.
    pub table: u32,
    /// Bytes of a name, and of a value, after decoding. 65,536.
    pub string: u32,
    /// Bytes of a list, as RFC 9113 6.5.2 counts them: 32 more for each field. 1,048,576.
    pub list: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { table: DEFAULT_TABLE_SIZE, string: 65_536, list: 1 << 20 }
    }
}

/// Reads the header blocks that one peer sends, in order.
///
/// ```
/// use core::ops::ControlFlow;
/// use millstream_hpack::{Decoder, Limits};
///
/// let mut decoder = Decoder::new(Limits::default());
/// let mut fields = Vec::new();
/// decoder.decode(&[0x82, 0x84], |name, value| {
///     fields.push((name.to_vec(), value.to_vec()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(fields[0], (b":method".to_vec(), b"GET".to_vec()));
/// assert_eq!(fields[1], (b":path".to_vec(), b"/".to_vec()));
/// # Ok::<(), millstream_hpack::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table<()>,
    limits: Limits,
    /// The table was made smaller: what the next block has to begin by saying, at most.
    shrink: Option<u32>,
    /// Decoded Huffman strings of the field at hand.
    text: Vec<u8>,
}

/// A string: in the block, or decoded into the scratch text.
enum Text<'a> {
    Plain(&'a [u8]),
    Decoded(Range<usize>),
}

impl Text<'_> {
    fn get<'b>(&'b self, text: &'b [u8]) -> &'b [u8] {
        match self {
            Self::Plain(plain) => plain,
            Self::Decoded(range) => text.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl Decoder {
    /// With an empty table. In HTTP/2 `limits.table` is 4,096 here, as long as the peer has not acknowledged anything
    /// else (RFC 9113 6.5.2).
    pub const fn new(limits: Limits) -> Self {
        let size = if limits.table < DEFAULT_TABLE_SIZE { limits.table } else { DEFAULT_TABLE_SIZE };
        Self { table: Table::new(size), limits, shrink: None, text: Vec::new() }
    }

    /// The peer has acknowledged this `SETTINGS_HEADER_TABLE_SIZE`: its next block begins by saying so if it has to use
    /// less than before (RFC 7541 4.2).
    pub fn set_max_table_size(&mut self, size: u32) {
        self.limits.table = size;
        if size < self.table.max() {
            self.shrink = Some(self.shrink.map_or(size, |smallest| smallest.min(size)));
        }
    }

    /// Where fields are decoded to: nothing of it is needed between two blocks, so that decoders can take turns with one.
    pub fn text_mut(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Reads a whole header block, field by field, into `sink`. What `sink` is lent is gone after the call.
    ///
    /// # Errors
    /// The block is malformed, goes beyond a limit, or `sink` broke off. The decoder must not be used again: it no longer
    /// has the table that the peer believes it has.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut sink: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let (mut rest, mut list, mut is_start) = (block, 0, true);
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                if !is_start {
                    return Err(Error::LateTableSize);
                }
                self.table_size(integer::take(&mut rest, 5)?)?;
                continue;
            }
            if self.shrink.is_some() {
                return Err(Error::MissingTableSize);
            }
            is_start = false;
            let size = if first & 0x80 == 0x80 {
                self.indexed(&mut rest, &mut sink)?
            } else {
                self.literal(first, &mut rest, &mut sink)?
            };
            list += size;
            if list > self.limits.list {
                return Err(Error::ListTooLong);
            }
        }
        Ok(())
    }

    fn table_size(&mut self, size: u32) -> Result<(), Error> {
        if size > self.limits.table {
            return Err(Error::TableSize);
        }
        if self.shrink.is_some_and(|smallest| size <= smallest) {
            self.shrink = None;
        }
        self.table.set_max(size);
        Ok(())
    }

    fn indexed(
        &self,
        rest: &mut &[u8],
        sink: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<u64, Error> {
        let index = integer::take(rest, 7)?;
        let (name, value) = lookup(&self.table, index)?;
        if sink(name, value).is_break() {
            return Err(Error::Stopped);
        }
        Ok(size_of(name.len(), value.len()))
    }

    fn literal(
        &mut self,
        first: u8,
        rest: &mut &[u8],
        sink: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<u64, Error> {
        let is_remembered = first & 0x40 == 0x40;
        let index = integer::take(rest, if is_remembered { 6 } else { 4 })?;
        self.text.clear();
        let literal = if index == 0 { Some(self.string(rest)?) } else { None };
        let value = self.string(rest)?;
        let value = value.get(&self.text);
        let name = match &literal {
            Some(name) => name.get(&self.text),
            None => lookup(&self.table, index)?.0,
        };
        let size = size_of(name.len(), value.len());
        if sink(name, value).is_break() {
            return Err(Error::Stopped);
        }
        if is_remembered {
            let name = match (&literal, index.checked_sub(fixed::LEN + 1)) {
                (None, Some(place)) => Name::Entry(place as usize),
                (None, None) => Name::Text(fixed::get(index).unwrap_or_default().0),
                (Some(name), _) => Name::Text(name.get(&self.text)),
            };
            self.table.insert(name, value, ());
        }
        Ok(size)
    }

    /// A string literal (RFC 7541 5.2).
    fn string<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Text<'a>, Error> {
        let is_huffman = rest.first().ok_or(Error::Truncated)? & 0x80 == 0x80;
        let len = integer::take(rest, 7)? as usize;
        let limit = self.limits.string as usize;
        // Known before it is there: whoever announces too much is told so without being waited for.
        if len > limit {
            return Err(Error::StringTooLong);
        }
        let (text, behind) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
        *rest = behind;
        if !is_huffman {
            return Ok(Text::Plain(text));
        }
        let start = self.text.len();
        huffman::decode(text, limit, &mut self.text)?;
        Ok(Text::Decoded(start..self.text.len()))
    }
}

fn lookup(table: &Table<()>, index: u32) -> Result<(&[u8], &[u8]), Error> {
    match index.checked_sub(fixed::LEN + 1) {
        Some(place) => table.get(place as usize),
        None => fixed::get(index),
    }
    .ok_or(Error::Index)
}
