//! What a context is made from. It says no here, not later.

use super::arena::{Arena, Beside};
use super::observe::{Counters, Latencies, Latency, LatencySink};
use super::remote::Calls;
use super::scratch::{Scratch, Spares};
use super::sul::Suls;
use super::{Context, Core, Handlers};
use crate::dns::{Dns, Names};
use crate::error::Error;
use crate::http::Head;
use crate::plat::{Plat, PollHost, sim};
use crate::policy::Policy;
use crate::system::{Notifiers, System};
use crate::vhost::Peers;
use crate::wsi::{UdpLoss, Validity};
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// How long connections wait for what. Each ends in a cause that names the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A client: name and TCP, all addresses together. 20 s.
    pub connect: Duration,
    /// A TLS handshake, either side. 10 s.
    pub tls: Duration,
    /// A client: the response to a request, and from one piece of its body to the next. 30 s.
    pub response: Duration,
    /// A server: a request's head from its first byte, and from one piece of its body to the next. 10 s.
    pub request: Duration,
    /// Either side, HTTP/2: the acknowledgement of settings (RFC 9113 6.5.3). 10 s.
    pub settings: Duration,
    /// A server: the next request on a kept connection. 60 s.
    pub keep_alive: Duration,
    /// Either side: a peer that takes nothing of what there is to send. 60 s.
    pub send: Duration,
    /// A client: the next user of an idle connection. 5 s; zero keeps none.
    pub pool_idle: Duration,
    /// Either side: sending what is left after the end, from one piece to the next, and the peer's own end. 2 s.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            tls: Duration::from_secs(10),
            response: Duration::from_secs(30),
            request: Duration::from_secs(10),
            settings: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            send: Duration::from_secs(60),
            pool_idle: Duration::from_secs(5),
            linger: Duration::from_secs(2),
        }
    }
}

/// Who is told of latencies.
struct Sink(Option<LatencySink>);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "a sink" } else { "no sink" })
    }
}

/// Makes a [`Context`].
#[derive(Debug)]
#[must_use]
pub struct ContextBuilder {
    policy: Policy,
    timeouts: Timeouts,
    validity: Validity,
    max_connections_per_peer: usize,
    names: Names,
    pub(crate) notifiers: Notifiers,
    latency: Sink,
    udp_loss: UdpLoss,
    max_connections: usize,
    reuse_port: bool,
    sim: Option<sim::Host>,
    app: Option<Box<dyn Any>>,
    poll_host: Option<Box<dyn PollHost>>,
}

impl Default for ContextBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ContextBuilder {
    /// An empty policy, the default timeouts, the machine's own sockets and clock.
    pub fn new() -> Self {
        Self {
            policy: Policy::default(),
            timeouts: Timeouts::default(),
            validity: Validity::default(),
            max_connections_per_peer: 0,
            names: Names::default(),
            notifiers: Notifiers::default(),
            latency: Sink(None),
            udp_loss: UdpLoss::default(),
            max_connections: 100_000,
            reuse_port: false,
            sim: None,
            app: None,
            poll_host: None,
        }
    }

    /// Takes the policy from JSON text. What is wrong with it but tolerable is logged.
    ///
    /// # Errors
    /// The document is refused; the error lists what is wrong, with line and column.
    pub fn policy(mut self, text: &str) -> Result<Self, Error> {
        let parsed = Policy::parse(text).map_err(Error::BadPolicy)?;
        for warning in &parsed.warnings {
            log::warn!(target: "millstream::policy", "{warning}");
        }
        self.policy = parsed.policy;
        Ok(self)
    }

    /// Takes a policy that was parsed before: for contexts that have the same, as one in each thread.
    ///
    /// ```
    /// use millstream::Context;
    /// use millstream::policy::Policy;
    ///
    /// let text = r#"{ "s": [ { "a": { "endpoint": "a.example", "port": 80 } } ] }"#;
    /// let policy = Policy::parse(text).unwrap().policy;
    /// let context = Context::builder().parsed_policy(policy.clone()).build().unwrap();
    /// # drop(context);
    /// ```
    pub fn parsed_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Takes bounds for waiting.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How long connections may go without a sign of life whose policy, [`ClientInfo`](crate::ClientInfo) or
    /// [`ListenInfo`](crate::ListenInfo) does not say, and whose role can ask for one. 5 min until a ping, 5 min 10 s until
    /// the end.
    pub fn validity(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// The most connections at a time, listeners included (default 100,000). At the limit nothing is accepted until
    /// one has ended. Streams of HTTP/2 are none: each connection has at most 100 of them at a time.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most.max(1);
        self
    }

    /// The most accepted connections at a time from one IP address, or from one /64 of IPv6 (`ip_limit_wsi`); more are closed
    /// at once. 0, which is without limit, unless it is set.
    pub fn max_connections_per_peer(mut self, most: usize) -> Self {
        self.max_connections_per_peer = most;
        self
    }

    /// Says how names are turned into addresses, in place of what the system's files say.
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Loses so many of 100 datagrams on their way out and in, to see what becomes of those who sent them (README.udp.md:
    /// `udp_loss_sim_tx_pc`, `udp_loss_sim_rx_pc`). None, unless it is set.
    pub fn udp_loss(mut self, tx_percent: u8, rx_percent: u8) -> Self {
        self.udp_loss = UdpLoss { tx: tx_percent, rx: rx_percent };
        self
    }

    /// Lets every listener share its port with those of other contexts that do the same (`SO_REUSEPORT`): one context in
    /// each thread, and the system deals out the connections.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Lives on a host of a simulated network, in its virtual time, instead of the machine.
    pub fn sim(mut self, host: sim::Host) -> Self {
        self.sim = Some(host);
        self
    }

    /// Lets a loop of somebody else's do the polling, descriptor by descriptor, as `lws_context` does with
    /// `LWS_WITH_EXTERNAL_POLL`. It calls [`Context::service_fd`], and [`Context::service`] when
    /// [`Context::next_timeout`] runs out; a turn never waits then. Not for a simulation.
    pub fn poll_host(mut self, host: impl PollHost + 'static) -> Self {
        self.poll_host = Some(Box::new(host));
        self
    }

    /// Tells `sink` how long each name, connection, handshake, read and write took (README.detailed-latency.md). Printed, a
    /// [`Latency`] is a line that the scripts of lws understand.
    ///
    /// ```
    /// use millstream::Context;
    /// use std::io::Write;
    ///
    /// let mut log = std::io::BufWriter::new(std::io::stderr());
    /// let context = Context::builder().latency(move |latency| drop(writeln!(log, "{latency}"))).build()?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn latency(mut self, sink: impl FnMut(&Latency) + 'static) -> Self {
        self.latency = Sink(Some(Box::new(sink)));
        self
    }

    /// What all handlers share: they reach it by [`Cx::app`](super::Cx::app).
    pub fn app(mut self, app: impl Any) -> Self {
        self.app = Some(Box::new(app));
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    /// The operating system has no poller to give.
    pub fn build(self) -> Result<Context, Error> {
        let mut plat = match self.sim {
            Some(host) => Plat::sim(host),
            None => {
                Plat::unix().map_err(|source| Error::Io { what: "make a poller", address: None, source })?
            }
        };
        if let Some(host) = self.poll_host
            && !plat.be_hosted(host)
        {
            return Err(Error::WrongKind("a simulated context has nothing that a host could poll"));
        }
        let core = Core {
            now: plat.now(),
            wall_secs: plat.wall_secs(),
            date: http::date::DateField::default(),
            #[cfg(feature = "tls")]
            tls: crate::tls_identity::Identities::new(plat.wall_secs()),
            plat,
            dns: Dns::new(self.names),
            policy: Rc::new(self.policy),
            timeouts: self.timeouts,
            validity: self.validity,
            wsis: Arena::new(),
            streams: Arena::new(),
            vhosts: Arena::new(),
            suls: Suls::new(),
            effects: VecDeque::new(),
            effects_left: 0,
            peer_pieces_left: 0,
            lives_left: 0,
            later: Vec::new(),
            counters: Counters::default(),
            latencies: Latencies::new(self.latency.0.is_some()),
            entered_user: false,
            ready: VecDeque::new(),
            newborn: Vec::new(),
            pool: HashMap::new(),
            pooled: 0,
            carriers: HashMap::new(),
            families: crate::wsi::Families::default(),
            children: 0,
            #[cfg(feature = "ws")]
            close_reasons: std::collections::BTreeMap::new(),
            #[cfg(feature = "mqtt")]
            mqtt: crate::role::MqttSessions::default(),
            #[cfg(feature = "h2")]
            h2_memory: Vec::new(),
            peers: Peers::new(self.max_connections_per_peer),
            udp_loss: self.udp_loss,
            max_connections: self.max_connections,
            reuse_port: self.reuse_port,
            starved: Vec::new(),
            dead_vhosts: Vec::new(),
            spares: Spares::default(),
            spare_metadata: crate::secure_stream::SpareMetadata::default(),
            sinks: HashMap::new(),
            out_head: Head::new(),
            system: System::new(!self.notifiers.0.is_empty()),
            blobs: crate::system::Blobs::default(),
            #[cfg(feature = "h1")]
            cookies: crate::secure_stream::cookies::CookieJar::default(),
            app: self.app,
            stopping: false,
            ending: false,
            illegal_states: 0,
        };
        let handlers = Handlers {
            streams: Beside::new(),
            protocols: Beside::new(),
            acceptors: Beside::new(),
            orphans: Vec::new(),
            notifiers: self.notifiers,
            latency: self.latency.0,
        };
        let mut context = Context {
            handlers,
            core,
            scratch: Some(Box::new(Scratch::new())),
            events: Vec::new(),
            calls: Calls::new(),
            peer_payload: Vec::new(),
        };
        context.system_start();
        Ok(context)
    }
}
