//! What connections need only while they have streams: those at rest leave it to those that are not.

use super::{Exchange, H2};
use crate::context::Core;
use crate::context::sparse::Sparse;
use crate::role::Role;
use crate::wsi::WsiId;
use h2::StreamId;
use std::collections::VecDeque;
use std::mem::take;

/// As many are put by; each is as much as one connection needs at most.
const MEMORIES: usize = 16;

/// A queue or a table that has had room for more is not kept.
const ROOM: usize = 1024;

/// Empty, but for what it takes to be filled again without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    engine: h2::Memory,
    children: Sparse<StreamId, WsiId>,
    exchanges: Sparse<WsiId, Exchange>,
    /// Of those that wait for a place, for their turn, and for the connection's window.
    queues: [VecDeque<WsiId>; 3],
}

impl H2 {
    fn take_up(&mut self, memory: Memory) {
        self.engine.take_up(memory.engine);
        self.children = memory.children;
        self.exchanges = memory.exchanges;
        [self.waiting, self.queue, self.line] = memory.queues;
    }

    /// `None` while there are streams, or a frame has come by half.
    fn put_by(&mut self) -> Option<Memory> {
        let queues = [&mut self.waiting, &mut self.queue, &mut self.line];
        if !self.exchanges.is_empty()
            || !self.children.is_empty()
            || queues.iter().any(|queue| !queue.is_empty())
        {
            return None;
        }
        let engine = self.engine.put_by()?;
        let queues = queues
            .map(|queue| Some(take(queue)).filter(|queue| queue.capacity() <= ROOM).unwrap_or_default());
        Some(Memory {
            engine,
            children: Some(take(&mut self.children))
                .filter(|table| table.slots() <= ROOM)
                .unwrap_or_default(),
            exchanges: Some(take(&mut self.exchanges))
                .filter(|table| table.slots() <= ROOM)
                .unwrap_or_default(),
            queues,
        })
    }
}

impl Core {
    /// Messages are about to pass.
    pub(super) fn h2_furnish(&mut self, id: WsiId) {
        let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        if !h2.has_memory {
            h2.has_memory = true;
            h2.take_up(self.h2_memory.pop().unwrap_or_default());
        }
    }

    /// If no streams are left, others can use the memory until there are.
    pub(super) fn h2_rests(&mut self, id: WsiId) {
        let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        if h2.has_memory
            && let Some(memory) = h2.put_by()
        {
            h2.has_memory = false;
            if self.h2_memory.len() < MEMORIES {
                self.h2_memory.push(memory);
            }
        }
    }
}
