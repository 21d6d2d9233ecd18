//! HPACK, the header compression of HTTP/2 (RFC 7541). What a peer can make it hold or do has a bound: its table, its
//! strings, its lists. Nothing is allocated once the table has been full.
//!
//! | file | what |
//! |---|---|
//! | `decoder.rs` | header blocks to fields |
//! | `encoder.rs` | fields to header blocks, and which of them are worth remembering |
//! | `table.rs` | the dynamic table |
//! | `fixed.rs` | the static table |
//! | `integer.rs` | integers with a prefix |
//! | `huffman.rs` | the string code |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod decoder;
mod encoder;
mod fixed;
mod huffman;
mod integer;
mod table;

pub use decoder::{Decoder, Limits};
pub use encoder::{Block, Encoder, Indexing};

use core::fmt;

/// The table size that both sides begin with (RFC 9113 6.5.2).
pub const DEFAULT_TABLE_SIZE: u32 = 4096;

/// What is wrong with a header block. The decoder is out of step with its peer after that: the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The block ends within a field.
    Truncated,
    /// An integer beyond what anybody needs (RFC 7541 5.1).
    Integer,
    /// Index 0, or one beyond both tables (RFC 7541 2.3.3).
    Index,
    /// Padding that is not the beginning of EOS or longer than 7 bits, or EOS itself (RFC 7541 5.2).
    Huffman,
    /// A name or a value longer than the limit.
    StringTooLong,
    /// The list is longer than the limit.
    ListTooLong,
    /// A table size above what was allowed (RFC 7541 6.3).
    TableSize,
    /// A table size behind the first field (RFC 7541 4.2).
    LateTableSize,
    /// The table was to shrink, and the block does not begin by saying so (RFC 7541 4.2).
    MissingTableSize,
    /// Whoever took the fields wants no more.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a header block that ends within a field",
            Self::Integer => "an integer that is too large",
            Self::Index => "an index that stands for nothing",
            Self::Huffman => "a malformed Huffman string",
            Self::StringTooLong => "a name or a value that is too long",
            Self::ListTooLong => "a header list that is too long",
            Self::TableSize => "a table larger than allowed",
            Self::LateTableSize => "a table size that is not at the start of its block",
            Self::MissingTableSize => "a table that did not shrink when it had to",
            Self::Stopped => "fields that were not wanted",
        })
    }
}

impl core::error::Error for Error {}
