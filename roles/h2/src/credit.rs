//! What the peer may send on streams that are granted by hand, and with which window streams begin.

use crate::frame::{Kind, put, put_window_update};
use crate::settings::{DEFAULT_WINDOW, INITIAL_WINDOW_SIZE};
use crate::{Engine, Error};

/// The window that streams begin with by our settings, and how much of those the peer knows (RFC 9113 6.5.3). There are
/// two at most: those of the beginning, and those that make it 0 for the sake of a stream that is granted by hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    first: u32,
    is_lowered: bool,
    acknowledged: u8,
}

impl Beginning {
    pub(crate) const fn new(first: u32) -> Self {
        Self { first, is_lowered: false, acknowledged: 0 }
    }

    /// What the peer goes by when it knows all that it has been told.
    pub(crate) const fn told(self) -> u32 {
        if self.is_lowered { 0 } else { self.first }
    }

    /// What it goes by as far as we know.
    pub(crate) const fn known(self) -> u32 {
        match self.acknowledged {
            0 => DEFAULT_WINDOW,
            1 => self.first,
            _ => 0,
        }
    }

    pub(crate) const fn is_acknowledged(self) -> bool {
        self.acknowledged == 1 + self.is_lowered as u8
    }

    /// What windows of streams are to change by once the peer knows our settings (RFC 9113 6.9.2).
    pub(crate) fn pending(self) -> i64 {
        i64::from(self.told()) - i64::from(self.known())
    }

    /// The peer has acknowledged the next of our settings.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn acknowledge(&mut self) -> Result<(), Error> {
        if self.is_acknowledged() {
            return Err(Error::SettingsAck);
        }
        self.acknowledged += 1;
        Ok(())
    }
}

impl Engine {
    /// Lets streams begin with nothing from here on, and gives those that are open back what that takes from them. A
    /// request that is sent behind this has no more than it is granted: the peer takes frames in their order (RFC 9113
    /// 6.9.2).
    pub(crate) fn begin_with_nothing(&mut self) {
        let window = self.beginning.told();
        self.beginning.is_lowered = true;
        let [a, b] = INITIAL_WINDOW_SIZE.to_be_bytes();
        put(&mut self.control, Kind::Settings, 0, 0, &[a, b, 0, 0, 0, 0]);
        let control = &mut self.control;
        for row in self.streams.iter_mut() {
            row.credit.lower(window);
            if window > 0 && row.state.may_receive() && row.credit.grant(window).is_ok() {
                put_window_update(control, row.id, window);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_change_by_what_each_acknowledgement_says() {
        let mut beginning = Beginning::new(100_000);
        assert_eq!((beginning.pending(), beginning.known()), (100_000 - 65_535, 65_535));
        let twice = [Ok(()), Err(Error::SettingsAck)];
        assert_eq!([beginning.acknowledge(), beginning.acknowledge()], twice);
        assert_eq!((beginning.pending(), beginning.known()), (0, 100_000));
        beginning.is_lowered = true;
        assert_eq!((beginning.pending(), beginning.is_acknowledged()), (-100_000, false));
        assert_eq!([beginning.acknowledge(), beginning.acknowledge()], twice);
        assert_eq!((beginning.pending(), beginning.told()), (0, 0));
    }
}
