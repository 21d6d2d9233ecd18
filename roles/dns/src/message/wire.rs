//! The pieces of a message: numbers, names with their pointers, records.

use super::{HEADER, TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_OPT, TYPE_SOA};
use crate::name::{MAX_LABEL, MAX_NAME, Name};

/// Pointers in one name: one for each label that a name can have.
const MAX_POINTERS: u8 = 127;

/// A place in a message.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0, end: message.len() }
    }

    /// Bytes to go.
    pub(super) const fn rest(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        if len > self.rest() {
            return None;
        }
        let taken = self.message.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A name (RFC 1035 4.1.4). A pointer goes to a name that began earlier, in the message and on this way: each jump
    /// is to a place before all that was read so far, so there is an end to them.
    pub(super) fn name(&mut self) -> Option<NameRef> {
        let mut name = NameRef { wire: [0; MAX_NAME], len: 0 };
        let mut earliest = self.at;
        let mut jumped: Option<Self> = None;
        let mut jumps = 0;
        loop {
            let reader = jumped.as_mut().unwrap_or(self);
            let byte = reader.u8()?;
            match (byte & 0xc0, usize::from(byte)) {
                (0, 0) => {
                    name.push(&[0])?;
                    return Some(name);
                }
                (0, len @ 1..=MAX_LABEL) => {
                    name.push(&[byte])?;
                    name.push(reader.take(len)?)?;
                }
                (0xc0, high) => {
                    let target = (high & 0x3f) << 8 | usize::from(reader.u8()?);
                    if target < HEADER || target >= earliest || jumps == MAX_POINTERS {
                        return None;
                    }
                    (earliest, jumps) = (target, jumps + 1);
                    let message = reader.message;
                    jumped = Some(Self { message, at: target, end: message.len() });
                }
                // RFC 6891 5: the other two kinds of labels came to nothing.
                _ => return None,
            }
        }
    }
}

/// A name as it was read, in lower case.
#[derive(Clone, Debug)]
pub(super) struct NameRef {
    wire: [u8; MAX_NAME],
    len: u8,
}

impl NameRef {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let from = usize::from(self.len);
        let room = self.wire.get_mut(from..)?.get_mut(..bytes.len())?;
        for (to, byte) in room.iter_mut().zip(bytes) {
            // Lengths are below the letters, and stay as they are.
            *to = byte.to_ascii_lowercase();
        }
        self.len = u8::try_from(from + bytes.len()).ok()?;
        Some(())
    }

    fn wire(&self) -> &[u8] {
        self.wire.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn is(&self, name: &Name) -> bool {
        self.wire() == name.wire()
    }

    pub(super) fn to_name(&self) -> Name {
        Name::from_wire(self.wire())
    }
}

/// A record whose data is where, and what, its type wants.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    owner: Reader<'a>,
    /// TYPE (RFC 1035 3.2.2).
    pub(super) kind: u16,
    pub(super) class: u16,
    /// Seconds, but for OPT.
    pub(super) ttl: u32,
    data: Reader<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let owner = reader.clone();
        reader.name()?;
        let (kind, class, raw_ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let len = usize::from(reader.u16()?);
        let data = Reader { message: reader.message, at: reader.at, end: reader.at + len };
        reader.take(len)?;
        let ttl = if kind == TYPE_OPT { raw_ttl } else { ttl(raw_ttl) };
        let record = Self { owner, kind, class, ttl, data };
        record.is_whole().then_some(record)
    }

    fn is_whole(&self) -> bool {
        let mut data = self.data_reader();
        match self.kind {
            TYPE_A => data.rest() == 4,
            TYPE_AAAA => data.rest() == 16,
            TYPE_CNAME => data.name().is_some() && data.rest() == 0,
            TYPE_SOA => data.name().is_some() && data.name().is_some() && data.rest() == 20,
            TYPE_OPT => self.owner().is_some_and(|owner| owner.wire() == [0]),
            _ => true,
        }
    }

    /// Whose record it is.
    pub(super) fn owner(&self) -> Option<NameRef> {
        self.owner.clone().name()
    }

    /// The data's bytes.
    pub(super) fn data(&self) -> &'a [u8] {
        self.data_reader().take(self.data.rest()).unwrap_or_default()
    }

    /// At the data's begin, up to its end; names in it may point before it.
    pub(super) fn data_reader(&self) -> Reader<'a> {
        self.data.clone()
    }
}

/// RFC 2181 8: what would be negative is zero.
pub(super) const fn ttl(seconds: u32) -> u32 {
    if seconds > i32::MAX as u32 { 0 } else { seconds }
}
