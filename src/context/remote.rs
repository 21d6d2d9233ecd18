//! The loop from other threads: calls are left in a queue without a lock, and the loop is rung for the first of them.

use super::{Call, Context, Core, Cx, Effect};
use crate::SystemState;
use crate::error::Error;
use crate::plat::{Waker, ring};
use crate::secure_stream::StreamId;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Calls that one turn of the loop takes at most; what is left has the next one, which does not wait.
const CALLS_PER_TURN: usize = 10_000;

/// What another thread has asked for. Requests on a stream that is gone by then come to nothing.
enum Asked {
    RequestTx(StreamId),
    RequestTxOfClients(StreamId),
    SetMetadata(StreamId, Box<str>, Box<[u8]>),
    Call(Box<dyn FnOnce(&mut Cx<'_>) + Send>),
}

/// A context's loop, as other threads see it. Can be cloned and sent anywhere.
///
/// Requests of one thread are served in its order. None is lost: each is served in the loop's next turn, or the context
/// has ended.
///
/// ```
/// use millstream::{Context, Error};
///
/// # fn main() -> Result<(), Error> {
/// let mut context = Context::builder().build()?;
/// let remote = context.remote();
/// let thread = std::thread::spawn(move || remote.attach(|cx| cx.stop()));
/// context.run()?;
/// assert!(thread.join().is_ok_and(|asked| asked.is_ok()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Remote {
    calls: Sender<Asked>,
    waker: Waker,
}

impl Remote {
    /// Runs `call` on the loop's thread.
    ///
    /// # Errors
    /// [`Error::Stale`]: the context has ended.
    pub fn attach(&self, call: impl FnOnce(&mut Cx<'_>) + Send + 'static) -> Result<(), Error> {
        self.ask(Asked::Call(Box::new(call)))
    }

    /// Runs `call` on the loop's thread when the system state is reached, or in the next turn if it is
    /// (`lws_system_ops_t.attach`).
    ///
    /// # Errors
    /// [`Error::Stale`]: the context has ended.
    pub fn attach_at(
        &self,
        state: SystemState,
        call: impl FnOnce(&mut Cx<'_>) + Send + 'static,
    ) -> Result<(), Error> {
        self.attach(move |cx| cx.attach(state, call))
    }

    /// [`Cx::request_tx`].
    ///
    /// # Errors
    /// [`Error::Stale`]: the context has ended. A stream that has ended makes no error here.
    pub fn request_tx(&self, stream: StreamId) -> Result<(), Error> {
        self.ask(Asked::RequestTx(stream))
    }

    /// [`Cx::request_tx`] on each stream that the server has accepted: for what all clients are to be sent.
    ///
    /// # Errors
    /// As [`Self::request_tx`].
    pub fn request_tx_of_clients(&self, server: StreamId) -> Result<(), Error> {
        self.ask(Asked::RequestTxOfClients(server))
    }

    /// [`Cx::set_metadata`]. A value that is refused is logged.
    ///
    /// # Errors
    /// As [`Self::request_tx`].
    pub fn set_metadata(&self, stream: StreamId, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.ask(Asked::SetMetadata(stream, name.into(), value.as_ref().into()))
    }

    fn ask(&self, asked: Asked) -> Result<(), Error> {
        self.calls.send(asked).map_err(|_| Error::Stale)?;
        self.waker.ring(ring::CALL);
        Ok(())
    }
}

/// The loop's end of the queue.
#[derive(Debug)]
pub(super) struct Calls {
    sender: Sender<Asked>,
    receiver: Receiver<Asked>,
}

impl Calls {
    pub(super) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }
}

impl Context {
    /// The loop as other threads may use it.
    pub fn remote(&self) -> Remote {
        Remote { calls: self.calls.sender.clone(), waker: self.core.plat.waker() }
    }

    /// Takes what other threads have left. Called after the bell was answered: whoever comes later rings again.
    pub(super) fn take_calls(&mut self) {
        for _ in 0..CALLS_PER_TURN {
            let Ok(asked) = self.calls.receiver.try_recv() else { return };
            self.core.serve_call(asked);
        }
        self.core.plat.waker().ring(ring::CALL);
    }
}

impl Core {
    fn serve_call(&mut self, asked: Asked) {
        match asked {
            Asked::RequestTx(stream) => drop(self.request_tx(stream)),
            Asked::RequestTxOfClients(server) => {
                for client in self.accepted_streams(server) {
                    drop(self.request_tx(client));
                }
            }
            Asked::SetMetadata(stream, name, value) => {
                if let Err(error) = self.set_metadata(stream, &name, &value) {
                    log::warn!(target: "millstream::stream", "{stream}: metadata {name} from another thread: {error}");
                }
            }
            Asked::Call(call) => self.effects.push_back(Effect::Call(call as Call)),
        }
    }
}
