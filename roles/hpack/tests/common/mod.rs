//! Lists of fields, to be compared and to be made at random.

#![allow(dead_code, reason = "each test crate uses its share")]

use core::ops::ControlFlow;
use millstream_hpack::{Decoder, Encoder, Error};

pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Error> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

pub(crate) fn encode(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = encoder.block(&mut out);
    for (name, value) in fields {
        block.field(name, value);
    }
    out
}

/// Numbers that look random and are the same in every run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.below(256) as u8).collect()
    }

    /// Fields of names that come again, with values of which some do.
    pub(crate) fn fields(&mut self) -> Fields {
        const NAMES: [&str; 14] = [
            ":status",
            ":path",
            ":method",
            "date",
            "cookie",
            "set-cookie",
            "authorization",
            "content-type",
            "x-a",
            "x-b",
            "x-longer-name-of-our-own",
            "etag",
            "vary",
            "x",
        ];
        const VALUES: [&str; 9] =
            ["200", "404", "/", "/index.html", "GET", "text/plain", "", "a", "Mon, 21 Oct 2013 20:13:21 GMT"];
        (0..self.below(12))
            .map(|_| {
                let name = self.pick(&NAMES).as_bytes().to_vec();
                let value = match self.below(4) {
                    0 => self.bytes(60),
                    1 => vec![b'v'; self.below(500)],
                    _ => self.pick(&VALUES).as_bytes().to_vec(),
                };
                (name, value)
            })
            .collect()
    }
}
