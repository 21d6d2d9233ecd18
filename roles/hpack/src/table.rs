//! The dynamic table (RFC 7541 2.3.2): what was sent before, newest first, oldest dropped when it gets too large.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What an entry counts beside its text (RFC 7541 4.1).
const OVERHEAD: u64 = 32;

/// Entries of text, each with a tag that its owner finds it by.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    /// Names and values, oldest first, each entry in one piece; in front, what was dropped and not yet moved over.
    text: Vec<u8>,
    entries: VecDeque<Entry<T>>,
    /// Bytes of `text` that were dropped.
    dead: usize,
    /// Where `text` begins, counted from the first byte that there ever was.
    first: u64,
    size: u64,
    max: u32,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    name: u32,
    value: u32,
    /// Where it begins, counted likewise.
    at: u64,
    tag: T,
}

/// A name to insert: its text, or that of the entry at this place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    Text(&'a [u8]),
    Entry(usize),
}

impl<T> Table<T> {
    pub(crate) const fn new(max: u32) -> Self {
        Self { text: Vec::new(), entries: VecDeque::new(), dead: 0, first: 0, size: 0, max }
    }

    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    /// Entry 0 is the newest.
    pub(crate) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entry(index)?;
        let text = self.text.get(self.start(entry)?..)?;
        let (name, rest) = text.split_at_checked(entry.name as usize)?;
        Some((name, rest.get(..entry.value as usize)?))
    }

    /// The tags, newest first.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().rev().map(|entry| &entry.tag)
    }

    pub(crate) fn set_max(&mut self, max: u32) {
        self.max = max;
        self.evict(u64::from(max));
    }

    /// Adds an entry; one that is larger than the whole table empties it (RFC 7541 4.4).
    pub(crate) fn insert(&mut self, name: Name<'_>, value: &[u8], tag: T) {
        let name_len = match name {
            Name::Text(text) => text.len(),
            Name::Entry(index) => self.entry(index).map_or(0, |entry| entry.name as usize),
        };
        let size = size_of(name_len, value.len());
        let Some(room) = u64::from(self.max).checked_sub(size) else {
            self.evict(0);
            return;
        };
        let at = self.first + self.text.len() as u64;
        // Copied before anything is dropped: the name may be that of an entry which has to go (RFC 7541 4.4).
        match name {
            Name::Text(text) => self.text.extend_from_slice(text),
            Name::Entry(index) => {
                let start = self.entry(index).and_then(|entry| self.start(entry)).unwrap_or_default();
                self.text.extend_from_within(start..start.saturating_add(name_len).min(self.text.len()));
            }
        }
        self.text.extend_from_slice(value);
        self.evict(room);
        self.entries.push_back(Entry { name: name_len as u32, value: value.len() as u32, at, tag });
        self.size += size;
    }

    fn entry(&self, index: usize) -> Option<&Entry<T>> {
        self.entries.get(self.entries.len().checked_sub(index)?.checked_sub(1)?)
    }

    fn start(&self, entry: &Entry<T>) -> Option<usize> {
        entry.at.checked_sub(self.first).map(|start| start as usize)
    }

    /// Drops the oldest until what is left is no larger than `size`. The living are moved over the dead once these are
    /// the majority, so that each byte is moved once on average.
    fn evict(&mut self, size: u64) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { break };
            let len = oldest.name as usize + oldest.value as usize;
            self.dead += len;
            self.size -= size_of(oldest.name as usize, oldest.value as usize);
        }
        if self.dead > self.text.len() / 2 {
            self.text.drain(..self.dead);
            self.first += self.dead as u64;
            self.dead = 0;
        }
    }
}

/// How much a field counts, in a table and in a list (RFC 7541 4.1, RFC 9113 6.5.2).
pub(crate) fn size_of(name: usize, value: usize) -> u64 {
    name as u64 + value as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_the_table_is_full() {
        let mut table = Table::new(100);
        for value in [b"1", b"2", b"3", b"4"] {
            table.insert(Name::Text(b"name"), value, ());
        }
        assert_eq!(table.get(0), Some((&b"name"[..], &b"4"[..])));
        assert_eq!(table.get(1), Some((&b"name"[..], &b"3"[..])));
        assert_eq!((table.get(2), table.size), (None, 74));
        table.set_max(73);
        assert_eq!((table.get(1), table.size), (None, 37));
        table.insert(Name::Text(&[b'n'; 50]), b"", ());
        assert_eq!((table.get(0), table.size), (None, 0));
    }

    #[test]
    fn a_name_may_be_that_of_the_entry_it_drives_out() {
        let mut table = Table::new(80);
        table.insert(Name::Text(b"first"), b"x", ());
        table.insert(Name::Entry(0), &[b'y'; 40], ());
        assert_eq!(table.get(0), Some((&b"first"[..], &[b'y'; 40][..])));
        assert_eq!(table.get(1), None);
    }

    #[test]
    fn memory_stays_within_twice_the_table_and_one_entry() {
        let mut table = Table::new(4096);
        for round in 0_u32..5000 {
            let value = [b'v'; 1000];
            table.insert(Name::Text(b"n"), &value[..(round % 997) as usize], ());
            assert!(table.text.len() <= 3 * 4096 && table.entries.len() <= 128);
        }
        assert!(table.text.capacity() <= 6 * 4096);
    }
}
