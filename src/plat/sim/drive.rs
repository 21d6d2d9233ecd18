//! Running contexts in virtual time.

use super::Network;
use crate::context::Context;
use crate::error::Error;
use crate::plat::Us;
use std::time::Duration;

/// Turns that one moment may take before it is taken for an endless one.
const TURNS_PER_MOMENT: usize = 100_000;

impl Network {
    /// Serves contexts in turn, moving the clock from event to event, until `until`. Contexts that have stopped are left
    /// alone.
    ///
    /// # Errors
    /// A context fails to be served, or does not come to rest within one moment.
    pub fn run(&self, contexts: &mut [&mut Context], until: Us) -> Result<(), Error> {
        loop {
            self.settle(contexts)?;
            let mut next = self.next_event();
            for context in contexts.iter_mut() {
                next = [next, context.next_deadline()].into_iter().flatten().min();
            }
            match next {
                Some(next) if next <= until => self.advance_to(next),
                _ => {
                    self.advance_to(until);
                    return self.settle(contexts);
                }
            }
        }
    }

    /// Serves contexts until none has anything to do at this time.
    fn settle(&self, contexts: &mut [&mut Context]) -> Result<(), Error> {
        for _ in 0..TURNS_PER_MOMENT {
            // What takes no time on the network happens as well.
            self.advance_to(self.now());
            let mut busy = false;
            for context in contexts.iter_mut() {
                if context.is_stopping() {
                    continue;
                }
                let now = self.now();
                if context.has_work(now) {
                    busy = true;
                    context.service(Some(Duration::ZERO))?;
                }
            }
            if !busy {
                return Ok(());
            }
        }
        Err(Error::Full("a context does not come to rest: it always has something to do at once"))
    }
}
