//! Keeps what every stream and connection hears, and checks what must hold of it, whatever was done.

use millstream::{RxFlags, StreamId, StreamState};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a stream's handler heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    State(StreamState),
    Rx(RxFlags),
    Tx,
    Accept,
}

/// The handlers' common notebook. They run one at a time, so that it is never borrowed twice.
#[derive(Default)]
pub(crate) struct Recorder {
    streams: BTreeMap<StreamId, Vec<Heard>>,
    is_inside: bool,
    handlers: usize,
}

pub(crate) type Shared = Rc<RefCell<Recorder>>;

impl Recorder {
    pub(crate) fn enter(&mut self) {
        assert!(!self.is_inside, "a handler was entered while another ran");
        self.is_inside = true;
    }

    pub(crate) fn leave(&mut self) {
        self.is_inside = false;
    }

    pub(crate) fn heard(&mut self, id: StreamId, what: Heard) {
        self.streams.entry(id).or_default().push(what);
    }

    pub(crate) fn ids(&self) -> Vec<StreamId> {
        self.streams.keys().copied().collect()
    }

    /// Checks each stream's life, once all are over.
    pub(crate) fn check(&self) {
        assert_eq!(self.handlers, 0, "handlers that were never dropped");
        for (id, life) in &self.streams {
            if let Some(why) = complaint(life) {
                panic!("{id}: {why}: {life:?}");
            }
        }
    }
}

/// What is wrong with a life, if anything.
fn complaint(life: &[Heard]) -> Option<&'static str> {
    use StreamState::{Connected, Connecting, Creating, Destroying, Disconnected};
    let (Some(first), Some(last)) = (life.first(), life.last()) else { return Some("no life at all") };
    if *first != Heard::State(Creating) {
        return Some("CREATING is not the first");
    }
    if *last != Heard::State(Destroying) {
        return Some("DESTROYING is not the last");
    }
    for state in [Creating, Destroying] {
        if life.iter().filter(|heard| **heard == Heard::State(state)).count() != 1 {
            return Some("CREATING and DESTROYING are heard once each");
        }
    }
    let (mut attempting, mut connected) = (false, false);
    for heard in life {
        match *heard {
            Heard::State(Connecting) => attempting = true,
            Heard::State(Connected) if !attempting => return Some("CONNECTED without CONNECTING"),
            Heard::State(Connected) => (attempting, connected) = (false, true),
            Heard::State(Disconnected) if !connected => return Some("DISCONNECTED without CONNECTED"),
            Heard::State(Disconnected) => connected = false,
            Heard::State(Destroying) if connected => return Some("DESTROYING while CONNECTED"),
            Heard::State(StreamState::Unreachable | StreamState::AuthFailed) if !attempting => {
                return Some("a failure without an attempt");
            }
            Heard::State(StreamState::Unreachable | StreamState::AuthFailed) => attempting = false,
            Heard::Rx(_) | Heard::Tx if !connected => return Some("payload while not CONNECTED"),
            _ => {}
        }
    }
    None
}

/// A handler's share in the notebook: counted for as long as the handler lives.
pub(crate) struct Member(Shared);

impl Member {
    pub(crate) fn new(shared: &Shared) -> Self {
        shared.borrow_mut().handlers += 1;
        Self(Rc::clone(shared))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Runs the body of a callback, during which no other may run.
    pub(crate) fn inside<R>(&self, body: impl FnOnce() -> R) -> R {
        self.0.borrow_mut().enter();
        let result = body();
        self.0.borrow_mut().leave();
        result
    }
}

impl Clone for Member {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Ok(mut recorder) = self.0.try_borrow_mut() {
            recorder.handlers -= 1;
        }
    }
}
