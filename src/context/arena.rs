//! Tables whose rows are named by index and generation, so that an id that has outlived its row names nothing at all.

use slab::Slab;
use std::fmt;
use std::num::NonZeroU32;

/// Index and generation: the form that every id of the library has, also as the poller's token. There is no generation 0, so
/// that an `Option` of an id is no larger than the id: rows are full of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: NonZeroU32,
}

impl Key {
    pub(crate) const fn to_token(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.index as u64
    }

    pub(crate) const fn from_token(token: u64) -> Self {
        let generation = match NonZeroU32::new((token >> 32) as u32) {
            Some(generation) => generation,
            // Of nobody: no token was ever made so.
            None => NonZeroU32::MAX,
        };
        Self { index: token as u32, generation }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Declares a public id: a [`Key`] that cannot be taken for a key of another table.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) $crate::context::arena::Key);

        impl From<$crate::context::arena::Key> for $name {
            fn from(key: $crate::context::arena::Key) -> Self {
                Self(key)
            }
        }

        impl From<$name> for $crate::context::arena::Key {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($tag, "{:?}"), self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self, f)
            }
        }
    };
}
pub(crate) use id;

/// Rows of one kind. A row that was removed takes its generation with it.
#[derive(Debug)]
pub(crate) struct Arena<I, T> {
    /// `None` marks a slot that has used up its generations and is never handed out again.
    rows: Slab<Option<T>>,
    generations: Vec<NonZeroU32>,
    len: usize,
    of: std::marker::PhantomData<fn() -> I>,
}

impl<I: From<Key> + Into<Key>, T> Arena<I, T> {
    pub(crate) fn new() -> Self {
        Self { rows: Slab::new(), generations: Vec::new(), len: 0, of: std::marker::PhantomData }
    }

    pub(crate) fn insert(&mut self, value: T) -> I {
        let index = self.rows.insert(Some(value));
        if index >= self.generations.len() {
            self.generations.resize(index + 1, NonZeroU32::MIN);
        }
        self.len += 1;
        let generation = self.generations.get(index).copied().unwrap_or(NonZeroU32::MIN);
        I::from(Key { index: index as u32, generation })
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        let index = self.index_of(id)?;
        self.rows.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let index = self.index_of(id)?;
        self.rows.get_mut(index)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let index = self.index_of(id)?;
        let value = self.rows.get_mut(index)?.take()?;
        self.len -= 1;
        let generation = self.generations.get_mut(index)?;
        if let Some(next) = generation.checked_add(1) {
            *generation = next;
            self.rows.remove(index);
        }
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.rows.iter().filter_map(|(index, row)| {
            let generation = self.generations.get(index).copied()?;
            Some((I::from(Key { index: index as u32, generation }), row.as_ref()?))
        })
    }

    fn index_of(&self, id: I) -> Option<usize> {
        let key: Key = id.into();
        let index = key.index as usize;
        (self.generations.get(index) == Some(&key.generation)).then_some(index)
    }
}

/// Values that lie beside the rows of an [`Arena`], under the same ids: user code beside what the library owns.
#[derive(Debug)]
pub(crate) struct Beside<I, T> {
    slots: Vec<Option<(NonZeroU32, T)>>,
    len: usize,
    of: std::marker::PhantomData<fn() -> I>,
}

impl<I: Into<Key> + From<Key>, T> Beside<I, T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), len: 0, of: std::marker::PhantomData }
    }

    /// What lay in the place before comes back, with the id that it belongs to: of the same row, or of one that is gone.
    pub(crate) fn insert(&mut self, id: I, value: T) -> Option<(I, T)> {
        let key: Key = id.into();
        let index = key.index as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let old = self.slots.get_mut(index)?.replace((key.generation, value));
        self.len += usize::from(old.is_none());
        old.map(|(generation, value)| (Key { index: key.index, generation }.into(), value))
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let key: Key = id.into();
        match self.slots.get_mut(key.index as usize)? {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let key: Key = id.into();
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.as_ref()?.0 != key.generation {
            return None;
        }
        self.len -= 1;
        slot.take().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::WsiId as RowId;

    fn key(index: u32, generation: u32) -> Key {
        Key { index, generation: NonZeroU32::new(generation).unwrap() }
    }

    #[test]
    fn an_id_that_may_be_none_takes_no_more_than_one_that_is_there() {
        assert_eq!((size_of::<RowId>(), size_of::<Option<RowId>>()), (8, 8));
    }

    #[test]
    fn an_old_id_never_finds_the_next_tenant_of_its_slot() {
        let mut rows: Arena<RowId, &str> = Arena::new();
        let old = rows.insert("first");
        assert_eq!(rows.remove(old), Some("first"));
        let new = rows.insert("second");
        assert_eq!(old.0.index, new.0.index);
        assert_eq!(rows.get(old), None);
        assert_eq!(rows.remove(old), None);
        assert_eq!(rows.get(new), Some(&"second"));
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn a_slot_that_has_used_up_its_generations_is_retired() {
        let mut rows: Arena<RowId, u8> = Arena::new();
        let first = rows.insert(1);
        rows.remove(first);
        rows.generations[0] = NonZeroU32::MAX;
        let last = rows.insert(2);
        assert_eq!(last.0.generation, NonZeroU32::MAX);
        assert_eq!(rows.remove(last), Some(2));
        assert_eq!(rows.get(last), None);
        let next = rows.insert(3);
        assert_ne!(next.0.index, last.0.index);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows.iter().count(), 1);
    }

    #[test]
    fn tokens_carry_the_whole_key() {
        let key = key(7, 9);
        assert_eq!(Key::from_token(key.to_token()), key);
    }

    #[test]
    fn what_lies_beside_a_row_is_not_found_by_another_generation() {
        let mut beside: Beside<RowId, &str> = Beside::new();
        let old = RowId(key(3, 1));
        let new = RowId(key(3, 2));
        beside.insert(old, "old");
        assert_eq!(beside.get_mut(new), None);
        assert_eq!(beside.remove(new), None);
        assert_eq!(beside.remove(old), Some("old"));
        assert_eq!(beside.len(), 0);
    }
}
