//! When to ping, and for how long to wait for the answer (MQTT 5, 3.1.2.10, 3.12).

use crate::Error;

/// What became of the last ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    /// None is under way.
    Idle,
    /// It is to be written.
    Wanted { deadline: u64 },
    /// PINGRESP is to come.
    Written { deadline: u64 },
}

/// Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// 0: no pings but those that were asked for.
    interval: u64,
    /// For the answer.
    patience: u64,
    last_sent: u64,
    ping: Ping,
    /// Something has gone through since the deadline was set. A long message delays the ping behind it, or the answer:
    /// as long as it moves, nobody is dead.
    progress: bool,
}

impl KeepAlive {
    pub(crate) fn new(patience: u64) -> Self {
        Self { interval: 0, patience, last_sent: 0, ping: Ping::Idle, progress: false }
    }

    /// A connection begins; `seconds` of 0 are no keep alive.
    pub(crate) fn start(&mut self, seconds: u16, now: u64) {
        self.last_sent = self.last_sent.max(now);
        self.set_interval(seconds);
    }

    /// The server's choice.
    pub(crate) fn set_interval(&mut self, seconds: u16) {
        self.interval = u64::from(seconds) * 1_000_000;
    }

    pub(crate) fn stop(&mut self) {
        self.interval = 0;
        self.ping = Ping::Idle;
    }

    pub(crate) fn sent(&mut self, now: u64) {
        self.last_sent = self.last_sent.max(now);
        self.progress |= matches!(self.ping, Ping::Wanted { .. });
    }

    pub(crate) fn heard(&mut self) {
        self.progress = true;
    }

    pub(crate) fn ping(&mut self, now: u64) {
        if self.ping == Ping::Idle {
            self.ping = Ping::Wanted { deadline: now.saturating_add(self.patience) };
            self.progress = false;
        }
    }

    pub(crate) fn wants_ping(&self) -> bool {
        matches!(self.ping, Ping::Wanted { .. })
    }

    pub(crate) fn take_ping(&mut self) -> bool {
        let Ping::Wanted { deadline } = self.ping else { return false };
        self.ping = Ping::Written { deadline };
        true
    }

    /// PINGRESP, to a ping that was written.
    pub(crate) fn pong(&mut self) -> Result<(), Error> {
        let Ping::Written { .. } = self.ping else { return Err(Error::Order) };
        self.ping = Ping::Idle;
        Ok(())
    }

    pub(crate) fn due(&self) -> Option<u64> {
        match self.ping {
            Ping::Wanted { deadline } | Ping::Written { deadline } => Some(deadline),
            Ping::Idle if self.interval == 0 => None,
            Ping::Idle => Some(self.last_sent.saturating_add(self.interval)),
        }
    }

    pub(crate) fn handle_due(&mut self, now: u64) -> Result<(), Error> {
        if self.due().is_none_or(|due| now < due) {
            return Ok(());
        }
        let later = now.saturating_add(self.patience);
        match &mut self.ping {
            Ping::Idle => {
                // Should nobody say when this goes out, the next one is an interval from here.
                self.last_sent = self.last_sent.max(now);
                self.ping(now);
            }
            Ping::Wanted { deadline } | Ping::Written { deadline } if self.progress => {
                *deadline = later;
                self.progress = false;
            }
            Ping::Wanted { .. } | Ping::Written { .. } => return Err(Error::PingTimeout),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn started() -> KeepAlive {
        let mut keep_alive = KeepAlive::new(10 * SECOND);
        keep_alive.start(60, 0);
        keep_alive
    }

    #[test]
    fn a_ping_goes_out_when_nothing_did_for_the_interval() {
        let mut keep_alive = started();
        keep_alive.sent(50 * SECOND);
        assert_eq!(keep_alive.due(), Some(110 * SECOND));
        keep_alive.handle_due(109 * SECOND).unwrap();
        assert!(!keep_alive.wants_ping());
        keep_alive.handle_due(110 * SECOND).unwrap();
        assert!(keep_alive.take_ping());
        assert_eq!(keep_alive.due(), Some(120 * SECOND));
        assert_eq!(keep_alive.pong(), Ok(()));
        assert_eq!(keep_alive.due(), Some(170 * SECOND));
        assert_eq!(keep_alive.pong(), Err(Error::Order));
    }

    #[test]
    fn a_ping_without_an_answer_ends_the_connection() {
        let mut keep_alive = started();
        keep_alive.ping(0);
        assert!(keep_alive.take_ping());
        assert_eq!(keep_alive.handle_due(10 * SECOND - 1), Ok(()));
        assert_eq!(keep_alive.handle_due(10 * SECOND), Err(Error::PingTimeout));
    }

    #[test]
    fn a_ping_behind_a_long_message_waits_as_long_as_the_message_moves() {
        let mut keep_alive = started();
        keep_alive.ping(0);
        keep_alive.sent(9 * SECOND);
        assert_eq!(keep_alive.handle_due(10 * SECOND), Ok(()));
        assert_eq!(keep_alive.due(), Some(20 * SECOND));
        assert!(keep_alive.take_ping());
        keep_alive.heard();
        assert_eq!(keep_alive.handle_due(20 * SECOND), Ok(()));
        assert_eq!(keep_alive.handle_due(30 * SECOND), Err(Error::PingTimeout));
    }

    #[test]
    fn what_goes_out_behind_a_ping_is_no_answer_to_it() {
        let mut keep_alive = started();
        keep_alive.ping(0);
        assert!(keep_alive.take_ping());
        keep_alive.sent(9 * SECOND);
        assert_eq!(keep_alive.handle_due(10 * SECOND), Err(Error::PingTimeout));
    }

    #[test]
    fn without_a_keep_alive_only_asked_pings_go_out() {
        let mut keep_alive = KeepAlive::new(SECOND);
        keep_alive.start(0, 5);
        assert_eq!(keep_alive.due(), None);
        keep_alive.ping(7);
        assert_eq!(keep_alive.due(), Some(SECOND + 7));
    }
}
