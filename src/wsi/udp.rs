//! Datagrams (README.udp.md). One tx callback sends one, one rx callback brings one; each has an address of its own.

use super::{Binding, Flags, Protocol, Wsi, WsiId, WsiState};
use crate::Cx;
use crate::cause::{Cause, Phase};
use crate::context::scratch::Scratch;
use crate::context::{Context, Core, SulId, Timer, WsiEvent};
use crate::error::Error;
use crate::plat::{Datagrams, Socket, SocketOptions};
use crate::policy::RetryPolicy;
use crate::role::Role;
use crate::secure_stream::retry::{Backoff, Decision};
use crate::secure_stream::{Tx, TxFlow, TxState};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The longest payload of a datagram over IPv4 (RFC 768, RFC 791 3.1).
const DATAGRAM: usize = 65_507;

/// Datagrams that one socket receives, and that it sends, in one turn before the others have theirs.
const PER_TURN: usize = 64;

/// A socket for datagrams that anybody may send to.
#[derive(Debug, Clone)]
pub struct UdpInfo {
    /// Where it is bound; port 0 is any that is free.
    pub bind: SocketAddr,
    /// Datagrams may go to everybody on a network.
    pub broadcast: bool,
    /// The interface, and how the network is asked to treat what is sent.
    pub options: SocketOptions,
}

impl UdpInfo {
    /// A socket bound to `bind`, and nothing special about it.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, broadcast: false, options: SocketOptions::default() }
    }
}

/// What a socket for datagrams has beside the others.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    /// It has one peer, and the system knows.
    pub(super) is_connected: bool,
    /// Whose the datagram is that the socket did not take.
    unsent_to: Option<SocketAddr>,
}

/// How many of 100 datagrams are lost on purpose, to see what becomes of the rest (`udp_loss_sim_*_pc`).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UdpLoss {
    pub(crate) tx: u8,
    pub(crate) rx: u8,
}

impl Core {
    /// A bound socket, which is open at once.
    pub(crate) fn udp_bind(&mut self, info: UdpInfo, binding: Binding) -> Result<WsiId, Error> {
        if self.connections() >= self.max_connections {
            return Err(Error::Full("no socket fits: max_connections is reached"));
        }
        let role = Role::Udp(Box::default());
        let id = self.wsis.insert(Wsi::new(None, role, Binding::None, WsiState::Connecting));
        let mut how = Datagrams { peer: None, options: info.options, broadcast: info.broadcast };
        how.options.local = Some(info.bind);
        match self.plat.datagrams(&how, id.0.to_token()) {
            Ok(socket) => {
                if let Some(wsi) = self.wsis.get_mut(id) {
                    wsi.socket = Some(socket);
                    wsi.binding = binding;
                }
                Ok(id)
            }
            Err(source) => {
                self.remove(id);
                Err(Error::Io { what: "bind datagrams to", address: Some(info.bind.into()), source })
            }
        }
    }

    /// A socket for datagrams to and from one peer.
    pub(super) fn udp_connect(
        &mut self,
        id: WsiId,
        peer: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<Socket> {
        let how = Datagrams { peer: Some(peer), options: options.clone(), broadcast: false };
        let socket = self.plat.datagrams(&how, id.0.to_token())?;
        if let Some(Role::Udp(udp)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) {
            udp.is_connected = true;
        }
        Ok(socket)
    }

    /// Sends one; what the socket does not take now is kept. Nothing is unsent when this is called.
    fn udp_send(&mut self, id: WsiId, bytes: &[u8], to: Option<SocketAddr>) {
        if self.is_lost(self.udp_loss.tx) {
            return log::debug!(target: "millstream::wsi", "{id}: a datagram is lost on purpose");
        }
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let (Some(socket), Role::Udp(udp)) = (&mut wsi.socket, &mut wsi.role) else { return };
        let to = to.filter(|_| !udp.is_connected);
        loop {
            match socket.send_to(bytes, to) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wsi.flags.clear(Flags::WRITABLE);
                    udp.unsent_to = to;
                    self.spares.lend(&mut wsi.unsent);
                    wsi.unsent.clear();
                    return wsi.unsent.extend_from_slice(bytes);
                }
                // What a network says of one datagram says nothing of the next.
                Err(error) => {
                    return log::debug!(target: "millstream::wsi", "{id}: a datagram is not sent: {error}");
                }
                Ok(sent) => {
                    self.counters.tx_bytes += sent as u64;
                    return wsi.flags.set(Flags::UNPROVED);
                }
            }
        }
    }

    fn is_lost(&mut self, percent: u8) -> bool {
        percent > 0 && self.plat.random() % 100 < u64::from(percent)
    }

    /// The next datagram, in `into`. Those that are lost and errors count for a turn's work too.
    fn udp_receive(&mut self, id: WsiId, into: &mut [u8]) -> Option<(usize, SocketAddr)> {
        for _ in 0..PER_TURN {
            let wsi = self.wsis.get_mut(id)?;
            if !wsi.flags.has(Flags::READABLE) || wsi.flags.has(Flags::RX_FLOW_OFF) {
                return None;
            }
            match wsi.socket.as_mut()?.receive_from(into) {
                Ok(received) => {
                    self.counters.rx_bytes += received.0 as u64;
                    if !self.is_lost(self.udp_loss.rx) {
                        self.validity_received(id);
                        return Some(received);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wsi.flags.clear(Flags::READABLE);
                    return None;
                }
                // The resolver wants to know, to ask somebody else.
                Err(error) if wsi.binding == Binding::Names => {
                    self.close(id, Some(Cause::tcp(Phase::Established, &error)));
                    return None;
                }
                // What ICMP says about something that was sent before; it is said once.
                Err(error) if is_of_network(&error) => {
                    log::debug!(target: "millstream::wsi", "{id}: a datagram did not arrive: {error}");
                }
                Err(error) => {
                    self.close(id, Some(Cause::tcp(Phase::Established, &error)));
                    return None;
                }
            }
        }
        None
    }
}

/// Errors of the way to a peer, not of the socket.
fn is_of_network(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
    )
}

impl Context {
    pub(super) fn serve_udp(&mut self, id: WsiId) {
        self.with_scratch(|context, scratch| {
            scratch.datagram.resize(DATAGRAM, 0);
            context.udp_write_turn(id, scratch);
            context.udp_read_turn(id, scratch);
            context.udp_write_turn(id, scratch);
        });
        let Some(wsi) = self.core.wsis.get(id) else { return };
        let may = |flag, wants: bool| wants && wsi.flags.has(flag);
        if may(Flags::WRITABLE, wsi.flags.has(Flags::WANT_TX) || !wsi.unsent.is_empty())
            || may(Flags::READABLE, !wsi.flags.has(Flags::RX_FLOW_OFF))
        {
            self.core.schedule(id);
        }
    }

    fn udp_read_turn(&mut self, id: WsiId, scratch: &mut Scratch) {
        for _ in 0..PER_TURN {
            if !self.settle() {
                return self.core.schedule(id);
            }
            let Some((len, from)) = self.core.udp_receive(id, &mut scratch.datagram) else { return };
            let payload = scratch.datagram.get(..len).unwrap_or_default();
            self.wsi_event(id, WsiEvent::Datagram(from, payload));
        }
    }

    fn udp_write_turn(&mut self, id: WsiId, scratch: &mut Scratch) {
        for _ in 0..PER_TURN {
            let Some(wsi) = self.core.wsis.get_mut(id) else { return };
            if !wsi.flags.has(Flags::WRITABLE) {
                return;
            }
            if !wsi.unsent.is_empty() {
                let mut unsent = std::mem::take(&mut wsi.unsent);
                let to = if let Role::Udp(udp) = &mut wsi.role { udp.unsent_to.take() } else { None };
                self.core.udp_send(id, &unsent, to);
                self.core.spares.take_back(&mut unsent);
                continue;
            }
            if !wsi.flags.has(Flags::WANT_TX) {
                return;
            }
            if !self.settle() {
                return self.core.schedule(id);
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { return };
            wsi.flags.clear(Flags::WANT_TX);
            let mut state = TxState::default();
            let flow = self.ask_tx(id, &mut Tx::new(&mut scratch.datagram, &mut state));
            if flow == TxFlow::Send {
                let payload = scratch.datagram.get(..state.len).unwrap_or_default();
                self.core.udp_send(id, payload, state.to);
            }
        }
    }
}

/// Datagrams.
impl Cx<'_> {
    /// A socket for datagrams that anybody may send to (`lws_create_adopt_udp`); `protocol` hears that it is established,
    /// later. For one with a single peer, which may be a name, [`Cx::connect`] with
    /// [`ClientRole::Udp`](crate::ClientRole::Udp).
    ///
    /// ```
    /// use millstream::{Context, Cx, Flow, Protocol, Tx, TxFlow, UdpInfo, WsiId};
    /// use std::net::SocketAddr;
    ///
    /// /// Sends each datagram back to where it came from, one at a time.
    /// #[derive(Default)]
    /// struct Echo(Option<(SocketAddr, Vec<u8>)>);
    ///
    /// impl Protocol for Echo {
    ///     fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
    ///         Flow::Ok
    ///     }
    ///
    ///     fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, payload: &[u8]) -> Flow {
    ///         self.0 = Some((from, payload.to_vec()));
    ///         cx.wsi_request_tx(me).ok();
    ///         Flow::Ok
    ///     }
    ///
    ///     fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
    ///         let Some((to, payload)) = self.0.take() else { return TxFlow::DontSend };
    ///         tx.to(to);
    ///         tx.write(&payload);
    ///         TxFlow::Send
    ///     }
    /// }
    ///
    /// let mut context = Context::builder().build()?;
    /// let echo = context.with(|cx| cx.udp_bind(UdpInfo::new(([127, 0, 0, 1], 0).into()), Echo::default()))?;
    /// context.with(|cx| println!("echoes at {:?}", cx.wsi_local(echo)));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    ///
    /// # Errors
    /// The address is in use, or not this machine's; `max_connections` is reached.
    pub fn udp_bind(&mut self, info: UdpInfo, protocol: impl Protocol + 'static) -> Result<WsiId, Error> {
        let id = self.core.udp_bind(info, Binding::Protocol)?;
        self.core.adopt_protocol(id, Box::new(protocol));
        self.core.opened(id);
        Ok(id)
    }

    /// Sets the time of another try by a backoff scheme (`lws_retry_sul_schedule`): `tries` counts those that were made, and
    /// starts at 0. `None`, and nothing is scheduled, once the scheme's `conceal` is reached.
    ///
    /// Datagrams have no acknowledgement of their own: whoever asks something by one asks again, until it is answered or
    /// this says no.
    pub fn retry_schedule(
        &mut self,
        policy: &RetryPolicy,
        tries: &mut u16,
        call: impl FnOnce(&mut Cx<'_>) + 'static,
    ) -> Option<SulId> {
        let backoff = Backoff { table: &policy.backoff, conceal: policy.conceal, jitterpc: policy.jitterpc };
        let Decision::Retry(delay) = backoff.decide(*tries, self.core.plat.random(), None) else {
            return None;
        };
        *tries = tries.saturating_add(1);
        let at = self.core.now.saturating_add(delay);
        Some(self.core.suls.schedule(at, Timer::App(Box::new(call))))
    }
}
