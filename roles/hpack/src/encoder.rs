//! Fields to header blocks (RFC 7541 6), and which fields are worth a place in the table.

use crate::table::{Name, Table};
use crate::{DEFAULT_TABLE_SIZE, fixed, huffman, integer};
use alloc::vec::Vec;

/// How a field that is in no table is written (RFC 7541 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// Remembered by both sides: for what will be said again.
    Incremental,
    /// Not remembered: for what is different each time.
    Without,
    /// Not remembered, nor by anybody on the way (RFC 7541 7.1.3): for secrets, which a table could betray.
    Never,
}

impl Indexing {
    /// What a field of this name gets, names being in lower case.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"authorization" | b"proxy-authorization" | b"cookie" | b"set-cookie" => Self::Never,
            b":path" | b"age" | b"content-length" | b"content-range" | b"etag" | b"if-modified-since"
            | b"if-none-match" | b"last-modified" | b"location" | b"range" => Self::Without,
            _ => Self::Incremental,
        }
    }
}

/// What an entry is found by: hashes, so that most others need not be looked at.
#[derive(Clone, Copy, Debug)]
struct Tag {
    name: u32,
    field: u32,
}

/// Writes the header blocks to one peer.
///
/// ```
/// use millstream_hpack::Encoder;
///
/// let (mut encoder, mut out) = (Encoder::new(4096), Vec::new());
/// let mut block = encoder.block(&mut out);
/// block.field(b":method", b"GET");
/// block.field(b"x-a", b"b");
/// out.clear();
/// encoder.block(&mut out).field(b"x-a", b"b");
/// assert_eq!(out, [0x80 + 62]);
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    table: Table<Tag>,
    /// The largest table that is wanted, whatever the peer allows.
    limit: u32,
    /// The table's size has changed: the smallest it had since the last block.
    resized: Option<u32>,
}

impl Encoder {
    /// Remembers up to `limit` bytes (RFC 7541 4.1), and no more than the peer allows: 4,096 until it says otherwise.
    pub const fn new(limit: u32) -> Self {
        let size = if limit < DEFAULT_TABLE_SIZE { limit } else { DEFAULT_TABLE_SIZE };
        let resized = if size < DEFAULT_TABLE_SIZE { Some(size) } else { None };
        Self { table: Table::new(size), limit, resized }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`. The next block begins by saying what became of it.
    pub fn set_max_table_size(&mut self, size: u32) {
        let size = size.min(self.limit);
        if size != self.table.max() {
            self.resized = Some(self.resized.map_or(size, |smallest| smallest.min(size)));
            self.table.set_max(size);
        }
    }

    /// Begins a header block at the end of `out`. All of it has to be sent, and in this order: the peer's table follows.
    pub fn block<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Block<'a> {
        if let Some(smallest) = self.resized.take() {
            // RFC 7541 4.2: the smallest is said too, for the sake of what it has driven out.
            if smallest < self.table.max() {
                integer::put(out, 0x20, 5, u64::from(smallest));
            }
            integer::put(out, 0x20, 5, u64::from(self.table.max()));
        }
        Block { encoder: self, out }
    }

    /// The first index of a name, and of a field.
    fn find(&self, tag: Tag, name: &[u8], value: &[u8]) -> (Option<u32>, Option<u32>) {
        let known = fixed::find(tag.name, name, value);
        let mut found = (known.map(|known| known.0), known.and_then(|known| known.1));
        if found.1.is_some() {
            return found;
        }
        for (place, entry) in self.table.tags().enumerate() {
            if entry.name != tag.name || (found.0.is_some() && entry.field != tag.field) {
                continue;
            }
            let Some((_, its_value)) = self.table.get(place).filter(|field| field.0 == name) else {
                continue;
            };
            let index = place as u32 + fixed::LEN + 1;
            found.0 = found.0.or(Some(index));
            if its_value == value {
                found.1 = Some(index);
                return found;
            }
        }
        found
    }
}

/// A header block that is being written.
#[derive(Debug)]
pub struct Block<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Block<'_> {
    /// Appends a field, indexed as [`Indexing::of`] says for its name, which is in lower case.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        self.field_as(name, value, Indexing::of(name));
    }

    /// Appends a field, indexed so.
    pub fn field_as(&mut self, name: &[u8], value: &[u8], indexing: Indexing) {
        let hash = fixed::hash(fixed::SEED, name);
        // What is not remembered is in no table as a whole, so its value need not be looked for.
        let field = if indexing == Indexing::Incremental { fixed::hash(hash, value) } else { 0 };
        let tag = Tag { name: hash, field };
        let (known_name, known_field) = self.encoder.find(tag, name, value);
        if let Some(index) = known_field.filter(|_| indexing != Indexing::Never) {
            integer::put(self.out, 0x80, 7, u64::from(index));
            return;
        }
        let (flags, bits) = match indexing {
            Indexing::Incremental => (0x40, 6),
            Indexing::Without => (0x00, 4),
            Indexing::Never => (0x10, 4),
        };
        integer::put(self.out, flags, bits, u64::from(known_name.unwrap_or(0)));
        if known_name.is_none() {
            put_string(self.out, name);
        }
        put_string(self.out, value);
        if indexing == Indexing::Incremental {
            self.encoder.table.insert(Name::Text(name), value, tag);
        }
    }
}

/// A string literal, in Huffman code where that is shorter (RFC 7541 5.2).
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        integer::put(out, 0x80, 7, coded as u64);
        huffman::encode(text, out);
    } else {
        integer::put(out, 0, 7, text.len() as u64);
        out.extend_from_slice(text);
    }
}
