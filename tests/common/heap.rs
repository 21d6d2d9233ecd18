//! What the heap is asked for, counted: the test that has this is alone in its program.
#![allow(dead_code, reason = "each test uses its part")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many turns go before those that are counted, and how many these are.
const WARM: u32 = 200;
const COUNTED: u32 = 1000;

/// Allocations and reallocations while this runs.
pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(HEAP);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Those of a thousand turns, when some have gone before.
pub(crate) fn allocations_when_warm(mut turn: impl FnMut()) -> usize {
    (0..WARM).for_each(|_| turn());
    allocations(|| (0..COUNTED).for_each(|_| turn()))
}

/// The bytes that the heap gave while this ran, and those of them that it still has out.
pub(crate) fn bytes(work: impl FnOnce()) -> (usize, usize) {
    let region = Region::new(HEAP);
    work();
    let change = region.change();
    (change.bytes_allocated, change.bytes_allocated.saturating_sub(change.bytes_deallocated))
}
