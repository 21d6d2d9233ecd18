//! The context: every table, the loop that serves them, and the one place from which user code is called.
//!
//! A [`Context`] is two parts that never overlap. `handlers` holds the user's code; `core` holds everything else. A
//! call into user code borrows one handler and lends it the core ([`Cx`]), so the borrow checker shows that no handler
//! is entered twice.

pub(crate) mod arena;
mod builder;
mod cx;
mod effect;
mod observe;
mod remote;
pub(crate) mod scratch;
mod service;
pub(crate) mod sparse;
mod sul;

pub use builder::{ContextBuilder, Timeouts};
pub use cx::Cx;
pub(crate) use effect::{Effect, WsiEvent};
pub(crate) use observe::us;
pub use observe::{Counters, Latency, LatencyKind};
use observe::{Latencies, LatencySink};
pub use remote::Remote;
pub use sul::SulId;

use crate::Us;
use crate::error::Error;
use crate::http::Head;
use crate::plat::{Plat, Waker};
use crate::policy::{Diagnostic, Policy};
use crate::secure_stream::{SecureStream, SpareMetadata, StreamHandler, StreamId, StreamTimer};
use crate::vhost::{Vhost, VhostId};
use crate::wsi::{Acceptor, ClientInfo, Flags, Protocol, Wsi, WsiId};
use arena::{Arena, Beside};
use scratch::{Scratch, Spares};
use std::any::Any;
#[cfg(feature = "ws")]
use std::collections::BTreeMap;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use sul::Suls;

/// A closure that the loop is to run.
pub(crate) type Call = Box<dyn FnOnce(&mut Cx<'_>)>;

/// What a timer is for.
pub(crate) enum Timer {
    Wsi(WsiId),
    /// The proof that a connection is still one has been missing for some time.
    Validity(WsiId),
    Stream(StreamId, StreamTimer),
    /// The next address of a name has its turn.
    Race(WsiId),
    /// The resolver waits for something.
    Names,
    /// A peer has settings to acknowledge.
    #[cfg(feature = "h2")]
    H2Settings(WsiId),
    /// A listener that had to stop accepting tries again.
    Listener(WsiId),
    App(Call),
}

/// User code, beside the rows that it belongs to.
pub(crate) struct Handlers {
    pub(crate) streams: Beside<StreamId, Box<dyn StreamHandler>>,
    pub(crate) protocols: Beside<WsiId, Box<dyn Protocol>>,
    pub(crate) acceptors: Beside<VhostId, Box<dyn Acceptor>>,
    /// Those whose connections came to their ends before the callback returned that had asked for them.
    pub(crate) orphans: Vec<(WsiId, Box<dyn Protocol>)>,
    pub(crate) notifiers: crate::system::Notifiers,
    pub(crate) latency: Option<LatencySink>,
}

/// User code that a callback has brought in, and that takes its place when the callback has returned.
pub(crate) enum Newborn {
    Stream(StreamId, Box<dyn StreamHandler>),
    Protocol(WsiId, Box<dyn Protocol>),
    Acceptor(VhostId, Box<dyn Acceptor>),
}

/// Everything but user code.
pub(crate) struct Core {
    pub(crate) plat: Plat,
    pub(crate) dns: crate::dns::Dns,
    /// Read when a turn begins and when its wait ends.
    pub(crate) now: Us,
    /// Seconds since 1970, read with it.
    pub(crate) wall_secs: u64,
    pub(crate) date: http::date::DateField,
    pub(crate) policy: Rc<Policy>,
    pub(crate) timeouts: Timeouts,
    pub(crate) validity: crate::wsi::Validity,
    pub(crate) wsis: Arena<WsiId, Wsi>,
    pub(crate) streams: Arena<StreamId, SecureStream>,
    pub(crate) vhosts: Arena<VhostId, Vhost>,
    pub(crate) suls: Suls<Timer>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    /// User code has been called in this turn.
    pub(crate) entered_user: bool,
    /// Effects that this turn may still deliver.
    pub(crate) effects_left: usize,
    /// Pieces that streams may send to streams in this turn.
    pub(crate) peer_pieces_left: usize,
    /// Streams that may begin and connections of protocols that may end in this turn. Of anything else user code can make
    /// only as much in one moment as there are streams.
    pub(crate) lives_left: usize,
    /// What has to wait until all others have been served, for that these are used up.
    pub(crate) later: Vec<Effect>,
    /// Connections to serve without waiting for the poller.
    pub(crate) ready: VecDeque<WsiId>,
    pub(crate) newborn: Vec<Newborn>,
    /// Idle client connections.
    pub(crate) pool: HashMap<Rc<ClientInfo>, Vec<WsiId>>,
    pub(crate) pooled: usize,
    /// Connections that several share, by what they have to have in common; and whom each carries.
    pub(crate) carriers: HashMap<Rc<ClientInfo>, WsiId>,
    pub(crate) families: crate::wsi::Families,
    pub(crate) children: usize,
    /// What connections need only while they have streams.
    #[cfg(feature = "h2")]
    pub(crate) h2_memory: Vec<crate::role::H2Memory>,
    /// What websockets say when they close, where their users have a wish.
    #[cfg(feature = "ws")]
    pub(crate) close_reasons: BTreeMap<WsiId, crate::role::CloseReason>,
    #[cfg(feature = "mqtt")]
    pub(crate) mqtt: crate::role::MqttSessions,
    pub(crate) peers: crate::vhost::Peers,
    pub(crate) udp_loss: crate::wsi::UdpLoss,
    pub(crate) max_connections: usize,
    /// Listeners share their ports with those of other contexts.
    pub(crate) reuse_port: bool,
    /// Listeners that wait for a connection to end before they accept another.
    pub(crate) starved: Vec<WsiId>,
    /// Vhosts whose acceptors are to be dropped.
    pub(crate) dead_vhosts: Vec<VhostId>,
    pub(crate) spares: Spares,
    pub(crate) spare_metadata: SpareMetadata,
    /// Who serves streams of a `local_sink` type, by its name.
    pub(crate) sinks: HashMap<Box<str>, StreamId>,
    /// Where the head of an outgoing message is put together.
    pub(crate) out_head: Head,
    pub(crate) system: crate::system::System,
    pub(crate) blobs: crate::system::Blobs,
    #[cfg(feature = "h1")]
    pub(crate) cookies: crate::secure_stream::cookies::CookieJar,
    #[cfg(feature = "tls")]
    pub(crate) tls: crate::tls_identity::Identities,
    pub(crate) app: Option<Box<dyn Any>>,
    pub(crate) stopping: bool,
    /// Everything ends: what a peer keeps for us is to be there for the next life.
    pub(crate) ending: bool,
    /// Transitions that the table forbids: a bug of ours, counted rather than crashed on.
    pub(crate) illegal_states: u64,
}

impl Core {
    /// Puts a connection into the queue of those to be served, once.
    pub(crate) fn schedule(&mut self, id: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(id)
            && !wsi.flags.has(Flags::QUEUED)
        {
            wsi.flags.set(Flags::QUEUED);
            self.ready.push_back(id);
        }
    }
}

/// The world: loop, connections, streams, vhosts, the policy in force. `lws_context` of libwebsockets.
///
/// Made and used on one thread. It does nothing until it is served: by [`Context::run`], or turn by turn with
/// [`Context::service`].
///
/// ```
/// use millstream::Context;
///
/// # fn main() -> Result<(), millstream::Error> {
/// let mut context = Context::builder().policy(r#"{ "s": [] }"#)?.build()?;
/// context.with(|cx| cx.stop());
/// context.run()
/// # }
/// ```
pub struct Context {
    pub(crate) handlers: Handlers,
    pub(crate) core: Core,
    /// None while it is lent to the connection that is being served.
    pub(crate) scratch: Option<Box<Scratch>>,
    events: Vec<crate::plat::Ready>,
    calls: remote::Calls,
    /// What a stream sends to a stream is put together here.
    pub(crate) peer_payload: Vec<u8>,
}

/// How many rows a context has, for tests and for the curious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Census {
    /// Streams, the dying included.
    pub streams: usize,
    /// Connections, listeners included, and each user of those that are shared.
    pub wsis: usize,
    /// Vhosts.
    pub vhosts: usize,
    /// Pieces of user code.
    pub handlers: usize,
    /// Timers that are set.
    pub suls: usize,
    /// Client connections that are kept for the next user.
    pub pooled: usize,
    /// State transitions that the table forbids and that happened all the same: bugs of the library.
    pub illegal_states: u64,
}

impl Context {
    /// What a context is made from.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::new()
    }

    /// Lends the library, as a callback would have it; then delivers what the requests lead to.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        self.open_turn();
        let result = f(&mut Cx { core: &mut self.core });
        self.settle();
        result
    }

    /// Puts another policy in force, for the streams that are created from now on.
    ///
    /// # Errors
    /// The document is refused: the policy that was in force still is.
    pub fn set_policy(&mut self, text: &str) -> Result<Vec<Diagnostic>, Error> {
        let parsed = Policy::parse(text).map_err(Error::BadPolicy)?;
        self.core.policy = Rc::new(parsed.policy);
        Ok(parsed.warnings)
    }

    /// Lays a fragment of a policy over the one in force: stream types only, member by member.
    ///
    /// # Errors
    /// The fragment is refused: the policy that was in force still is.
    pub fn overlay(&mut self, text: &str) -> Result<Vec<Diagnostic>, Error> {
        let overlaid = self.core.policy.overlay(text).map_err(Error::BadPolicy)?;
        self.core.policy = Rc::new(overlaid.policy);
        Ok(overlaid.warnings)
    }

    /// Wakes the loop out of its wait, from any thread (`lws_cancel_service`).
    pub fn waker(&self) -> Waker {
        self.core.plat.waker()
    }

    /// How often the loop has waited for the poller.
    pub fn waits(&self) -> u64 {
        self.core.plat.waits()
    }

    /// Counts rows.
    pub fn census(&self) -> Census {
        let handlers = &self.handlers;
        Census {
            streams: self.core.streams.len(),
            wsis: self.core.wsis.len(),
            vhosts: self.core.vhosts.len(),
            handlers: handlers.streams.len() + handlers.protocols.len() + handlers.acceptors.len(),
            suls: self.core.suls.len(),
            pooled: self.core.pooled,
            illegal_states: self.core.illegal_states,
        }
    }

    /// Ends every stream and connection; each hears of it as it would at any other time. What was scheduled is
    /// forgotten.
    pub fn shutdown(&mut self) {
        self.core.ending = true;
        let streams: Vec<_> = self.core.streams.iter().map(|(id, _)| id).collect();
        for id in streams {
            let _ = self.core.destroy(id);
        }
        self.settle_all();
        let vhosts: Vec<_> = self.core.vhosts.iter().map(|(id, _)| id).collect();
        for id in vhosts {
            self.core.vhost_destroy(id);
        }
        let wsis: Vec<_> = self.core.wsis.iter().map(|(id, _)| id).collect();
        // Those that are carried have theirs before what carries them.
        #[cfg(feature = "ws")]
        for id in &wsis {
            self.ws_end(*id);
        }
        for id in &wsis {
            self.say_last_word(*id);
        }
        for id in wsis {
            self.core.close(id, None);
        }
        self.settle_all();
        self.core.suls = Suls::new();
        self.core.ending = false;
    }

    /// Delivers until nothing is left, within reason: user code that always asks for more is not heard for ever, and what
    /// there is ends with ten effects or fewer each.
    fn settle_all(&mut self) {
        let core = &self.core;
        let rows = core.streams.len() + core.wsis.len() + core.effects.len() + core.later.len();
        for _ in 0..10 + rows / 1000 {
            self.open_turn();
            if self.settle() && self.core.later.is_empty() {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("census", &self.census()).finish_non_exhaustive()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // User code has no business running while the thread unwinds.
        if !std::thread::panicking() {
            self.shutdown();
        }
    }
}
