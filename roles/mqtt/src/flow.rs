//! What a message of QoS 1 or 2 goes through, both ways: one table (MQTT 5, 4.3).

use crate::Error;

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: there is no exchange under this packet id.
    Idle,
    /// Sent at QoS 1.
    Puback,
    /// Sent at QoS 2.
    Pubrec,
    /// The server has the message, and is told that it may forget the id.
    Pubcomp,
    /// Given up before the server said that it has it: the id rests, because the server may know it.
    GivenUp,
    /// The server had the message, and has lost the session since. To be told.
    Forgotten,
    /// Received at QoS 2, and delivered.
    Pubrel,
}

/// What comes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Publish1,
    Publish2,
    Puback,
    /// With a reason below 0x80.
    Pubrec,
    /// With one from there on: it does not want the message.
    PubrecFailed,
    Pubrel,
    Pubcomp,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    /// With the reason that no such packet id is known.
    PubrelUnknown,
    PubcompUnknown,
}

/// What the caller hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Nothing,
    /// An incoming message, for the first time.
    Deliver,
    /// The server has it, and has not finished.
    Received,
    /// The exchange is over.
    Over,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) next: State,
    pub(crate) reply: Option<Reply>,
    pub(crate) tell: Tell,
}

/// Whatever is not in the table is a packet out of its order.
#[allow(clippy::match_same_arms, reason = "one line of the table for each state and packet")]
pub(crate) fn step(state: State, packet: Packet) -> Result<Step, Error> {
    let (next, reply, tell) = match (state, packet) {
        // Incoming, QoS 1 (Figure 4.2).
        (State::Idle, Packet::Publish1) => (State::Idle, Some(Reply::Puback), Tell::Deliver),
        // Incoming, QoS 2 (Figure 4.3, method A): the id is kept until PUBREL, so that a second one is not delivered.
        (State::Idle, Packet::Publish2) => (State::Pubrel, Some(Reply::Pubrec), Tell::Deliver),
        (State::Pubrel, Packet::Publish2) => (State::Pubrel, Some(Reply::Pubrec), Tell::Nothing),
        (State::Pubrel, Packet::Pubrel) => (State::Idle, Some(Reply::Pubcomp), Tell::Nothing),
        // A server that does not know of the exchange has the id free. MQTT 5 calls that a mismatch of sessions (3.4.2.1);
        // to break off would bring the same message again, and again.
        (State::Pubrel, Packet::Publish1) => (State::Idle, Some(Reply::Puback), Tell::Deliver),
        // Our PUBCOMP was lost with the last connection.
        (State::Idle, Packet::Pubrel) => (State::Idle, Some(Reply::PubcompUnknown), Tell::Nothing),
        // Outgoing, QoS 1.
        (State::Puback, Packet::Puback) => (State::Idle, None, Tell::Over),
        // Outgoing, QoS 2.
        (State::Pubrec, Packet::Pubrec) => (State::Pubcomp, Some(Reply::Pubrel), Tell::Received),
        (State::Pubrec, Packet::PubrecFailed) => (State::Idle, None, Tell::Over),
        (State::Pubcomp, Packet::Pubrec) => (State::Pubcomp, Some(Reply::Pubrel), Tell::Nothing),
        (State::Pubcomp, Packet::Pubcomp) => (State::Idle, None, Tell::Over),
        // Given up: what the server still has of it comes to its end.
        (State::GivenUp, Packet::Pubrec) => (State::Pubcomp, Some(Reply::Pubrel), Tell::Nothing),
        (State::GivenUp, Packet::PubrecFailed) => (State::Idle, None, Tell::Nothing),
        // Answers to what is over: MQTT 5 has a reason code for one of them, and nobody minds the others.
        (State::Idle, Packet::Pubrec) => (State::Idle, Some(Reply::PubrelUnknown), Tell::Nothing),
        (State::Idle, Packet::Puback | Packet::PubrecFailed | Packet::Pubcomp) => {
            (State::Idle, None, Tell::Nothing)
        }
        _ => return Err(Error::Order),
    };
    Ok(Step { next, reply, tell })
}
