//! Tables of what concerns a few of many rows, by their ids.

use super::arena::Key;

/// An id that is a number: no two have the same.
pub(crate) trait Number: Copy {
    fn number(self) -> u64;
}

impl<I: Copy + Into<Key>> Number for I {
    fn number(self) -> u64 {
        self.into().to_token()
    }
}

/// Slots of the smallest table that has any.
const SLOTS_LEAST: usize = 8;

/// A hash table by linear probing. What is removed leaves no mark, so that a table in which entries come and go asks for memory
/// only when it holds more of them than ever; those of the standard library may whenever their marks have used it up. It keeps
/// the memory until it is dropped. The order of its entries is none, and the same in each run.
#[derive(Debug, Clone)]
pub(crate) struct Sparse<I, T> {
    /// None, or a power of two, of which a quarter is empty.
    slots: Vec<Option<(I, T)>>,
    len: usize,
}

impl<I, T> Default for Sparse<I, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }
}

impl<I: Number, T> Sparse<I, T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many slots there are, taken or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn contains(&self, id: I) -> bool {
        self.find(id).is_ok()
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        let at = self.find(id).ok()?;
        self.slots.get(at)?.as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let at = self.find(id).ok()?;
        self.slots.get_mut(at)?.as_mut().map(|(_, value)| value)
    }

    /// What was there before comes back.
    pub(crate) fn insert(&mut self, id: I, value: T) -> Option<T> {
        let mut at = self.find(id);
        if at.is_err() && (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
            at = self.find(id);
        }
        let (Ok(at) | Err(at)) = at;
        let before = self.slots.get_mut(at)?.replace((id, value));
        self.len += usize::from(before.is_none());
        before.map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let mut hole = self.find(id).ok()?;
        let (_, value) = self.slots.get_mut(hole)?.take()?;
        self.len -= 1;
        // Whoever had to go on from the hole, or from before it, would not be found behind it any more.
        let mut at = self.after(hole);
        while let Some(Some((other, _))) = self.slots.get(at) {
            let (way, gap) = (self.distance(self.home(*other), at), self.distance(hole, at));
            if way >= gap {
                self.slots.swap(hole, at);
                hole = at;
            }
            at = self.after(at);
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.slots.iter().flatten().map(|(id, value)| (*id, value))
    }

    pub(crate) fn ids_in_order(&self) -> Vec<I>
    where
        I: Ord,
    {
        let mut ids: Vec<_> = self.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Where an id is, or the empty slot where it would be.
    fn find(&self, id: I) -> Result<usize, usize> {
        let mut at = self.home(id);
        loop {
            match self.slots.get(at) {
                Some(Some((other, _))) if other.number() == id.number() => return Ok(at),
                Some(Some(_)) => at = self.after(at),
                Some(None) | None => return Err(at),
            }
        }
    }

    /// Where it would be in a table of its own: the upper bits of a product with the golden ratio, which spreads numbers that
    /// follow each other.
    fn home(&self, id: I) -> usize {
        let product = id.number().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = self.slots.len().trailing_zeros();
        product.checked_shr(64_u32.saturating_sub(bits)).unwrap_or(0) as usize
    }

    fn after(&self, at: usize) -> usize {
        at.wrapping_add(1) & self.slots.len().wrapping_sub(1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.slots.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_LEAST);
        let old = std::mem::take(&mut self.slots);
        self.slots.resize_with(slots, || None);
        for (id, value) in old.into_iter().flatten() {
            let (Ok(at) | Err(at)) = self.find(id);
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Some((id, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsi::WsiId;
    use std::collections::BTreeMap;

    fn id(number: u64) -> WsiId {
        WsiId(Key::from_token(number | 1 << 32))
    }

    /// Numbers in no order (splitmix64).
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        (1..).map(move |nth: u64| {
            let mut z = seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    #[test]
    fn it_holds_what_an_ordered_map_holds_whatever_comes_and_goes() {
        for (seed, most) in [(1, 5), (2, 12), (3, 100), (4, 3000)] {
            let (mut table, mut model) = (Sparse::default(), BTreeMap::new());
            for number in numbers(seed).take(20_000) {
                let (id, value) = (id(number % most), number);
                if number & 1 << 40 == 0 {
                    assert_eq!(table.remove(id), model.remove(&id));
                } else {
                    assert_eq!(table.insert(id, value), model.insert(id, value));
                }
                assert_eq!((table.len(), table.get(id)), (model.len(), model.get(&id)));
            }
            let mut all: Vec<_> = table.iter().map(|(id, value)| (id, *value)).collect();
            all.sort_unstable();
            assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn it_grows_only_when_it_holds_more_than_ever() {
        let mut table = Sparse::default();
        for number in 0..96 {
            table.insert(id(number), ());
        }
        assert_eq!((table.len(), table.slots()), (96, 128));
        for number in 96..100_000 {
            table.remove(id(number - 96));
            table.insert(id(number), ());
        }
        assert_eq!((table.len(), table.slots()), (96, 128));
    }
}
