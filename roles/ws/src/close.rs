//! Why a connection is closed.

use core::fmt;

/// A close code (RFC 6455 7.4, and IANA's registry of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: what the connection was for is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server that stops, a page that is left.
    pub const AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message that is not understood.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the peer gave no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection was lost without a goodbye. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: payload that is not what the message's kind promises, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that is against a policy.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message that is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: a client that needs an extension that the server did not agree to.
    pub const EXTENSION: Self = Self(1010);
    /// 1011: a server met something that it cannot cope with.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the server has too much to do; later perhaps.
    pub const TRY_AGAIN: Self = Self(1013);
    /// 1014: a gateway got nothing useful from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code of this number, if it may stand in a close frame: those that are defined and have a place on the wire,
    /// 3000 to 3999 (registered) and 4000 to 4999 (private).
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// It may stand in a close frame.
    pub const fn is_sendable(self) -> bool {
        Self::new(self.0).is_some()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::coding::CloseCode as Theirs;

    #[test]
    fn every_code_is_judged_as_tungstenite_does_but_for_1014_which_was_registered_later() {
        for code in 0..=u16::MAX {
            let expected = Theirs::from(code).is_allowed() || code == 1014;
            assert_eq!(CloseCode::new(code).is_some(), expected, "{code}");
        }
        assert!(!CloseCode::NO_STATUS.is_sendable() && !CloseCode::ABNORMAL.is_sendable());
    }
}
