//! A name with several addresses: they are tried one after the other, a quarter of a second apart, and the first that
//! connects has won (RFC 8305). Each attempt is a connection of its own until then.

use super::{Address, Binding, Flags, Wsi, WsiId, WsiState};
use crate::Us;
use crate::cause::{Cause, DnsFailure, Failure, Phase, Reason, TcpFailure};
use crate::context::{Context, Core, SulId, Timer};
use crate::role::Role;
use dns::{Family, Race};
use std::net::{IpAddr, SocketAddr};

/// The addresses of a connection's name, and the attempts under way.
#[derive(Debug)]
pub(crate) struct Racing {
    race: Race,
    port: u16,
    attempts: Vec<(WsiId, IpAddr)>,
    timer: Option<SulId>,
    /// Why a family has no address.
    unknown: Option<DnsFailure>,
}

impl Racing {
    pub(super) fn new(port: u16, preferred: Family) -> Self {
        Self { race: Race::new(preferred), port, attempts: Vec::new(), timer: None, unknown: None }
    }
}

/// Of two reasons for which there is no address, the one that says more.
fn worse(one: Option<DnsFailure>, other: DnsFailure) -> DnsFailure {
    let weight = |failure| match failure {
        DnsFailure::NoAddress => 0,
        DnsFailure::NoSuchName => 1,
        DnsFailure::ServerFailure => 2,
        _ => 3,
    };
    match one {
        Some(one) if weight(one) >= weight(other) => one,
        _ => other,
    }
}

impl Core {
    fn racing_mut(&mut self, id: WsiId) -> Option<&mut Racing> {
        self.connecting_mut(id)?.racing.as_mut()
    }

    /// What is known of the addresses of one family.
    pub(crate) fn found(&mut self, id: WsiId, family: Family, result: Result<Vec<IpAddr>, DnsFailure>) {
        if self.racing_mut(id).is_none() {
            return;
        }
        let now = self.now.as_us();
        match result {
            Ok(mut addresses) => {
                self.sort_addresses(&mut addresses);
                self.note_resolved(id, &addresses);
                if let Some(racing) = self.racing_mut(id) {
                    racing.race.addresses(family, addresses, now);
                }
            }
            Err(failure) => {
                if let Some(racing) = self.racing_mut(id) {
                    racing.unknown = Some(worse(racing.unknown, failure));
                    racing.race.no_addresses(family, now);
                }
            }
        }
        self.race(id);
    }

    /// The answer of a simulation's table, both families at once.
    pub(crate) fn resolved(&mut self, id: WsiId, result: Result<Vec<SocketAddr>, DnsFailure>) {
        let addresses = result.map(|found| found.iter().map(SocketAddr::ip).collect::<Vec<_>>());
        let of = |family| match &addresses {
            Ok(all) => {
                let own: Vec<_> = all.iter().copied().filter(|ip| Family::of(*ip) == family).collect();
                if own.is_empty() { Err(DnsFailure::NoAddress) } else { Ok(own) }
            }
            Err(failure) => Err(*failure),
        };
        let (v6, v4) = (of(Family::V6), of(Family::V4));
        self.found(id, Family::V6, v6);
        self.found(id, Family::V4, v4);
    }

    /// Begins the attempts whose time has come; ends the connection when there is nothing left to try.
    pub(super) fn race(&mut self, id: WsiId) {
        let now = self.now.as_us();
        while let Some(ip) = self.racing_mut(id).and_then(|racing| racing.race.poll(now)) {
            self.begin_attempt_at(id, ip);
        }
        let Some(racing) = self.racing_mut(id) else { return };
        if racing.race.exhausted() {
            let unknown = racing.unknown.unwrap_or(DnsFailure::NoAddress);
            let failures = self.connecting_mut(id).map(|connecting| std::mem::take(&mut connecting.failures));
            let cause =
                failures.filter(|failures| !failures.is_empty()).unwrap_or_else(|| Cause::dns(unknown));
            return self.close(id, Some(cause));
        }
        let next = racing.race.next_due().map(Us::from_us);
        if let Some(old) = racing.timer.take() {
            self.suls.cancel(old);
        }
        let timer = next.map(|at| self.suls.schedule(at, Timer::Race(id)));
        if let Some(racing) = self.racing_mut(id) {
            racing.timer = timer;
        }
    }

    pub(crate) fn race_timer(&mut self, id: WsiId) {
        if let Some(racing) = self.racing_mut(id) {
            racing.timer = None;
            self.race(id);
        }
    }

    fn begin_attempt_at(&mut self, id: WsiId, ip: IpAddr) {
        let Some(connecting) = self.connecting_mut(id) else { return };
        let info = connecting.info.clone();
        let Some(port) = connecting.racing.as_ref().map(|racing| racing.port) else { return };
        if let Some(wsi) = self.wsis.get_mut(id)
            && wsi.state() == WsiState::Resolving
        {
            wsi.enter(id, WsiState::Connecting);
        }
        let address = SocketAddr::new(ip, port);
        let mut wsi = Wsi::new(None, Role::for_client(info.role), Binding::Attempt(id), WsiState::Connecting);
        wsi.rare().peer = Some(Address::Ip(address));
        let attempt = self.wsis.insert(wsi);
        match self.open_socket(attempt, &Address::Ip(address), &info) {
            Ok(socket) => {
                if let Some(wsi) = self.wsis.get_mut(attempt) {
                    wsi.socket = Some(socket);
                }
                if let Some(racing) = self.racing_mut(id) {
                    racing.attempts.push((attempt, ip));
                }
            }
            Err(error) => {
                self.end_attempt(attempt);
                self.attempt_lost(id, address, TcpFailure::from(&error).into());
            }
        }
    }

    fn end_attempt(&mut self, attempt: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(attempt) {
            wsi.binding = Binding::None;
            self.remove(attempt);
        }
    }

    fn attempt_lost(&mut self, id: WsiId, address: SocketAddr, reason: Reason) {
        let failure = Failure::new(Phase::Connecting, reason).with(address);
        log::debug!(target: "millstream::wsi", "{id}: {failure}");
        let now = self.now.as_us();
        let Some(connecting) = self.connecting_mut(id) else { return };
        connecting.failures.push(failure);
        if let Some(racing) = &mut connecting.racing {
            racing.attempts.retain(|(_, ip)| *ip != address.ip());
            racing.race.failed(address.ip(), now);
        }
    }

    /// Everything that a race still has under way ends with it.
    pub(super) fn end_race(&mut self, id: WsiId) {
        let Some(racing) = self.connecting_mut(id).and_then(|connecting| connecting.racing.take()) else {
            return;
        };
        if let Some(timer) = racing.timer {
            self.suls.cancel(timer);
        }
        for (attempt, _) in racing.attempts {
            self.end_attempt(attempt);
        }
        self.stop_looking(id);
    }

    /// It has taken too long, whatever it was.
    pub(super) fn connect_timed_out(&mut self, id: WsiId) {
        let Some(connecting) = self.connecting_mut(id) else { return };
        let running: Vec<_> = match &connecting.racing {
            Some(racing) => racing.attempts.iter().map(|(_, ip)| SocketAddr::new(*ip, racing.port)).collect(),
            None => connecting.address.iter().filter_map(Address::ip).collect(),
        };
        let mut cause = std::mem::take(&mut connecting.failures);
        for address in &running {
            cause.push(Failure::new(Phase::Connecting, Reason::TimedOut).with(*address));
        }
        if cause.is_empty() {
            let is_connecting = self.wsis.get(id).is_some_and(|wsi| wsi.state() == WsiState::Connecting);
            cause = Cause::timeout(if is_connecting { Phase::Connecting } else { Phase::Resolving });
        }
        self.close(id, Some(cause));
    }
}

impl Context {
    /// An attempt has an outcome.
    pub(super) fn serve_attempt(&mut self, attempt: WsiId, parent: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(attempt) else { return };
        let Some(address) = wsi.rare.as_ref().and_then(|rare| rare.peer.as_ref()?.ip()) else { return };
        match wsi.connect_outcome() {
            None => {}
            Some(Ok(())) => self.attempt_won(parent, attempt),
            Some(Err(failure)) => {
                self.core.end_attempt(attempt);
                self.core.attempt_lost(parent, address, failure.into());
                self.core.race(parent);
            }
        }
    }

    /// The connection goes on with the attempt's socket.
    fn attempt_won(&mut self, id: WsiId, attempt: WsiId) {
        let core = &mut self.core;
        let Some(wsi) = core.wsis.get_mut(attempt) else { return };
        let flags = wsi.flags;
        let Some(socket) = wsi.socket.take() else { return };
        let address = wsi.rare().peer.take();
        let role = std::mem::replace(&mut wsi.role, Role::Raw(raw::Engine::new()));
        core.end_race(id);
        let socket = match core.plat.rename(socket, id.0.to_token()) {
            Ok(socket) => socket,
            Err(error) => return core.close(id, Some(Cause::tcp(Phase::Connecting, &error))),
        };
        let Some(wsi) = core.wsis.get_mut(id) else { return };
        wsi.socket = Some(socket);
        // Of a datagram socket the role knows more than what it is; others have those whom they serve.
        if matches!(role, Role::Udp(_)) {
            wsi.role = role;
        }
        // What was said under the attempt's name is not said again.
        for bit in [Flags::READABLE, Flags::WRITABLE, Flags::READ_CLOSED] {
            if flags.has(bit) {
                wsi.flags.set(bit);
            }
        }
        if let Some(connecting) = core.connecting_mut(id) {
            connecting.address = address;
        }
        self.socket_connected(id);
    }
}
