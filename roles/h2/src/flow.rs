//! Windows (RFC 9113 5.2): what we may send, and what we have granted.

use crate::Error;
use crate::settings::MAX_WINDOW;

/// How much may be sent. Below zero after the peer has made it smaller than what is on its way (RFC 9113 6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window(i32);

impl Window {
    pub(crate) const fn new(size: u32) -> Self {
        Self(if size > MAX_WINDOW { i32::MAX } else { size.cast_signed() })
    }

    /// What is left of it.
    pub(crate) fn size(self) -> u32 {
        u32::try_from(self.0).unwrap_or(0)
    }

    pub(crate) fn take(&mut self, len: u32) -> Result<(), Error> {
        if len > self.size() {
            return Err(Error::Overrun);
        }
        self.0 -= len.cast_signed();
        Ok(())
    }

    /// Makes it larger, or smaller by a negative number. True when it was shut and is open now.
    pub(crate) fn add(&mut self, change: i64) -> Result<bool, Error> {
        let sum = i64::from(self.0).saturating_add(change);
        let was_shut = self.0 <= 0;
        self.0 = i32::try_from(sum).map_err(|_| Error::WindowOverflow)?;
        Ok(was_shut && self.0 > 0)
    }

    /// The same, but no larger than a window can be.
    pub(crate) fn add_saturating(&mut self, change: u32) -> bool {
        let was_shut = self.0 <= 0;
        self.0 = self.0.saturating_add_unsigned(change);
        was_shut && self.0 > 0
    }
}

/// What a peer may send once it knows all that it has been told, and what it has sent that it does not know to be granted
/// again. What it goes by until then differs by what its window is to change by, `pending`, and may be beyond any window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    window: Window,
    /// Taken since the last grant.
    taken: u32,
    /// What the window is kept at.
    target: u32,
    /// Whoever uses the stream grants by itself.
    pub(crate) is_held: bool,
}

impl Credit {
    pub(crate) const fn new(size: u32, target: u32) -> Self {
        Self { window: Window::new(size), taken: 0, target, is_held: false }
    }

    pub(crate) fn size(&self) -> u32 {
        self.window.size()
    }

    /// A frame of this length has begun to arrive.
    pub(crate) fn receive(&mut self, len: u32, pending: i64) -> Result<(), Error> {
        let len = i64::from(len);
        if len > 0 && len > i64::from(self.window.0) - pending {
            return Err(Error::Overrun);
        }
        self.window.add(-len).map(|_| ())
    }

    /// So much of what arrived was passed on. The grant to send for it, once it is worth a frame.
    pub(crate) fn pass(&mut self, len: u32) -> Option<u32> {
        self.taken = self.taken.saturating_add(len);
        if self.is_held || self.taken < self.target.div_ceil(2).max(1) { None } else { self.settle() }
    }

    /// The grant that makes the window what it is to be kept at, whatever was granted by hand.
    pub(crate) fn restore(&mut self) -> Option<u32> {
        self.taken = 0;
        self.refill(0, 0)
    }

    /// The grant by which the window and what is `kept` together are as much as it is to be kept at: if that is `least` or more.
    pub(crate) fn refill(&mut self, kept: i64, least: u32) -> Option<u32> {
        let missing = i64::from(self.target) - i64::from(self.window.0) - kept;
        let grant = u32::try_from(missing).ok().filter(|grant| *grant > 0 && *grant >= least)?;
        self.grant(grant).is_ok().then_some(grant)
    }

    /// The grant for all that was passed on.
    fn settle(&mut self) -> Option<u32> {
        let grant = core::mem::take(&mut self.taken);
        (grant > 0 && self.grant(grant).is_ok()).then_some(grant)
    }

    /// Grants so much more.
    pub(crate) fn grant(&mut self, increment: u32) -> Result<(), Error> {
        self.window.add(i64::from(increment)).map(|_| ())
    }

    /// The peer is told that its streams have so much less (RFC 9113 6.9.2): below zero, until it has been granted again.
    pub(crate) fn lower(&mut self, by: u32) {
        // From no more than the largest window, by no more than that.
        let _ = self.window.add(-i64::from(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_be_below_zero_but_not_beyond_its_largest() {
        let mut window = Window::new(10);
        assert_eq!(window.take(11), Err(Error::Overrun));
        assert_eq!(window.take(10), Ok(()));
        assert_eq!(window.add(-5), Ok(false));
        assert_eq!((window.size(), window.add(5)), (0, Ok(false)));
        assert_eq!(window.add(1), Ok(true));
        assert_eq!(window.add(i64::from(MAX_WINDOW)), Err(Error::WindowOverflow));
        assert!(!window.add_saturating(MAX_WINDOW));
        assert_eq!(window.size(), MAX_WINDOW);
    }

    #[test]
    fn credit_is_given_back_by_halves() {
        let mut credit = Credit::new(100, 100);
        assert_eq!((credit.receive(60, 0), credit.size()), (Ok(()), 40));
        assert_eq!((credit.pass(49), credit.pass(11)), (None, Some(60)));
        assert_eq!(credit.size(), 100);
        credit.is_held = true;
        assert_eq!((credit.receive(90, 0), credit.pass(90)), (Ok(()), None));
        assert_eq!((credit.restore(), credit.restore(), credit.size()), (Some(90), None, 100));
        assert_eq!((credit.receive(90, 0), credit.refill(41, 50)), (Ok(()), None));
        assert_eq!((credit.refill(40, 50), credit.refill(40, 0), credit.size()), (Some(50), None, 60));
    }

    #[test]
    fn what_a_peer_goes_by_that_does_not_know_our_settings_is_not_what_it_will_have() {
        let mut credit = Credit::new(MAX_WINDOW, MAX_WINDOW);
        assert_eq!(credit.receive(11, i64::from(MAX_WINDOW) - 10), Err(Error::Overrun));
        assert_eq!(credit.receive(10, i64::from(MAX_WINDOW) - 10), Ok(()));
        assert_eq!((credit.grant(11), credit.grant(10)), (Err(Error::WindowOverflow), Ok(())));
        credit.lower(MAX_WINDOW);
        assert_eq!((credit.size(), credit.receive(MAX_WINDOW, -i64::from(MAX_WINDOW))), (0, Ok(())));
        assert_eq!(
            (credit.size(), credit.receive(0, 0), credit.receive(1, 0)),
            (0, Ok(()), Err(Error::Overrun))
        );
    }
}
