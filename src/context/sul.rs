//! Sul: what is to happen at which time. Microseconds, earliest first, ties in order of scheduling (seed: `README.lws_sul.md`).

use super::arena::{Arena, id};
use crate::Us;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

id! {
    /// A scheduled call: cancel it by this id, or let it run. An id whose time has come is stale.
    SulId, "sul"
}

/// Stale heap entries that are tolerated beside as many live ones before the heap is rebuilt.
const SLACK: usize = 64;

/// A timer queue: O(log n) to schedule and to run, O(1) to cancel.
///
/// Cancelling frees the payload at once and leaves only a 24-byte entry in the heap, which is dropped when it
/// surfaces, or when such entries outnumber the live ones; so their number is bounded by that of the live.
#[derive(Debug)]
pub(crate) struct Suls<T> {
    heap: BinaryHeap<Reverse<Entry>>,
    rows: Arena<SulId, T>,
    seq: u64,
}

/// Ordered by time, then by the order of scheduling.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Us,
    seq: u64,
    id: SulId,
}

impl<T> Suls<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), rows: Arena::new(), seq: 0 }
    }

    pub(crate) fn schedule(&mut self, at: Us, what: T) -> SulId {
        let id = self.rows.insert(what);
        self.seq += 1;
        self.heap.push(Reverse(Entry { at, seq: self.seq, id }));
        id
    }

    pub(crate) fn cancel(&mut self, id: SulId) -> Option<T> {
        let what = self.rows.remove(id)?;
        if self.heap.len() > 2 * self.rows.len() + SLACK {
            let rows = &self.rows;
            self.heap.retain(|Reverse(entry)| rows.get(entry.id).is_some());
        }
        Some(what)
    }

    /// When the earliest is due.
    pub(crate) fn next_due(&mut self) -> Option<Us> {
        while let Some(Reverse(entry)) = self.heap.peek() {
            if self.rows.get(entry.id).is_some() {
                return Some(entry.at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the earliest of those that are due at `now`.
    pub(crate) fn pop_due(&mut self, now: Us) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.rows.remove(entry.id)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(suls: &mut Suls<u32>, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| suls.pop_due(Us::from_us(now))).collect()
    }

    #[test]
    fn due_ones_run_by_time_and_ties_in_order_of_scheduling() {
        let mut suls = Suls::new();
        for (at, what) in [(30, 1), (10, 2), (20, 3), (10, 4), (10, 5)] {
            suls.schedule(Us::from_us(at), what);
        }
        assert!(drain(&mut suls, 9).is_empty());
        assert_eq!(drain(&mut suls, 20), [2, 4, 5, 3]);
        assert_eq!(suls.next_due(), Some(Us::from_us(30)));
        assert_eq!(drain(&mut suls, u64::MAX), [1]);
        assert_eq!(suls.next_due(), None);
    }

    #[test]
    fn a_cancelled_one_never_runs_and_its_id_is_stale() {
        let mut suls = Suls::new();
        let id = suls.schedule(Us::from_us(5), 1);
        suls.schedule(Us::from_us(6), 2);
        assert_eq!(suls.cancel(id), Some(1));
        assert_eq!(suls.cancel(id), None);
        assert_eq!(suls.next_due(), Some(Us::from_us(6)));
        assert_eq!(drain(&mut suls, 10), [2]);
    }

    #[test]
    fn cancelling_for_ever_does_not_grow_the_heap() {
        let mut suls = Suls::new();
        for at in 0..100_000_u64 {
            let id = suls.schedule(Us::from_us(1_000_000 + at), 0);
            suls.cancel(id);
        }
        assert!(suls.heap.len() <= SLACK + 1, "{}", suls.heap.len());
        assert_eq!(suls.len(), 0);
    }
}
